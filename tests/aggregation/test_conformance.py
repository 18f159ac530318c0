"""Any round of any protocol, over a wire that damages it, gives the sum that plain gives."""

import os
import random
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from parties import Party, party_of_case, signing

from pride_jax.aggregation.checks import open_sum, sift
from pride_jax.aggregation.consents import agreed_word, included_word
from pride_jax.aggregation.corruption import (
    ACCEPTED,
    Wire,
    corrupt,
    of_boxes,
    of_consents,
    of_enclosed,
    of_holder_keys,
    of_letters,
    of_messages,
    of_notes,
    of_round_keys,
    of_shares,
    try_corruptions,
)
from pride_jax.aggregation.holder_keys import signed_key
from pride_jax.aggregation.messages import from_bytes, to_bytes
from pride_jax.aggregation.refusals import MessageError
from pride_jax.aggregation.round_keys import Member, RoundKeys
from pride_jax.aggregation.secure_sum import Directory, Message, Role
from pride_jax.aggregation.shares import share_from_bytes, signed_share
from pride_jax.errors import ProtocolError


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
    if sent[0].enclosed and protocol.openers == Role.KEY_HOLDER:
        (holder, *_) = protocol.deal(party.secret)
        wires["enclosed"] = of_enclosed(protocol, directory, holder, sent)
    if protocol.renews:
        keys = [
            signed_key(signing(9), b"", 3, protocol.keygen(os.urandom, Role.KEY_HOLDER)[1])
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
        wires |= wires_between_clients(party, directory, sent)
    return wires


def wires_between_clients(
    party: Party, directory: Directory, sent: list[Message]
) -> dict[str, Wire]:
    """What clients that open sums tell one another, and the aggregator of it."""
    me, consents = 3, party.consents(directory, sent)
    secret, mail = party._written[directory.fingerprint][me]
    member = party.client_secret(directory, me)
    assert isinstance(secret, RoundKeys)
    assert isinstance(member, Member)
    assert party.protocol.letters is not None
    question = party.protocol.letters.ask(directory, sent, consents)[me]
    return {
        "consent": of_consents(party.protocol, directory, sent, consents),
        "round key": of_round_keys(directory),
        "box": of_boxes(directory, me, secret, mail),
        "included": of_notes(member, question.included, included_word(question.header)),
        "agreed": of_notes(member, question.agreed, agreed_word(question)),
    }


def test_nothing_damaged_is_accepted_and_nothing_crashes(party: Party) -> None:
    """A few hundred of each kind; results/encryption has as many as are said there."""
    for kind, wire in wires_of(party).items():
        outcomes = try_corruptions(wire, tries=300, seed=1)
        assert outcomes.total() == 300
        assert outcomes[ACCEPTED] == 0, kind


def test_what_is_intact_is_accepted(party: Party) -> None:
    for kind, wire in wires_of(party).items():
        for data in wire.intact:
            assert wire.receive(data) is not None, kind


STAGES = ("letter", "message", "consent", "share")


@settings(max_examples=12, deadline=None)
@given(
    bits=st.integers(2, 32),
    length=st.integers(1, 70),
    damaged=st.dictionaries(st.integers(0, 9), st.sampled_from(STAGES), max_size=3),
    seed=st.integers(0, 2**32),
)
@pytest.mark.parametrize("name", ["masking", "masking-curious"])
def test_whatever_is_damaged_at_any_stage_clients_open_the_sum_of_those_who_are_in_it(
    name: str, bits: int, length: int, damaged: dict[int, str], seed: int
) -> None:
    """Of ten clients any seven open, or fewer; up to three are damaged on their way."""
    party, rng = party_of_case(name), random.Random(seed)
    ways, values = party.protocol.letters, np.random.default_rng(seed)
    assert ways is not None

    def received(stage: str, sent: dict[int, bytes]) -> list[bytes]:
        """In any order, those of this stage damaged."""
        found = []
        for client, data in sent.items():
            other = data
            while damaged.get(client) == stage and other == data:
                other = corrupt(rng, data, data)
            found.append(other)
        rng.shuffle(found)
        return found

    def by_client(messages: Sequence[Message]) -> dict[int, bytes]:
        return {message.client: to_bytes(message) for message in messages}

    def whole(stage: str) -> set[int]:
        """Who has come through all stages up to this one."""
        gone = STAGES[: STAGES.index(stage) + 1]
        return {client for client in range(10) if damaged.get(client) not in gone}

    before = party.announce(range(10), length, bits=bits)
    letters = arrived(received("letter", by_client(party.write(before, range(10)))))
    _, good, _ = sift(partial(ways.collect, before), letters)
    directory = party.exchange(before, sorted(each.client for each in good), good)
    assert directory.members == whole("letter")
    largest = directory.terms.largest_value
    rows = {c: values.integers(-largest, largest, length, endpoint=True) for c in directory.members}
    sent = [party.protect(directory, client, row) for client, row in rows.items()]
    total, added, _ = sift(
        partial(party.protocol.combine, directory), arrived(received("message", by_client(sent)))
    )
    assert set(total.contributors) == whole("message")
    given_ = arrived(received("consent", by_client(party.consents(directory, added))))
    _, consents, _ = sift(partial(ways.ask, directory, added), given_)
    assert {each.client for each in consents} == whole("consent")
    shares = {
        client: party.protocol.share(directory, party.client_secret(directory, client), question)
        for client, question in ways.ask(directory, added, consents).items()
    }
    signed = {client: signed_share(signing(client), share) for client, share in shares.items()}
    opening = []
    for data in received("share", signed):
        try:
            opening.append(share_from_bytes(data, {c: signing(c).public for c in shares}))
        except ProtocolError:
            continue
    opened = open_sum(party.protocol, directory, total, opening)
    assert not opened.refused
    assert (opened.total == sum(rows[client] for client in total.contributors)).all()


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
