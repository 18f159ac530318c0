"""Cohorts drawn at random, on the device."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from pride_jax.privacy.sampler import RANK_BITS
from pride_jax.types import Cohort, Key


def everyone(num_clients: int) -> Cohort:
    """All clients."""
    return Cohort(jnp.arange(num_clients), jnp.ones(num_clients, bool))


def without_replacement(key: Key, num_clients: int, size: int) -> Cohort:
    """``size`` clients uniformly at random, without replacement: exactly, if the key's bits are.

    They are drawn with replacement, repeats left out, until they are enough: the time grows with
    the cohort and not with the clients, a million of which take as long as a thousand.
    """

    class Draw(NamedTuple):
        number: Int[Array, ""]
        found: Int[Array, ""]
        ids: Int[Array, "size"]

    # Of 2^32 words as many stand for each client; the rest stand for nobody.
    words = np.uint32(min(2**32 // num_clients, 2**32 - 1))

    def again(draw: Draw) -> Draw:
        bits = jax.random.bits(jax.random.fold_in(key, draw.number), (size,), jnp.uint32)
        new = jnp.minimum(bits // words, num_clients).astype(jnp.int32)
        ids = jnp.concatenate([draw.ids, new])
        fresh = _first_of_each(ids) & (ids < num_clients)
        places = jnp.where(fresh, jnp.cumsum(fresh) - 1, size)
        kept = jnp.full(size, num_clients).at[places].set(ids, mode="drop")
        return Draw(draw.number + 1, jnp.sum(fresh), kept)

    nobody = Draw(jnp.int32(0), jnp.int32(0), jnp.full(size, num_clients))
    found = jax.lax.while_loop(lambda draw: draw.found < size, again, nobody)
    return Cohort(found.ids, jnp.ones(size, bool))


def poisson(
    key: Key,
    round_: int | Int[Array, ""],
    members: int,
    threshold: int,
    capacity: int,
    groups: int,
) -> Cohort:
    """Each of a group's members with the same probability, at most ``capacity`` of them.

    A member's rank is of 96 bits, of which the first 32 say whether it is drawn. Of more than the
    capacity those of the lowest ranks take part, a uniform choice if no two of the drawn are equal.
    Ranks are completed and sorted in such rounds alone: they take far longer than others.

    Args:
      key: of this draw.
      round_: whose turn it is: that of the clients ``round_ mod groups``, ``… + groups``, ….
      members: of a group.
      threshold: of 2^32 words as many draw a member, at least 1.
      capacity: slots of the cohort; of more, as many are chosen uniformly.
      groups: that take turns.
    """
    first_key, more_key = jax.random.split(key)
    first = jax.random.bits(first_key, (members,), jnp.uint32)
    drawn = first <= np.uint32(threshold - 1)
    count = jnp.sum(drawn, dtype=jnp.int32)

    def all_drawn() -> Int[Array, "capacity"]:
        return jnp.nonzero(drawn, size=capacity, fill_value=0)[0].astype(jnp.int32)

    def lowest_ranks() -> Int[Array, "capacity"]:
        more = jax.random.bits(more_key, (RANK_BITS // 32 - 1, members), jnp.uint32)
        ids = jnp.arange(members, dtype=jnp.int32)
        *_, order = jax.lax.sort((first, *more, ids), num_keys=RANK_BITS // 32)
        return order[:capacity]

    chosen = jax.lax.cond(count > capacity, lowest_ranks, all_drawn)
    return Cohort(round_ % groups + groups * chosen, jnp.arange(capacity) < count)


def _first_of_each(values: Int[Array, "values"]) -> Bool[Array, "values"]:
    """Which entries have no equal one before them."""
    order = jnp.argsort(values, stable=True)
    ordered = values[order]
    changes = jnp.concatenate([jnp.ones(1, bool), ordered[1:] != ordered[:-1]])
    return jnp.zeros(values.shape, bool).at[order].set(changes)
