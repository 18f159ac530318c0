"""Any round of any protocol, over a wire that damages it, gives the sum that plain gives."""

import os
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from parties import Party, party_of_case, signing

from pride_jax.aggregation.checks import sift
from pride_jax.aggregation.corruption import (
    ACCEPTED,
    Wire,
    corrupt,
    of_enclosed,
    of_holder_keys,
    of_letters,
    of_messages,
    of_shares,
    try_corruptions,
)
from pride_jax.aggregation.holder_keys import signed_key
from pride_jax.aggregation.messages import from_bytes, to_bytes
from pride_jax.aggregation.refusals import MessageError
from pride_jax.aggregation.secure_sum import Directory, Message, Role
from pride_jax.aggregation.shares import share_from_bytes, signed_share


def arrived(sent: list[bytes]) -> list[Message]:
    """Those that can be read at all."""
    found = []
    for data in sent:
        try:
            found.append(from_bytes(data))
        except MessageError:
            continue
    return found


def over_the_wire(
    party: Party, directory: Directory, rows: dict[int, np.ndarray], damaged: set[int], seed: int
) -> tuple[np.ndarray, tuple[int, ...]]:
    """The sum of whoever's message arrived whole, and who that is."""
    rng = random.Random(seed)
    sent = [to_bytes(party.protect(directory, client, row)) for client, row in rows.items()]
    for place in damaged:
        intact = sent[place]
        while sent[place] == intact:
            sent[place] = corrupt(rng, intact, intact)
    rng.shuffle(sent)
    total, accepted, _ = sift(
        lambda messages: party.protocol.combine(directory, messages), arrived(sent)
    )
    shares = [
        share_from_bytes(signed_share(signing(share.holder), share), {share.holder: public})
        for share in party.shares(directory, list(accepted))
        for public in [signing(share.holder).public]
    ]
    return party.protocol.open(directory, total, shares), total.contributors


@settings(max_examples=12, deadline=None)
@given(
    bits=st.integers(2, 32),
    clients=st.integers(4, 7),
    room=st.integers(0, 100),
    absent=st.integers(0, 1),
    length=st.integers(1, 70),
    damaged=st.sets(st.integers(0, 2), max_size=1),
    seed=st.integers(0, 2**32),
)
def test_a_round_over_a_wire_that_damages_it_gives_what_plain_gives(
    party: Party, bits, clients, room, absent, length, damaged, seed
) -> None:
    ids = [100 + 3 * number for number in range(clients)]
    rng = np.random.default_rng(seed)
    rng.shuffle(ids)
    largest = 2 ** (bits - 1) - 1
    rows = {
        client: rng.integers(-largest, largest, length, endpoint=True)
        for client in ids[: clients - absent]
    }
    left = len(rows) - len(damaged)
    assume(left >= party.fewest(party.announce(ids, length, largest=clients + room)))
    opened = []
    for each in (party, party_of_case("plain")):
        directory = each.directory(ids, length, bits=bits, largest=clients + room)
        opened.append(over_the_wire(each, directory, rows, damaged, seed))
    (found, who), (expected, who_in_plain) = opened
    assert who == who_in_plain
    assert (len(who), found.dtype) == (left, np.int64)
    assert (found == expected).all()
    assert (found == sum(rows[client] for client in who)).all()


def wires_of(party: Party) -> dict[str, Wire]:
    """Every kind of message of one round."""
    directory = party.directory([1, 2**62, 3], length=20, smallest=2)
    sent = [party.protect(directory, client, np.arange(20)) for client in directory.roster]
    given = party.shares(directory, sent)
    protocol = party.protocol
    wires = {"message": of_messages(protocol, directory, sent)}
    if given[0].body:
        keys = [signing(share.holder) for share in given]
        wires["share"] = of_shares(protocol, directory, sent, given, keys)
    if sent[0].enclosed:
        (holder, *_) = protocol.deal(party.secret)
        wires["enclosed"] = of_enclosed(protocol, directory, holder, sent)
    if protocol.renews:
        keys = [
            signed_key(signing(9), b"run", 3, protocol.keygen(os.urandom, Role.KEY_HOLDER)[1])
            for _ in range(2)
        ]
        wires["key"] = of_holder_keys(directory, signing(9).public, keys)
    if protocol.letters is not None:
        announced = party.announce([1, 2**62, 3], length=20, smallest=2)
        letters = [
            party.sign(
                protocol.letters.write(
                    os.urandom, announced, party.client_secret(announced, client), client
                )
            )
            for client in announced.roster
        ]
        wires["letter"] = of_letters(protocol, announced, letters)
    return wires


def test_nothing_damaged_is_accepted_and_nothing_crashes(party: Party) -> None:
    """A few hundred of each kind; results/encryption has as many as are said there."""
    for kind, wire in wires_of(party).items():
        outcomes = try_corruptions(wire, tries=300, seed=1)
        assert outcomes.total() == 300
        assert outcomes[ACCEPTED] == 0, kind


def test_the_damage_is_real(party: Party) -> None:
    """Without signatures, damage to a body is accepted somewhere: the search would find it."""
    bare = replace(party, signed=False)
    directory = bare.directory([1, 2, 3], length=20, smallest=2)
    sent = [bare.protect(directory, client, np.arange(20)) for client in directory.roster]
    outcomes = try_corruptions(of_messages(bare.protocol, directory, sent), tries=300, seed=1)
    if bare.protocol.name in ("plain", "two_servers", "bfv-4096"):
        assert outcomes[ACCEPTED] > 0


def test_only_protocols_with_letters_have_them() -> None:
    party = party_of_case("plain")
    with pytest.raises(ValueError, match="no letters"):
        of_letters(party.protocol, party.directory([1, 2], length=3), [])
