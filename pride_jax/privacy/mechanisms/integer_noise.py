"""Integers drawn on a device from thresholds in multiprecision, by comparisons of words alone.

A draw takes 64 bits of the key's stream: a sign, and 63 bits that are compared with thresholds. A
guide tells from the first bits which few thresholds these are. It is cut as floating-point numbers
are, as fine near 0 as near 1, since the tail's thresholds crowd at 0. Where 63 bits decide nothing,
all draws are decided anew by 64 bits more and a search through everything, which is slow and
hardly ever happens. No step depends on how a device rounds: every device draws the same bits.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int32, UInt32, UInt64

from pride_jax.privacy.mechanisms.thresholds import Thresholds, above, rounded_gaussian
from pride_jax.types import Key

_FRACTION = 13
"""Bits after the first 1 by which the guide is cut."""
_FIRST = 20
"""A guide tells of numbers from 2^20 to 2^31, in which the first 1 has 13 bits behind it."""
_WINDOWS = (0, 11, 22)
"""From which bit on a draw's 31 bits are taken for the guide; the next where they are too small."""
_STEPS = 3
"""Comparisons after the guide: it leaves fewer than 2^3 thresholds."""
_BUCKETS = (31 - _FIRST) << _FRACTION
_PADDING = 2**_STEPS


class Table(NamedTuple):
    """Thresholds and their guide, as a device compares them.

    Attributes:
      high: first 31 and next 32 bits of the threshold of each magnitude; 1 for magnitude 0.
      low: the words after these.
      guide: the least magnitude of draws that begin with these bits; −1 where the guide leaves
        too many.
    """

    high: UInt32[np.ndarray, "magnitudes 2"]
    low: UInt32[np.ndarray, "magnitudes 2"]
    guide: Int32[np.ndarray, "buckets"]


def table_of(thresholds: Thresholds) -> Table:
    """The thresholds' table."""
    high, low = (_words(each) for each in (thresholds.high, thresholds.low))
    high[0, 0] = 2**31
    first = np.concatenate([_starts(window) for window in _WINDOWS])
    last = np.concatenate([_ends(window) for window in _WINDOWS])
    least, most = above(thresholds.high, last, "right"), above(thresholds.high, first, "left")
    guide = np.where(most - least < 2**_STEPS, least, -1).astype(np.int32)
    return Table(high, low, guide)


@functools.lru_cache(maxsize=2)
def gaussian_table(deviation: float) -> Table:
    """Of round(N(0, deviation²)), see `thresholds.rounded_gaussian`."""
    return table_of(rounded_gaussian(deviation))


def _words(values: UInt64[np.ndarray, "magnitudes"]) -> UInt32[np.ndarray, "padded 2"]:
    padded = np.pad(values, (1, _PADDING))
    return np.stack([padded >> np.uint64(32), padded], axis=1).astype(np.uint32)


def _edges() -> UInt64[np.ndarray, "edges"]:
    """Where the guide's buckets begin, and the last one ends: equal bits of floats."""
    ends = np.array([2.0**_FIRST, 2.0**31], np.float32)
    exponents = ends.view(np.uint32) >> np.uint32(23 - _FRACTION)
    bits = np.arange(exponents[0], exponents[1] + 1, dtype=np.uint32) << np.uint32(23 - _FRACTION)
    return bits.view(np.float32).astype(np.float64).astype(np.uint64)


def _starts(window: int) -> UInt64[np.ndarray, "buckets"]:
    """The least 63 bits whose 31 from the window on are in each bucket."""
    return _edges()[:-1] << np.uint64(32 - window)


def _ends(window: int) -> UInt64[np.ndarray, "buckets"]:
    return (_edges()[1:] << np.uint64(32 - window)) - np.uint64(1)


def draw(key: Key, size: int, table: Table) -> Int32[Array, "size"]:
    """Independent integers.

    Args:
      key: used for nothing else.
      size: how many.
      table: their distribution.
    """
    first_key, more_key = jax.random.split(key)
    words = jax.random.bits(first_key, (2, size), jnp.uint32)

    def search(decided: tuple[Array, Array]) -> tuple[Array, Array]:
        del decided
        more = jax.random.bits(more_key, (2, size), jnp.uint32)
        return exactly(jnp.stack([words[0] >> 1, words[1], *more]), table), jnp.array(True)

    # A loop and no condition: of several runs in one program, none searches unless one must.
    magnitudes, _ = jax.lax.while_loop(
        lambda decided: ~decided[1], search, quickly(words[0] >> 1, words[1], table)
    )
    return jnp.where(words[0] & 1 == 1, -magnitudes, magnitudes)


def quickly(
    first: UInt32[Array, "size"], second: UInt32[Array, "size"], table: Table
) -> tuple[Int32[Array, "size"], Bool[Array, ""]]:
    """Magnitudes by 63 bits, and whether these decided all of them.

    Args:
      first: 31 bits of each draw.
      second: the 32 bits after them.
      table: the distribution.
    """
    high, guide = jnp.asarray(table.high), jnp.asarray(table.guide)
    number, offset = first, jnp.zeros_like(first)
    for index, window in enumerate(_WINDOWS[1:], 1):
        small = number < 2**_FIRST
        number = jnp.where(small, (first << window) | (second >> (32 - window)), number)
        offset = jnp.where(small, jnp.uint32(index * _BUCKETS), offset)
    undecided = number < 2**_FIRST
    # Without its last bits a number is a float exactly, however a device rounds.
    floats = (number & jnp.uint32(2**32 - 2**7)).astype(jnp.float32)
    bits = jax.lax.bitcast_convert_type(floats, jnp.uint32) >> (23 - _FRACTION)
    start = np.float32(2.0**_FIRST).view(np.uint32) >> np.uint32(23 - _FRACTION)
    magnitude = guide[jnp.where(undecided, 0, bits - start + offset)]
    undecided |= magnitude < 0
    magnitude = jnp.maximum(magnitude, 0)
    for power in reversed(range(_STEPS)):
        higher = magnitude + 2**power
        threshold = high[higher]
        equal = first == threshold[:, 0]
        below = (first < threshold[:, 0]) | (equal & (second < threshold[:, 1]))
        undecided |= equal & (second == threshold[:, 1])
        magnitude = jnp.where(below, higher, magnitude)
    return magnitude, ~jnp.any(undecided)


def exactly(words: UInt32[Array, "4 size"], table: Table) -> Int32[Array, "size"]:
    """Magnitudes by 127 bits.

    Args:
      words: of each draw, 31 bits in the first.
      table: the distribution.
    """
    thresholds = jnp.concatenate([jnp.asarray(table.high), jnp.asarray(table.low)], axis=1)
    largest = thresholds.shape[0] - 1

    def step(number: Array, magnitude: Int32[Array, "size"]) -> Int32[Array, "size"]:
        higher = magnitude + (jnp.int32(1) << (largest.bit_length() - 1 - number))
        place = jnp.minimum(higher, largest)
        below = jnp.zeros(magnitude.shape, bool)
        threshold = thresholds[place]
        for index in reversed(range(4)):
            word, limit = words[index], threshold[:, index]
            below = (word < limit) | ((word == limit) & below)
        return jnp.where(below & (higher <= largest), higher, magnitude)

    start = jnp.zeros(words.shape[1:], jnp.int32)
    return jax.lax.fori_loop(0, largest.bit_length(), step, start)
