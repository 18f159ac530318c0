"""T1 to T13: what each attack gets, with its remedy and without.

``python -m results.attacks.mounted [FILE]`` mounts them and writes ``threats.json``.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pytest import MonkeyPatch

from pride_jax.errors import PrideError
from pride_jax.files import write_json
from pride_jax.runs.environment import environment
from results.attacks import on_protocols, on_runs


class Attack(NamedTuple):
    """An attack on one promise.

    Attributes:
      threat: T1 to T13.
      who: mounts it, following the protocol (curious) or not (active).
      after: what it is after.
      test: that mounts it, in ``tests/``.
      mount: a patch that ends with the attack, whether the remedy is there -> the part that it got.
    """

    threat: str
    who: str
    after: str
    test: str
    mount: Callable[[MonkeyPatch, bool], float]


_ADVERSARY = "adversary/test_"
ATTACKS = (
    Attack(
        "T1",
        "key holders, curious",
        "every client's vector",
        f"{_ADVERSARY}key_holder_alone.py::TestBlinds",
        on_protocols.decrypts_what_it_adds,
    ),
    Attack(
        "T2",
        "aggregator and a client, active",
        "another client's vector, `paillier`",
        f"{_ADVERSARY}ciphertexts_of_others.py::TestOneClient",
        on_protocols.sends_a_multiple,
    ),
    Attack(
        "T2",
        "aggregator and three clients, active",
        "the others' noise, cancelled",
        f"{_ADVERSARY}ciphertexts_of_others.py::TestNoiseInsideTheSum",
        on_protocols.cancels_noise,
    ),
    Attack(
        "T2",
        "aggregator and a client, active",
        "another client's vector, `bfv`",
        f"{_ADVERSARY}bfv.py::TestTheAggregatorAndAClient",
        on_protocols.sends_a_multiple_of_bfv,
    ),
    Attack(
        "T3",
        "aggregator, active",
        "a chosen client's vector, `masking`",
        f"{_ADVERSARY}t3_masking.py::TestItsOwnKeysInTheOthersPlaces",
        on_protocols.shows_its_own_keys,
    ),
    Attack(
        "T4",
        "aggregator and a client, active",
        "the next rounds' messages, `bfv`",
        f"{_ADVERSARY}bfv.py::TestTheAggregatorAndAClient",
        on_protocols.sends_a_malformed_ciphertext,
    ),
    Attack(
        "T5",
        "aggregator, active",
        "one client's update, by NaN to the others",
        f"{_ADVERSARY}models.py::test_without_the_remedies_it_gets_the_victims_vector",
        on_runs.silences_the_others,
    ),
    Attack(
        "T6",
        "aggregator and a client, active",
        "one client's update, by a cohort of two",
        f"{_ADVERSARY}cohorts.py::test_where_two_are_enough_one_colluder_gets_the_victims_vector",
        on_runs.calls_two,
    ),
    Attack(
        "T6",
        "aggregator, active",
        "one client's update, by two rounds' cohorts",
        f"{_ADVERSARY}cohorts.py::"
        "test_inherent_overlapping_cohorts_of_two_rounds_tell_the_difference",
        on_runs.calls_all_and_all_but_one,
    ),
    Attack(
        "T7",
        "aggregator, active",
        "rounds beyond the run's last",
        f"{_ADVERSARY}rounds.py::test_without_books_round_a_thousand_million_is_opened",
        on_runs.goes_on,
    ),
    Attack(
        "T8",
        "aggregator, active",
        "every client's vector, by a roster of its own",
        f"{_ADVERSARY}rosters.py::test_without_comparison_the_server_reads_every_vector",
        on_runs.writes_the_roster,
    ),
    Attack(
        "T9",
        "who reaches the control port, active",
        "its own code on a node",
        f"{_ADVERSARY}flower.py::test_without_the_pin_flower_installs_what_it_is_sent",
        on_runs.sends_its_own_code,
    ),
    Attack(
        "T10",
        "a client, active",
        "rounds without a sum, by one wrong message in three rounds",
        f"{_ADVERSARY}refusals.py::test_the_same_in_the_simulation",
        on_runs.spoils_sums,
    ),
    Attack(
        "T11",
        "aggregator, with a key's maker, active",
        "every client's vector, by a base of order two",
        f"{_ADVERSARY}paillier_keys.py::TestBaseOfSmallOrder",
        on_protocols.brings_a_base,
    ),
    Attack(
        "T12",
        "a client, curious",
        "the update of the only other client",
        f"{_ADVERSARY}other_clients.py::test_of_two_parties_each_learns_the_others_update",
        on_protocols.takes_its_own_away,
    ),
    Attack(
        "T13",
        "who reads a printed state, curious",
        "keys of noise and cohorts",
        "test_hidden_keys.py::test_a_state_says_what_is_hidden_and_nothing_of_it",
        on_runs.prints_a_state,
    ),
)


def mounted(attack: Attack, remedied: bool) -> dict[str, Any]:
    """What an attack got: its part, and why it was refused if it was.

    Raises:
      PrideError: it was refused without its remedy.
    """
    start, got, refused = time.perf_counter(), 0.0, None
    with tempfile.TemporaryDirectory() as home, MonkeyPatch.context() as patch:
        # Roles have keys: what an attack leaves goes with it.
        patch.setattr(tempfile, "tempdir", home)
        try:
            got = attack.mount(patch, remedied)
        except PrideError as error:
            if not remedied:
                raise
            refused = f"{type(error).__name__}: {error}"
    return {"part": got, "refused": refused, "seconds": time.perf_counter() - start}


def main() -> None:
    """Writes the JSON."""
    path = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent / "threats.json"
    rows = []
    for attack in ATTACKS:
        rows.append(
            {
                "threat": attack.threat,
                "who": attack.who,
                "after": attack.after,
                "test": attack.test,
                "before": mounted(attack, remedied=False),
                "now": mounted(attack, remedied=True),
            }
        )
        print(rows[-1], flush=True)
    write_json(path, {"rows": rows, "environment": environment()})


if __name__ == "__main__":
    main()
