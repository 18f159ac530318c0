"""Skellam noise that clients add in shares: cryptographically random, on the host."""

import functools
import math

import numpy as np
from jaxtyping import Int64

from pride_jax.errors import ConfigError
from pride_jax.privacy.mechanisms import thresholds
from pride_jax.privacy.mechanisms.share_noise import Rng, Table, draw, table_of

LARGEST_VARIANCE = 2.0**36
"""The sampler is tested up to here, a standard deviation of 262,144."""

_LARGEST_TABLE = 2.0**32
"""Thresholds are made up to this variance; noise of a larger one is drawn in pieces."""


def skellam(rng: Rng, variance: float, shape: int | tuple[int, ...]) -> Int64[np.ndarray, "..."]:
    """Independent symmetric Skellam integers, differences of two Poisson numbers of equal mean.

    Sums of them are Skellam again, and variances add (Agarwal, Kairouz & Liu 2021, "The Skellam
    Mechanism for Differentially Private Federated Learning").

    Args:
      rng: gives keys of 32 bytes; in production ``os.urandom``.
      variance: of each integer; above 0, up to ``LARGEST_VARIANCE``.
      shape: of the result.

    Raises:
      ConfigError: the variance is out of range.
    """
    if not 0 < variance <= LARGEST_VARIANCE:
        raise ConfigError(
            f"Skellam noise: variance={variance}, expected above 0 and at most "
            f"{LARGEST_VARIANCE:.0f}, to which the sampler is tested: quantise to fewer bits"
        )
    pieces = _pieces(variance)
    table = _table(variance / pieces)
    total = draw(rng, table, shape)
    for _ in range(pieces - 1):
        total += draw(rng, table, shape)
    return total


def distance(variance: float) -> float:
    """The most by which an integer of `skellam` differs from what it is said to be."""
    pieces = _pieces(variance)
    return pieces * thresholds.skellam_distance(variance / pieces)


def _pieces(variance: float) -> int:
    return math.ceil(variance / _LARGEST_TABLE)


@functools.lru_cache(maxsize=64)
def _table(variance: float) -> Table:
    return table_of(thresholds.skellam(variance))


def tail_bound(variance: float, distance: int) -> float:
    """At least the probability that a Skellam integer lies ``distance`` or more from 0.

    Chernoff's bound 2·exp(v·(cosh t − 1) − t·a) at its minimum sinh t = a/v, for variance v and
    distance a, from the moment generating function exp(v·(cosh t − 1)) (Skellam 1946). The exponent
    is written as a·(tanh(t/2) − t), which does not cancel when a is much smaller than v.
    """
    tilt = math.asinh(distance / variance)
    return min(1.0, 2 * math.exp(distance * (math.tanh(tilt / 2) - tilt)))
