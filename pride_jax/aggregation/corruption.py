"""Random damage to everything that crosses a wire, and what becomes of it."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pride_jax.aggregation.holder_keys import key_from_bytes
from pride_jax.aggregation.messages import (
    enclosed_from_bytes,
    enclosed_to_bytes,
    from_bytes,
    question_of,
    to_bytes,
)
from pride_jax.aggregation.secure_sum import (
    Directory,
    Message,
    Question,
    Secret,
    SecureSum,
    Share,
)
from pride_jax.aggregation.shares import share_from_bytes, signed_share
from pride_jax.aggregation.signatures import SigningSecret
from pride_jax.errors import ProtocolError

ACCEPTED = "accepted"
_HEADER_BYTES = 132


class Wire(NamedTuple):
    """A kind of message.

    Attributes:
      intact: good ones of one round, as bytes.
      receive: one, as bytes -> whatever its receiver makes of it; it raises what it refuses by.
    """

    intact: Sequence[bytes]
    receive: Callable[[bytes], object]


def of_messages(protocol: SecureSum, directory: Directory, sent: Sequence[Message]) -> Wire:
    """Clients' messages, which the aggregator combines."""
    return Wire(
        [to_bytes(message) for message in sent],
        lambda data: protocol.combine(directory, [from_bytes(data)]),
    )


def of_enclosed(
    protocol: SecureSum, directory: Directory, holder: Secret, sent: Sequence[Message]
) -> Wire:
    """What clients enclose, which a key holder is asked about together with that of the others."""
    question = question_of(sent)

    def receive(data: bytes) -> object:
        damaged, asked = enclosed_from_bytes(data), list(question.enclosed)
        named = [place for place, each in enumerate(asked) if each.client == damaged.client]
        asked[named[0] if named else 0] = damaged
        clients = tuple(each.client for each in asked)
        return protocol.share(directory, holder, Question(question.header, clients, tuple(asked)))

    return Wire([enclosed_to_bytes(each) for each in question.enclosed], receive)


def of_shares(
    protocol: SecureSum,
    directory: Directory,
    sent: Sequence[Message],
    given: Sequence[Share],
    signing: Sequence[SigningSecret],
) -> Wire:
    """Holders' shares, each signed by one, with all of which the aggregator opens the sum."""
    total = protocol.combine(directory, sent)
    signers = {share.holder: key.public for share, key in zip(given, signing, strict=True)}

    def receive(data: bytes) -> object:
        damaged = share_from_bytes(data, signers)
        opening = [damaged if each.holder == damaged.holder else each for each in given]
        return protocol.open(directory, total, opening)

    return Wire(
        [signed_share(key, share) for share, key in zip(given, signing, strict=True)], receive
    )


def of_holder_keys(directory: Directory, signer: bytes, sent: Sequence[bytes]) -> Wire:
    """A key holder's signed keys of the round, which clients and aggregator read."""
    run, round_ = directory.run, directory.round
    return Wire(sent, lambda data: key_from_bytes(data, signer, run, round_))


def of_letters(protocol: SecureSum, directory: Directory, sent: Sequence[Message]) -> Wire:
    """Clients' letters, in protocols that have some, which the aggregator collects."""
    written = protocol.letters
    if written is None:
        raise ValueError(f"{protocol.name} has no letters")
    return Wire(
        [to_bytes(letter) for letter in sent],
        lambda data: written.collect(directory, [from_bytes(data)]),
    )


def try_corruptions(wire: Wire, tries: int, seed: int) -> Counter[str]:
    """Damages messages at random, and has each received.

    Args:
      wire: which messages; where they are signed, nothing damaged should be accepted.
      tries: how many are damaged.
      seed: of the damage.

    Returns:
      How many were refused, by the name of the error, or ``ACCEPTED``. An error that is no refusal
      is raised.
    """
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    while outcomes.total() < tries:
        damaged = corrupt(rng, rng.choice(wire.intact), rng.choice(wire.intact))
        if damaged not in wire.intact:
            outcomes[_outcome(wire, damaged)] += 1
    return outcomes


def corrupt(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """A message with bytes changed, lost, added, or replaced by those of another message."""
    damaged = bytearray(data)
    at, size = rng.randrange(len(data)), rng.randint(1, 80)
    match rng.randrange(6):
        case 0:
            del damaged[at : at + size]
        case 1:
            damaged[at:at] = rng.randbytes(size)
        case 2:
            damaged[at : at + size] = other[at : at + size]
        case 3:
            damaged[at] ^= 1 << rng.randrange(8)
        case _:
            # As many changes to the header as to all the rest.
            end = rng.choice([len(data), min(len(data), _HEADER_BYTES)])
            for _ in range(rng.randint(1, 3)):
                damaged[rng.randrange(end)] = rng.randrange(256)
    return bytes(damaged)


def _outcome(wire: Wire, data: bytes) -> str:
    try:
        wire.receive(data)
    except ProtocolError as error:
        return type(error).__name__
    return ACCEPTED
