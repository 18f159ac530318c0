"""Who takes part in a round."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from pride_jax.errors import ConfigError
from pride_jax.types import Cohort, Key

Sampler = Callable[[Key], Cohort]
"""A round's sampling key -> its cohort, in a shape that does not depend on the key."""


def full(num_clients: int) -> Sampler:
    """Every client in every round."""
    everyone = Cohort(jnp.arange(num_clients), jnp.ones(num_clients, bool))

    def sample(key: Key) -> Cohort:
        del key
        return everyone

    return sample


def fixed_size(num_clients: int, size: int) -> Sampler:
    """``size`` clients uniformly at random, without replacement.

    Raises:
      ConfigError: ``size`` is not within 1 … ``num_clients``.
    """
    if not 1 <= size <= num_clients:
        raise ConfigError(
            f"Expected a cohort of 1 to {num_clients} clients, got {size}: change the cohort size"
        )

    def sample(key: Key) -> Cohort:
        chosen = jax.random.permutation(key, num_clients)[:size]
        return Cohort(chosen, jnp.ones(size, bool))

    return sample
