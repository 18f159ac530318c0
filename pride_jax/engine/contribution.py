"""What a client makes of its update: bounded, weighted, and encoded for the sum."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Bool, Float, Int, PyTree, Shaped

from pride_jax.aggregation.fixed_point import dequantize, fit, quantize
from pride_jax.methods.method import Update, parts
from pride_jax.privacy.norms import ClipInfo, clip_by_norm
from pride_jax.privacy.rotation import rotate
from pride_jax.privacy.rounding import nearest_within, round_within
from pride_jax.privacy.values import FixedPoint, Floats, Grid
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

Added = Floats | Grid | FixedPoint
"""What updates are added as."""


def encoder(added: Added) -> Encode:
    """Makes what turns a client's update into what is added."""
    match added:
        case Floats():
            return floats
        case Grid():
            return on_grid(added)
        case FixedPoint():
            return integers(added)


def decoder(added: Added, like: Update) -> Callable[[Contribution], Contribution]:
    """Makes what gives a sum of contributions the shapes of an update.

    Args:
      added: what is added; a grid's integers stay integers, which a plan's mechanism reads.
      like: an update, or its shapes.
    """
    match added:
        case Floats():
            return lambda total: total
        case Grid():
            # The host adds in 64 bits what 32 hold.
            return _into(like, lambda total: total.astype(np.int32))
        case FixedPoint():
            return _into(like, lambda total: dequantize(total, added.limit, added.bits))


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


def integers(added: FixedPoint) -> Encode:
    """Encodes updates as integers, which a protocol adds, without a privacy plan."""
    limit = added.limit

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
        rounded = quantize(key, vector, limit, added.bits)
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


def _into(like: Update, numbers: Callable[[Any], Any]) -> Callable[[Contribution], Contribution]:
    """Puts flat numbers into the shapes that ``ravel_pytree`` would put behind one another."""
    leaves, structure = jax.tree.flatten(like)
    ends = np.cumsum([leaf.size for leaf in leaves])

    def decode(total: Contribution) -> Contribution:
        flat = numbers(total.update)
        made = [
            flat[end - leaf.size : end].reshape(leaf.shape)
            for end, leaf in zip(ends, leaves, strict=True)
        ]
        return total._replace(update=jax.tree.unflatten(structure, made))

    return decode


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
