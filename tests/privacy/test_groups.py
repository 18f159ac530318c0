"""What holds for a client does not hold for an example that many clients hold; a group's ε does."""

import math
from dataclasses import replace

import numpy as np
import pytest
from dp_accounting.pld import privacy_loss_distribution as pld
from scipy.stats import binom, norm

from pride_jax.privacy.accounting import epsilon
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.groups import group_epsilon
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.sampling import full, truncated_poisson

FULL = Plan(sampler=full(100), clipping=Flat(1.0), mechanism=Gaussian(12.0), rounds=20, delta=1e-4)
POISSON = replace(FULL, sampler=truncated_poisson(1000, 0.1), mechanism=Gaussian(8.0))


@pytest.mark.parametrize("plan", [FULL, POISSON], ids=["full", "poisson"])
def test_a_group_of_one_is_a_client_and_nothing_released_costs_nothing(plan):
    assert group_epsilon(plan, 1) == epsilon(plan)
    assert group_epsilon(plan, 1, 5) == epsilon(plan, 5)
    assert group_epsilon(plan, 7, 0) == 0


@pytest.mark.parametrize("group", [2, 5, 10])
def test_it_is_no_less_than_the_exact_epsilon_of_a_group_in_every_round(group):
    exact = epsilon(replace(FULL, mechanism=Gaussian(12.0 / group)))
    assert exact <= group_epsilon(FULL, group) <= 1.7 * exact


@pytest.mark.parametrize("group", [2, 6])
def test_it_is_no_less_than_that_of_a_group_whose_members_are_drawn_apart(group):
    """Each round's sum moves by as many norms as members are drawn: a mixture of Gaussians."""
    shares = binom.pmf(np.arange(group + 1), group, 0.1)
    exact = (
        pld.from_mixture_gaussian_mechanism(
            8.0, np.arange(group + 1), shares, value_discretization_interval=1e-3
        )
        .self_compose(20)
        .get_epsilon_for_delta(POISSON.delta)
    )
    assert 0.999 * exact <= group_epsilon(POISSON, group) <= 1.7 * exact


def gained(plan, group, claimed):
    """The most by which a test of the group's presence beats ε: δ, at its best threshold."""
    apart = group * math.sqrt(plan.rounds) / plan.mechanism.noise_multiplier
    threshold = apart / 2 + claimed / apart
    return norm.sf(threshold - apart) - math.exp(claimed) * norm.sf(threshold)


def test_who_looks_for_one_digit_finds_it_ten_times_over():
    """Ten clients hold a digit, or none does; the adversary adds up what all rounds released."""
    claimed = epsilon(FULL)
    assert gained(FULL, 1, claimed) == pytest.approx(FULL.delta, rel=1e-3)
    assert gained(FULL, 10, claimed) > 1000 * FULL.delta
    assert gained(FULL, 10, group_epsilon(FULL, 10)) <= FULL.delta


def test_where_no_epsilon_is_left_it_says_so():
    assert group_epsilon(replace(FULL, mechanism=Gaussian(1.0)), 100) == math.inf
    assert group_epsilon(replace(FULL, mechanism=Gaussian(0.0)), 1) == math.inf
