"""Gaussian noise that is correlated over rounds by a banded matrix, on the device.

Round t's noise is n_t with C n = scale · z, or c_0 n_t = scale · z_t − Σ_{j=1}^{b−1} c_j n_{t−j}:
z_t is standard normal, and n_t = 0 before round 0. Let the sums that are clipped to norm C_0 be x_t
without noise. Then x + n is a function of C x + scale · z, in which one participation moves C x by
at most C_0 since the coefficients have unit norm; so ``scale`` is the noise multiplier times C_0.
n_t itself has the standard deviation scale · (Σ_{j<=t} (C^(-1))_j0²)^½, larger than ``scale``,
while the sums of n over rounds are smaller than with independent noise.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.lax import optimization_barrier
from jaxtyping import Array, Float, Float32, Int, PyTree

from pride_jax.privacy.mechanisms.gaussian_noise import standard_normal
from pride_jax.types import Key

Window = PyTree[Float32[Array, "past ..."]]
"""The noise of the last band − 1 rounds at scale 1, newest first; zeros stand before round 0."""


def empty_window(band: int, like: PyTree[Float32[Array, "..."]]) -> Window:
    """The window before round 0, for sums in the shapes of ``like``."""
    return jax.tree.map(lambda leaf: jnp.zeros((band - 1, *leaf.shape), jnp.float32), like)


def step(
    coefficients: Sequence[float], key: Key, window: Window, scale: float | Float[Array, ""]
) -> tuple[PyTree[Float32[Array, "..."]], Window]:
    """One round's noise, to be added to the round's sum.

    Args:
      coefficients: of the banded matrix, from `banded.band_coefficients`.
      key: of the run's noise, folded with this round.
      window: as the round before left it.
      scale: standard deviation of ``scale · z``: noise multiplier times clipping norm.

    Returns:
      The noise and the window for the next round, which knows nothing of the scale.
    """
    first, *rest = coefficients

    def correlate(
        fresh: Float32[Array, "..."], past: Float32[Array, "past ..."]
    ) -> Float32[Array, "..."]:
        fresh = rounded(fresh)
        for index, coefficient in enumerate(rest):
            fresh = fresh - rounded(past[index] * coefficient)
        return rounded(fresh * (1 / first))

    like = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:]), window)
    # Compiled together with other operations, the last bits of normal values may change.
    fresh = optimization_barrier(standard_normal(optimization_barrier(key), like))
    noise = jax.tree.map(correlate, fresh, window)
    kept = jax.tree.map(
        lambda new, past: jnp.concatenate([new[None], past])[: len(rest)], noise, window
    )
    return jax.tree.map(lambda leaf: scale * leaf, noise), kept


def replay(
    coefficients: Sequence[float],
    key: Key,
    round_: int | Int[Array, ""],
    like: PyTree[Float32[Array, "..."]],
) -> Window:
    """The window before a round, made again from the key.

    It has the bits that stepping gives inside a compiled loop over rounds; stepping outside of a
    loop may differ from both in the last bits, since some versions of XLA compile the two in
    different ways. Either way the noise is that of the same draws.

    A checkpoint so never holds past noise, which would take the privacy of what was released.

    Args:
      coefficients: as in `step`.
      key: of the run's noise; round ``t`` uses ``fold_in(key, t)``.
      round_: the round about to come; it costs as much as drawing the noise of all before it.
      like: anything in the shapes of the sums.
    """

    def advance(number: Int[Array, ""], window: Window) -> Window:
        return step(coefficients, jax.random.fold_in(key, number), window, 1.0)[1]

    return jax.lax.fori_loop(0, round_, advance, empty_window(len(coefficients), like))


def rounded(product: Float32[Array, "..."]) -> Float32[Array, "..."]:
    """The product itself, which the clip keeps compilers from joining with the next operation.

    Whether they join them depends on the program around, and so would the last bits of the noise.
    """
    largest = float(jnp.finfo(jnp.float32).max)
    return jnp.clip(product, -largest, largest)
