"""Independent Gaussian noise on a sum, on the device."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Float32, PyTree

from pride_jax.types import Key


def add_gaussian(
    key: Key, total: PyTree[Float32[Array, "..."]], scale: float | Float[Array, ""]
) -> PyTree[Float32[Array, "..."]]:
    """Adds independent normal noise to every value of a sum.

    The noise is float32 and comes in 2^23 different magnitudes, so some sums are possible under one
    client's data and impossible under its absence: utility studies may use it, a release that must
    withstand whoever reads the last bits may not (Mironov 2012, "On Significance of the Least
    Significant Bits for Differential Privacy"). `skellam` has no such gap.

    Args:
      key: used for no other draw: of the run's noise and this round.
      total: the clipped contributions' sum.
      scale: standard deviation of the noise, in the sum's own units.
    """
    noise = standard_normal(key, total)
    return jax.tree.map(lambda leaf, each: leaf + scale * each, total, noise)


def standard_normal(key: Key, like: PyTree[Float32[Array, "..."]]) -> PyTree[Float32[Array, "..."]]:
    """Standard normal values in the shapes of ``like``, leaf ``i`` from ``fold_in(key, i)``."""
    leaves, structure = jax.tree.flatten(like)
    drawn = [
        jax.random.normal(jax.random.fold_in(key, number), leaf.shape, jnp.float32)
        for number, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(structure, drawn)
