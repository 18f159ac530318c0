"""What was released is counted once, and once more for every time it had to be done again."""

import json

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pride_jax.errors import RunError
from pride_jax.runs.environment import jax_settings
from pride_jax.runs.ledger import (
    Release,
    commitment,
    count_releases,
    fingerprint,
    open_ledger,
    read,
)

KEY = bytes(range(32))
SEED = commitment(KEY)
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
    ledger = open_ledger(path, 0, "here", SEED)
    assert (ledger.attempt, ledger.releases()) == (0, 0)
    ledger.announce(0, 5)
    assert read(path) == [Release(0, 5, 0, "here", SEED)]
    assert ledger.releases() == 5


def test_rounds_done_again_to_the_same_bits_cost_nothing(tmp_path):
    path = tmp_path / "ledger.jsonl"
    open_ledger(path, 0, "here", SEED).announce(0, 5)
    again = open_ledger(path, 0, "here", SEED)
    again.announce(0, 5)
    assert (again.attempt, again.releases()) == (0, 5)


@pytest.mark.parametrize("environment", ["elsewhere", None])
def test_rounds_done_again_elsewhere_get_other_keys_and_are_charged(tmp_path, environment):
    path = tmp_path / "ledger.jsonl"
    ledger = open_ledger(path, 0, "here", SEED)
    ledger.announce(0, 5)
    ledger.announce(5, 10)
    again = open_ledger(path, 5, environment, SEED)
    assert again.attempt == 1
    assert again.releases_with(5, 10) == 15
    again.announce(5, 10)
    assert again.releases() == 15


@pytest.mark.parametrize("environment", ["elsewhere", None])
def test_a_run_that_lost_nothing_keeps_its_keys(tmp_path, environment):
    path = tmp_path / "ledger.jsonl"
    open_ledger(path, 0, "here", SEED).announce(0, 5)
    assert open_ledger(path, 5, environment, SEED).attempt == 0


def test_two_unknown_environments_are_not_the_same(tmp_path):
    path = tmp_path / "ledger.jsonl"
    open_ledger(path, 0, None, SEED).announce(0, 5)
    assert open_ledger(path, 0, None, SEED).attempt == 1


def test_keys_of_an_earlier_attempt_are_never_used_again(tmp_path):
    path = tmp_path / "ledger.jsonl"
    open_ledger(path, 0, "here", SEED).announce(0, 5)
    open_ledger(path, 0, "there", SEED).announce(0, 5)
    assert open_ledger(path, 0, "here", SEED).attempt == 2


def test_a_line_cut_short_by_a_crash_was_not_released(tmp_path):
    path = tmp_path / "ledger.jsonl"
    open_ledger(path, 0, "here", SEED).announce(0, 5)
    with path.open("a") as file:
        file.write('{"first": 5, "unt')
    ledger = open_ledger(path, 5, "here", SEED)
    assert (ledger.attempt, ledger.releases()) == (0, 5)
    ledger.announce(5, 10)
    assert open_ledger(path, 10, "here", SEED).releases() == 10


def test_going_back_beyond_the_start_of_an_attempt_needs_other_keys(tmp_path):
    """The rounds between would come from other parameters than that attempt's noise was put on."""
    path = tmp_path / "ledger.jsonl"
    open_ledger(path, 0, "there", SEED).announce(0, 10)
    open_ledger(path, 8, "here", SEED).announce(8, 15)
    assert open_ledger(path, 8, "here", SEED).attempt == 1
    assert open_ledger(path, 5, "here", SEED).attempt == 2


def test_a_ledger_that_lacks_released_rounds_is_refused(tmp_path):
    path = tmp_path / "ledger.jsonl"
    with pytest.raises(RunError, match="lacks round 0, whose model was released"):
        open_ledger(path, 5, "here", SEED)
    open_ledger(path, 0, "here", SEED).announce(0, 5)
    with pytest.raises(RunError, match="lacks round 5"):
        open_ledger(path, 10, "here", SEED)


def test_where_groups_take_turns_a_round_done_again_is_another_turn(tmp_path):
    path = tmp_path / "ledger.jsonl"
    open_ledger(path, 0, None, SEED, groups=10).announce(0, 20)
    for _ in range(10):
        ledger = open_ledger(path, 19, None, SEED, groups=10)
        ledger.announce(19, 20)
    # Two turns of group 9, and ten more.
    assert ledger.releases() == 10 * 12


def test_a_damaged_ledger_is_refused(tmp_path):
    path = tmp_path / "ledger.jsonl"
    path.write_text("nonsense\n")
    with pytest.raises(RunError, match="line 1 is not JSON"):
        open_ledger(path, 0, "here", SEED)


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(1, 8), st.integers(0, 3)), min_size=1, max_size=9
    )
)
def test_every_round_counts_once_an_attempt(blocks):
    ledger = [
        Release(first, first + length, attempt, "", SEED) for first, length, attempt in blocks
    ]
    counted = sum(
        any(entry.attempt == attempt and entry.first <= round_ < entry.until for entry in ledger)
        for attempt in range(4)
        for round_ in range(30)
    )
    assert count_releases(ledger) == counted


def test_what_tells_environments_apart():
    same = fingerprint(CLEAN, KEY)
    assert same == fingerprint(json.loads(json.dumps(CLEAN)) | {"started": "later"}, KEY)
    assert same != fingerprint(CLEAN | {"versions": {"jax": "0.11"}}, KEY)
    assert same != fingerprint(CLEAN | {"git_commit": "abd"}, KEY)
    assert same != fingerprint(CLEAN, bytes(32))
    assert fingerprint(CLEAN | {"git_changes": True}, KEY) is None
    assert fingerprint(CLEAN | {"git_commit": None}, KEY) is None
    assert fingerprint(CLEAN | {"platform_of_device": "gpu"}, KEY) is None
    assert fingerprint(CLEAN | {"num_processes": 2}, KEY) is None
    assert fingerprint(CLEAN, KEY, data="1") not in (same, fingerprint(CLEAN, KEY, data="2"))


def test_a_ledger_of_another_seed_is_refused(tmp_path):
    path = tmp_path / "ledger.jsonl"
    open_ledger(path, 0, "here", SEED).announce(0, 5)
    for round_, environment in ((5, "here"), (0, "here"), (0, None)):
        with pytest.raises(RunError, match="of another seed of cohorts and noise"):
            open_ledger(path, round_, environment, commitment(bytes(32)))


def test_who_reads_the_ledger_cannot_try_out_what_the_data_are():
    """The adversary knows everything but one client's answer, and the seed."""
    written = fingerprint(CLEAN, KEY, data="yes")
    unkeyed = bytes(32)

    def guesses(key):
        return [answer for answer in ("yes", "no") if fingerprint(CLEAN, key, data=answer) in told]

    told = (written, SEED)
    assert guesses(unkeyed) == []
    # With a key that everybody knows, the ledger would tell.
    told = (fingerprint(CLEAN, unkeyed, data="yes"),)
    assert guesses(unkeyed) == ["yes"]


def test_jax_settings_that_change_numbers_are_known_and_others_are_not():
    before = jax_settings()
    with jax.default_matmul_precision("bfloat16"):
        assert jax_settings() != before
    with jax.enable_x64(True):
        assert jax_settings() != before
    with jax.log_compiles(True):
        assert jax_settings() == before
    assert "jax_compilation_cache_dir" not in before
