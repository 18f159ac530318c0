"""Cohorts drawn at random, on the device."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from pride_jax.types import Cohort, Key


def everyone(num_clients: int) -> Cohort:
    """All clients."""
    return Cohort(jnp.arange(num_clients), jnp.ones(num_clients, bool))


def without_replacement(key: Key, num_clients: int, size: int) -> Cohort:
    """``size`` clients uniformly at random, without replacement.

    They are drawn with replacement, repeats left out, until they are enough: the time grows with
    the cohort and not with the clients, a million of which take as long as a thousand.
    """

    class Draw(NamedTuple):
        number: Int[Array, ""]
        found: Int[Array, ""]
        ids: Int[Array, "size"]

    def again(draw: Draw) -> Draw:
        new = jax.random.randint(jax.random.fold_in(key, draw.number), (size,), 0, num_clients)
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
    rate: float,
    capacity: int,
    groups: int,
) -> Cohort:
    """Each of a group's members with the same probability, at most ``capacity`` of them.

    Args:
      key: of this draw.
      round_: whose turn it is: that of the clients ``round_ mod groups``, ``… + groups``, ….
      members: of a group.
      rate: of a member, in 0 … 1; rounded down to a multiple of 2^-32.
      capacity: slots of the cohort; of more, as many are chosen uniformly.
      groups: that take turns.
    """
    threshold = jnp.uint32(min(int(rate * 2**32), 2**32 - 1))
    bits = jax.random.bits(key, (members,), jnp.uint32)
    # The smallest draws of those below the threshold are a uniform choice among them.
    chosen = jnp.argsort(bits)[:capacity]
    ids = round_ % groups + groups * chosen
    return Cohort(ids.astype(jnp.int32), bits[chosen] < threshold)


def _first_of_each(values: Int[Array, "values"]) -> Bool[Array, "values"]:
    """Which entries have no equal one before them."""
    order = jnp.argsort(values, stable=True)
    ordered = values[order]
    changes = jnp.concatenate([jnp.ones(1, bool), ordered[1:] != ordered[:-1]])
    return jnp.zeros(values.shape, bool).at[order].set(changes)
