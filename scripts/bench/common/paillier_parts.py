"""What Paillier keeps, converts, blinds and proves: parts of what a client's message costs."""

# pyright: reportAttributeAccessIssue=false
# gmpy2 has no type stubs.

import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gmpy2 import mpz

from pride_jax.aggregation.blinding import blinds
from pride_jax.aggregation.fixed_point import fit, quantize
from pride_jax.aggregation.obfuscators import powers, window_table
from pride_jax.aggregation.packed_paillier import Exponent, exponent_bits
from pride_jax.aggregation.packing import layout, pack, unpack
from pride_jax.aggregation.paillier_keys import PaillierPublic
from pride_jax.aggregation.plaintext_proofs import Proving, draw_mask, holds, prove

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


class Proofs(NamedTuple):
    """Blinding and proving on one core, against encrypting; microseconds of CPU time a parameter.

    Attributes:
      key_bits: of Paillier.
      value_bits: width of a value.
      mode: of the exponents.
      params: length of the vector.
      encrypt_us: its ciphertexts.
      blind_us: a client's blinds, and the aggregator's again.
      prove_us: the mask and the proof.
      check_us: the proof, of the aggregator and of each holder.
    """

    key_bits: int
    value_bits: int
    mode: str
    params: int
    encrypt_us: float
    blind_us: float
    prove_us: float
    check_us: float


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
    proving = Proving(public.key.n, public.obfuscation_base, bits // 8)
    start = time.perf_counter()
    table = window_table(proving.n, proving.base, proving.longest_exponent)
    seconds = time.perf_counter() - start
    size = sum(
        sys.getsizeof(row)
        + sum(sys.getsizeof(factor) + sum(map(sys.getsizeof, factor)) for factor in row)
        for row in table
    )
    return WindowTable(protocol, key_bits, mode, bits, _WINDOW_BITS, size, seconds)


def time_proofs(
    public: PaillierPublic,
    mode: Exponent,
    value_bits: int,
    params: int,
    largest_cohort: int,
    repetitions: int,
) -> Proofs:
    """Encrypts, blinds, proves and checks what one client sends, in turn.

    Args:
      public: the key.
      mode: of the exponents.
      value_bits: width of a value.
      params: length of the vector.
      largest_cohort: for which messages have room.
      repetitions: of each step; times are medians.
    """
    n, key_bits = mpz(public.key.n), public.key.n.bit_length()
    count = layout(key_bits, value_bits, largest_cohort).plaintexts(params)
    proving = Proving(public.key.n, public.obfuscation_base, exponent_bits(key_bits, mode) // 8)
    longest = proving.longest_exponent
    exponents = [os.urandom(proving.exponent_bytes) for _ in range(count)]
    seed = os.urandom(32)
    plaintexts = blinds(n, seed, count)

    def encrypt() -> list[mpz]:
        factors = powers(proving.n, proving.base, exponents, longest)
        return [(1 + n * x) * r % (n * n) for x, r in zip(plaintexts, factors, strict=True)]

    def prove_all() -> bytes:
        mask = draw_mask(os.urandom, proving)
        return prove(proving, b"", ciphertexts, plaintexts, exponents, mask)

    ciphertexts = encrypt()
    proof = prove_all()
    steps: list[Callable[[], Any]] = [
        encrypt,
        lambda: blinds(n, seed, count),
        prove_all,
        lambda: holds(proving, b"", ciphertexts, proof),
    ]
    laps = [[_cpu_seconds(step) for step in steps] for _ in range(repetitions)]
    medians = (statistics.median(lap) / params * MICRO for lap in zip(*laps, strict=True))
    return Proofs(key_bits, value_bits, mode, params, *medians)


def _cpu_seconds(function: Callable[[], Any]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


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
