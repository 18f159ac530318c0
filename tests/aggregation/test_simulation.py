"""A round with every role played, over networks that lose, damage and repeat messages."""

import os
from collections.abc import Sequence

import numpy as np
import pytest
from parties import CASES

from pride_jax.aggregation.neighbours import ServerModel
from pride_jax.aggregation.protocols.masking import masking
from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.refusals import BurntError, DoesNotOpenError
from pride_jax.aggregation.secure_sum import Role
from pride_jax.aggregation.simulation import Added, perfect, simulate
from pride_jax.aggregation.terms import Terms
from pride_jax.errors import ProtocolError, TooFewError

LENGTH = 30
CLIENTS = [4, 9, 2, 7, 11]
TERMS = Terms(LENGTH, 16, 1.0, smallest_cohort=2, largest_cohort=8)
ROWS = np.random.default_rng(0).integers(-32767, 32768, (len(CLIENTS), LENGTH))


@pytest.fixture(scope="module", params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def protocol_and_keys(name: str):
    protocol = CASES[name].make()
    return protocol, protocol.keygen(os.urandom, Role.KEY_HOLDER)


def check(name: str, added: Added, missing: Sequence[int] = ()) -> None:
    """The sum is that of everyone but the missing."""
    present = [client for client in CLIENTS if client not in missing]
    assert added.contributors == tuple(sorted(present))
    expected = sum(ROWS[CLIENTS.index(client)] for client in present)
    assert np.abs(added.total - expected).max() <= CASES[name].error(TERMS, len(present))


def test_everyone(name: str, protocol_and_keys) -> None:
    protocol, keys = protocol_and_keys
    aggregator = simulate(protocol, TERMS, keys, os.urandom)
    announced = aggregator.announce(5, CLIENTS, 2, b"model")
    assert announced.directory.roster == tuple(CLIENTS)
    added = aggregator.add(announced, ROWS)
    check(name, added)
    assert (added.refused, added.transport.lost) == ((), 0)
    assert added.transport.bytes_sent > len(CLIENTS) * (2 * LENGTH + 132 + 64)
    assert min(seconds for _, seconds in added.transport.seconds()) > 0


def test_lost_and_damaged_messages(name: str, protocol_and_keys) -> None:
    """Whoever is lost is missing; whoever is damaged is refused, too."""

    def bad(sent: Sequence[bytes]) -> Sequence[bytes]:
        damaged = bytearray(sent[3])
        damaged[140] ^= 1
        return [bytes(damaged), *sent[:3], sent[0], sent[2][:-1], sent[4]]

    protocol, keys = protocol_and_keys
    aggregator = simulate(protocol, TERMS, keys, os.urandom, bad)
    added = aggregator.add(aggregator.announce(5, CLIENTS, 2, b"model"), ROWS)
    check(name, added, missing=[7])
    assert added.transport.lost == 1
    assert [(type(error).__name__, error.client) for error in added.refused] == [
        ("MalformedError", 2),
        ("WrongSignatureError", 7),
        ("DuplicateClientError", 4),
    ]


def test_too_few_are_left(name: str, protocol_and_keys) -> None:
    protocol, keys = protocol_and_keys
    for left, reason in ((1, "expected at least"), (0, "no messages")):
        aggregator = simulate(
            protocol, TERMS, keys, os.urandom, lambda sent, left=left: sent[:left]
        )
        with pytest.raises(ProtocolError, match=reason):
            aggregator.add(aggregator.announce(5, CLIENTS, 2, b"model"), ROWS)


def test_the_same_round_again(name: str, protocol_and_keys) -> None:
    """The simulation is a function of its arguments: holders' memories do not outlast a call."""
    protocol, keys = protocol_and_keys
    aggregator = simulate(protocol, TERMS, keys, os.urandom)
    for _ in range(2):
        check(name, aggregator.add(aggregator.announce(5, CLIENTS, 2, b"model"), ROWS))


def test_masking_needs_its_threshold() -> None:
    """Four of five, one of whom may be corrupted, against an active server; two against a
    curious one."""

    def after(left: int, server: ServerModel) -> Added:
        protocol = masking(server)
        keys = protocol.keygen(os.urandom, Role.KEY_HOLDER)
        aggregator = simulate(protocol, TERMS, keys, os.urandom, lambda sent: sent[:left])
        return aggregator.add(aggregator.announce(5, CLIENTS, 2, b"model"), ROWS)

    check("masking", after(4, "active"), missing=[11])
    with pytest.raises(ProtocolError, match="expected at least 4"):
        after(3, "active")
    check("masking", after(2, "curious"), missing=[2, 7, 11])


def test_bytes_that_clients_send() -> None:
    """Masking: signed keys, letters, messages, consents and shares, to the byte."""
    sent = {}
    for protocol in (plain(), masking()):
        keys = protocol.keygen(os.urandom, Role.KEY_HOLDER)
        aggregator = simulate(protocol, TERMS, keys, os.urandom, perfect)
        added = aggregator.add(aggregator.announce(5, CLIENTS, 2, b"model"), ROWS)
        sent[protocol.name] = added.transport.bytes_sent
    overhead = 132 + 64
    assert sent["plain"] == 5 * (overhead + 4 * LENGTH)
    keys, letters = 5 * (96 + 64), 5 * (overhead + 5 * (82 + 8))
    # Words of 19 bits: planes of 16, 2 and 1.
    words = 2 * LENGTH + -(-2 * LENGTH // 8) + -(-LENGTH // 8)
    messages, consents = 5 * (overhead + words + 5 * 16), 5 * (overhead + 5 * 16)
    assert sent["masking-active"] == keys + letters + messages + consents + 5 * 5 * (8 + 33)


def test_clients_without_examples_hide_nobody() -> None:
    keys = plain().keygen(os.urandom, Role.KEY_HOLDER)
    aggregator = simulate(plain(), TERMS, keys, os.urandom, empty=frozenset(CLIENTS[2:]))
    check("plain", aggregator.add(aggregator.announce(5, CLIENTS, 2, b"model"), ROWS))
    with pytest.raises(TooFewError, match="2 clients with examples"):
        aggregator.announce(5, CLIENTS, 3, b"model")


@pytest.mark.parametrize(
    ("error", "candidates"),
    [
        (DoesNotOpenError(7, "what it sealed does not open"), (7,)),
        (ProtocolError("a value that clients within their range cannot reach"), (2, 4, 7, 9, 11)),
    ],
)
def test_a_refused_sum_tells_who_may_be_why(error, candidates) -> None:
    def refuses(directory, total, shares):
        raise error

    refusing = plain()._replace(open=refuses)
    keys = plain().keygen(os.urandom, Role.KEY_HOLDER)
    aggregator = simulate(refusing, TERMS, keys, os.urandom)
    with pytest.raises(BurntError) as burnt:
        aggregator.add(aggregator.announce(5, CLIENTS, 2, b"model"), ROWS)
    assert (burnt.value.round, burnt.value.candidates) == (5, candidates)
    assert str(error) in str(burnt.value)
