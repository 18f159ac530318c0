"""Bounds on ε are the known ones, hold with their confidence, and grow with what was seen."""

import itertools
import math

import numpy as np
import pytest
from dp_accounting.gaussian_mechanism import get_epsilon_gaussian
from scipy.integrate import quad
from scipy.stats import binom, norm

from pride_jax.attacks.audit import (
    Counts,
    clopper_pearson_bound,
    design,
    guess,
    many_run_bound,
    one_run_bound,
    one_shot_estimate,
)
from pride_jax.errors import ConfigError


def test_all_guesses_right_prove_what_a_biased_coin_proves():
    # r right guesses of r have probability p^r for p = e^ε / (1 + e^ε).
    right = 0.05 ** (1 / 100)
    expected = math.log(right / (1 - right))
    assert one_run_bound(100, 100, 100, 0.0) == pytest.approx(expected, abs=1e-5)
    assert one_run_bound(100, 100, 5000, 0.0) == pytest.approx(expected, abs=1e-5)


def test_delta_is_paid_for_as_the_theorem_says():
    guesses, correct, canaries, delta = 12, 11, 30, 1e-4
    bound = one_run_bound(guesses, correct, canaries, delta, confidence=0.9)
    right = 1 / (1 + math.exp(-bound))
    mass = [math.comb(guesses, k) * right**k * (1 - right) ** (guesses - k) for k in range(13)]
    alpha = max(sum(mass[correct - i : correct]) / i for i in range(1, correct + 1))
    assert sum(mass[correct:]) + 2 * canaries * delta * alpha == pytest.approx(0.1, abs=1e-5)
    assert bound < one_run_bound(guesses, correct, canaries, 0.0, confidence=0.9)


@pytest.mark.parametrize(
    ("canaries", "guesses", "correct", "delta", "published"),
    [
        (100, 100, 75, 0.0, 0.702),
        (100, 100, 75, 1e-4, 0.699),
        (1000, 100, 75, 1e-4, 0.673),
        # Cut off, not rounded.
        (100_000, 1510, 1439, 1e-5, 2.675),
    ],
)
def test_bounds_are_those_printed_in_the_paper(canaries, guesses, correct, delta, published):
    # Steinke, Nasr & Jagielski 2023, appendix D, and section 7 for the last.
    bound = one_run_bound(guesses, correct, canaries, delta)
    assert bound == pytest.approx(published, abs=1e-3)


@pytest.mark.parametrize("epsilon", [0.5, 2.0])
@pytest.mark.parametrize("leaks", ["each canary by itself", "all canaries at once"])
def test_bounds_exceed_epsilon_with_the_probability_that_they_say_at_most(leaks, epsilon):
    # Exact for two mechanisms that are (ε, δ)-DP and no better: randomised response of a coin that
    # is right with e^ε / (1 + e^ε), and with δ the truth, of each canary or of all of them.
    canaries, delta = 40, 2e-3
    right = 1 / (1 + math.exp(-epsilon))
    counts = np.arange(canaries + 1)
    if leaks == "each canary by itself":
        mass = binom.pmf(counts, canaries, delta + (1 - delta) * right)
    else:
        mass = (1 - delta) * binom.pmf(counts, canaries, right) + delta * (counts == canaries)
    exceed = [one_run_bound(canaries, int(v), canaries, delta) > epsilon for v in counts]
    assert 0 < np.sum(mass[exceed]) <= 0.05


@pytest.mark.parametrize(
    ("canaries", "guesses", "delta", "largest"),
    [(1000, 200, 1e-3, 1.73), (200, 200, 1e-3, 3.57), (1000, 200, 1e-2, 0.0)],
)
def test_at_a_large_delta_perfect_guesses_prove_little(canaries, guesses, delta, largest):
    bound = one_run_bound(guesses, guesses, canaries, delta)
    assert bound == pytest.approx(largest, abs=5e-3)


@pytest.mark.parametrize(
    ("epsilon", "delta", "most"), [(1.0, 1e-5, 1000), (3.0, 1e-3, 1000), (8.0, 1e-5, 20_000)]
)
def test_an_audit_is_designed_to_have_power_where_any_has(epsilon, delta, most):
    chosen = design(epsilon, delta, most=most)
    assert chosen.largest > epsilon
    assert chosen.largest == one_run_bound(chosen.guesses, chosen.guesses, chosen.canaries, delta)
    assert chosen.guesses <= chosen.canaries <= most and chosen.guesses % 2 == 0


def test_an_audit_without_power_is_told_by_its_largest_bound():
    # configs/iris_dp.py: no number of canaries and guesses can refute ε = 8 at δ = 0.01.
    every = [
        one_run_bound(guesses, guesses, canaries, 1e-2)
        for canaries in range(2, 150, 4)
        for guesses in range(2, canaries + 1, 4)
    ]
    assert max(every) < 1
    assert 0.8 < design(8.0, 1e-2).largest <= max(every) + 0.01


def test_a_design_proves_more_of_half_the_noise_than_others_do():
    # Of ε = 3 at δ = 1e-5, against the share of canaries that is guessed on.
    chosen, rng = design(3.0, 1e-5), np.random.default_rng(6)
    shift = 2 / 1.3906  # 1.3906: the noise multiplier of ε = 3 at δ = 1e-5.
    assert get_epsilon_gaussian(1.3906, 1e-5) == pytest.approx(3.0, abs=1e-3)

    def bound(guesses):
        present = rng.random((20, 1000)) < 0.5
        scores = rng.normal(size=present.shape) + shift * present
        made = [guess(*each, guesses) for each in zip(scores, present, strict=True)]
        return np.mean([one_run_bound(*each, 1000, 1e-5) for each in made])

    assert chosen.canaries == 1000
    assert bound(chosen.guesses) > max(bound(20), bound(1000))


def test_one_run_bounds_grow_with_what_was_guessed_and_shrink_with_doubt():
    bounds = [one_run_bound(200, correct, 1000, 1e-5) for correct in range(100, 201, 10)]
    assert bounds[0] == 0
    assert all(a < b for a, b in itertools.pairwise(bounds[2:]))
    assert one_run_bound(200, 180, 1000, 1e-5, 0.99) < one_run_bound(200, 180, 1000, 1e-5, 0.9)
    assert one_run_bound(200, 180, 1000, 1e-3) < one_run_bound(200, 180, 1000, 1e-5)


def test_no_right_guess_proves_nothing():
    assert one_run_bound(10, 0, 10, 1e-5) == 0
    assert clopper_pearson_bound(Counts(0, 10, 10, 10), 1e-5) == 0


def test_clopper_pearson_of_a_perfect_test():
    runs, delta = 500, 1e-3
    least = 0.025 ** (1 / runs)
    expected = math.log((least - delta) / (1 - least))
    bound = clopper_pearson_bound(Counts(runs, runs, 0, runs), delta)
    assert bound == pytest.approx(expected, abs=1e-9)


def test_clopper_pearson_sees_both_kinds_of_error():
    counts = Counts(30, 1000, 1, 1000)
    mirrored = Counts(999, 1000, 970, 1000)
    assert clopper_pearson_bound(counts, 1e-5) == pytest.approx(
        clopper_pearson_bound(mirrored, 1e-5), abs=1e-9
    )
    assert clopper_pearson_bound(counts, 1e-5) > 1
    assert clopper_pearson_bound(counts, 1e-2) < clopper_pearson_bound(counts, 1e-5)


def test_one_run_bounds_of_randomised_response_err_as_rarely_as_they_say():
    epsilon, runs, canaries = 1.0, 1000, 400
    rng = np.random.default_rng(0)
    correct = rng.binomial(canaries, 1 / (1 + math.exp(-epsilon)), runs)
    bounds = np.array([one_run_bound(canaries, int(v), canaries, 0.0) for v in correct])
    violations = np.sum(bounds > epsilon)
    # Randomised response is what the bound is tight for: neither too many nor far too few.
    assert binom.ppf(1e-4, runs, 0.03) <= violations <= binom.ppf(1 - 1e-4, runs, 0.05)


def test_bounds_of_a_gaussian_stay_below_its_epsilon():
    mu, delta, rng = 1.0, 1e-5, np.random.default_rng(1)
    epsilon = get_epsilon_gaussian(1 / mu, delta)
    one, many = [], []
    for _ in range(100):
        present = rng.random(1000) < 0.5
        scores = rng.normal(size=1000) + mu * present
        guesses = guess(scores, present, 200)
        one.append(one_run_bound(*guesses, 1000, delta))
        many.append(many_run_bound(rng.normal(mu, 1, 2000), rng.normal(0, 1, 2000), delta))
    assert np.sum(np.array(one) > epsilon) <= binom.ppf(0.999, 100, 0.05)
    assert np.sum(np.array(many) > epsilon) <= binom.ppf(0.999, 100, 0.05)
    assert 1.2 < np.mean(one) < 1.8
    assert np.mean(many) > 1.2


def test_many_run_bounds_err_as_rarely_as_they_say_where_they_are_tight():
    # At δ = 0, randomised response meets (ε, 0)-DP exactly in the rates of its one threshold.
    epsilon, runs, rng = 1.0, 2000, np.random.default_rng(2)
    keep = 1 / (1 + math.exp(-epsilon))
    present = (rng.random((200, runs)) < keep).astype(float)
    absent = (rng.random((200, runs)) < 1 - keep).astype(float)
    bounds = [many_run_bound(*each, 0.0) for each in zip(present, absent, strict=True)]
    assert np.sum(np.array(bounds) > epsilon) <= binom.ppf(0.999, 200, 0.05)
    assert np.mean(bounds) > 0.8


def test_the_highest_are_guessed_present_and_the_lowest_absent():
    scores = np.array([5.0, -3.0, 1.0, 4.0, -2.0, 0.0])
    present = np.array([True, False, False, False, True, True])
    assert guess(scores, present, 2) == (2, 2)
    assert guess(scores, present, 4) == (4, 2)
    for wrong in (0, 3, 8):
        with pytest.raises(ConfigError, match="an even number, at least 2 and at most one"):
            guess(scores, present, wrong)


def test_the_estimate_of_two_like_normals_is_the_gaussian_mechanisms():
    absent = np.random.default_rng(3).normal(size=500)
    for shift in (0.5, 2.0):
        expected = get_epsilon_gaussian(np.std(absent, ddof=1) / shift, 1e-5)
        assert one_shot_estimate(absent + shift, absent, 1e-5) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("spread", [0.8, 1.3])
def test_the_estimate_of_two_unlike_normals_is_where_delta_is_met(spread):
    delta, absent = 1e-3, np.random.default_rng(4).normal(size=500)
    absent = (absent - absent.mean()) / absent.std(ddof=1)
    epsilon = one_shot_estimate(spread * absent + 1, absent, delta)

    def excess(p, q):
        def gap(x):
            return max(0.0, p.pdf(x) - math.exp(epsilon) * q.pdf(x))

        return quad(gap, -15, 15, limit=2000, epsabs=1e-9)[0]

    p, q = norm(1, spread), norm(0, 1)
    assert max(excess(p, q), excess(q, p)) == pytest.approx(delta, rel=1e-2)


def test_the_estimate_may_exceed_the_truth():
    mu, delta, rng = 1.0, 1e-5, np.random.default_rng(5)
    runs = rng.normal(size=(40, 2, 10_000)) + np.array([mu, 0.0])[None, :, None]
    estimates = [one_shot_estimate(*run, delta) for run in runs]
    truth = get_epsilon_gaussian(1 / mu, delta)
    assert np.sum(np.array(estimates) > truth) > 10
    assert np.median(estimates) == pytest.approx(truth, rel=0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: one_run_bound(5, 6, 10, 1e-5),
        lambda: one_run_bound(11, 6, 10, 1e-5),
        lambda: one_run_bound(5, 5, 10, 1.0),
        lambda: one_run_bound(5, 5, 10, 1e-5, confidence=1.0),
        lambda: design(0.0, 1e-5),
        lambda: design(math.inf, 1e-5),
        lambda: design(1.0, 1.0),
        lambda: design(1.0, 1e-5, most=1),
        lambda: clopper_pearson_bound(Counts(5, 4, 0, 4), 1e-5),
        lambda: clopper_pearson_bound(Counts(0, 0, 0, 4), 1e-5),
        lambda: one_shot_estimate(np.ones(5), np.arange(5.0), 1e-5),
        lambda: one_shot_estimate(np.arange(1.0), np.arange(5.0), 1e-5),
    ],
)
def test_impossible_counts_are_refused(wrong):
    with pytest.raises(ConfigError, match="expected"):
        wrong()
