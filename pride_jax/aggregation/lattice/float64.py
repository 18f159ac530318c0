"""Residues as float64: the form for CPUs, and the fastest on them.

A product of two residues is below 2^52, and so exact. An element is any integer x congruent to its
residue, at most little beyond ±p/2: x − round(x/p)·p is one, whichever way the quotient is rounded.
So no step depends on how a device rounds. Only what is stored is made the least residue. A matrix
has two digits of 13 bits, an element is its own digit: 128 products add up to less than 2^46.
"""

import functools

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float64, Int8, Int32, Int64, UInt32

from pride_jax.aggregation.lattice.arithmetic import Arithmetic, Elements, Moduli, Primes

_DIGIT = 2**13


def _moduli(primes: Primes) -> Moduli:
    exact = primes[..., None].astype(np.float64)
    return jnp.asarray(exact), jnp.asarray(1 / exact)


def _reduced(x: Float64[Array, "..."], moduli: Moduli) -> Float64[Array, "..."]:
    prime, inverse = moduli
    return x - jnp.round(x * inverse) * prime


def _centred(
    residues: Int64[np.ndarray, "primes ..."], primes: Primes
) -> Int64[np.ndarray, "primes ..."]:
    return np.where(residues > primes // 2, residues - primes, residues)


def _constants(
    residues: Int64[np.ndarray, "primes ..."], primes: Primes
) -> Float64[Array, "primes ..."]:
    return jnp.asarray(_centred(residues, primes).astype(np.float64))


def _matrix(
    residues: Int64[np.ndarray, "primes given taken"], primes: Primes
) -> Float64[Array, "primes digits taken"]:
    high, low = np.divmod(_centred(residues, primes) + _DIGIT // 2, _DIGIT)
    both = np.concatenate([high, low - _DIGIT // 2], axis=1)
    return jnp.asarray(both.astype(np.float64))


def _load(residues: UInt32[Array, "..."]) -> Float64[Array, "..."]:
    return residues.astype(jnp.float64)


def _times(
    x: Float64[Array, "..."], factors: Float64[Array, "..."], moduli: Moduli
) -> Float64[Array, "..."]:
    return _reduced(x * factors, moduli)


def _digits(x: Elements, axis: int) -> Elements:
    del axis
    return x


def _join(sums: Float64[Array, "..."], axis: int, moduli: Moduli) -> Elements:
    high, low = jnp.split(sums, 2, axis)
    return _reduced(_DIGIT * _reduced(high, moduli) + low, moduli)


def _store(x: Elements, small: Int8[Array, "..."], moduli: Moduli) -> UInt32[Array, "..."]:
    return _least(x + small.astype(jnp.float64), moduli)


def _least(x: Float64[Array, "..."], moduli: Moduli) -> UInt32[Array, "..."]:
    """Of x in ±(p − 1)."""
    return jnp.where(x < 0, x + moduli[0], x).astype(jnp.uint32)


def _weighted(
    residues: UInt32[Array, "primes rows lanes"],
    values: Int32[Array, "slots rows lanes"],
    weights: Float64[Array, "primes slots 1 1"],
    moduli: Moduli,
) -> UInt32[Array, "primes rows lanes"]:
    # Halves, of which products and their sums are exact.
    high, low = values >> 16, values & 0xFFFF
    moduli = tuple(each[..., 0] for each in moduli)

    def total(halves: Int32[Array, "slots rows lanes"]) -> Float64[Array, "primes rows lanes"]:
        each = (
            weights[:, slot] * halves[slot][None].astype(jnp.float64) for slot in range(len(values))
        )
        return functools.reduce(jnp.add, each)

    both = _reduced(total(high), moduli) * 2.0**16 + total(low) + residues.astype(jnp.float64)
    return _least(_reduced(both, moduli), moduli)


FLOAT64 = Arithmetic(
    _moduli,
    _constants,
    _matrix,
    _load,
    _times,
    _digits,
    _join,
    _store,
    _weighted,
    sums=jnp.dtype("float64"),
    residues=2**16,
)
