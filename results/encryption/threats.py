"""What an adversary got, the test that mounts it, what stops it, and what that costs."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pride_jax.files import read_json
from pride_jax.reporting.markdown import rounded, table
from pride_jax.reporting.metrics import Row
from results.rows import only

_ADVERSARY = "tests/adversary/test_"


def _figures(results: Path, name: str) -> dict[str, list[Row]]:
    return read_json(results / "encryption" / f"{name}.json")


def _blinds(results: Path) -> str:
    _, row = _figures(results, "beside")["proofs"]
    share = row["blind_us"] / row["encrypt_us"]
    return f"blinds {share:.1%} of encrypting; `two_servers` {_two_servers(results)} of `plain`"


def _two_servers(results: Path) -> str:
    """Of everybody in a round of the 2NN, in which all clients send."""
    measured = _figures(results, "beside")
    clients = read_json(results / "encryption" / "beside.json")["setting"]["clients"]
    whole = {}
    for name in ("two_servers", "plain"):
        row = only(measured["rows"], protocol=name, code="here", params=199_210)
        of_clients = clients * (row["encrypt_us"] + row["add_us"])
        whole[name] = of_clients + row["share_us"] + row["open_us"]
    return f"{rounded(whole['two_servers'] / whole['plain'])} times the work"


def _proofs(results: Path) -> str:
    _, row = _figures(results, "beside")["proofs"]
    whole = row["encrypt_us"] + row["prove_us"]
    return (
        f"a client's work {rounded(whole / row['encrypt_us'], 3)} times as much, each check "
        f"{rounded(row['check_us'] / row['encrypt_us'])} of an encryption"
    )


def _masking(results: Path) -> str:
    rows = _figures(results, "masking")["rows"]
    here, before = (only(rows, code=code, clients=300, silent=0) for code in ("here", "before"))
    return (
        f"a round of 300 clients {rounded(before['seconds'] / here['seconds'])} times as fast as "
        "without, by a sparse graph and faster streams"
    )


def _said(text: str) -> Callable[[Path], str]:
    return lambda results: text


class Threat(NamedTuple):
    """One of T1 to T13.

    Attributes:
      got: who got what, without the remedy.
      tests: that mount the attack.
      remedy: what stops it.
      cost: of the remedy, from the numbers.
    """

    got: str
    tests: tuple[str, ...]
    remedy: str
    cost: Callable[[Path], str]


THREATS = {
    "T1": Threat(
        "a key holder: every client's vector",
        (
            f"{_ADVERSARY}key_holder_alone.py::TestBlinds",
            f"{_ADVERSARY}two_servers.py::TestTheKeyHolder",
            f"{_ADVERSARY}bfv.py::TestTheKeyHolder",
        ),
        "holders get no vector: streams or blinds whose seed is the aggregator's alone",
        _blinds,
    ),
    "T2": Threat(
        "aggregator and a client: any other client's vector, and the others' noise away",
        (
            f"{_ADVERSARY}ciphertexts_of_others.py::TestOneClient",
            f"{_ADVERSARY}ciphertexts_of_others.py::TestNoiseInsideTheSum",
            f"{_ADVERSARY}two_servers.py::TestTheAggregatorAndClientsCheat",
        ),
        "proofs of plaintext knowledge; boxes that name their client, and are signed by it",
        _proofs,
    ),
    "T3": Threat(
        "a masking server: a chosen client's vector",
        (
            f"{_ADVERSARY}t3_masking.py::TestItsOwnKeysInTheOthersPlaces",
            f"{_ADVERSARY}t3_masking.py::TestManyLettersFromOneSecret",
            f"{_ADVERSARY}t3_masking.py::TestDifferentListsOfContributors",
        ),
        "signed round keys, one letter a secret to helpers drawn once, consents before shares",
        _masking,
    ),
    "T4": Threat(
        "a malformed ciphertext and free tries: the key",
        (
            f"{_ADVERSARY}refusals.py::"
            "test_a_refusal_tells_nothing_and_another_try_is_another_round",
            f"{_ADVERSARY}bfv.py::TestAKeyARound",
        ),
        "one question a round, no reasons; BFV has a key a round, and CKKS is gone",
        _said("a key pair of BFV a round"),
    ),
    "T5": Threat(
        "a server that sends the others NaN, or another model: one update",
        (f"{_ADVERSARY}models.py::test_without_the_remedies_it_gets_the_victims_vector",),
        "the model's digest in every signature; parameters that are not finite are refused",
        _said("a SHA-256 of the model at each party"),
    ),
    "T6": Threat(
        "a server that calls cohorts of two, or of clients without examples",
        (
            f"{_ADVERSARY}cohorts.py::test_where_two_are_enough_one_colluder_gets_the_victims_vector",
            f"{_ADVERSARY}cohorts.py::TestClientsWithoutExamples",
        ),
        "everyone's own smallest cohort, of clients with examples",
        _said("rounds with fewer go without their sum"),
    ),
    "T7": Threat(
        "a server that goes on for ever: any ε",
        (f"{_ADVERSARY}rounds.py::test_without_books_round_a_thousand_million_is_opened",),
        "books of rounds and releases, on disk before an answer",
        _said("a file of some hundred bytes written twice an answer"),
    ),
    "T8": Threat(
        "a server that writes its own key into the roster: everything",
        (f"{_ADVERSARY}rosters.py::test_without_comparison_the_server_reads_every_vector",),
        "a digest compared out of band, and signed by the key holders",
        _said("a telephone call before a run"),
    ),
    "T9": Threat(
        "anyone who reaches Flower's control port: code on every node",
        (
            f"{_ADVERSARY}flower.py::test_without_the_pin_flower_installs_what_it_is_sent",
            "tests/deploy/test_proxy.py::test_nothing_else_reaches_the_superlink",
        ),
        "the link on its own machine, nginx in front, one pinned application",
        _said("nginx on the server's machine"),
    ),
    "T10": Threat(
        "one signed message that spoils the sum: the run never goes on",
        (
            f"{_ADVERSARY}refusals.py::test_a_value_out_of_range_every_third_round",
            f"{_ADVERSARY}t3_masking.py::TestFalseShares",
        ),
        "a refusal burns its round; false shares are left out; who did it is named or listed",
        _said("the burnt rounds"),
    ),
    "T11": Threat(
        "a key with a base of its maker's choice: plaintexts",
        (f"{_ADVERSARY}paillier_keys.py::TestBaseOfSmallOrder",),
        "a key is its modulus: bases are hashed from it",
        _said("one hash when a key is read"),
    ),
    "T12": Threat(
        "of two parties the other: one's update",
        (f"{_ADVERSARY}other_clients.py::test_of_two_parties_each_learns_the_others_update",),
        "none: a run of two says so",
        _said("a third party"),
    ),
    "T13": Threat(
        "whoever sees a printed state: keys of noise and cohorts",
        ("tests/test_hidden_keys.py::test_a_state_says_what_is_hidden_and_nothing_of_it",),
        "secrets are types of their own, which neither print nor pickle",
        _said("nothing that is measured"),
    ),
}


def threats(results: Path) -> str:
    """A line a threat."""
    lines = [
        [
            name,
            threat.got,
            ", ".join(map(_linked, threat.tests)),
            threat.remedy,
            threat.cost(results),
        ]
        for name, threat in THREATS.items()
    ]
    return table(["", "who got what", "mounted by", "remedy", "cost"], lines)


def _linked(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[`{name}`](../../{path})"
