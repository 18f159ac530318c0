"""Each protocol says for every coalition and both adversaries what is learnt, and shows it."""

import ast
from pathlib import Path
from typing import Literal, get_args, get_type_hints

import pytest

from pride_jax.aggregation.protocols.lattice import lattice
from pride_jax.aggregation.secure_sum import Role, SecureSum
from pride_jax.aggregation.sights import OF_CLEAR_SCORES, OF_SCORES, Sight
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.sampling import full
from pride_jax.reporting.disclosure import disclosure
from pride_jax.settings.experiment import Aggregation, Experiment
from pride_jax.settings.protocols import build_secure_sum, key_holders
from results.encryption.threats import THREATS

ROOT = Path(__file__).parents[2]
NAMES = sorted({*get_args(get_type_hints(Aggregation)["protocol"])} - {"none"})

Coalition = frozenset[str]


def coalition_of(sight: Sight) -> Coalition:
    """The roles that a sight names."""
    return frozenset(role for role in ("aggregator", "key holder", "client") if role in sight.who)


def expected(name: str, protocol: SecureSum) -> set[Coalition]:
    """Every role alone, and the aggregator with each of the others."""
    roles = {"client"}
    if protocol.openers == Role.KEY_HOLDER and key_holders(Aggregation(name)).numbers:
        roles.add("key holder")
    alone = {frozenset({role}) for role in (*roles, "aggregator")}
    return alone | {frozenset({"aggregator", role}) for role in roles}


def with_keys_apart(protocol: SecureSum) -> list[SecureSum]:
    """The protocol, and keys apart through it, if it hides keys."""
    return [protocol] if protocol.name in ("plain", "bfv-4096") else [protocol, lattice(protocol)]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def test_no_coalition_and_no_adversary_is_left_out(name: str) -> None:
    protocol = build_secure_sum(Aggregation(name))
    said = {(coalition_of(sight), sight.adversary) for sight in protocol.sights}
    wanted = {
        (coalition, adversary)
        for coalition in expected(name, protocol)
        for adversary in ("curious", "active")
    }
    assert said >= wanted
    assert len(set(protocol.sights)) == len(protocol.sights)


def test_whoever_is_named_is_described_curious_and_active(name: str) -> None:
    """So no cell of the table is empty."""
    sights = build_secure_sum(Aggregation(name)).sights
    for who in {sight.who for sight in sights}:
        assert {each.adversary for each in sights if each.who == who} == {"curious", "active"}, who


def named_in(path: Path) -> set[str]:
    """The tests of a file, and their classes, as pytest names them."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            found.add(node.name)
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            inner = [each.name for each in node.body if isinstance(each, ast.FunctionDef)]
            tests = {f"{node.name}::{each}" for each in inner if each.startswith("test_")}
            found |= tests | ({node.name} if tests else set())
    return found


def shown(sights: tuple[Sight, ...]) -> None:
    """Fails unless there is the test that each of the sights names."""
    for sight in sights:
        path, _, test = sight.shown_by.partition("::")
        assert test in named_in(ROOT / path), sight.shown_by


def test_every_sight_is_shown_by_a_test_that_there_is(name: str) -> None:
    for protocol in with_keys_apart(build_secure_sum(Aggregation(name))):
        shown(protocol.sights)


@pytest.mark.parametrize(("holders", "threshold"), [(2, 2), (3, 2), (5, 3)])
def test_so_is_every_sight_of_other_numbers_of_key_holders(holders: int, threshold: int) -> None:
    settings = Aggregation("threshold", holders=holders, threshold=threshold)
    for protocol in with_keys_apart(build_secure_sum(settings)):
        shown(protocol.sights)


@pytest.mark.parametrize("server", ["curious", "active"])
def test_and_of_either_server(server: Literal["curious", "active"]) -> None:
    for protocol in with_keys_apart(build_secure_sum(Aggregation("masking", server=server))):
        shown(protocol.sights)


@pytest.mark.parametrize("clients", [2, 10])
def test_so_is_every_sight_of_a_run_without_a_protocol(clients: int) -> None:
    said = disclosure(Experiment(), None, NoPlan(full(10)), None, clients)
    shown(tuple(Sight(**sight) for sight in said["sights"]))


def test_so_is_every_sight_of_scores() -> None:
    shown((*OF_SCORES, *OF_CLEAR_SCORES))


def test_so_is_every_threat() -> None:
    """What results/encryption tells of T1 to T13."""
    assert list(THREATS) == [f"T{number}" for number in range(1, 14)]
    for threat in THREATS.values():
        shown(tuple(Sight("", "active", threat.got, test) for test in threat.tests))


def test_the_search_finds_what_is_missing() -> None:
    nowhere = Sight("a role", "curious", "", "tests/aggregation/test_sights.py::no_such_test")
    with pytest.raises(AssertionError, match="no_such_test"):
        shown((nowhere,))
