"""Shares of integer noise: drawn from thresholds on the host, sent as residues with room."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, Int64, UInt64

from pride_jax.errors import ConfigError
from pride_jax.privacy.mechanisms.thresholds import Thresholds, above

Rng = Callable[[int], bytes]
"""Number of bytes -> that many random bytes. In production always ``os.urandom``."""

Tail = Callable[[float, int], float]
"""Variance, distance -> at least the probability that noise lies so far from 0, or farther."""

LARGEST_WRAP_PROBABILITY = 2.0**-40
"""That any value of a run is opened wrong because noise left the range of the residues."""

_WIDEST = 32
_BUCKET_BITS = 18
_PRECISION = 63
"""Bits that are compared at first."""


class Table(NamedTuple):
    """The inverse of a distribution function of magnitudes.

    Attributes:
      thresholds: of the magnitudes.
      buckets: the magnitude of draws that begin with these bits; −1 where it is not the same for
        all of them.
    """

    thresholds: Thresholds
    buckets: Int32[np.ndarray, "buckets"]


def table_of(thresholds: Thresholds) -> Table:
    """The thresholds' table."""
    width = np.uint64(2 ** (_PRECISION - _BUCKET_BITS))
    starts = np.arange(2**_BUCKET_BITS, dtype=np.uint64) * width
    most = above(thresholds.high, starts, "left")
    least = above(thresholds.high, starts + (width - np.uint64(1)), "right")
    return Table(thresholds, np.where(least == most, least, -1).astype(np.int32))


def draw(rng: Rng, table: Table, shape: int | tuple[int, ...]) -> Int64[np.ndarray, "..."]:
    """Independent integers of a table's distribution.

    The distribution function is inverted at 64 bits each of an AES-CTR stream under a fresh key,
    and at 64 bits more where these decide nothing, see `thresholds`.

    Args:
      rng: gives the key's 32 bytes; in production ``os.urandom``.
      table: of magnitudes.
      shape: of the result.
    """
    stream = _stream(rng(32))
    bits = stream(math.prod(np.atleast_1d(shape).tolist()))
    draws = bits >> np.uint64(1)
    magnitudes = table.buckets[draws >> np.uint64(_PRECISION - _BUCKET_BITS)]
    undecided = np.flatnonzero(magnitudes < 0)
    magnitudes[undecided] = magnitudes_of(table.thresholds, draws[undecided], stream)
    signed = np.where(bits & np.uint64(1), -magnitudes, magnitudes)
    return signed.astype(np.int64).reshape(shape)


Stream = Callable[[int], UInt64[np.ndarray, "count"]]
"""Number of 64-bit words -> that many, which follow the ones before."""


def magnitudes_of(
    table: Thresholds, draws: UInt64[np.ndarray, "draws"], stream: Stream
) -> Int32[np.ndarray, "draws"]:
    """How many thresholds exceed each draw, which goes on where it equals some so far."""
    least = above(table.high, draws, "right")
    most = above(table.high, draws, "left")
    for tied in np.flatnonzero(least < most):
        lows = table.low[least[tied] : most[tied]]
        least[tied] += np.count_nonzero(lows > stream(1)[0])
    return least.astype(np.int32)


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


def wrap_probability(
    wire: int, *, largest: int, clients: int, variance: float, values: int, tail: Tail
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
      tail: of the noise.
    """
    room = 2 ** (wire - 1) - clients * largest
    if room <= 0:
        return 1.0
    return min(1.0, values * tail(variance, room))


def wire_bits(*, largest: int, clients: int, variance: float, values: int, tail: Tail) -> int:
    """The fewest bits of residues with which a run wraps with probability at most 2^-40.

    Args:
      largest: see `wrap_probability`, as the others.
      clients: most that are added in a sum.
      variance: of all shares of a sum together.
      values: opened in a run.
      tail: of the noise.

    Raises:
      ConfigError: more than 32 bits would be needed.
    """
    for wire in range(2, _WIDEST + 1):
        wraps = wrap_probability(
            wire, largest=largest, clients=clients, variance=variance, values=values, tail=tail
        )
        if wraps <= LARGEST_WRAP_PROBABILITY:
            return wire
    raise ConfigError(
        f"Sums of {clients} clients' integers of up to {largest} with noise of variance "
        f"{variance:.4g} need residues of more than {_WIDEST} bits: quantise to fewer bits"
    )
