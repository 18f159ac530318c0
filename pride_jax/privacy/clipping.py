"""Bounding what one client can add to a sum."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool

from pride_jax.types import Update

_WITHIN = 1 - 1e-6
"""Scaling in float32 may exceed the target by 1.1e-7 relative; this keeps the bound a bound."""


class ClipInfo(NamedTuple):
    """What became of an update.

    Attributes:
      nonfinite: it held NaN or infinity, or its norm overflowed, and was replaced by zeros.
      clipped: it was longer than the bound and was scaled down to it.
    """

    nonfinite: Bool[Array, ""]
    clipped: Bool[Array, ""]


def clip_by_norm(update: Update, max_norm: float) -> tuple[Update, ClipInfo]:
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
    clipped = finite & (norm > max_norm)
    factor = jnp.where(clipped, _WITHIN * max_norm / norm, 1.0)
    bounded = jax.tree.map(lambda leaf: jnp.where(finite, leaf * factor, 0.0), update)
    return bounded, ClipInfo(~finite, clipped)
