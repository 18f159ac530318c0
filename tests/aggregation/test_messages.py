import os
import pickle
import random
from dataclasses import replace

import numpy as np
import pytest
from parties import Party, party_of

from pride_jax.aggregation import refusals
from pride_jax.aggregation.checks import sift
from pride_jax.aggregation.corruption import corrupt
from pride_jax.aggregation.messages import (
    enclosed_from_bytes,
    enclosed_of,
    enclosed_to_bytes,
    from_bytes,
    sign_message,
    signed_bytes,
    to_bytes,
)
from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.secure_sum import Header, Message
from pride_jax.aggregation.signatures import signing_key
from pride_jax.aggregation.terms import Terms
from pride_jax.errors import ProtocolError, TooFewError

MESSAGE = Message(
    Header("plain", 3, bytes(range(32)), Terms(2, 16, 0.5, 10, 128)),
    7,
    b"\x01\0\0\0\xff\xff\xff\xff",
    b"box",
)
DATA = bytes.fromhex(
    "505249444573756d"  # PRIDEsum
    "0003"
    "706c61696e000000000000000000000000000000000000000000000000000000"
    "0000000000000003"
    "0000000000000007"
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
    "0000000000000002"
    "0010"
    "3fe0000000000000"
    "0000000a"
    "00000080"
    "0000000000000008"
    "0000000000000003"
    "01000000ffffffff"
    "626f78"  # box
)
HEADER_BYTES = 132
SIGNATURE = bytes.fromhex(
    "c18e634b69859f2136bce41cc1d7df4dbf25b69958cf3f7b797874719273b181"
    "f700ed94b8389e7f9707e18fa01f4bfdb4227e60213ce5472ab1a4d61fe7eb06"
)
""""PRIDEsum" and a SHA-256, of header and of the SHA-256 of each part, signed with 00 01 … 1f."""


def test_known_bytes() -> None:
    assert to_bytes(MESSAGE) == DATA
    assert from_bytes(DATA) == MESSAGE
    assert len(DATA) == HEADER_BYTES + 8 + 3


def test_known_signature() -> None:
    signed = sign_message(signing_key(lambda size: bytes(range(size))), MESSAGE)
    assert signed == MESSAGE._replace(signature=SIGNATURE)
    assert to_bytes(signed) == DATA + SIGNATURE
    assert from_bytes(DATA + SIGNATURE) == signed
    assert sign_message(signing_key(lambda size: bytes(range(size))), signed) == signed


def test_what_a_holder_gets_has_the_signature_and_not_the_body() -> None:
    signed = sign_message(signing_key(lambda size: bytes(range(size))), MESSAGE)
    enclosed = enclosed_of(signed)
    assert enclosed_from_bytes(enclosed_to_bytes(enclosed)) == enclosed
    assert signed_bytes(enclosed) == signed_bytes(signed)
    assert MESSAGE.body not in enclosed_to_bytes(enclosed)
    assert signed_bytes(enclosed._replace(digest=bytes(32))) != signed_bytes(signed)
    with pytest.raises(refusals.MalformedError, match="starts with"):
        enclosed_from_bytes(to_bytes(signed))


@pytest.mark.parametrize("size", range(len(DATA)))
def test_truncated_anywhere(size: int) -> None:
    with pytest.raises(refusals.MalformedError):
        from_bytes(DATA[:size])


@pytest.mark.parametrize("size", range(len(DATA) + 1, len(DATA) + 64))
def test_signature_truncated(size: int) -> None:
    with pytest.raises(refusals.MalformedError, match="client 7"):
        from_bytes((DATA + SIGNATURE)[:size])


@pytest.mark.parametrize("extra", [b"\0", b"PRIDEsum", DATA])
def test_trailing_bytes(extra: bytes) -> None:
    with pytest.raises(refusals.MalformedError, match=r"client 7.*lost or added") as refusal:
        from_bytes(DATA + SIGNATURE + extra)
    assert refusal.value.client == 7


@pytest.mark.parametrize(
    ("at", "new", "reason"),
    [
        (0, b"p", "starts with"),
        (9, b"\1", "version 1"),
        (10, b"\xff", "not a name"),
        (20, b"x", "not a name"),
        (97, b"\0", "length=0"),
        (99, b"\x63", "bits=99"),
        (100, b"\x7f\xf8", "limit=nan"),
        (100, b"\xbf", "limit=-"),
        (111, b"\xff", "smallest_cohort=255"),
    ],
)
def test_impossible_headers(at: int, new: bytes, reason: str) -> None:
    with pytest.raises(refusals.MalformedError, match=reason):
        from_bytes(DATA[:at] + new + DATA[at + len(new) :])


def test_too_damaged_to_name_its_sender() -> None:
    with pytest.raises(refusals.MalformedError, match="an unreadable sender") as refusal:
        from_bytes(b"junk")
    assert refusal.value.client is None


def test_refusals_travel_between_processes() -> None:
    refusal = pickle.loads(pickle.dumps(refusals.WrongRoundError(7, "made for round 2")))
    assert isinstance(refusal, refusals.WrongRoundError)
    assert (refusal.client, str(refusal)) == (
        7,
        "Refused the message of client 7: made for round 2",
    )


def test_a_good_message_counts_whatever_else_is_sent_in_its_name() -> None:
    """A forger cannot shut a client out, nor be counted beside it."""
    party = replace(party_of(plain()), signed=True)
    directory = party.directory([1, 2], length=3)
    good = [party.protect(directory, client, np.arange(3)) for client in (1, 2)]
    forged = good[0]._replace(body=bytes(12))
    total, accepted, refused = sift(
        lambda messages: party.protocol.combine(directory, messages), [forged, *good, forged]
    )
    assert accepted == tuple(good)
    assert [type(error) for error in refused] == [refusals.WrongSignatureError] * 2
    assert total == party.protocol.combine(directory, good)


def test_no_good_message_at_all() -> None:
    party = replace(party_of(plain()), signed=True)
    directory = party.directory([1], length=3)
    unsigned = party.protect(directory, 1, np.arange(3))._replace(signature=b"")
    with pytest.raises(TooFewError, match=r"Not one of 1 messages can be taken: .*not signed"):
        sift(lambda messages: party.protocol.combine(directory, messages), [unsigned])
    with pytest.raises(TooFewError, match="no messages"):
        sift(lambda messages: party.protocol.combine(directory, messages), [])


def test_damage_without_signatures(small_paillier: Party) -> None:
    """Nothing but another client id or body gets past."""
    for party in (party_of(plain()), small_paillier):
        directory = party.directory([1, 2**62], length=60)
        original = party.protect(directory, 1, np.arange(60))
        data = to_bytes(original)
        rng = random.Random(0)
        refused = 0
        for _ in range(500):
            try:
                message = from_bytes(corrupt(rng, data, data))
                party.protocol.combine(directory, [message])
            except ProtocolError:
                refused += 1
                continue
            assert message.header == original.header
            assert message.client in directory.members
            sizes = [(len(each.body), len(each.enclosed)) for each in (message, original)]
            assert sizes[0] == sizes[1]
        assert refused > 250


def test_every_byte_is_checked() -> None:
    party = replace(party_of(plain()), signed=True)
    directory = party.directory([1, 2**62], length=4)
    data = to_bytes(party.protect(directory, 1, np.arange(4)))
    assert len(data) == HEADER_BYTES + 4 * 4 + 64
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 1 + os.urandom(1)[0] % 255
        with pytest.raises(ProtocolError):
            party.protocol.combine(directory, [from_bytes(bytes(damaged))])
