"""Who takes part in a round."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from pride_jax.errors import ConfigError
from pride_jax.privacy.plan import PrivacyPlan
from pride_jax.types import Cohort, Key

Sampler = Callable[[Key, Int[Array, ""]], Cohort]
"""A round's sampling key, the round -> its cohort, in a shape that depends on neither."""


def sampler_of(plan: PrivacyPlan) -> Sampler:
    """The sampler that the plan's accountant accounts for."""
    match plan.sampling:
        case "full":
            return full(plan.num_clients)
        case "fixed_size":
            return fixed_size(plan.num_clients, plan.slots)
        case "truncated_poisson":
            return truncated_poisson(plan.num_clients, plan.rate, plan.slots)
        case "cyclic_poisson":
            return cyclic_poisson(plan.num_clients, plan.rate, plan.slots, plan.groups)


def full(num_clients: int) -> Sampler:
    """Every client in every round."""
    everyone = Cohort(jnp.arange(num_clients), jnp.ones(num_clients, bool))

    def sample(key: Key, round_: Int[Array, ""]) -> Cohort:
        del key, round_
        return everyone

    return sample


def fixed_size(num_clients: int, size: int) -> Sampler:
    """``size`` clients uniformly at random, without replacement.

    They are drawn with replacement, repeats left out, until they are enough: the time grows with
    the cohort and not with the clients, a million of which take as long as a thousand.

    Raises:
      ConfigError: ``size`` is not within 1 … ``num_clients``.
    """
    if not 1 <= size <= num_clients:
        raise ConfigError(
            f"Expected a cohort of 1 to {num_clients} clients, got {size}: change the cohort size"
        )

    class Draw(NamedTuple):
        number: Int[Array, ""]
        found: Int[Array, ""]
        ids: Int[Array, "size"]

    def sample(key: Key, round_: Int[Array, ""]) -> Cohort:
        del round_

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

    return sample


def _first_of_each(values: Int[Array, "values"]) -> Bool[Array, "values"]:
    """Which entries have no equal one before them."""
    order = jnp.argsort(values, stable=True)
    ordered = values[order]
    changes = jnp.concatenate([jnp.ones(1, bool), ordered[1:] != ordered[:-1]])
    return jnp.zeros(values.shape, bool).at[order].set(changes)


def truncated_poisson(num_clients: int, rate: float, capacity: int) -> Sampler:
    """Each client with probability ``rate``, apart from the others; at most ``capacity`` of them.

    Of more, as many are chosen uniformly. A static shape needs the bound; the accountant knows it
    (``TruncatedSubsampledGaussianDpEvent`` of dp-accounting).

    Args:
      num_clients: of all.
      rate: in 0 … 1; rounded down to a multiple of 2^-32.
      capacity: slots of the cohort.

    Raises:
      ConfigError: the rate or the capacity is impossible.
    """
    return cyclic_poisson(num_clients, rate, capacity, groups=1)


def cyclic_poisson(num_clients: int, rate: float, capacity: int, groups: int) -> Sampler:
    """Truncated Poisson sampling from one group of clients a round, the groups in turn.

    Client ``i`` is in group ``i mod groups``, so that it takes part at most once in ``groups``
    rounds, as banded noise needs (Choquette-Choo et al. 2023, Algorithm 2).

    Args:
      num_clients: of all; a multiple of ``groups``.
      rate: expected cohort over all clients; a client's own is ``groups`` times that in its
        group's rounds.
      capacity: slots of the cohort.
      groups: that take turns.

    Raises:
      ConfigError: the rate, the capacity or the number of groups is impossible.
    """
    if groups < 1 or num_clients % groups:
        raise ConfigError(
            f"groups={groups}: expected a divisor of the {num_clients} clients, so that all "
            "groups are as large"
        )
    members = num_clients // groups
    if not 0 < rate * groups <= 1:
        raise ConfigError(
            f"rate={rate}: expected more than 0 and at most 1/{groups}, the share of a group"
        )
    if not 1 <= capacity <= members:
        raise ConfigError(f"capacity={capacity}: expected 1 to the {members} clients of a group")
    threshold = jnp.uint32(min(int(rate * groups * 2**32), 2**32 - 1))

    def sample(key: Key, round_: Int[Array, ""]) -> Cohort:
        draws = jax.random.bits(key, (members,), jnp.uint32)
        # The smallest draws of those below the threshold are a uniform choice among them.
        chosen = jnp.argsort(draws)[:capacity]
        ids = round_ % groups + groups * chosen
        return Cohort(ids.astype(jnp.int32), draws[chosen] < threshold)

    return sample
