"""The two compiled programs of a client: a·s + e, and the values added to it.

They run on JAX's default device, in `float64` on CPUs and in `integers` elsewhere. All arrays of
one ring are computed by one program, some polynomials at a time.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int, Int8, Int32, Int64, UInt32

from pride_jax.aggregation.lattice.arithmetic import Arithmetic, Constants, Elements, Moduli
from pride_jax.aggregation.lattice.float64 import FLOAT64
from pride_jax.aggregation.lattice.integers import INTEGERS
from pride_jax.aggregation.lattice.parameters import Lattice
from pride_jax.aggregation.lattice.transform import by_prime, matrices_of, values_of


class Ring(NamedTuple):
    """The inverse transform in a form.

    Attributes:
      moduli: the primes.
      rows: digits of the matrix that multiplies from the left.
      factors: multiply value by value.
      columns: digits of the matrix that multiplies from the right.
    """

    moduli: Moduli
    rows: Constants
    factors: Constants
    columns: Constants


def form_here() -> Arithmetic:
    """The form for JAX's default device."""
    return FLOAT64 if jax.default_backend() == "cpu" else INTEGERS


@functools.lru_cache(maxsize=8)
def ring_of(form: Arithmetic, degree: int, primes: tuple[int, ...]) -> Ring:
    """The inverse transform of a ring."""
    _, inverse = matrices_of(degree, primes)
    moduli = by_prime(primes)
    return Ring(
        form.moduli(moduli),
        form.matrix(inverse.rows, moduli),
        form.constants(inverse.factors, moduli)[:, :, None],
        form.matrix(inverse.columns.swapaxes(1, 2), moduli).swapaxes(1, 2),
    )


@functools.partial(jax.jit, static_argnames="form")
def masked_blocks(
    form: Arithmetic,
    ring: Ring,
    public: UInt32[Array, "blocks primes rows columns"],
    key: Constants,
    errors: Int8[Array, "rows blocks columns"],
) -> UInt32[Array, "primes rows blocks columns"]:
    """The residues of a·s + e of some polynomials.

    Args:
      form: static.
      ring: in that form.
      public: a.
      key: factors, the values of s at the roots, over blocks.
      errors: e.
    """
    x = form.times(jnp.moveaxis(form.load(public), 0, 2), key, ring.moduli)
    x = form.times(_right(form, x, ring), ring.factors, ring.moduli)
    return form.store(_left(form, ring, x), errors[None], ring.moduli)


def _right(form: Arithmetic, x: Elements, ring: Ring) -> Elements:
    primes, rows, blocks, _ = x.shape
    digits = form.digits(x, 3).reshape(primes, rows * blocks, -1)
    sums = _product(form, digits, ring.columns)
    return form.join(sums.reshape(primes, rows, blocks, -1), 3, ring.moduli)


def _left(form: Arithmetic, ring: Ring, x: Elements) -> Elements:
    primes, _, blocks, columns = x.shape
    digits = form.digits(x, 1).reshape(primes, -1, blocks * columns)
    sums = _product(form, ring.rows, digits)
    return form.join(sums.reshape(primes, -1, blocks, columns), 1, ring.moduli)


def _product(form: Arithmetic, left: Array, right: Array) -> Array:
    """A product of matrices for each prime."""
    numbers = (((2,), (1,)), ((0,), (0,)))
    return jax.lax.dot_general(left, right, numbers, preferred_element_type=form.sums)


def masked(
    form: Arithmetic,
    lattice: Lattice,
    public: UInt32[np.ndarray, "blocks primes rows columns"],
    key: Int[np.ndarray, "degree"],
    errors: Int8[np.ndarray, "rows lanes"],
) -> UInt32[Array, "primes rows lanes"]:
    """The residues of a·s + e, on the device."""
    count, rows, columns = len(lattice.primes), lattice.rows, lattice.columns
    step = min(max(1, form.residues // (count * lattice.degree)), lattice.blocks)
    found = np.empty((count, rows, lattice.lanes), np.uint32)
    with jax.enable_x64(True):
        ring = ring_of(form, lattice.degree, lattice.primes)
        values = form.constants(values_of(lattice, key), by_prime(lattice.primes))[:, :, None]
        for first in range(0, lattice.blocks, step):
            polynomials = np.zeros((step, count, rows, columns), np.uint32)
            blocks = public[first : first + step]
            polynomials[: len(blocks)] = blocks
            lanes = slice(first * columns, (first + step) * columns)
            small = np.zeros((rows, step * columns), np.int8)
            part = errors[:, lanes]
            small[:, : part.shape[1]] = part
            small = small.reshape(rows, step, columns)
            residues = masked_blocks(form, ring, polynomials, values, small)
            into = found[:, :, lanes]
            into[:] = np.asarray(residues).reshape(count, rows, -1)[:, :, : into.shape[2]]
        # Copied now, and not when the values are at hand.
        return jax.block_until_ready(jnp.asarray(found))


@functools.lru_cache(maxsize=8)
def _weights_of(form: Arithmetic, lattice: Lattice) -> Constants:
    """2^bit of each slot's lowest bit."""
    weights = [[2**bit % prime for bit in lattice.bits] for prime in lattice.primes]
    return form.constants(np.array(weights)[..., None], by_prime(lattice.primes))[..., None]


@functools.partial(jax.jit, static_argnames="form")
def with_values(
    form: Arithmetic,
    moduli: Moduli,
    weights: Constants,
    masked: UInt32[Array, "primes rows lanes"],
    values: Int32[Array, "slots rows lanes"],
) -> UInt32[Array, "primes rows lanes"]:
    """The residues of a·s + e + 2^E·m.

    Args:
      form: static.
      moduli: in that form.
      weights: factors, of each slot.
      masked: a·s + e.
      values: m.
    """
    return form.weighted(masked, values, weights, moduli)


def hidden(
    form: Arithmetic,
    lattice: Lattice,
    masked: UInt32[Array, "primes rows lanes"],
    values: Int64[np.ndarray, "length"],
) -> UInt32[np.ndarray, "primes rows lanes"]:
    """The residues of a·s + e + 2^E·m."""
    padded = np.empty(lattice.slots * lattice.coefficients, np.int32)
    padded[: lattice.length] = values
    padded[lattice.length :] = 0
    slots = padded.reshape(lattice.slots, lattice.rows, lattice.lanes)
    with jax.enable_x64(True):
        ring = ring_of(form, lattice.degree, lattice.primes)
        weights = _weights_of(form, lattice)
        return np.asarray(with_values(form, ring.moduli, weights, masked, slots))
