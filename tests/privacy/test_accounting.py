"""ε is the sampler's own: published values, exact divergences, and bounds that hold."""

import itertools
import math
import time
from dataclasses import replace

import dp_accounting
import numpy as np
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant
from scipy.linalg import toeplitz
from scipy.special import ive, logsumexp
from scipy.stats import binom, norm

from pride_jax.errors import ConfigError
from pride_jax.privacy.accounting import (
    calibrate,
    epsilon,
    epsilon_known_cohort,
    rounds_within,
)
from pride_jax.privacy.amplification import subsampled_divergences, truncated_divergences
from pride_jax.privacy.clipping import Adaptive, Flat
from pride_jax.privacy.mechanisms.banded import Banded
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.skellam import Skellam, skellam_divergences
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.sampling import cyclic_poisson, fixed_size, full, truncated_poisson
from pride_jax.privacy.values import Floats, Integers

ZERO_OUT = dp_accounting.NeighboringRelation.REPLACE_SPECIAL
REPLACE_ONE = dp_accounting.NeighboringRelation.REPLACE_ONE

POISSON = Plan(
    sampler=truncated_poisson(1000, 0.1),
    clipping=Flat(1.0),
    mechanism=Gaussian(2.0),
    rounds=100,
    delta=1e-5,
)
FULL = Plan(sampler=full(100), clipping=Flat(1.0), mechanism=Gaussian(5.0), rounds=20, delta=1e-3)
INTEGERS = Integers(26_000, 16)


def with_noise(plan, noise_multiplier):
    return replace(plan, mechanism=plan.mechanism.with_noise(noise_multiplier))


def calibrated(plan, target):
    return calibrate(
        plan.mechanism.with_noise,
        target,
        sampler=plan.sampler,
        clipping=plan.clipping,
        rounds=plan.rounds,
        delta=plan.delta,
    )


CASES = {
    "full": FULL,
    "adaptive": replace(FULL, clipping=Adaptive(1.0)),
    "truncated": POISSON,
    "fixed size": replace(POISSON, sampler=fixed_size(1000, 100), mechanism=Gaussian(4.0)),
    "skellam": replace(FULL, mechanism=Skellam(5.0, INTEGERS)),
    "truncated skellam": replace(POISSON, mechanism=Skellam(2.0, INTEGERS)),
    "banded": replace(FULL, mechanism=Banded(5.0, band=4)),
    "cyclic": replace(
        POISSON, mechanism=Banded(2.0, band=4), sampler=cyclic_poisson(1000, 0.1, groups=5)
    ),
}
every_mechanism = pytest.mark.parametrize("plan", CASES.values(), ids=CASES)


# Published and analytic values.


@pytest.mark.parametrize(
    ("clients", "cohort", "rounds", "delta", "capacity", "expected"),
    [
        (1000, 100, 100, 1e-3, None, 4.784),
        (10_000, 300, 400, 1e-6, None, 4.431),
        (10_000, 300, 400, 1e-6, 390, 4.432),
        # Poisson's own, to which truncation adds nothing (Wang et al. 2019's settings by PLD).
        (100_000, 1000, 1000, 1e-5, None, 1.828),
        (20_000, 1000, 200, 1e-4, None, 3.999),
    ],
)
def test_truncated_poisson_costs_what_was_measured(
    clients, cohort, rounds, delta, capacity, expected
):
    plan = replace(
        POISSON,
        sampler=truncated_poisson(clients, cohort / clients, capacity),
        mechanism=Gaussian(1.0),
        rounds=rounds,
        delta=delta,
    )
    assert epsilon(plan) == pytest.approx(expected, rel=6e-4)


@pytest.mark.parametrize(
    ("clients", "cohort", "rounds", "delta", "capacity", "library", "shown", "least"),
    [
        (1000, 100, 100, 1e-3, 130, 4.932, 4.825, 4.810),
        (1000, 100, 100, 1e-3, 110, 11.03, 7.746, 6.719),
        (10_000, 300, 400, 1e-6, 330, 10.21, 9.173, 7.383),
    ],
)
def test_rounds_that_may_not_fit_cost_less_than_the_library_says(
    clients, cohort, rounds, delta, capacity, library, shown, least
):
    plan = replace(
        POISSON,
        sampler=truncated_poisson(clients, cohort / clients, capacity),
        mechanism=Gaussian(1.0),
        rounds=rounds,
        delta=delta,
    )
    event = dp_accounting.TruncatedSubsampledGaussianDpEvent(
        clients, cohort / clients, capacity, 1.0
    )
    assert PLDAccountant(ZERO_OUT, 1e-3).compose(event, rounds).get_epsilon(delta) == (
        pytest.approx(library, rel=6e-4)
    )
    assert epsilon(plan) == pytest.approx(least, rel=1e-3)
    # Of clients with state less is known.
    assert epsilon(replace(plan, client_state=True)) == pytest.approx(shown, rel=1e-3)


def test_truncated_poisson_with_more_noise_costs_what_was_measured():
    plan = replace(POISSON, sampler=truncated_poisson(10_000, 0.1), rounds=500)
    assert epsilon(plan) == pytest.approx(5.556, abs=1e-3)


@pytest.mark.parametrize(
    ("noise", "rounds", "delta"), [(5.0, 100, 1e-5), (20.0, 60, 1e-3), (1.0, 1, 1e-6)]
)
def test_full_participation_is_the_analytic_gaussian_mechanism(noise, rounds, delta):
    plan = replace(FULL, mechanism=Gaussian(noise), rounds=rounds, delta=delta)
    value = epsilon(plan)
    scale = noise / math.sqrt(rounds)
    # Balle & Wang 2018, theorem 8, for sensitivity 1.
    below = norm.cdf(0.5 / scale - value * scale)
    above = math.exp(value) * norm.cdf(-0.5 / scale - value * scale)
    assert below - above == pytest.approx(delta, rel=1e-6)
    by_pld = PLDAccountant(ZERO_OUT, 1e-3).compose(dp_accounting.GaussianDpEvent(scale))
    assert value <= by_pld.get_epsilon(delta) == pytest.approx(value, rel=1e-4)
    assert epsilon_known_cohort(plan) == value


def test_full_participation_costs_what_was_measured():
    plan = replace(FULL, rounds=100, delta=1e-5)
    assert epsilon(plan) == pytest.approx(9.997, abs=1e-3)


def test_a_fixed_size_is_accounted_at_twice_the_clipping_norm():
    plan = CASES["fixed size"]
    event = dp_accounting.SampledWithoutReplacementDpEvent(
        1000, 100, dp_accounting.GaussianDpEvent(2.0)
    )
    by_library = RdpAccountant(neighboring_relation=REPLACE_ONE).compose(event, 100)
    # One direction of hidden calls, composed alone, is told apart by one population.
    alone = PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE, 1e-3).compose(
        dp_accounting.PoissonSampledDpEvent(0.1, dp_accounting.GaussianDpEvent(2.0)), 100
    )
    assert alone.get_epsilon(1e-5) < epsilon(plan) < 0.5 * by_library.get_epsilon(1e-5)
    assert epsilon(plan) == pytest.approx(2.541, abs=2e-3)


def test_adaptive_clipping_costs_what_flat_clipping_costs():
    assert epsilon(CASES["adaptive"]) == epsilon(FULL)


# Skellam noise and subsampling against exact divergences of distributions on a line.

LINE = np.arange(-600, 601)


def skellam_at(variance: float, mean: int) -> np.ndarray:
    return ive(np.abs(LINE - mean), variance)


def exact_divergence(one: np.ndarray, other: np.ndarray, order: float) -> float:
    present = (one > 0) & (other > 0)
    one, other = np.log(one[present]), np.log(other[present])
    return float(logsumexp(order * one + (1 - order) * other)) / (order - 1)


@pytest.mark.parametrize("variance", [10.0, 100.0, 900.0])
@pytest.mark.parametrize("shift", [1, 2, 5])
def test_bounds_of_skellam_noise_hold_and_are_close(variance, shift):
    bounds = skellam_divergences(variance, shift**2, min(shift, shift**2))
    noise, moved = skellam_at(variance, 0), skellam_at(variance, shift)
    assert noise.sum() == pytest.approx(1, abs=1e-12)
    for order in (2, 3, 5, 8):
        exact = exact_divergence(moved, noise, order)
        assert exact <= bounds[order - 2] * (1 + 1e-12)
        assert bounds[order - 2] <= exact * (1 + 8 / variance * order)


def test_skellam_noise_is_never_cheaper_than_gaussian_noise_and_nearly_as_cheap_if_large():
    orders = np.arange(2, 513)
    for variance in (10.0, 1e4, 1e9):
        gaussian = orders * 100.0 / (2 * variance)
        ratio = skellam_divergences(variance, 100.0, 100.0) / gaussian
        assert np.all(ratio >= 1)
    assert np.all(ratio < 1 + 1e-6)


@pytest.mark.parametrize("sampler", [full(1000), truncated_poisson(1000, 0.1)])
def test_skellam_costs_what_gaussian_noise_costs(sampler):
    integer = replace(POISSON, sampler=sampler, mechanism=Skellam(2.0, INTEGERS))
    real = epsilon(replace(POISSON, sampler=sampler))
    assert real <= epsilon(integer) * (1 + 1e-6) < 1.001 * real


def test_skellam_noise_of_small_integers_is_dearer():
    coarse, fine = (
        replace(FULL, mechanism=Skellam(5.0, Integers(dimension=1, bits=bits))) for bits in (2, 16)
    )
    assert epsilon(coarse) > 1.01 * epsilon(fine)


@pytest.mark.parametrize(("rate", "noise"), [(0.01, 1.0), (0.1, 2.0), (0.5, 0.8)])
def test_subsampling_is_as_the_library_has_it_for_gaussian_noise(rate, noise):
    orders = np.arange(2, 65)
    ours = subsampled_divergences(orders / (2 * noise**2), rate)
    event = dp_accounting.PoissonSampledDpEvent(rate, dp_accounting.GaussianDpEvent(noise))
    theirs = RdpAccountant(orders.tolist(), ZERO_OUT).compose(event).rdp
    np.testing.assert_allclose(ours, theirs, rtol=1e-9)


@pytest.mark.parametrize("rate", [0.01, 0.2, 0.7, 1.0])
@pytest.mark.parametrize("variance", [4.0, 50.0])
def test_subsampling_is_exact_one_way_and_a_bound_the_other_way(rate, variance):
    noise, moved = skellam_at(variance, 0), skellam_at(variance, 2)
    mixture = (1 - rate) * noise + rate * moved
    single = np.array([exact_divergence(moved, noise, order) for order in range(2, 9)])
    for order, bound in enumerate(subsampled_divergences(single, rate), start=2):
        assert exact_divergence(mixture, noise, order) == pytest.approx(bound, rel=1e-7)
        assert exact_divergence(noise, mixture, order) <= bound * (1 + 1e-9)


def truncated_sum(values: list[int], rate: float, capacity: int, variance: float) -> np.ndarray:
    """Distribution of a noisy sum over a cohort, a random choice of it if it is too large."""
    total = np.zeros(len(LINE))
    for drawn in itertools.product([False, True], repeat=len(values)):
        ids = [client for client, taken in enumerate(drawn) if taken]
        chance = rate ** len(ids) * (1 - rate) ** (len(values) - len(ids))
        cohorts = list(itertools.combinations(ids, min(capacity, len(ids))))
        for cohort in cohorts:
            shift = sum(values[client] for client in cohort)
            total += chance / len(cohorts) * skellam_at(variance, shift)
    return total


@pytest.mark.parametrize("others", [[0] * 4, [3] * 4, [-3] * 4, [3, -3, 3, -3], [80] * 4])
@pytest.mark.parametrize(("rate", "capacity"), [(0.2, 2), (0.3, 1), (0.6, 2)])
def test_truncation_is_covered_whatever_the_other_clients_send(others, rate, capacity):
    variance, orders = 20.0, range(2, 8)
    noise, moved = skellam_at(variance, 0), skellam_at(variance, 3)
    known = np.array([exact_divergence(moved, noise, order) for order in orders])
    bounds = truncated_divergences(
        known, subsampled_divergences(known, rate), binom.logsf(capacity - 1, len(others), rate)
    )
    present = truncated_sum([3, *others], rate, capacity, variance)
    absent = truncated_sum([0, *others], rate, capacity, variance)
    for order, bound in zip(orders, bounds, strict=True):
        assert exact_divergence(present, absent, order) <= bound
        assert exact_divergence(absent, present, order) <= bound


def test_truncation_costs_more_than_poisson_sampling():
    noise, moved = skellam_at(20.0, 0), skellam_at(20.0, 3)
    known = np.array([exact_divergence(moved, noise, order) for order in range(2, 6)])
    # Others who are far away show how many they are, and so whether the client was drawn.
    present = truncated_sum([3, 80, 80, 80, 80], 0.3, 1, 20.0)
    absent = truncated_sum([0, 80, 80, 80, 80], 0.3, 1, 20.0)
    assert exact_divergence(present, absent, 5) > 1.2 * subsampled_divergences(known, 0.3)[-1]


def test_truncation_that_never_or_always_happens():
    known = np.array([2.0, 3.0])
    np.testing.assert_allclose(truncated_divergences(known, known / 4, -math.inf), known / 4)
    np.testing.assert_allclose(truncated_divergences(known, known / 4, 0.0), known)


# Properties of every plan.


@every_mechanism
def test_each_further_round_costs_more_and_none_costs_nothing(plan):
    costs = [epsilon(plan, rounds) for rounds in (0, plan.rounds // 2, plan.rounds)]
    assert costs[0] == 0
    assert costs[0] < costs[1] < costs[2] == epsilon(plan)


@every_mechanism
def test_who_knows_the_cohorts_sees_no_less(plan):
    assert epsilon_known_cohort(plan, 0) == 0
    if not plan.sampler.amplifies:
        assert epsilon_known_cohort(plan) == epsilon(plan)
    else:
        assert epsilon_known_cohort(plan) > 1.5 * epsilon(plan)


@every_mechanism
@pytest.mark.parametrize("target", [0.5, 8.0])
def test_calibration_meets_its_target_from_below(plan, target):
    if plan.clipping.adapts and target < 1:
        with pytest.raises(ConfigError, match="a tenth of the expected cohort"):
            calibrated(plan, target)
        return
    found = calibrated(plan, target)
    assert 0.99 * target <= epsilon(found) <= target
    assert found == with_noise(plan, found.mechanism.noise_multiplier)


def test_noise_that_is_almost_too_much_is_found():
    """Adaptive clipping of 100 clients takes a multiplier below 10, which doubling skips."""
    plan = replace(FULL, clipping=Adaptive(1.0), mechanism=Gaussian(9.0, Floats()))
    found = calibrated(plan, epsilon(plan))
    assert 9 <= found.mechanism.noise_multiplier < 9.1


@every_mechanism
def test_no_noise_is_no_privacy(plan):
    silent = with_noise(plan, 0.0)
    assert epsilon(silent) == epsilon_known_cohort(silent) == math.inf


@pytest.mark.parametrize("mechanism", [Gaussian(2.0), Skellam(2.0, INTEGERS)])
@pytest.mark.parametrize("client_state", [False, True])
def test_less_capacity_costs_more(mechanism, client_state):
    plan = replace(POISSON, mechanism=mechanism, client_state=client_state)
    costs = [
        epsilon(replace(plan, sampler=truncated_poisson(1000, 0.1, slots)))
        for slots in (1000, 160, 125, 110)
    ]
    assert costs[0] == pytest.approx(costs[1], rel=1e-3)
    assert costs[1] < costs[2] < costs[3]


# Rare calls: of 100,000 clients ten a round.

RARE = replace(POISSON, sampler=truncated_poisson(100_000, 1e-4), rounds=1000, delta=1e-6)


@pytest.mark.parametrize(
    ("plan", "noise"),
    [
        (RARE, 0.511),
        (replace(RARE, sampler=truncated_poisson(100_000, 1e-4, 1000)), 0.511),
        (replace(RARE, sampler=fixed_size(100_000, 10)), 1.022),
    ],
    ids=["truncated", "Poisson", "fixed size"],
)
def test_rare_calls_are_calibrated_in_little_time(plan, noise):
    """Grids are as wide as the rarest loss, and need not be as fine as the usual one."""
    before = time.process_time()
    found = calibrated(plan, 1.0)
    assert time.process_time() - before < 20
    assert 0.99 <= epsilon(found) <= 1
    assert found.mechanism.noise_multiplier == pytest.approx(noise, rel=2e-3)


def test_one_epsilon_of_rare_calls_takes_little_time():
    before = time.process_time()
    assert epsilon(replace(RARE, mechanism=Skellam(0.628, INTEGERS))) == pytest.approx(0.993, 2e-3)
    assert time.process_time() - before < 2


def test_a_tiny_delta_of_rare_calls_is_not_lost_to_equal_ranks():
    plan = replace(RARE, sampler=truncated_poisson(100_000, 1e-3), delta=1e-15)
    assert epsilon(replace(plan, mechanism=Gaussian(2.0))) == pytest.approx(0.1985, rel=2e-3)


# Banded noise.


def test_a_band_of_one_is_gaussian_noise():
    independent = replace(FULL, mechanism=Gaussian(5.0, Floats()))
    assert epsilon(replace(FULL, mechanism=Banded(5.0, band=1))) == epsilon(independent)


@pytest.mark.parametrize("rounds", [1, 2, 20])
def test_banded_noise_in_full_participation_is_one_gaussian_of_the_matrix_sensitivity(
    rounds, monkeypatch
):
    matrix = toeplitz([0.8, 0.48, 0.36, *[0] * 17], np.zeros(20))[:rounds, :rounds]
    reach = np.linalg.norm(matrix @ np.ones(rounds))
    expected = epsilon(replace(FULL, rounds=1, delta=1e-4, mechanism=Gaussian(5.0 / reach)))
    # The best band for full participation may be independent noise; this one is not.
    monkeypatch.setattr(
        "pride_jax.privacy.mechanisms.banded.band_coefficients", lambda *_: (0.8, 0.48, 0.36)
    )
    plan = replace(FULL, mechanism=Banded(5.0, band=3), delta=1e-4)
    assert epsilon(plan, rounds) == pytest.approx(expected, rel=1e-9)


def test_a_group_that_takes_turns_pays_for_its_own_turns():
    group = replace(POISSON, sampler=truncated_poisson(200, 0.5), rounds=20)
    for rounds in (96, 100):
        assert epsilon(CASES["cyclic"], rounds) == pytest.approx(epsilon(group), rel=1e-12)
        assert epsilon_known_cohort(CASES["cyclic"], rounds) == pytest.approx(
            epsilon_known_cohort(group), rel=1e-12
        )
    assert epsilon(CASES["cyclic"], 95) < epsilon(group)


@pytest.mark.parametrize(
    ("account", "message"),
    [
        (lambda: epsilon(FULL, -1), "rounds=-1: expected at least 0"),
        (lambda: calibrated(FULL, 0.0), "target_epsilon=0.0: expected a positive"),
        (lambda: calibrated(FULL, math.inf), "target_epsilon=inf: expected a positive"),
    ],
)
def test_impossible_questions_are_refused(account, message):
    with pytest.raises(ConfigError, match=message):
        account()


def test_dropouts_leave_noise_that_may_tell_of_the_cohort_so_nothing_is_amplified():
    whole = Skellam(3.0, Integers(100, 12))
    plan = replace(POISSON, rounds=10, mechanism=replace(whole, dropouts=5))
    assert epsilon(plan) == epsilon_known_cohort(plan)
    assert epsilon(replace(plan, mechanism=whole)) < 0.5 * epsilon(plan)


def test_sums_of_too_few_clients_are_paid_for_and_calibration_ends_where_epsilon_jumps():
    plan = replace(
        POISSON,
        sampler=truncated_poisson(1000, 0.01),
        mechanism=Gaussian(2.0, Integers(100, 12)),
        rounds=10,
        delta=1e-3,
    )
    assert epsilon(plan) > epsilon(replace(plan, mechanism=Gaussian(2.0)))
    assert epsilon(calibrated(plan, 6.0)) <= 6.0


def test_as_many_rounds_as_are_affordable():
    plan = with_noise(FULL, 2.0)
    rounds = rounds_within(plan, 4.0)
    assert epsilon(plan, rounds) <= 4.0 < epsilon(plan, rounds + 1)
    assert rounds_within(plan, 1e-3) == 0
