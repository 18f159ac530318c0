"""Integer noise that clients add in shares: cryptographically random, on the host."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64, UInt64

from pride_jax.errors import ConfigError
from pride_jax.privacy.mechanisms import thresholds
from pride_jax.privacy.mechanisms.thresholds import Thresholds, above, skellam_distance

Rng = Callable[[int], bytes]
"""Number of bytes -> that many random bytes. In production always ``os.urandom``."""

LARGEST_VARIANCE = 2.0**36
"""The sampler is tested up to here, a standard deviation of 262,144."""

LARGEST_WRAP_PROBABILITY = 2.0**-40
"""That any value of a run is opened wrong because noise left the range of the residues."""

_WIDEST = 32
_LARGEST_TABLE = 2.0**32
"""Thresholds are made up to this variance; noise of a larger one is drawn in pieces."""
_BUCKET_BITS = 18
_PRECISION = 63
"""Bits that are compared at first."""


def skellam(rng: Rng, variance: float, shape: int | tuple[int, ...]) -> Int64[np.ndarray, "..."]:
    """Independent symmetric Skellam integers, differences of two Poisson numbers of equal mean.

    Sums of them are Skellam again, and variances add (Agarwal, Kairouz & Liu 2021, "The Skellam
    Mechanism for Differentially Private Federated Learning").

    The distribution function is inverted at 64 bits each of an AES-CTR stream under a fresh key,
    and at 64 bits more where these decide nothing, see `thresholds`.

    Args:
      rng: gives the key's 32 bytes; in production ``os.urandom``.
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
    total = _draw(rng, variance / pieces, shape)
    for _ in range(pieces - 1):
        total += _draw(rng, variance / pieces, shape)
    return total


def distance(variance: float) -> float:
    """The most by which an integer of `skellam` differs from what it is said to be."""
    pieces = _pieces(variance)
    return pieces * skellam_distance(variance / pieces)


def _pieces(variance: float) -> int:
    return math.ceil(variance / _LARGEST_TABLE)


def _draw(rng: Rng, variance: float, shape: int | tuple[int, ...]) -> Int64[np.ndarray, "..."]:
    table, buckets = _table(variance)
    stream = _stream(rng(32))
    bits = stream(math.prod(np.atleast_1d(shape).tolist()))
    draws = bits >> np.uint64(1)
    magnitudes = buckets[draws >> np.uint64(_PRECISION - _BUCKET_BITS)]
    undecided = np.flatnonzero(magnitudes < 0)
    magnitudes[undecided] = _magnitudes(table, draws[undecided], stream)
    signed = np.where(bits & np.uint64(1), -magnitudes, magnitudes)
    return signed.astype(np.int64).reshape(shape)


class _Table(NamedTuple):
    """The inverse of a distribution function of magnitudes.

    Attributes:
      thresholds: of the magnitudes.
      buckets: the magnitude of draws that begin with these bits; −1 where it is not the same for
        all of them.
    """

    thresholds: Thresholds
    buckets: Int32[np.ndarray, "buckets"]


@functools.lru_cache(maxsize=64)
def _table(variance: float) -> _Table:
    made = thresholds.skellam(variance)
    width = np.uint64(2 ** (_PRECISION - _BUCKET_BITS))
    starts = np.arange(2**_BUCKET_BITS, dtype=np.uint64) * width
    most = above(made.high, starts, "left")
    least = above(made.high, starts + (width - np.uint64(1)), "right")
    return _Table(made, np.where(least == most, least, -1).astype(np.int32))


def _magnitudes(
    table: Thresholds, draws: UInt64[np.ndarray, "draws"], stream: "Stream"
) -> Int32[np.ndarray, "draws"]:
    """How many thresholds exceed each draw, which goes on where it equals some so far."""
    least = above(table.high, draws, "right")
    most = above(table.high, draws, "left")
    for tied in np.flatnonzero(least < most):
        lows = table.low[least[tied] : most[tied]]
        least[tied] += np.count_nonzero(lows > stream(1)[0])
    return least.astype(np.int32)


Stream = Callable[[int], UInt64[np.ndarray, "count"]]
"""Number of 64-bit words -> that many, which follow the ones before."""


def _stream(key: bytes) -> Stream:
    """AES-256 in counter mode."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    return lambda count: np.frombuffer(encryptor.update(bytes(8 * count)), np.uint64)


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
    modulus, largest = 2**bits - 1, 2 ** (bits - 1) - 1
    if values.size and -largest <= values.min() and values.max() <= largest:
        return values
    residues = values % modulus
    return np.where(residues > largest, residues - modulus, residues)


def tail_bound(variance: float, distance: int) -> float:
    """At least the probability that a Skellam integer lies ``distance`` or more from 0.

    Chernoff's bound 2·exp(v·(cosh t − 1) − t·a) at its minimum sinh t = a/v, for variance v and
    distance a, from the moment generating function exp(v·(cosh t − 1)) (Skellam 1946). The exponent
    is written as a·(tanh(t/2) − t), which does not cancel when a is much smaller than v.
    """
    tilt = math.asinh(distance / variance)
    return min(1.0, 2 * math.exp(distance * (math.tanh(tilt / 2) - tilt)))


def wrap_probability(
    wire: int, *, largest: int, clients: int, variance: float, values: int
) -> float:
    """At least the probability that any noised sum of a run leaves the range of its residues.

    A wrapped sum is opened wrong by a multiple of 2^wire − 1. Its privacy is that of the sum that
    did not wrap, from which it is computed.

    Args:
      wire: bits of a residue.
      largest: most that a client's integer can be, in magnitude.
      clients: most that are added in a sum, all at their largest value.
      variance: of the noise in the sum when every announced client's share is in it.
      values: opened in a run: coordinates times rounds.
    """
    room = 2 ** (wire - 1) - clients * largest
    if room <= 0:
        return 1.0
    return min(1.0, values * tail_bound(variance, room))


def wire_bits(*, largest: int, clients: int, variance: float, values: int) -> int:
    """The fewest bits of residues with which a run wraps with probability at most 2^-40.

    Args:
      largest: see `wrap_probability`, as the others.
      clients: most that are added in a sum.
      variance: of all shares of a sum together.
      values: opened in a run.

    Raises:
      ConfigError: more than 32 bits would be needed.
    """
    for wire in range(2, _WIDEST + 1):
        wraps = wrap_probability(
            wire, largest=largest, clients=clients, variance=variance, values=values
        )
        if wraps <= LARGEST_WRAP_PROBABILITY:
            return wire
    raise ConfigError(
        f"Sums of {clients} clients' integers of up to {largest} with noise of variance "
        f"{variance:.4g} need residues of more than {_WIDEST} bits: quantise to fewer bits"
    )
