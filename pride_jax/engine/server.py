"""The server's part of a round: the mean update as a gradient for an Optax optimizer."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from pride_jax.types import Params, Update


def mean_update(total: Update, weight: Float[Array, ""]) -> Update:
    """A weighted sum over a cohort, divided by its weight; zeros if nobody weighs anything."""
    divisor = jnp.where(weight > 0, weight, 1.0)
    return jax.tree.map(lambda leaf: leaf / divisor, total)


def server_step(
    optimizer: optax.GradientTransformation,
    opt_state: optax.OptState,
    params: Params,
    mean: Update,
) -> tuple[Params, optax.OptState]:
    """One step along the mean update (Reddi et al. 2021, FedOpt).

    With ``optax.sgd(1.0)`` this is FedAvg: the mean of the clients' parameters.
    """
    descent = jax.tree.map(jnp.negative, mean)
    change, opt_state = optimizer.update(descent, opt_state, params)
    return optax.apply_updates(params, change), opt_state
