"""Discrete Gaussian noise that clients add in shares: cryptographically random, on the host."""

import functools
import math

import numpy as np
from jaxtyping import Int64

from pride_jax.errors import ConfigError
from pride_jax.privacy.mechanisms import thresholds
from pride_jax.privacy.mechanisms.share_noise import Rng, Table, draw, table_of

LARGEST_VARIANCE = 2.0**32
"""Of a share: thresholds are made up to here, a standard deviation of 65,536."""


def discrete_gaussian(
    rng: Rng, variance: float, shape: int | tuple[int, ...]
) -> Int64[np.ndarray, "..."]:
    """Independent integers k with probabilities proportional to exp(−k² / (2 variance)).

    Canonne, Kamath & Steinke 2020, The Discrete Gaussian for Differential Privacy. Their variance
    is a little less than the parameter of this name, from which it differs by a factor of less
    than 1e-6 from 1 on.

    Args:
      rng: gives a key of 32 bytes; in production ``os.urandom``.
      variance: parameter of each integer; above 0, up to ``LARGEST_VARIANCE``.
      shape: of the result.

    Raises:
      ConfigError: the variance is out of range.
    """
    if not 0 < variance <= LARGEST_VARIANCE:
        raise ConfigError(
            f"Discrete Gaussian noise: variance={variance}, expected above 0 and at most "
            f"{LARGEST_VARIANCE:.0f}: quantise to fewer bits"
        )
    return draw(rng, _table(variance), shape)


@functools.lru_cache(maxsize=64)
def _table(variance: float) -> Table:
    return table_of(thresholds.discrete_gaussian(variance))


def tail_bound(variance: float, distance: int) -> float:
    """At least the probability that a sum of discrete Gaussians is ``distance`` or more from 0.

    Each is subgaussian with its parameter for variance (Canonne, Kamath & Steinke 2020), and so is
    their sum with the sum of these.
    """
    return min(1.0, 2 * math.exp(-(distance**2) / (2 * variance)))
