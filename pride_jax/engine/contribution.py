"""What a client makes of its update: bounded, weighted, and encoded for the sum."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree, Shaped

from pride_jax.aggregation.fixed_point import fit, quantize
from pride_jax.methods.method import Update, parts
from pride_jax.privacy.norms import ClipInfo, clip_by_norm
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.rotation import rotate
from pride_jax.privacy.rounding import nearest_within, round_within
from pride_jax.privacy.values import Floats, Grid
from pride_jax.types import Key


class Reports(NamedTuple):
    """What is counted of one contribution, as 0 or 1.

    Attributes:
      nonfinite: the update held NaN or infinity, or could not be rounded within its norm, and was
        replaced by zeros.
      clipped: it was scaled down to the clipping norm.
      fitted: it was scaled down to the range of the integers.
      parts: which of its parts exceeded that range, in order; none where it was rotated before,
        which mixes them.
    """

    nonfinite: Int[Array, ""]
    clipped: Int[Array, ""]
    fitted: Int[Array, ""]
    parts: Int[Array, "parts"]


class Contribution(NamedTuple):
    """What a client adds to a round's sum.

    Attributes:
      update: clipped, weighted and, where integers are added, flattened and rounded.
      within: ½ if the update was within the clipping norm, −½ if it was longer, 0 if it is zero, as
        that of a client without data, which so changes the count by ½ at most; integers where the
        plan's are, of which `Grid.half` is ½.
    """

    update: PyTree[Array]
    within: Shaped[Array, "..."]


Encode = Callable[
    [Key, Int[Array, ""], Update, Float[Array, ""], Float[Array, ""]],
    tuple[Contribution, Reports],
]
"""``(key, round, update, clipping norm, weight) -> (contribution, what is counted of it)``."""


def floats(
    key: Key,
    round_: Int[Array, ""],
    update: Update,
    norm: Float[Array, ""],
    weight: Float[Array, ""],
) -> tuple[Contribution, Reports]:
    """Encodes an update as floats, which a device adds: without a plan, or for studies."""
    del key, round_
    clipped, info = clip_by_norm(update, norm)
    none = jnp.zeros(len(parts(update)), bool)
    counts = _reports(info.nonfinite, info.clipped, jnp.zeros((), bool), none)
    return Contribution(_weighted(clipped, weight), _within(clipped, info, 0.5)), counts


def integers(limit: float, bits: int) -> Encode:
    """Encodes updates as integers, which a protocol adds, without a privacy plan.

    Args:
      limit: the value that the largest integer stands for.
      bits: of an integer.
    """

    def encode(
        key: Key,
        round_: Int[Array, ""],
        update: Update,
        norm: Float[Array, ""],
        weight: Float[Array, ""],
    ) -> tuple[Contribution, Reports]:
        del round_
        clipped, info = clip_by_norm(update, norm)
        weighted = _weighted(clipped, weight)
        vector, fitted = fit(ravel_pytree(weighted)[0], limit)
        rounded = quantize(key, vector, limit, bits)
        counts = _reports(info.nonfinite, info.clipped, fitted, _oversized(weighted, limit))
        return Contribution(rounded, jnp.zeros(())), counts

    return encode


def on_grid(grid: Grid) -> Encode:
    """Encodes updates as integers of a privacy plan's grid, no longer than its noise is made for.

    Args:
      grid: the plan's.
    """

    def encode(
        key: Key,
        round_: Int[Array, ""],
        update: Update,
        norm: Float[Array, ""],
        weight: Float[Array, ""],
    ) -> tuple[Contribution, Reports]:
        clipped, info = clip_by_norm(update, norm)
        weighted = _weighted(clipped, weight)
        vector, limit = ravel_pytree(weighted)[0], norm * grid.span
        fitted = jnp.zeros((), bool)
        if grid.rotated:
            vector, fitted = fit(rotate(round_, vector), norm * grid.reach)
        if grid.nearest(vector.size):
            rounded, given_up = nearest_within(vector * (grid.levels / norm), grid.max_squared_norm)
        else:
            rounded, given_up = round_within(
                key, lambda key: quantize(key, vector, limit, grid.bits), grid.max_squared_norm
            )
        none = jnp.zeros(len(parts(update)), bool)
        counts = _reports(info.nonfinite | given_up, info.clipped, fitted, none)
        return Contribution(rounded, _within(clipped, info, grid.half)), counts

    return encode


def of_plan(plan: Plan) -> Encode:
    """Encodes updates as a privacy plan's mechanism adds them."""
    return floats if isinstance(plan.mechanism.values, Floats) else on_grid(plan.grid)


def _oversized(update: Update, limit: float) -> Bool[Array, "parts"]:
    """Which parts of an update hold a larger value."""
    flat = [ravel_pytree(part)[0] for part in parts(update).values()]
    return jnp.stack([jnp.any(jnp.abs(part) > limit) for part in flat])


def _within(clipped: Update, info: ClipInfo, half: float) -> Array:
    """What a client counts for, see `Contribution`; of the type of ``half``, which stands for ½."""
    side = jnp.where(info.clipped, -half, half)
    return jnp.where(optax.tree.norm(clipped) > 0, side, jnp.zeros_like(side))


def _weighted(update: Update, weight: Float[Array, ""]) -> Update:
    return jax.tree.map(lambda leaf: leaf * weight, update)


def _reports(*counted: Bool[Array, "..."]) -> Reports:
    return Reports(*(each.astype(jnp.int32) for each in counted))
