"""What a client makes of its update: bounded, weighted, and encoded for the sum."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree

from pride_jax.aggregation.fixed_point import fit, quantize
from pride_jax.methods.method import Update, parts
from pride_jax.privacy.norms import clip_by_norm
from pride_jax.privacy.rounding import round_within
from pride_jax.types import Key


class Reports(NamedTuple):
    """What is counted of one contribution, as 0 or 1.

    Attributes:
      nonfinite: the update held NaN or infinity, or could not be rounded within its norm, and was
        replaced by zeros.
      clipped: it was scaled down to the clipping norm.
      fitted: it was scaled down to the range of the integers.
      parts: which of its parts exceeded that range, in order.
    """

    nonfinite: Int[Array, ""]
    clipped: Int[Array, ""]
    fitted: Int[Array, ""]
    parts: Int[Array, "parts"]


class Contribution(NamedTuple):
    """What a client adds to a round's sum.

    Attributes:
      update: clipped, weighted and, for a secure sum, flattened and rounded to integers.
      within: ½ if the update was within the clipping norm, −½ if it was longer, 0 if it is zero, as
        that of a client without data, which so changes the count by ½ at most.
    """

    update: PyTree[Array]
    within: Float[Array, "..."]


Encode = Callable[[Key, Update, Float[Array, ""], Float[Array, ""]], tuple[Contribution, Reports]]
"""``(key, update, clipping norm, weight) -> (contribution, what is counted of it)``."""


def floats(
    key: Key, update: Update, norm: Float[Array, ""], weight: Float[Array, ""]
) -> tuple[Contribution, Reports]:
    """Encodes an update as floats, which a device adds."""
    del key
    clipped, info = clip_by_norm(update, norm)
    side = jnp.where(info.clipped, -0.5, 0.5)
    within = jnp.where(optax.tree.norm(clipped) > 0, side, 0.0)
    none = jnp.zeros(len(parts(update)), bool)
    counts = _reports(info.nonfinite, info.clipped, jnp.zeros((), bool), none)
    return Contribution(_weighted(clipped, weight), within), counts


def integers(limit: float, bits: int, max_squared_norm: float) -> Encode:
    """Encodes updates as integers, which a protocol adds.

    Args:
      limit: the value that the largest integer stands for.
      bits: of an integer.
      max_squared_norm: bound on the integers' squared L2 norm that rounding keeps, as the noise of
        a privacy plan is made for; ``inf`` where nothing is bounded.
    """

    def encode(
        key: Key, update: Update, norm: Float[Array, ""], weight: Float[Array, ""]
    ) -> tuple[Contribution, Reports]:
        clipped, info = clip_by_norm(update, norm)
        weighted = _weighted(clipped, weight)
        oversized = [
            jnp.any(jnp.abs(ravel_pytree(part)[0]) > limit) for part in parts(weighted).values()
        ]
        vector, fitted = fit(ravel_pytree(weighted)[0], limit)
        if max_squared_norm == math.inf:
            rounded, given_up = quantize(key, vector, limit, bits), jnp.zeros((), bool)
        else:
            rounded, given_up = round_within(
                key, lambda key: quantize(key, vector, limit, bits), int(max_squared_norm)
            )
        counts = _reports(info.nonfinite | given_up, info.clipped, fitted, jnp.stack(oversized))
        return Contribution(rounded, jnp.zeros(())), counts

    return encode


def _weighted(update: Update, weight: Float[Array, ""]) -> Update:
    return jax.tree.map(lambda leaf: leaf * weight, update)


def _reports(*counted: Bool[Array, "..."]) -> Reports:
    return Reports(*(each.astype(jnp.int32) for each in counted))
