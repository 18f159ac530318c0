"""Bounding what one client can add to a sum."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from pride_jax.types import Update

_WITHIN = 1 - 1e-5
"""Norm and scaling in float32 may be off by some 1e-7 each; this keeps the bound a bound."""


class ClipInfo(NamedTuple):
    """What became of an update.

    Attributes:
      nonfinite: it held NaN or infinity, or its norm overflowed, and was replaced by zeros.
      clipped: it was longer than the bound and was scaled down to it.
    """

    nonfinite: Bool[Array, ""]
    clipped: Bool[Array, ""]


def clip_by_norm(update: Update, max_norm: float | Float[Array, ""]) -> tuple[Update, ClipInfo]:
    """Scales an update down to an L2 norm of at most ``max_norm`` (McMahan et al. 2018, DP-FedAvg).

    Args:
      update: a client's update, of any shapes.
      max_norm: the clipping norm, over all parameters together; ``inf`` leaves finite updates as
        they are.

    Returns:
      The update, zeros if it is not finite, and what was done.
    """
    norm = optax.tree.norm(update)
    finite = jnp.isfinite(norm)
    clipped = finite & (norm > _WITHIN * max_norm)
    factor = jnp.where(clipped, _WITHIN * max_norm / norm, 1.0)
    bounded = jax.tree.map(lambda leaf: jnp.where(finite, leaf * factor, 0.0), update)
    return bounded, ClipInfo(~finite, clipped)


def adapt_norm(
    norm: Float[Array, ""],
    noised_share: Float[Array, ""],
    quantile: float | Float[Array, ""],
    rate: float = 0.2,
) -> Float[Array, ""]:
    """Moves a clipping norm towards a quantile of the updates' norms (Andrew et al. 2021, eq. 2).

    The step is geometric: C ← C · exp(−rate · (share − quantile)). To know the share, clients add
    up ½ if their update is within the norm, −½ if it is longer and 0 if there is none, a sum that a
    client's data changes by at most ½, with noise for it.

    Args:
      norm: the clipping norm of this round.
      noised_share: of this round's clients whose update was within the norm, with noise, so that it
        may lie outside 0 … 1.
      quantile: the share that should be within it.
      rate: 0.2 in the paper.

    Returns:
      The clipping norm of the next round.
    """
    return norm * jnp.exp(-rate * (noised_share - quantile))
