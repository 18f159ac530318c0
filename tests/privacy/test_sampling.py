"""Cohorts: sizes, distinctness, and the frequencies that accounting relies on."""

import jax
import numpy as np
import pytest

from pride_jax.errors import ConfigError
from pride_jax.privacy.plan import PrivacyPlan
from pride_jax.privacy.sampling import (
    cyclic_poisson,
    fixed_size,
    full,
    sampler_of,
    truncated_poisson,
)


def test_full_participation_is_everyone():
    cohort = full(5)(jax.random.key(0), 0)
    np.testing.assert_array_equal(cohort.ids, np.arange(5))
    assert cohort.mask.all()


def test_fixed_size_cohorts_are_distinct_clients_and_every_pair_is_as_likely():
    clients, size, draws = 6, 3, 6000
    keys = jax.random.split(jax.random.key(1), draws)
    ids = np.asarray(jax.vmap(fixed_size(clients, size), in_axes=(0, None))(keys, 0).ids)
    assert all(len(set(row)) == size for row in ids.tolist())
    present = np.zeros((draws, clients))
    np.put_along_axis(present, ids, 1.0, axis=1)
    together = present.T @ present / draws
    pairs = together[np.triu_indices(clients, 1)]
    expected = size * (size - 1) / (clients * (clients - 1))
    assert np.abs(pairs - expected).max() < 5 * np.sqrt(expected * (1 - expected) / draws)
    np.testing.assert_allclose(np.diag(together), size / clients, atol=0.035)


@pytest.mark.parametrize("size", [0, 7])
def test_impossible_sizes_are_refused(size):
    with pytest.raises(ConfigError, match=f"1 to 6 clients, got {size}"):
        fixed_size(6, size)


def draws(sampler, count, rounds=0):
    """Which clients take part, a row a draw."""
    keys = jax.random.split(jax.random.key(2), count)
    cohorts = jax.jit(jax.vmap(sampler, in_axes=(0, 0)))(keys, np.full(count, rounds, np.int32))
    ids, mask = np.asarray(cohorts.ids), np.asarray(cohorts.mask)
    assert all(len(set(row[here])) == here.sum() for row, here in zip(ids, mask, strict=True))
    present = np.zeros((count, 64))
    np.put_along_axis(present, ids, mask, axis=1)
    return present


def test_poisson_sampling_takes_each_client_by_itself():
    clients, rate, count = 12, 0.3, 8000
    present = draws(truncated_poisson(clients, rate, clients), count)[:, :clients]
    noise = 5 * np.sqrt(rate * (1 - rate) / count)
    assert np.abs(present.mean(axis=0) - rate).max() < noise
    covariance = np.cov(present.T) - np.diag(np.full(clients, rate * (1 - rate)))
    assert np.abs(covariance).max() < noise
    sizes = present.sum(axis=1)
    assert sizes.var() == pytest.approx(clients * rate * (1 - rate), rel=0.1)


def test_truncation_keeps_a_uniform_choice_of_those_drawn():
    clients, rate, capacity, count = 8, 0.5, 3, 8000
    present = draws(truncated_poisson(clients, rate, capacity), count)[:, :clients]
    sizes = present.sum(axis=1)
    assert sizes.max() == capacity
    expected = np.minimum(np.random.default_rng(0).binomial(clients, rate, 10**6), capacity)
    for size in range(capacity + 1):
        assert (sizes == size).mean() == pytest.approx((expected == size).mean(), abs=0.03)
    shares = present.mean(axis=0)
    assert np.abs(shares - expected.mean() / clients).max() < 5 * np.sqrt(0.25 / count)


@pytest.mark.parametrize("round_", [0, 1, 5])
def test_cyclic_sampling_draws_from_the_group_whose_turn_it_is(round_):
    present = draws(cyclic_poisson(12, 0.2, 4, groups=3), 4000, round_)[:, :12]
    turn = np.arange(12) % 3 == round_ % 3
    assert not present[:, ~turn].any()
    assert np.abs(present[:, turn].mean(axis=0) - 0.6).max() < 5 * np.sqrt(0.24 / 4000)


def test_everybody_at_rate_one():
    assert draws(truncated_poisson(6, 1.0, 6), 100)[:, :6].all()


def test_the_plan_draws_its_own_cohorts():
    common = {"num_clients": 20, "rounds": 4, "delta": 1e-3, "sampling_rate": 0.25}
    poisson = sampler_of(PrivacyPlan(**common, capacity=9))
    assert jax.eval_shape(poisson, jax.random.key(0), 0).ids.shape == (9,)
    assert draws(poisson, 4000).sum(axis=1).mean() == pytest.approx(5, abs=0.2)
    fixed = sampler_of(PrivacyPlan(**common, sampling="fixed_size"))
    assert (draws(fixed, 100).sum(axis=1) == 5).all()
    everyone = sampler_of(PrivacyPlan(num_clients=20, rounds=4, delta=1e-3, sampling="full"))
    assert (draws(everyone, 10).sum(axis=1) == 20).all()
    turns = PrivacyPlan(
        **common, sampling="cyclic_poisson", mechanism="banded", band=2, groups=2, capacity=10
    )
    assert not draws(sampler_of(turns), 100, rounds=1)[:, 0::2].any()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((10, 0.0, 5, 1), "rate=0.0"),
        ((10, 0.6, 5, 2), "at most 1/2"),
        ((10, 0.1, 0, 1), "capacity=0: expected 1 to the 10"),
        ((10, 0.1, 6, 2), "the 5 clients of a group"),
        ((10, 0.1, 3, 3), "groups=3: expected a divisor of the 10"),
    ],
)
def test_impossible_poisson_sampling_is_refused(arguments, reason):
    with pytest.raises(ConfigError, match=reason):
        cyclic_poisson(*arguments)
