"""What is particular to keys apart from vectors; what all protocols do is in the suites of all."""

import os
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from parties import Party, breakable_ring, party_apart, party_of

from pride_jax.aggregation.lattice.parameters import key_terms, lattice_of
from pride_jax.aggregation.messages import question_of
from pride_jax.aggregation.protocols import lattice as module
from pride_jax.aggregation.protocols.bfv import bfv
from pride_jax.aggregation.protocols.lattice import lattice
from pride_jax.aggregation.protocols.masking import masking
from pride_jax.aggregation.protocols.paillier import paillier
from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.protocols.threshold import ShareError, threshold_paillier
from pride_jax.aggregation.protocols.two_servers import two_servers
from pride_jax.aggregation.refusals import WrongBodySizeError
from pride_jax.aggregation.secure_sum import Directory
from pride_jax.aggregation.terms import Terms
from pride_jax.errors import ConfigError, ProtocolError
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.sampling import full
from pride_jax.privacy.values import Integers

INNER = {
    "two_servers": two_servers,
    "paillier": partial(paillier, 1024),
    "threshold": partial(threshold_paillier, 1024, 3, 2),
    "masking": masking,
}
CLIENTS = range(4)


@pytest.fixture(scope="module")
def party() -> Party:
    return party_apart("two_servers")


def vectors_of(directory: Directory, seed: int = 0) -> dict[int, np.ndarray]:
    terms, rng = directory.terms, np.random.default_rng(seed)
    largest = terms.largest_value
    return {
        client: rng.integers(-largest, largest, terms.length, endpoint=True)
        for client in directory.roster
    }


@pytest.mark.parametrize("name", INNER)
def test_sums_are_those_of_plain_in_the_rings_that_are_used(name: str) -> None:
    party = replace(party_of(lattice(INNER[name]())), signed=True)
    directory = party.directory(CLIENTS, length=9_000)
    assert lattice_of(directory.terms).degree == 4096
    vectors = vectors_of(directory)
    summed = party.sum(directory, vectors)
    clear = party_of(plain())
    assert (summed == clear.sum(clear.directory(CLIENTS, length=9_000), vectors)).all()


@pytest.mark.parametrize(
    ("inner", "why"),
    [
        (plain(), "it hides no key"),
        (bfv(), "could send another's"),
        (lattice(two_servers()), "hides nothing more"),
    ],
)
def test_protocols_through_which_no_key_is_sent(inner, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        lattice(inner)


@pytest.mark.parametrize("name", INNER)
def test_roles_are_those_of_the_inner_protocol(name: str) -> None:
    inner = INNER[name]()
    found = lattice(inner)
    assert found.name == f"lattice({inner.name})"
    assert len(found.name) <= 32, "messages have no room for longer names"
    for part in ("keygen", "openers", "quorum", "deal", "renews"):
        assert getattr(found, part) == getattr(inner, part)
    assert (found.letters is None) == (inner.letters is None)


@pytest.mark.parametrize("name", INNER)
def test_who_is_told_what_of_keys_is_told_it_of_vectors_but_shifts_no_sum(name: str) -> None:
    inner = INNER[name]().sights
    found = lattice(INNER[name]()).sights
    assert [sight[:2] for sight in found] == [sight[:2] for sight in inner]
    assert not any("shift" in sight.learns for sight in found)
    assert name != "two_servers" or any("shift" in sight.learns for sight in inner)


def test_the_key_is_as_long_for_every_model(party: Party) -> None:
    enclosed, opened = set(), set()
    for length in (100, 1_000, 5_000):
        directory = party.directory(CLIENTS, length)
        sent = [party.protect(directory, c, v) for c, v in vectors_of(directory).items()]
        ring = breakable_ring(directory.terms)
        enclosed.add((len(sent[0].body) - ring.size, len(sent[0].enclosed)))
        (share,) = party.shares(directory, sent)
        opened.add(
            (len(share.body), sum(len(each.enclosed) for each in question_of(sent).enclosed))
        )
    assert len(enclosed) == len(opened) == 1


def test_every_message_has_its_own_key_and_errors(party: Party, monkeypatch) -> None:
    drawn: list[tuple[bytes, bytes]] = []
    mask = module.mask

    def noted(ring, public, key, rng):
        drawn.append((key.tobytes(), public.tobytes()))
        return mask(ring, public, key, rng)

    monkeypatch.setattr(module, "mask", noted)
    directory = party.directory(CLIENTS, length=300)
    zeros = np.zeros(300, np.int64)
    first, second = (party.protect(directory, 1, zeros) for _ in range(2))
    assert first.body != second.body
    later = party.directory(CLIENTS, length=300, round=4)
    party.protect(later, 1, zeros)
    party.protect(replace(directory, model=b"another"), 1, zeros)
    keys, publics = zip(*drawn, strict=True)
    assert len(set(keys)) == 4
    # One polynomial for all clients of a sum, another for every other sum.
    assert publics[0] == publics[1] and len(set(publics)) == 3


def test_a_key_is_in_the_range_of_the_inner_sum() -> None:
    terms = Terms(9_000, 16, 1.0, 2, 128)
    of_keys = key_terms(terms)
    assert of_keys.length == lattice_of(terms).degree
    assert (of_keys.smallest_cohort, of_keys.largest_cohort) == (2, 128)


def test_a_body_that_has_no_room_for_a_hidden_vector(party: Party) -> None:
    directory = party.directory(CLIENTS, length=300)
    message = party.protect(directory, 1, np.zeros(300, np.int64))
    short = party.sign(message._replace(body=message.body[:100]))
    with pytest.raises(WrongBodySizeError, match="client 1: 100 bytes of body"):
        party.protocol.combine(directory, [short])


def test_shares_of_noise_add_up_as_in_plain(party: Party) -> None:
    """Residues around zero: their sum leaves the range of one, and is reduced once it is open."""
    values = Integers(300, 8)
    plan = Plan(
        sampler=full(4),
        clipping=Flat(0.5),
        mechanism=Skellam(2.0, values, colluders=1),
        rounds=1,
        delta=1e-3,
    )
    shares = plan.shares(os.urandom)
    integers = np.random.default_rng(0).integers(-20, 21, (4, 300))
    noised = shares.add(integers, shares.draw(4, 4))
    bits = 8 + shares.extra_bits
    rows = {client: noised[client].astype(np.int64) for client in CLIENTS}
    directory = party.directory(CLIENTS, length=300, bits=bits, largest=4)
    summed = party.sum(directory, rows)
    assert (summed == noised.sum(axis=0)).all()
    assert (shares.centred(summed) == shares.centred(noised.sum(axis=0).astype(np.int64))).all()


def test_a_share_of_keys_can_be_seen_to_be_wrong_where_it_can_be_inside() -> None:
    """So that another holder's takes its place, and the sum is opened all the same."""
    party = party_apart("threshold")
    directory = party.directory(CLIENTS, length=300)
    vectors = vectors_of(directory)
    sent = [party.protect(directory, c, v) for c, v in vectors.items()]
    total = party.protocol.combine(directory, sent)
    question = question_of(sent)
    first, second, third = (
        party.protocol.share(directory, secret, question)
        for secret in party.protocol.deal(party.secret)
    )
    party.protocol.check_share(directory, total, first)
    wrong = first._replace(body=second.body)
    other = first._replace(header=first.header._replace(round=9))
    for bad, why in ((wrong, "proof does not hold"), (other, "another total")):
        with pytest.raises(ShareError, match=why):
            party.protocol.check_share(directory, total, bad)
    with pytest.warns(UserWarning, match="holder 1"):
        summed = party.protocol.open(directory, total, [wrong, second, third])
    assert (summed == sum(vectors.values())).all()
    with pytest.raises(ProtocolError, match="expected round"):
        party.protocol.check_share(directory, total._replace(header=other.header), first)
