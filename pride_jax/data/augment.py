"""What a client may do to its own examples while it trains on them."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from pride_jax.data.federated import Batch
from pride_jax.errors import ConfigError
from pride_jax.types import Key

Extra = Any
Drawn = Any


class Augment(NamedTuple):
    """How examples change from epoch to epoch, by nothing but the client's own examples and keys.

    Attributes:
      needs_all: whether ``prepare`` reads all of a client's examples, at the start of its round.
      prepare: the client's own examples -> what is made of them once a round.
      draw: ``(epoch key, size, padded)`` -> what is drawn for an epoch: arrays with an entry for
        each of its ``padded`` places, of which the first ``size`` hold an example.
      apply: ``(what was prepared, the drawn entries of a batch, batch)`` -> the batch, changed.
    """

    needs_all: bool
    prepare: Callable[[Batch], Extra]
    draw: Callable[[Key, Int[Array, ""], int], Drawn]
    apply: Callable[[Extra, Drawn, Batch], Batch]


def unchanged() -> Augment:
    """Examples as they are."""
    return Augment(False, lambda own: (), lambda key, size, padded: (), lambda extra, drawn, b: b)


def flips_and_crops(padding: int = 4) -> Augment:
    """Images mirrored half of the time and moved by up to ``padding`` pixels, edges repeated.

    The usual augmentation of CIFAR-10 (He et al. 2016, section 4.2), which pads with zeros.

    Args:
      padding: most pixels that an image moves, up, down and to each side.
    """

    def draw(
        key: Key, size: Int[Array, ""], padded: int
    ) -> tuple[Int[Array, "padded 2"], Int[Array, "padded"]]:
        del size
        moves, sides = jax.random.split(key)
        shifts = jax.random.randint(moves, (padded, 2), 0, 2 * padding + 1)
        return shifts, jax.random.randint(sides, (padded,), 0, 2)

    def apply(extra: Extra, drawn: Drawn, batch: Batch) -> Batch:
        del extra

        def one(image: Array, shift: Array, mirrored: Array) -> Array:
            width = ((padding, padding), (padding, padding), (0, 0))
            padded = jnp.pad(image, width, mode="edge")
            start = (shift[0], shift[1], jnp.zeros((), shift.dtype))
            moved = jax.lax.dynamic_slice(padded, start, image.shape)
            return jnp.where(mirrored > 0, moved[:, ::-1], moved)

        return batch._replace(inputs=jax.vmap(one)(batch.inputs, *drawn))

    return Augment(False, lambda own: (), draw, apply)


def borrowed_scatter(distance: float | Float[Array, ""]) -> Augment:
    """Each example moves along the `residuals` of another, drawn anew each epoch.

    For clients of few examples: the residuals take the memory of all of them squared.

    Args:
      distance: how many of its residuals an example moves by.

    Raises:
      ConfigError: a distance that is negative or not finite.
    """
    if isinstance(distance, int | float) and not 0 <= distance < math.inf:
        raise ConfigError(f"borrowed_scatter of distance={distance}: expected 0 or more, finite")

    def draw(key: Key, size: Int[Array, ""], padded: int) -> Int[Array, "padded"]:
        return shuffle(jax.random.fold_in(key, 0), size, padded)

    def apply(extra: Extra, drawn: Drawn, batch: Batch) -> Batch:
        return batch._replace(inputs=batch.inputs + extra[drawn])

    return Augment(True, lambda own: distance * residuals(own), draw, apply)


def residuals(examples: Batch) -> Float[Array, "batch ..."]:
    """How far each example lies from the mean of its class; zero in padding.

    An example that moves by another's residual stays a plausible one of its class if classes
    scatter alike, the assumption of Fisher's discriminant analysis (1936): few examples a class
    then tell more of each. Nothing but the client's own examples is used.
    """
    # What padding holds may be another client's, and not finite.
    mask = examples.mask[:, None]
    inputs = jnp.where(mask, examples.inputs.reshape(len(mask), -1), 0.0)
    alike = (examples.targets[:, None] == examples.targets[None]) & examples.mask[None]
    alike = alike.astype(inputs.dtype)
    sums = jnp.matmul(alike, inputs, precision="float32")
    means = sums / jnp.maximum(jnp.sum(alike, axis=1, keepdims=True), 1.0)
    return jnp.where(mask, inputs - means, 0.0).reshape(examples.inputs.shape)


def shuffle(key: Key, size: Int[Array, ""], padded: int) -> Int[Array, "padded"]:
    """A random order of ``0 … size − 1``, then the other places up to ``padded``.

    The random bits of a place depend on the key and the place alone, so that the order is the same
    for every ``padded``.
    """
    places = jnp.arange(padded)
    bits = jax.random.bits(key, (padded,))
    ranks = jnp.where(places < size, bits, jnp.array(jnp.iinfo(bits.dtype).max, bits.dtype))
    return jnp.argsort(ranks, stable=True).astype(jnp.int32)


def entries_of(drawn: PyTree[Array], begin: Int[Array, ""], batch_size: int) -> Drawn:
    """The entries of what was drawn for an epoch that belong to one batch of it."""
    return jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, begin, batch_size), drawn)
