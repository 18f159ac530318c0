import os
import pickle
import random

import numpy as np
import pytest
from parties import Party

from pride_jax.aggregation import messages as refusals
from pride_jax.aggregation.messages import from_bytes, to_bytes
from pride_jax.aggregation.secure_sum import Directory, Header, Message, Terms
from pride_jax.errors import ProtocolError

MESSAGE = Message(
    Header("plain", 3, bytes(range(32)), Terms(2, 16, 0.5, 10, 128)),
    7,
    b"\x01\0\0\0\xff\xff\xff\xff",
)
DATA = bytes.fromhex(
    "505249444573756d"  # PRIDEsum
    "0001"
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
    "01000000ffffffff"
)
HEADER_BYTES = 124
CLIENT_BYTES = range(50, 58)


def test_known_bytes() -> None:
    assert to_bytes(MESSAGE) == DATA
    assert from_bytes(DATA) == MESSAGE
    assert len(DATA) == HEADER_BYTES + 8


@pytest.mark.parametrize("size", range(len(DATA)))
def test_truncated_anywhere(size: int) -> None:
    with pytest.raises(refusals.MalformedError):
        from_bytes(DATA[:size])


@pytest.mark.parametrize("extra", [b"\0", b"PRIDEsum", DATA])
def test_trailing_bytes(extra: bytes) -> None:
    with pytest.raises(refusals.MalformedError, match=r"client 7.*lost or added") as refusal:
        from_bytes(DATA + extra)
    assert refusal.value.client == 7


@pytest.mark.parametrize(
    ("at", "new", "reason"),
    [
        (0, b"p", "starts with"),
        (9, b"\2", "version 2"),
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


def corrupt(rng: random.Random, data: bytes) -> bytes:
    """One to three bytes changed, or bytes lost, added or repeated."""
    damaged = bytearray(data)
    kind = rng.randrange(5)
    at = rng.randrange(len(data))
    if kind == 0:
        del damaged[at : at + rng.randint(1, 20)]
    elif kind == 1:
        damaged[at:at] = rng.randbytes(rng.randint(1, 20))
    else:
        # Half of the changes hit the header.
        end = len(data) if kind == 2 else HEADER_BYTES
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(end)] ^= rng.randrange(1, 256)
    return bytes(damaged)


@pytest.fixture(scope="module")
def intercepted(party: Party) -> tuple[Directory, bytes]:
    directory = party.directory([1, 2**62], length=60)
    return directory, to_bytes(party.protect(directory, 1, np.arange(60)))


@pytest.mark.parametrize("seed", range(8))
def test_corrupted_messages(party: Party, intercepted: tuple[Directory, bytes], seed: int) -> None:
    """Nothing but another client id or body gets past, and nothing crashes.

    Without signatures no check can tell another possible body from the one that was sent.
    """
    directory, data = intercepted
    original = from_bytes(data)
    rng = random.Random(seed)
    refused = 0
    for _ in range(250):
        damaged = corrupt(rng, data)
        if damaged == data:
            continue
        try:
            message = from_bytes(damaged)
            total = party.protocol.combine(directory, [message])
        except ProtocolError:
            refused += 1
            continue
        assert message.header == original.header
        assert message.client in directory.members
        assert len(message.body) == len(original.body)
        assert (message.client, message.body) != (original.client, original.body)
        try:
            share = party.protocol.share(directory, party.secret, total)
            summed = party.protocol.open(directory, total, [share])
        except ProtocolError:
            continue
        assert np.abs(summed).max() <= directory.terms.largest_value
    assert refused > 150


def test_every_byte_of_the_header_is_checked(
    party: Party, intercepted: tuple[Directory, bytes]
) -> None:
    directory, data = intercepted
    for at in range(HEADER_BYTES):
        damaged = bytearray(data)
        damaged[at] ^= 1 + os.urandom(1)[0] % 255
        with pytest.raises(ProtocolError):
            party.protocol.combine(directory, [from_bytes(bytes(damaged))])
