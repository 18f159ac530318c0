"""What Paillier keeps and converts: tables of powers, and floats as plaintexts."""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from pride_jax.aggregation.fixed_point import fit, quantize
from pride_jax.aggregation.obfuscators import window_table
from pride_jax.aggregation.packed_paillier import Exponent, exponent_bits
from pride_jax.aggregation.packing import layout, pack, unpack
from pride_jax.aggregation.paillier_keys import PaillierPublic

MICRO = 1e6
_WINDOW_BITS = 8


class WindowTable(NamedTuple):
    """Powers that a process keeps to encrypt: one table for each worker."""

    protocol: str
    key_bits: int
    mode: str
    exponent_bits: int
    window_bits: int
    bytes: int
    seconds: float


class Conversion(NamedTuple):
    """From floats to plaintexts and back, against encrypting them; microseconds a parameter."""

    key_bits: int
    value_bits: int
    quantize_us: float
    pack_us: float
    unpack_us: float
    share_of_encryption: float


class Encrypted(NamedTuple):
    """A vector that was encrypted.

    Attributes:
      key_bits: of Paillier.
      value_bits: width of a value.
      params: length of the vector.
      encrypt_us: microseconds a parameter.
    """

    key_bits: int
    value_bits: int
    params: int
    encrypt_us: float


def time_window_table(
    protocol: str, key_bits: int, mode: Exponent, public: PaillierPublic
) -> WindowTable:
    """Makes one worker's table for that key and those exponents."""
    bits = exponent_bits(key_bits, mode)
    start = time.perf_counter()
    table = window_table(public.key.n, public.obfuscation_base, bits // 8)
    seconds = time.perf_counter() - start
    size = sum(
        sys.getsizeof(row)
        + sum(sys.getsizeof(factor) + sum(map(sys.getsizeof, factor)) for factor in row)
        for row in table
    )
    return WindowTable(protocol, key_bits, mode, bits, _WINDOW_BITS, size, seconds)


def time_conversion(row: Encrypted, largest_cohort: int, repetitions: int) -> Conversion:
    """Quantises, packs and unpacks a vector as long as one that was encrypted.

    Args:
      row: what encrypting took.
      largest_cohort: for which messages have room.
      repetitions: of each step; times are medians.
    """
    params, value_bits = row.params, row.value_bits
    where = layout(row.key_bits, value_bits, largest_cohort)
    key, update = jax.random.key(0), jnp.linspace(-1, 1, params)
    convert = jax.jit(lambda key, update: quantize(key, fit(update, 1.0)[0], 1.0, value_bits))
    values = np.asarray(convert(key, update)).astype(np.int64)
    plaintexts = pack(where, values)

    def microseconds(step: Callable[[], Any]) -> float:
        return _median_seconds(step, repetitions) / params * MICRO

    quantizing = microseconds(lambda: np.asarray(convert(key, update)))
    packing = microseconds(lambda: pack(where, values))
    unpacking = microseconds(lambda: unpack(where, plaintexts, params, 1))
    share = (quantizing + packing + unpacking) / row.encrypt_us
    return Conversion(row.key_bits, value_bits, quantizing, packing, unpacking, share)


def _median_seconds(function: Callable[[], Any], repetitions: int) -> float:
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
