"""Residues as 32-bit integers: the form for accelerators, few of which are fast in float64.

An element is the least residue. It is multiplied by a constant as Montgomery (1985) does, with the
upper halves of products made of products of 16-bit halves. Of two words that differ by p, one of
which is the residue, it is the lesser: the other is p too large, or negative and so wraps.

Digits have 7 bits: a residue is four int8 numbers, and products of them are summed in int32, for
which accelerators have units. A matrix holds the digits of its entries times 1, 2^7, 2^14 and 2^21
modulo p, one for each digit that it is multiplied by, so that four sums are left of sixteen.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int8, Int32, Int64, UInt32

from pride_jax.aggregation.lattice.arithmetic import Arithmetic, Elements, Moduli, Primes

_BITS, _DIGITS = 7, 4
_WORD = 2**32


def _moduli(primes: Primes) -> Moduli:
    """The primes, their inverses modulo 2^32, and the constants 2^14 and 1, see ``_join``."""
    inverses = np.vectorize(lambda prime: pow(prime, -1, _WORD), otypes=[np.int64])(primes)
    words = (jnp.asarray(each.astype(np.uint32)) for each in (primes, inverses))
    ones = np.ones_like(primes)
    constants = (_constants(each, primes) for each in (ones << 2 * _BITS, ones))
    return tuple(each[..., None] for each in (*words, *constants))


def _constants(
    residues: Int64[np.ndarray, "primes ..."], primes: Primes
) -> UInt32[Array, "primes ..."]:
    # 2^26 · 2^26 and less: exact.
    return jnp.asarray((residues * (_WORD % primes) % primes).astype(np.uint32))


def _matrix(
    residues: Int64[np.ndarray, "primes given taken"], primes: Primes
) -> Int8[Array, "primes digits digits"]:
    moved = np.concatenate([(residues << _BITS * i) % primes for i in range(_DIGITS)], axis=2)
    digits = [moved >> _BITS * i & (2**_BITS - 1) for i in range(_DIGITS)]
    return jnp.asarray(np.concatenate(digits, axis=1).astype(np.int8))


def _load(residues: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    return residues


def _times(
    x: UInt32[Array, "..."], factors: UInt32[Array, "..."], moduli: Moduli
) -> UInt32[Array, "..."]:
    """The product of any words with constants, less a multiple of p that leaves no lower half."""
    prime, inverse, *_ = moduli
    difference = _upper(x, factors) - _upper(x * factors * inverse, prime)
    return jnp.minimum(difference + prime, difference)


def _upper(x: UInt32[Array, "..."], y: UInt32[Array, "..."]) -> UInt32[Array, "..."]:
    """The upper half of a product."""
    (x1, x0), (y1, y0) = ((each >> 16, each & 0xFFFF) for each in (x, y))
    first = x0 * y1 + (x0 * y0 >> 16)
    second = x1 * y0 + (first & 0xFFFF)
    return x1 * y1 + (first >> 16) + (second >> 16)


def _digits(x: Elements, axis: int) -> Int8[Array, "..."]:
    parts = [(x >> _BITS * i) & (2**_BITS - 1) for i in range(_DIGITS)]
    return jnp.concatenate(parts, axis).astype(jnp.int8)


def _join(sums: Int32[Array, "..."], axis: int, moduli: Moduli) -> Elements:
    prime, _, high, one = moduli
    # Sums of 512 products are below 2^23.
    s0, s1, s2, s3 = jnp.split(sums.astype(jnp.uint32), _DIGITS, axis)
    upper = _times((s3 << _BITS) + s2, high, moduli)
    lower = _times((s1 << _BITS) + s0, one, moduli)
    return jnp.minimum(upper + lower, upper + lower - prime)


def _store(x: Elements, small: Int8[Array, "..."], moduli: Moduli) -> UInt32[Array, "..."]:
    prime = moduli[0]
    moved = x + jax.lax.bitcast_convert_type(small.astype(jnp.int32), jnp.uint32)
    return jnp.minimum(jnp.minimum(moved, moved + prime), moved - prime)


def _weighted(
    residues: UInt32[Array, "primes rows lanes"],
    values: Int32[Array, "slots rows lanes"],
    weights: UInt32[Array, "primes slots 1 1"],
    moduli: Moduli,
) -> UInt32[Array, "primes rows lanes"]:
    moduli = tuple(each[..., 0] for each in moduli)
    prime = moduli[0]
    total = residues
    for slot in range(len(values)):
        weight = weights[:, slot]
        negative = values[slot][None] < 0
        size = _times(jnp.abs(values[slot])[None].astype(jnp.uint32), weight, moduli)
        total += jnp.where(negative, prime - size, size)
        total = jnp.minimum(total, total - prime)
    return total


INTEGERS = Arithmetic(
    _moduli,
    _constants,
    _matrix,
    _load,
    _times,
    _digits,
    _join,
    _store,
    _weighted,
    sums=jnp.dtype("int32"),
    residues=2**20,
)
