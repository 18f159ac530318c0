"""Independent Gaussian noise on sums, on the device: on integers, and in floats for studies."""

import math

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Float32, Int32, PyTree

from pride_jax.privacy.mechanisms.integer_noise import draw, gaussian_table
from pride_jax.types import Key


def add_rounded(
    key: Key, total: PyTree[Int32[Array, "..."]], deviation: float
) -> PyTree[Int32[Array, "..."]]:
    """Adds independent round(N(0, deviation²)) to every value of a sum of integers.

    Args:
      key: used for no other draw: of the run's noise and this round.
      total: the sum; with the noise it stays in 32 bits.
      deviation: in steps of the grid; 0 adds nothing.
    """
    if not deviation:
        return total
    flat, unravel = ravel_pytree(total)
    return unravel(flat + draw(key, flat.size, gaussian_table(deviation)))


def add_gaussian(
    key: Key, total: PyTree[Float32[Array, "..."]], scale: float | Float[Array, ""]
) -> PyTree[Float32[Array, "..."]]:
    """Adds independent normal noise to every value of a sum of floats, for studies.

    No distance of such noise from a normal distribution is stated: sums in floating point round,
    and so does noise, so that some sums are possible under one client's data and impossible under
    its absence (Mironov 2012, "On Significance of the Least Significant Bits for Differential
    Privacy").

    Args:
      key: used for no other draw: of the run's noise and this round.
      total: the clipped contributions' sum.
      scale: standard deviation of the noise, in the sum's own units.
    """
    noise = standard_normal(key, total)
    return jax.tree.map(lambda leaf, each: leaf + scale * each, total, noise)


def standard_normal(key: Key, like: PyTree[Float32[Array, "..."]]) -> PyTree[Float32[Array, "..."]]:
    """Standard normal values in the shapes of ``like``, leaf ``i`` from ``fold_in(key, i)``.

    Each is half of the sum of four: one alone takes 2^23 values, none of them beyond 5.5 (Holohan &
    Braghin 2021, "Secure Random Sampling in Differential Privacy").
    """
    leaves, structure = jax.tree.flatten(like)
    drawn = [
        jnp.sum(
            jax.random.normal(jax.random.fold_in(key, number), (_SUMMED, *leaf.shape), jnp.float32),
            axis=0,
        )
        * (1 / math.sqrt(_SUMMED))
        for number, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, drawn)


_SUMMED = 4
