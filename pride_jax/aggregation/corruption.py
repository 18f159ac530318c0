"""Random damage to messages, and what becomes of them."""

import random
from collections import Counter
from collections.abc import Sequence

from pride_jax.aggregation.messages import from_bytes, to_bytes
from pride_jax.aggregation.refusals import MessageError
from pride_jax.aggregation.secure_sum import Directory, Message, SecureSum

ACCEPTED = "accepted"
_HEADER_BYTES = 132


def try_corruptions(
    protocol: SecureSum, directory: Directory, messages: Sequence[Message], tries: int, seed: int
) -> Counter[str]:
    """Damages messages at random and has the protocol combine each.

    Args:
      protocol: the protocol.
      directory: the round; with signers, nothing damaged should be accepted.
      messages: good ones of the round.
      tries: how many are damaged.
      seed: of the damage.

    Returns:
      How many were refused, by the name of the error, or ``ACCEPTED``.
    """
    rng = random.Random(seed)
    intact = [to_bytes(message) for message in messages]
    outcomes: Counter[str] = Counter()
    while outcomes.total() < tries:
        damaged = corrupt(rng, rng.choice(intact), rng.choice(intact))
        if damaged not in intact:
            outcomes[_outcome(protocol, directory, damaged)] += 1
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
            end = rng.choice([len(data), _HEADER_BYTES])
            for _ in range(rng.randint(1, 3)):
                damaged[rng.randrange(end)] = rng.randrange(256)
    return bytes(damaged)


def _outcome(protocol: SecureSum, directory: Directory, data: bytes) -> str:
    try:
        protocol.combine(directory, [from_bytes(data)])
    except MessageError as error:
        return type(error).__name__
    return ACCEPTED
