"""Discrete Gaussian shares: their distribution, what sums of them cost, and who may be missing."""

import functools
import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp, ndtri_exp

from pride_jax.errors import ConfigError
from pride_jax.privacy.accounting import calibrate, epsilon, profile
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.discrete_dominance import gaussian_variance, variation_of
from pride_jax.privacy.mechanisms.discrete_gaussian import DiscreteGaussian
from pride_jax.privacy.mechanisms.discrete_gaussian_noise import (
    LARGEST_VARIANCE,
    discrete_gaussian,
    tail_bound,
)
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.sampling import full, truncated_poisson
from pride_jax.privacy.values import Floats, Integers

DRAWS = 200_000


def fixed(seed):
    return np.random.default_rng(seed).bytes


@functools.cache
def log_masses(share, clients):
    """Of a sum of so many discrete Gaussians, from 0 on: added up one by one, in logarithms."""
    far = math.ceil(14 * math.sqrt(share * clients)) + 20
    line = np.arange(-far, far + 1)
    one = -(line**2) / (2 * share)
    one = total = one - logsumexp(one)
    for _ in range(clients - 1):
        shifted = [total[max(0, k) : len(line) + min(0, k)] for k in line]
        total = np.array(
            [
                logsumexp(part + one[::-1][max(0, -k) : len(line) + min(0, -k)])
                for k, part in zip(line, shifted, strict=True)
            ]
        )
    return total[far:]


@pytest.mark.parametrize("variance", [0.3, 2.0, 40.0])
def test_frequencies_are_those_of_the_distribution_and_of_no_other_scale(variance):
    values = discrete_gaussian(fixed(1), variance, DRAWS)
    numbers = np.arange(-60, 61)
    counts = np.array([(values == number).sum() for number in numbers])

    def fits(parameter):
        weights = np.exp(-(numbers**2) / (2 * parameter))
        expected = DRAWS * weights / weights.sum()
        often = expected > 10
        distance = np.sum((counts - expected)[often] ** 2 / expected[often])
        return abs(distance - often.sum()) < 5 * math.sqrt(2 * often.sum())

    assert fits(variance)
    assert not fits(1.05 * variance) and not fits(variance / 1.05)


@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan, math.inf, LARGEST_VARIANCE * 1.01])
def test_variances_without_thresholds_are_refused(variance):
    with pytest.raises(ConfigError, match="variance="):
        discrete_gaussian(fixed(0), variance, 3)


@pytest.mark.parametrize(("share", "clients"), [(0.5, 6), (3.0, 4)])
def test_the_tail_bound_holds(share, clients):
    masses = np.exp(log_masses(share, clients))
    for distance in (1, 4, 9, 15):
        exact = 2 * masses[distance:].sum()
        assert exact <= tail_bound(share * clients, distance)


SUMS = [(4.0, 1), (40.0, 1), (2.0, 2), (1.0, 12), (2.0, 12), (0.7, 9)]


@pytest.mark.parametrize(("share", "clients"), [*SUMS, (0.5, 9), (0.8, 2)])
def test_a_sum_is_as_far_from_a_discrete_gaussian_as_is_claimed(share, clients):
    log = log_masses(share, clients)
    k = np.arange(int(8 * math.sqrt(share * clients)))
    varies = log[k] + k**2 / (2 * share * clients)
    assert np.ptp(varies) <= variation_of(share, clients) + 1e-11
    if clients == 2:
        assert np.ptp(varies) == pytest.approx(variation_of(share, clients), rel=0.01, abs=1e-11)


@pytest.mark.parametrize(("share", "clients"), [(1.0, 12), (0.7, 9), (0.8, 2), (2.0, 12)])
def test_a_sums_distance_from_a_discrete_gaussian_is_charged_where_cohorts_are_secret(
    share, clients
):
    """Who reads the number of shares off the noise would tell who came."""
    masses = np.exp(log_masses(share, clients))
    weights = np.exp(-(np.arange(len(masses)) ** 2) / (2 * share * clients))
    total = weights / (2 * weights.sum() - 1)
    apart = abs(masses - total)
    assert apart.sum() - apart[0] / 2 <= math.expm1(variation_of(share, clients)) / 2 + 1e-12


def test_shares_that_tell_how_many_were_called_have_no_amplified_epsilon():
    narrow = DiscreteGaussian(2.0, Integers(1000, 2))
    secret = plan_of(narrow, 2000, sampler=truncated_poisson(2000, 0.5))
    share = narrow.total_variance(secret.sampler) / secret.sampler.slots
    charged = 1000 * math.expm1(variation_of(share, secret.sampler.slots)) / 2
    assert 1e-4 < charged <= narrow.distance(secret.setting)
    assert math.isinf(epsilon(secret))
    assert narrow.distance(plan_of(narrow, 2000).setting) < 1e-20
    wide = replace(secret, mechanism=DiscreteGaussian(3.0, Integers(1000, 6)))
    assert wide.mechanism.distance(wide.setting) < 1e-20
    assert epsilon(wide) < 1


def largest_step(log):
    """The largest h(m + 1) − h(m), of which `discrete_dominance` has the bound."""
    tails = np.logaddexp.accumulate(log[::-1])[::-1]
    scores = -ndtri_exp(tails[1:-2] - np.logaddexp(tails[0], tails[1]))
    return max(2 * scores[0], np.diff(scores).max())


@pytest.mark.parametrize(("share", "clients"), SUMS)
def test_steps_of_normal_scores_are_those_of_the_gaussian_that_costs_no_less(share, clients):
    variance = gaussian_variance(share * clients, share, clients)
    step = largest_step(log_masses(share, clients))
    assert step <= 1 / math.sqrt(variance)
    # Without what the proof takes off, noise would be claimed that is not there.
    assert step > 1 / math.sqrt(share * clients)


def test_what_a_sum_of_small_shares_lacks_is_seen_in_its_steps():
    """As if a sum of shares were discrete Gaussian, which that of few narrow ones is not."""
    share, clients = 0.25, 16
    assert largest_step(log_masses(share, clients)) > 1 / math.sqrt(share * clients - 1 / 6)
    assert gaussian_variance(share * clients, share, clients) == 0


@pytest.mark.parametrize("clients", [1, 2, 63, 64, 65, 66, 500])
def test_variations_that_are_not_added_up_one_by_one_are_bounded(clients):
    share = 0.8
    first = [math.exp(-2 * math.pi**2 * share * k / (k + 1)) for k in range(1, clients)]
    # Kairouz, Liu & Steinke 2021 have 10 times this.
    assert 4 * sum(first) * (1 - 1e-9) <= variation_of(share, clients) <= 10 * sum(first)


def plan_of(mechanism, clients=12, **changes):
    rest = {"sampler": full(clients), "clipping": Flat(1.0), "rounds": 1, "delta": 1e-3}
    return Plan(mechanism=mechanism, **(rest | changes))


SMALL = Integers(2, 3)
"""Of squared norm at most 13: 3 and 2 in two values, or less in one."""


@pytest.mark.parametrize("shift", [(3, 2), (2, 3), (3, 0), (-3, 2), (0, 1)])
@pytest.mark.parametrize("noise", [1.0, 2.0])
def test_delta_is_no_less_than_that_of_every_shift_by_brute_force(shift, noise):
    mechanism = DiscreteGaussian(noise, SMALL, dropouts=1, colluders=1)
    plan = plan_of(mechanism, 6)
    # The four who neither drop out nor tell have shares of everybody's variance.
    share = mechanism.total_variance(plan.sampler) / 6
    assert 4 * share == pytest.approx(mechanism.noise_variance)
    half = log_masses(share, 4)
    log = np.concatenate([half[:0:-1], half])
    far = len(half) - 1
    inner = np.arange(far // 2, len(log) - far // 2)
    one, other = (
        log[inner - shift[0]][:, None] + log[inner - shift[1]][None],
        log[inner][:, None] + log[inner][None],
    )
    assert sum(k**2 for k in shift) <= SMALL.max_squared_norm
    stated = profile(plan)
    for asked in (0.1, 0.5, 1.0, 2.0):
        exact = np.sum(np.maximum(np.exp(one) - np.exp(asked + other), 0))
        assert exact <= stated.delta(asked) * (1 + 1e-9)
        if shift in ((3, 2), (2, 3), (-3, 2)):
            assert stated.delta(asked) <= 1.2 * exact + 1e-3


def test_it_costs_what_gaussian_noise_costs_and_no_more_than_skellam_noise():
    values = Integers(100, 8)
    for sampler in (full(1000), truncated_poisson(1000, 0.1)):
        of = {
            kind: epsilon(plan_of(kind(2.0, given), sampler=sampler, rounds=10, delta=1e-5))
            for kind, given in (
                (DiscreteGaussian, values),
                (Skellam, values),
                (Gaussian, Floats()),
            )
        }
        assert of[Gaussian] <= of[DiscreteGaussian] * (1 + 1e-6)
        assert of[DiscreteGaussian] <= of[Skellam] < 1.001 * of[Gaussian]


def concentrated(mechanism, sampler):
    """ε² of the concentrated differential privacy of Kairouz, Liu & Steinke 2021, theorem 1."""
    honest = sampler.num_clients - mechanism.colluders - mechanism.dropouts
    share = mechanism.noise_variance / honest
    tau = 10 * sum(math.exp(-2 * math.pi**2 * share * k / (k + 1)) for k in range(1, honest))
    dimension, squared = mechanism.values.dimension, mechanism.values.max_squared_norm
    one = math.sqrt(squared / mechanism.noise_variance + tau * dimension / 2)
    other = math.sqrt(squared / mechanism.noise_variance) + tau * math.sqrt(dimension)
    return min(one, other) ** 2


@pytest.mark.parametrize("noise", [1.0, 4.0])
def test_it_costs_no_more_than_the_paper_has_it_but_for_a_twelfth_of_variance(noise):
    mechanism = DiscreteGaussian(noise, Integers(200, 4), colluders=2)
    plan = plan_of(mechanism, 50)
    variance = mechanism.noise_variance
    ours = plan.mechanism.gaussian_move(plan.setting, 1) ** 2
    assert ours <= concentrated(mechanism, plan.sampler) * variance / (variance - 1 / 6)
    assert ours >= mechanism.values.max_squared_norm / variance


def test_noise_is_that_of_those_who_neither_drop_out_nor_tell():
    values = Integers(2000, 8)
    plan = plan_of(DiscreteGaussian(2.0, values, dropouts=3, colluders=2), 12)
    alone = replace(plan, mechanism=DiscreteGaussian(2.0, values))
    honest = 12 - 3 - 2
    total = plan.mechanism.total_variance(plan.sampler)
    assert total * honest / 12 == pytest.approx(plan.mechanism.noise_variance)
    shares = np.concatenate(
        [plan.shares(fixed(seed)).draw(12, honest) for seed in range(5)], axis=1
    )
    spread = shares.sum(axis=0).astype(float).var() / plan.mechanism.noise_variance
    assert abs(spread - 1) < 5 * math.sqrt(2 / shares.shape[1])
    # Sized for everybody, the shares of seven are too little.
    assert alone.mechanism.total_variance(plan.sampler) * honest / 12 < 0.6 * total


def test_noise_too_little_to_be_accounted_has_no_epsilon():
    narrow = plan_of(DiscreteGaussian(1.0, SMALL), 100)
    assert math.isinf(epsilon(narrow))
    assert math.isinf(epsilon(replace(narrow, sampler=truncated_poisson(100, 0.5))))
    wide = calibrate(
        lambda noise: DiscreteGaussian(noise, SMALL),
        8.0,
        sampler=full(100),
        clipping=Flat(1.0),
        rounds=1,
        delta=1e-3,
    )
    share = wide.mechanism.total_variance(wide.sampler) / 100
    assert 0 < variation_of(share, 100) <= 0.05
    assert epsilon(wide) <= 8.0


def test_plans_of_it_are_read_back_and_refused_as_those_of_skellam_are():
    plan = plan_of(DiscreteGaussian(2.0, Integers(4, 8), dropouts=1, colluders=1))
    assert Plan.from_dict(plan.to_dict()) == plan
    for kind, missing in itertools.product((DiscreteGaussian, Skellam), ((11, 1), (0, 12))):
        dropouts, colluders = missing
        with pytest.raises(ConfigError, match="someone must add noise"):
            plan_of(kind(2.0, Integers(4, 8), dropouts=dropouts, colluders=colluders))
