"""What was released is counted once, and once more for every time it had to be done again."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pride_jax.errors import RunError
from pride_jax.runs.ledger import Release, count_releases, fingerprint, open_ledger, read

CLEAN = {
    "git_commit": "abc",
    "git_changes": False,
    "platform_of_device": "cpu",
    "num_processes": 1,
    "started": "now",
    "versions": {"jax": "0.10"},
}


def test_a_release_is_on_disk_before_it_counts(tmp_path):
    path = tmp_path / "ledger.jsonl"
    ledger = open_ledger(path, 0, "here")
    assert (ledger.attempt, ledger.releases()) == (0, 0)
    ledger.announce(0, 5)
    assert read(path) == [Release(0, 5, 0, "here")]
    assert ledger.releases() == 5


def test_rounds_done_again_to_the_same_bits_cost_nothing(tmp_path):
    path = tmp_path / "ledger.jsonl"
    open_ledger(path, 0, "here").announce(0, 5)
    again = open_ledger(path, 0, "here")
    again.announce(0, 5)
    assert (again.attempt, again.releases()) == (0, 5)


@pytest.mark.parametrize("environment", ["elsewhere", None])
def test_rounds_done_again_elsewhere_get_other_keys_and_are_charged(tmp_path, environment):
    path = tmp_path / "ledger.jsonl"
    ledger = open_ledger(path, 0, "here")
    ledger.announce(0, 5)
    ledger.announce(5, 10)
    again = open_ledger(path, 5, environment)
    assert again.attempt == 1
    assert again.releases_with(5, 10) == 15
    again.announce(5, 10)
    assert again.releases() == 15


@pytest.mark.parametrize("environment", ["elsewhere", None])
def test_a_run_that_lost_nothing_keeps_its_keys(tmp_path, environment):
    path = tmp_path / "ledger.jsonl"
    open_ledger(path, 0, "here").announce(0, 5)
    assert open_ledger(path, 5, environment).attempt == 0


def test_two_unknown_environments_are_not_the_same(tmp_path):
    path = tmp_path / "ledger.jsonl"
    open_ledger(path, 0, None).announce(0, 5)
    assert open_ledger(path, 0, None).attempt == 1


def test_keys_of_an_earlier_attempt_are_never_used_again(tmp_path):
    path = tmp_path / "ledger.jsonl"
    open_ledger(path, 0, "here").announce(0, 5)
    open_ledger(path, 0, "there").announce(0, 5)
    assert open_ledger(path, 0, "here").attempt == 2


def test_a_line_cut_short_by_a_crash_was_not_released(tmp_path):
    path = tmp_path / "ledger.jsonl"
    open_ledger(path, 0, "here").announce(0, 5)
    with path.open("a") as file:
        file.write('{"first": 5, "unt')
    ledger = open_ledger(path, 5, "here")
    assert (ledger.attempt, ledger.releases()) == (0, 5)
    ledger.announce(5, 10)
    assert open_ledger(path, 10, "here").releases() == 10


def test_going_back_beyond_the_start_of_an_attempt_needs_other_keys(tmp_path):
    """The rounds between would come from other parameters than that attempt's noise was put on."""
    path = tmp_path / "ledger.jsonl"
    open_ledger(path, 0, "there").announce(0, 10)
    open_ledger(path, 8, "here").announce(8, 15)
    assert open_ledger(path, 8, "here").attempt == 1
    assert open_ledger(path, 5, "here").attempt == 2


def test_a_ledger_that_lacks_released_rounds_is_refused(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with pytest.raises(RunError, match="lacks round 0, whose model was released"):
        open_ledger(path, 5, "here")
    open_ledger(path, 0, "here").announce(0, 5)
    with pytest.raises(RunError, match="lacks round 5"):
        open_ledger(path, 10, "here")


def test_where_groups_take_turns_a_round_done_again_is_another_turn(tmp_path):
    path = tmp_path / "ledger.jsonl"
    open_ledger(path, 0, None, groups=10).announce(0, 20)
    for _ in range(10):
        ledger = open_ledger(path, 19, None, groups=10)
        ledger.announce(19, 20)
    # Two turns of group 9, and ten more.
    assert ledger.releases() == 10 * 12


def test_a_damaged_ledger_is_refused(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_text("nonsense\n")
    with pytest.raises(RunError, match="line 1 is not JSON"):
        open_ledger(path, 0, "here")


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(1, 8), st.integers(0, 3)), min_size=1, max_size=9
    )
)
def test_every_round_counts_once_an_attempt(blocks):
    ledger = [Release(first, first + length, attempt, "") for first, length, attempt in blocks]
    counted = sum(
        any(entry.attempt == attempt and entry.first <= round_ < entry.until for entry in ledger)
        for attempt in range(4)
        for round_ in range(30)
    )
    assert count_releases(ledger) == counted


def test_what_tells_environments_apart():
    same = fingerprint(CLEAN)
    assert same == fingerprint(json.loads(json.dumps(CLEAN)) | {"started": "later"})
    assert same != fingerprint(CLEAN | {"versions": {"jax": "0.11"}})
    assert same != fingerprint(CLEAN | {"git_commit": "abd"})
    assert fingerprint(CLEAN | {"git_changes": True}) is None
    assert fingerprint(CLEAN | {"git_commit": None}) is None
    assert fingerprint(CLEAN | {"platform_of_device": "gpu"}) is None
    assert fingerprint(CLEAN | {"num_processes": 2}) is None
    assert fingerprint(CLEAN, data="1") not in (same, fingerprint(CLEAN, data="2"))
