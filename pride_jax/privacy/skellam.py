"""Integer noise that clients add in shares: cryptographically random, on the host."""

import math
from collections.abc import Callable

import numpy as np
from jaxtyping import Int64

from pride_jax.errors import ConfigError

Rng = Callable[[int], bytes]
"""Number of bytes -> that many random bytes. In production always ``os.urandom``."""

LARGEST_VARIANCE = 2.0**36
"""The sampler is tested up to here, a standard deviation of 262,144.

NumPy's rejection step compares logarithms near λ·ln λ, so rounding perturbs single probabilities of
a Poisson draw by up to λ·ln λ·2^-52 of themselves: 2e-4 here, averaged away over the 10^5 likely
values of the other draw.
"""

LARGEST_WRAP_PROBABILITY = 2.0**-40
"""That any value of a run is opened wrong because noise left the range of the residues."""

_WIDEST = 32


def generator(rng: Rng) -> np.random.Generator:
    """NumPy's samplers on the ChaCha20 stream of a fresh 256-bit key (Bernstein 2008; RFC 8439).

    Args:
      rng: gives the key's 32 bytes.
    """
    from randomgen import ChaCha

    stream = ChaCha(key=int.from_bytes(rng(32), "little"), rounds=20)
    return np.random.Generator(stream)  # pyright: ignore[reportArgumentType]


def skellam(
    generator: np.random.Generator, variance: float, shape: int | tuple[int, ...]
) -> Int64[np.ndarray, "..."]:
    """Independent symmetric Skellam integers: differences of two Poisson draws.

    Sums of them are Skellam again, and variances add, whatever the shares were (Agarwal, Kairouz &
    Liu 2021, "The Skellam Mechanism for Differentially Private Federated Learning").

    Args:
      generator: of the random draws; in production from ``generator(os.urandom)``.
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
    gained, lost = (generator.poisson(variance / 2, shape) for _ in range(2))
    return np.subtract(gained, lost, dtype=np.int64)


def centre(values: Int64[np.ndarray, "..."], bits: int) -> Int64[np.ndarray, "..."]:
    """The residues modulo 2^bits − 1 that lie in ±(2^(bits−1) − 1).

    A sum of such residues, centred again, is the sum of the values as long as that lies in the same
    range. The modulus is odd, so that the range is symmetric.

    Args:
      values: any int64.
      bits: 2 … 32, as from ``wire_bits``.

    Raises:
      ConfigError: ``bits`` is out of range.
    """
    if not 2 <= bits <= _WIDEST:
        raise ConfigError(f"centre: bits={bits}, expected 2 … {_WIDEST}")
    modulus = 2**bits - 1
    residues = values % modulus
    return np.where(residues > modulus // 2, residues - modulus, residues)


def tail_bound(variance: float, distance: int) -> float:
    """At least the probability that a Skellam integer lies ``distance`` or more from 0.

    Chernoff's bound 2·exp(v·(cosh t − 1) − t·a) at its minimum sinh t = a/v, for variance v and
    distance a, from the moment generating function exp(v·(cosh t − 1)) (Skellam 1946). The exponent
    is written as a·(tanh(t/2) − t), which does not cancel when a is much smaller than v.
    """
    tilt = math.asinh(distance / variance)
    return min(1.0, 2 * math.exp(distance * (math.tanh(tilt / 2) - tilt)))


def wrap_probability(wire: int, *, bits: int, clients: int, variance: float, values: int) -> float:
    """At least the probability that any noised sum of a run leaves the range of its residues.

    A wrapped sum is opened wrong by a multiple of 2^wire − 1. Its privacy is that of the sum that
    did not wrap, from which it is computed.

    Args:
      wire: bits of a residue.
      bits: of a client's integers, which lie in ±(2^(bits−1) − 1).
      clients: most that are added in a sum, all at their largest value.
      variance: of the noise in the sum when every announced client's share is in it.
      values: opened in a run: coordinates times rounds.
    """
    room = 2 ** (wire - 1) - clients * (2 ** (bits - 1) - 1)
    if room <= 0:
        return 1.0
    return min(1.0, values * tail_bound(variance, room))


def wire_bits(*, bits: int, clients: int, variance: float, values: int) -> int:
    """The fewest bits of residues with which a run wraps with probability at most 2^-40.

    Args:
      bits: see `wrap_probability`, as the others.
      clients: most that are added in a sum.
      variance: of all shares of a sum together.
      values: opened in a run.

    Raises:
      ConfigError: more than 32 bits would be needed.
    """
    for wire in range(bits, _WIDEST + 1):
        wraps = wrap_probability(wire, bits=bits, clients=clients, variance=variance, values=values)
        if wraps <= LARGEST_WRAP_PROBABILITY:
            return wire
    raise ConfigError(
        f"Sums of {clients} clients' {bits}-bit integers with noise of variance {variance:.4g} "
        f"need residues of more than {_WIDEST} bits: quantise to fewer bits"
    )
