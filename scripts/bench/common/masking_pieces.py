"""What a round of masking is made of: each piece alone, and how often a round has it."""

import os
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from pride_jax.aggregation.neighbours import neighbourhood
from pride_jax.aggregation.round_keys import PairKeys, derive, seal, unseal
from pride_jax.aggregation.secret_sharing import (
    SHARE_BYTES,
    join_shares,
    lagrange_weights,
    split_secrets,
)
from pride_jax.aggregation.signatures import is_signed_by, sign, signing_key
from pride_jax.aggregation.terms import Terms
from pride_jax.aggregation.words import sum_of_streams, words_of


class Piece(NamedTuple):
    """One of the things that a round does again and again.

    Attributes:
      name: what.
      us: microseconds of a processor for one.
      count: how many are in a round of an active server in which all are present.
    """

    name: str
    us: float
    count: int


def pieces(clients: int, params: int, bits: int, repetitions: int) -> list[Piece]:
    """Medians of all pieces."""
    degree, threshold, _ = neighbourhood("active", 1 / 3, 1 / 10, clients)
    words = words_of(Terms(params, bits, 1.0, 2, clients))
    private = X25519PrivateKey.generate()
    public = X25519PrivateKey.generate().public_key().public_bytes_raw()
    agreed, pair = os.urandom(32), PairKeys(*[os.urandom(32)] * 3)
    box, key = seal(pair, bytes(2 * SHARE_BYTES)), signing_key(os.urandom)
    content, holders = os.urandom(200), list(range(1, degree + 2))
    secrets, signature = [os.urandom(32), os.urandom(32)], sign(key, content)
    split = split_secrets(os.urandom, secrets, threshold, holders)
    shares = {at: share for at, (share, _) in zip(holders, split, strict=True)}
    first = dict(list(shares.items())[:threshold])
    # A client shares secrets with whom it chose and who chose it, of whom some are the same.
    chance = degree / (clients - 1)
    pairs = round(clients * (clients - 1) * (1 - (1 - chance) ** 2) / 2)
    both_ways, boxes = 2 * pairs, clients * (degree + 1)
    steps: list[tuple[str, int, Callable[[], Any]]] = [
        (
            "key agreement, of two kinds",
            2 * both_ways,
            lambda: private.exchange(X25519PublicKey.from_public_bytes(public)),
        ),
        ("keys derived from an agreement", 2 * both_ways, lambda: derive(agreed, b"", 96)),
        (
            "signature of keys checked",
            clients,
            lambda: is_signed_by(key.public, content, signature),
        ),
        (
            "secrets shared out",
            clients,
            lambda: split_secrets(os.urandom, secrets, threshold, holders),
        ),
        ("box sealed", boxes, lambda: seal(pair, bytes(2 * SHARE_BYTES))),
        ("box opened", boxes, lambda: unseal(pair, box)),
        ("stream of a mask", both_ways + 2 * clients, lambda: sum_of_streams(words, [agreed])),
        ("secret joined", clients, lambda: join_shares(lagrange_weights(list(first)), first)),
    ]
    return [Piece(name, _microseconds(step, repetitions), count) for name, count, step in steps]


def _microseconds(step: Callable[[], Any], repetitions: int) -> float:
    step()
    laps = []
    for _ in range(repetitions):
        start, times = time.process_time(), 0
        while time.process_time() - start < 0.05:
            step()
            times += 1
        laps.append((time.process_time() - start) / times * 1e6)
    return statistics.median(laps)
