"""The ε of tuning is at least that of the whole procedure, carried out on small mechanisms."""

import math
from dataclasses import dataclass, replace

import dp_accounting
import numpy as np
import pytest
from dp_accounting.dp_event import RepeatAndSelectDpEvent
from dp_accounting.gaussian_mechanism import get_epsilon_gaussian
from dp_accounting.rdp import RdpAccountant
from dp_accounting.rdp.rdp_privacy_accountant import compute_delta
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from pride_jax.errors import ConfigError
from pride_jax.privacy.accounting import calibrate
from pride_jax.privacy.amplification import ORDERS, from_divergences
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.number_of_runs import AtMost, NegativeBinomial, Poisson, deltas
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.sampling import fixed_size, full, truncated_poisson
from pride_jax.privacy.tuning import (
    HeldOutScore,
    PublicScore,
    Tuning,
    calibrate_tuning,
    tuning_epsilon,
)
from pride_jax.privacy.values import Floats

ZERO_OUT = dp_accounting.NeighboringRelation.REPLACE_SPECIAL
FULL = Plan(sampler=full(100), clipping=Flat(1.0), mechanism=Gaussian(5.0), rounds=20, delta=1e-3)
GEOMETRIC = NegativeBinomial(10.0)


def tuned(*plans, runs=GEOMETRIC, score=None):
    return Tuning(plans=plans or (FULL,), runs=runs, score=score or PublicScore())


# The whole procedure on a mechanism with a handful of outputs, the last the best.

RUNS = {
    "geometric": NegativeBinomial(6.0),
    "logarithmic": NegativeBinomial(6.0, shape=0.0),
    "below zero": NegativeBinomial(2.0, shape=-0.5),
    "poisson": Poisson(6.0),
    "few": Poisson(1.5),
}
NUMBERS = np.arange(1, 1000)


def law_of(runs):
    """Probabilities of 1, 2, … runs, from their definitions."""
    if isinstance(runs, AtMost):
        kept = np.where(runs.most >= NUMBERS, law_of(runs.runs), 0)
        return kept / kept.sum()
    if isinstance(runs, Poisson):
        logs = NUMBERS * math.log(runs.mean) - np.cumsum(np.log(NUMBERS))
        weights = np.exp(logs)
    else:
        ratios = (NUMBERS[1:] - 1 + runs.shape) / NUMBERS[1:]
        weights = np.cumprod(np.append(1.0, ratios)) * (1 - float(runs.stop)) ** NUMBERS
    return weights / weights.sum()


def best_of(law, run):
    """Probabilities of the best of a random number of runs' outputs."""
    at_most = np.cumsum(run)
    return np.diff([0.0, *(np.sum(law * np.minimum(each, 1.0) ** NUMBERS) for each in at_most)])


def divergence(one, other):
    """Rényi divergences of all orders, the larger of both directions."""

    def of(p, q):
        logs = ORDERS[:, None] * np.log(p) + (1 - ORDERS[:, None]) * np.log(q)
        return np.logaddexp.reduce(logs, axis=1) / (ORDERS - 1)

    return np.maximum(np.maximum(of(one, other), of(other, one)), 0.0)


def delta_of(epsilon, one, other):
    """The exact δ, of both directions."""
    return max(
        np.maximum(p - math.exp(epsilon) * q, 0).sum() for p, q in ((one, other), (other, one))
    )


def epsilon_of(one, other, delta):
    """The smallest ε at δ, from above."""
    low, high = 0.0, 30.0
    if delta >= 1 or delta_of(low, one, other) <= delta:
        return 0.0
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if delta_of(middle, one, other) <= delta else (middle, high)
    return high


def pair(logits, moves):
    one = np.exp(np.array(logits[: len(moves)]))
    other = one * np.exp(np.array(moves[: len(one)]))
    return one / one.sum(), other / other.sum()


def pairs(most):
    """Two distributions of an output, of neighbours."""
    numbers = st.lists(st.floats(-4, 4), min_size=4, max_size=4)
    moves = st.lists(st.floats(-most, most), min_size=4, max_size=4)
    return st.builds(pair, numbers, moves)


@pytest.mark.parametrize("runs", RUNS.values(), ids=RUNS)
@settings(max_examples=40, deadline=None)
@given(pairs(2.0))
def test_no_procedure_costs_more_than_is_told(runs, neighbours):
    one, other = neighbours
    law = law_of(runs)
    first, second = best_of(law, one), best_of(law, other)
    told = runs.tuned(divergence(one, other))
    assert (divergence(first, second) <= told + 1e-9).all()
    for delta in (1e-2, 1e-5):
        assert delta_of(from_divergences(told, delta), first, second) <= delta * (1 + 1e-9)


@pytest.mark.parametrize("runs", RUNS.values(), ids=RUNS)
@settings(max_examples=40, deadline=None)
@given(pairs(2.0))
def test_no_procedure_costs_more_than_is_told_by_profiles(runs, neighbours):
    one, other = neighbours
    law = law_of(runs)
    first, second = best_of(law, one), best_of(law, other)

    def single(delta):
        return epsilon_of(one, other, delta)

    spread = runs.spread(single)
    for delta in (1e-1, 1e-2, 1e-5):
        told = spread + single(delta / runs.expected)
        assert delta_of(told, first, second) <= delta * (1 + 1e-9)


@pytest.mark.parametrize("runs", RUNS.values(), ids=RUNS)
def test_spreads_are_as_small_as_they_can_be(runs):
    # Every event of a Gaussian mechanism lies below its trade-off curve, which is attained.
    def single(delta):
        return get_epsilon_gaussian(1.0, delta)

    below = norm.cdf(np.linspace(-9, 9, 4001))
    above = norm.cdf(np.linspace(-9, 9, 4001) + 1.0)
    if isinstance(runs, Poisson):
        attained = runs.mean * (above - below).max()
    else:
        stop = float(runs.stop)
        ratio = (stop + (1 - stop) * above) / (stop + (1 - stop) * below)
        attained = (1 + runs.shape) * math.log(ratio.max())
    assert attained * (1 - 1e-6) <= runs.spread(single) <= 1.01 * attained


@pytest.mark.parametrize("runs", [NegativeBinomial(10.0), Poisson(10.0)], ids=["one", "other"])
def test_a_number_of_runs_that_is_fixed_costs_more_than_is_told(runs):
    # A run's worse output is three times as likely without the client.
    one, other = np.array([0.25, 0.75]), np.array([0.75, 0.25])
    told = from_divergences(runs.tuned(divergence(one, other)), 1e-2)
    fixed = np.where(NUMBERS == 10, 1.0, 0.0)
    assert delta_of(told, best_of(fixed, one), best_of(fixed, other)) > 3e-2
    drawn = law_of(runs)
    assert delta_of(told, best_of(drawn, one), best_of(drawn, other)) <= 1e-2


@dataclass(frozen=True)
class Far(Gaussian):
    """Noise that is farther from what is accounted."""

    apart: float = 0.0

    def distance(self, setting):
        return self.apart


def test_what_is_drawn_is_charged_for_as_many_runs_as_are_expected():
    def cost(apart, runs):
        return tuning_epsilon(tuned(replace(FULL, mechanism=Far(5.0, apart=apart)), runs=runs))

    for runs in (NegativeBinomial(10.0), NegativeBinomial(20.0)):
        # The charge may be a thousandth of δ.
        of_all = 1e-3 * FULL.delta / (1 + math.exp(cost(0.0, runs)))
        allowed = of_all / runs.expected / FULL.rounds
        assert math.isfinite(cost(0.99 * allowed, runs))
        assert math.isinf(cost(1.01 * allowed, runs))


def test_what_is_charged_for_a_bounded_number_is_its_distance():
    for inner in (NegativeBinomial(3.0), NegativeBinomial(1.5, shape=-0.5), Poisson(3.0)):
        runs = AtMost(inner, 20)
        distance = np.abs(law_of(runs) - law_of(inner)).sum() / 2
        assert 0 < distance <= runs.excess < 1e-2


@settings(max_examples=40, deadline=None)
@given(pairs(0.5), st.sampled_from([NegativeBinomial(3.0), Poisson(3.0)]))
def test_a_bounded_number_of_runs_costs_no_more_than_is_told(neighbours, inner):
    one, other = neighbours
    runs = AtMost(inner, 20)
    law = law_of(runs)
    first, second = best_of(law, one), best_of(law, other)
    curve, delta = runs.tuned(divergence(one, other)), 1e-2
    most = from_divergences(curve, delta / 2)
    assert delta_of(most, first, second) <= delta / 2 + (1 + math.exp(most)) * runs.excess


# Against the library, and against oneself.


def renyi(tuning):
    """ε by the first bound alone."""
    return from_divergences(tuning.runs.tuned(tuning.divergences()), tuning.delta)


@pytest.mark.parametrize("shape", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("mean", [2.0, 10.0])
def test_it_is_the_librarys_for_a_negative_binomial_number_of_runs(shape, mean):
    event = dp_accounting.SelfComposedDpEvent(dp_accounting.GaussianDpEvent(5.0), 20)
    accountant = RdpAccountant(ORDERS.tolist(), ZERO_OUT)
    accountant.compose(RepeatAndSelectDpEvent(event, mean=mean, shape=shape))
    ours = tuned(runs=NegativeBinomial(mean, shape))
    assert renyi(ours) == pytest.approx(accountant.get_epsilon(1e-3), rel=1e-6)
    # The bound by profiles is by far the smaller here.
    assert tuning_epsilon(ours) < 0.85 * renyi(ours)


def test_it_is_the_librarys_for_a_poisson_number_of_runs_but_for_those_without_a_run():
    event = dp_accounting.SelfComposedDpEvent(dp_accounting.GaussianDpEvent(5.0), 20)
    accountant = RdpAccountant(ORDERS.tolist(), ZERO_OUT)
    accountant.compose(RepeatAndSelectDpEvent(event, mean=10, shape=math.inf))
    ours = renyi(tuned(runs=Poisson(10.0)))
    assert ours == pytest.approx(accountant.get_epsilon(1e-3), rel=1e-4)
    assert ours > accountant.get_epsilon(1e-3)


def test_deltas_are_the_librarys():
    curve = FULL.mechanism.divergences(FULL.setting, FULL.rounds)
    expected = [compute_delta(ORDERS.tolist(), curve.tolist(), each)[0] for each in (0.1, 1.0, 5.0)]
    assert deltas(curve, np.array([0.1, 1.0, 5.0])) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("runs", [NegativeBinomial(7.5), NegativeBinomial(7.5, 0.0)])
def test_no_fewer_runs_are_expected_than_asked_for(runs):
    assert 7.5 <= np.sum(law_of(runs) * NUMBERS) < 7.5 + 1e-6


def test_all_settings_are_paid_for_at_each_order_by_the_one_that_costs_most_there():
    gentle = replace(FULL, rounds=19)
    other = replace(FULL, sampler=truncated_poisson(100, 0.2), mechanism=Gaussian(1.2))
    both = tuned(FULL, gentle, other)
    each = [tuned(plan).divergences() for plan in both.plans]
    assert (both.divergences() == np.max(each, axis=0)).all()
    assert (both.divergences() > each[0]).any() and (both.divergences() > each[2]).any()
    assert tuning_epsilon(tuned(gentle, FULL)) == tuning_epsilon(tuned(FULL))
    assert tuning_epsilon(tuned(gentle)) < tuning_epsilon(tuned(FULL))


def test_scores_by_clients_examples_are_paid_for_in_every_run():
    # Noise of standard deviation 5/√20 is what 20 rounds of 5 cost: a run is then twice as dear.
    noisy = tuned(score=HeldOutScore(5 / math.sqrt(20)))
    assert noisy.divergences() == pytest.approx(2 * tuned().divergences(), rel=1e-12)
    twice = tuned(replace(FULL, rounds=40))
    assert renyi(noisy) == pytest.approx(renyi(twice), rel=1e-12)
    assert tuning_epsilon(twice) < tuning_epsilon(noisy) <= renyi(noisy)


def test_what_is_released_more_than_once_costs_more():
    costs = [tuning_epsilon(tuned(), released) for released in (1, 2, 5)]
    assert costs == sorted(costs) and costs[2] > 1.5 * costs[0]
    assert costs[2] < 6 * costs[0]


def test_a_bound_on_the_number_of_runs_costs_next_to_nothing_or_everything():
    plain = tuning_epsilon(tuned(runs=Poisson(10.0)))
    bounded = tuning_epsilon(tuned(runs=AtMost(Poisson(10.0), 40)))
    assert plain < bounded < plain + 1e-3
    assert tuning_epsilon(tuned(runs=AtMost(Poisson(10.0), 25))) == math.inf


@pytest.mark.parametrize("runs", [GEOMETRIC, Poisson(10.0)], ids=["geometric", "poisson"])
@pytest.mark.parametrize("target", [1.0, 8.0])
def test_a_target_for_everything_is_met_and_not_exceeded(runs, target):
    other = replace(FULL, rounds=10, mechanism=Gaussian(2.0))
    asked = tuned(with_noise_for(target, FULL), with_noise_for(target, other), runs=runs)
    found = calibrate_tuning(asked, target)
    assert 0.99 * target <= tuning_epsilon(found) <= target
    factors = [
        plan.mechanism.noise_multiplier / before.mechanism.noise_multiplier
        for plan, before in zip(found.plans, asked.plans, strict=True)
    ]
    assert factors[0] == pytest.approx(factors[1]) and factors[0] > 1


def with_noise_for(target, plan):
    return calibrate(
        plan.mechanism.with_noise,
        target,
        sampler=plan.sampler,
        clipping=plan.clipping,
        rounds=plan.rounds,
        delta=plan.delta,
    )


def test_scores_that_cost_more_than_the_target_are_refused():
    with pytest.raises(ConfigError, match=r"target_epsilon=1\.0: expected more"):
        # Floats, of which any amount of noise may be asked for.
        loud = replace(FULL, mechanism=Gaussian(5.0, Floats()))
        calibrate_tuning(tuned(loud, score=HeldOutScore(0.5)), 1.0)


def test_no_noise_is_no_privacy():
    assert tuning_epsilon(tuned(FULL, replace(FULL, mechanism=Gaussian(0.0)))) == math.inf


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: NegativeBinomial(1.0), "mean=1.0: expected 1.001"),
        (lambda: NegativeBinomial(3.0, shape=2.0), "shape=2.0"),
        (lambda: AtMost(NegativeBinomial(10.0), 12), "most=12: expected more for geometric"),
        (lambda: HeldOutScore(0.0), "noise_multiplier=0.0: expected more than 0"),
        (lambda: tuned(FULL, replace(FULL, delta=1e-4)), "plans with δ of"),
        (lambda: tuned(FULL, replace(FULL, sampler=full(99))), r"clients of \[99, 100\]"),
        (lambda: tuned(FULL, replace(FULL, sampler=fixed_size(100, 10))), "neighbours of"),
        (lambda: tuning_epsilon(tuned(), 0), "released=0: expected at least 1"),
    ],
)
def test_what_nothing_accounts_is_refused(make, told):
    with pytest.raises(ConfigError, match=told):
        make()
