"""A client's loop over its own batches, whatever it does with each."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pride_jax.data.augment import entries_of, shuffle
from pride_jax.data.federated import FederatedData, take
from pride_jax.methods.method import Carry, Local, LocalTraining
from pride_jax.types import Key


class Extent(NamedTuple):
    """What a compiled program knows of clients' sizes beforehand.

    Attributes:
      longest: the most examples that any client holds.
      batch_size: examples a step, at most as many.
      batches: the most steps an epoch.
      even: whether all clients that hold examples take as many steps.
    """

    longest: int
    batch_size: int
    batches: int
    even: bool

    @property
    def padded(self) -> int:
        """Places of an epoch's order of examples."""
        return self.batches * self.batch_size


class Batches(NamedTuple):
    """Steps an epoch of clients that run side by side: those that all take, and the most."""

    all: Int[Array, ""]
    most: Int[Array, ""]


def extent_of(sizes: Int[np.ndarray, "clients"], batch_size: int) -> Extent:
    """The extent of clients of these sizes, of which one at least holds an example."""
    longest = int(sizes.max())
    batch_size = min(batch_size, longest)
    steps = num_batches(sizes[sizes > 0], batch_size)
    return Extent(longest, batch_size, int(steps.max()), bool((steps == steps.max()).all()))


def numbers_read(data: FederatedData, extent: Extent) -> int:
    """How many numbers a client's batch has."""
    return extent.batch_size * math.prod(data.inputs.shape[1:])


def num_batches(size: Any, batch_size: int) -> Any:
    """Steps an epoch over ``size`` examples, the last one possibly short."""
    return (size + batch_size - 1) // batch_size


def train_locally(
    local: Local,
    training: LocalTraining,
    extent: Extent,
    key: Key,
    data: FederatedData,
    place: Int[Array, ""],
    size: Int[Array, ""],
    batches: Batches,
) -> tuple[Carry, Float[Array, ""]]:
    """Takes one client through its epochs (ClientUpdate of McMahan et al. 2017).

    Steps that every client of a chunk takes are not masked, later ones are: a client that has
    finished keeps its carry. Padding of a batch repeats the client's own first example, so that
    nothing of another client, finite or not, can enter.

    Args:
      local: what the client does.
      training: epochs and augmentation.
      extent: of all clients.
      key: the client's own for this round.
      data: holds its examples.
      place: its number in ``data``.
      size: how many examples it holds.
      batches: steps an epoch. Where the size is 0 the carry means nothing after a step.

    Returns:
      The carry, and the sum of the losses of all examples as they were met.
    """
    offset = data.offsets[place]
    places = jnp.arange(extent.batch_size)
    augment, extra = training.augment, ()
    if augment.needs_all:
        own = jnp.arange(extent.padded)
        extra = augment.prepare(take(data, offset + jnp.where(own < size, own, 0), own < size))

    def epoch(number: Int[Array, ""], start: tuple) -> tuple:
        epoch_key = jax.random.fold_in(key, number)
        step_keys = jax.random.fold_in(epoch_key, 1)
        order = shuffle(epoch_key, size, extent.padded)
        drawn = augment.draw(epoch_key, size, extent.padded)

        # Traced once, for both loops.
        @functools.partial(jax.jit, inline=True)
        def step(number: Int[Array, ""], state: tuple) -> tuple:
            carry, loss_sum = state
            begin = number * extent.batch_size
            mask = begin + places < size
            own = jax.lax.dynamic_slice(order, (begin,), (extent.batch_size,))
            batch = take(data, offset + jnp.where(mask, own, 0), mask)
            batch = augment.apply(extra, entries_of(drawn, begin, extent.batch_size), batch)
            carry, loss = local.step(jax.random.fold_in(step_keys, number), carry, batch)
            return carry, loss_sum + loss

        def masked(number: Int[Array, ""], state: tuple) -> tuple:
            active = number * extent.batch_size < size
            return select(active, step(number, state), state)

        state = jax.lax.fori_loop(0, batches.all, step, start)
        if extent.even:
            return state
        return jax.lax.fori_loop(batches.all, batches.most, masked, state)

    return jax.lax.fori_loop(0, training.epochs, epoch, (local.carry, jnp.zeros(())))


def select(condition: Array, new: Carry, old: Carry) -> Carry:
    """One tree or the other; keys included, and nothing of the one not chosen."""
    return jax.tree.map(lambda one, other: jnp.where(condition, one, other), new, old)
