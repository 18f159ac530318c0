"""Gaussian noise that a buffered linear Toeplitz matrix correlates over rounds, on the device.

Round t's noise is n_t with C n = scale · z, or n_t = scale · z_t − Σ_i ω_i b_i: z_t is standard
normal, and buffer i holds b_i = Σ_{j>=1} θ_i^(j−1) n_{t−j}, which the next round finds as
θ_i b_i + n_t (McMahan, Xu & Zhang 2024, algorithm 3). Let the sums that are clipped to norm C_0 be
x without noise. Then x + n is a function of C x + scale · z, and one client moves C x by at most
`blt_matrix.sensitivity` times C_0.
"""

import jax
import jax.numpy as jnp
from jax.lax import optimization_barrier
from jaxtyping import Array, Float, Float32, Int, PyTree

from pride_jax.privacy.mechanisms.blt_matrix import Buffers
from pride_jax.privacy.mechanisms.gaussian_noise import rounded, standard_normal
from pride_jax.types import Key

Past = PyTree[Float32[Array, "buffers ..."]]
"""What the buffers hold at scale 1; zeros before round 0."""


def empty_buffers(number: int, like: PyTree[Float32[Array, "..."]]) -> Past:
    """The buffers before round 0, for sums in the shapes of ``like``."""
    return jax.tree.map(lambda leaf: jnp.zeros((number, *leaf.shape), jnp.float32), like)


def step(
    buffers: Buffers, key: Key, past: Past, scale: float | Float[Array, ""]
) -> tuple[PyTree[Float32[Array, "..."]], Past]:
    """One round's noise, to be added to the round's sum.

    Args:
      buffers: the matrix, from `blt_matrix.optimal_buffers`.
      key: of the run's noise, folded with this round.
      past: as the round before left it.
      scale: standard deviation of ``scale · z``: noise multiplier times clipping norm.

    Returns:
      The noise, and what the buffers hold for the next round, which knows nothing of the scale.
    """

    def correlate(
        fresh: Float32[Array, "..."], past: Float32[Array, "buffers ..."]
    ) -> Float32[Array, "..."]:
        fresh = rounded(fresh)
        for index, weight in enumerate(buffers.weights):
            fresh = fresh - rounded(past[index] * weight)
        return fresh

    def remember(
        past: Float32[Array, "buffers ..."], noise: Float32[Array, "..."]
    ) -> Float32[Array, "buffers ..."]:
        decays = jnp.array(buffers.decays, jnp.float32).reshape(-1, *(1,) * noise.ndim)
        return rounded(past * decays) + noise[None]

    like = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:]), past)
    # Compiled together with other operations, the last bits of normal values may change.
    fresh = optimization_barrier(standard_normal(optimization_barrier(key), like))
    noise = jax.tree.map(correlate, fresh, past)
    return jax.tree.map(lambda leaf: scale * leaf, noise), jax.tree.map(remember, past, noise)


def replay(
    buffers: Buffers,
    key: Key,
    round_: int | Int[Array, ""],
    like: PyTree[Float32[Array, "..."]],
) -> Past:
    """What the buffers hold before a round, made again from the key, as `banded_noise.replay` does.

    Args:
      buffers: as in `step`.
      key: of the run's noise; round ``t`` uses ``fold_in(key, t)``.
      round_: the round about to come; it costs as much as drawing the noise of all before it.
      like: anything in the shapes of the sums.
    """

    def advance(number: Int[Array, ""], past: Past) -> Past:
        return step(buffers, jax.random.fold_in(key, number), past, 1.0)[1]

    return jax.lax.fori_loop(0, round_, advance, empty_buffers(len(buffers.decays), like))
