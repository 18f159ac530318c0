"""What ε an adversary's success proves: lower bounds, and an estimate that is none."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from pride_jax.errors import ConfigError

_LARGEST = 50.0
"""No audit of fewer than e^50 runs proves more."""
_SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
"""Of the canaries, to guess on."""


class Guesses(NamedTuple):
    """What an adversary said of canaries.

    Attributes:
      made: how many it did not abstain from.
      correct: how many of these were right.
    """

    made: int
    correct: int


class Design(NamedTuple):
    """How many canaries an audit of one run has, and of how many it says something.

    Attributes:
      canaries: m.
      guesses: r, of them.
      largest: the ε that is proved if all guesses are right: no outcome proves more.
    """

    canaries: int
    guesses: int
    largest: float


class Counts(NamedTuple):
    """How often a test said that the canary is there, of runs with it and runs without it."""

    true_positives: int
    positives: int
    false_positives: int
    negatives: int


def guess(
    scores: Float[np.ndarray, "canaries"], present: Bool[np.ndarray, "canaries"], guesses: int
) -> Guesses:
    """Says of the highest scores that their canaries are there, of the lowest that they are not.

    Args:
      scores: large where a canary seems to be there.
      present: whether it is.
      guesses: to make, half of them either way; chosen before any score is seen.

    Raises:
      ConfigError: the guesses are odd, none, or more than the canaries, or a score is NaN.
    """
    _check_finite(scores)
    if not 2 <= guesses <= len(scores) or guesses % 2:
        raise ConfigError(
            f"guesses={guesses} on {len(scores)} canaries: expected an even number, at least 2 and "
            "at most one a canary; use more canaries, or fewer guesses"
        )
    side = guesses // 2
    order = np.argsort(scores)
    correct = np.sum(present[order[-side:]]) + np.sum(~present[order[:side]])
    return Guesses(guesses, int(correct))


def design(epsilon: float, delta: float, confidence: float = 0.95, most: int = 1000) -> Design:
    """The most telling audit of one run, of those that have power against a claim if any has.

    It has power if perfect guesses refute the claim: many canaries cost δ, few prove little. The
    most telling is that which proves most where the noise is half of what was claimed, were it
    Gaussian; among equals, that whose perfect guesses prove most.

    Args:
      epsilon: claimed.
      delta: at which it is.
      confidence: of the bound.
      most: canaries at most.

    Raises:
      ConfigError: there are fewer than 2 canaries, or ε, δ or the confidence is impossible.
    """
    if most < 2 or not 0 < epsilon < math.inf:
        raise ConfigError(
            f"canaries={most}, epsilon={epsilon}: expected at least 2 canaries and a positive, "
            "finite ε"
        )
    _check(delta, confidence)
    shift = 2 * _normal_shift(epsilon, delta)
    numbers = {min(most, most // halved) for halved in (1, 2, 4, 8, 16, 32) if most // halved > 1}
    designs = [
        Design(number, guesses, one_run_bound(guesses, guesses, number, delta, confidence))
        for number in sorted(numbers)
        for guesses in sorted({max(2, 2 * round(number * share / 2)) for share in _SHARES})
        if guesses <= number
    ]

    def told(each: Design) -> tuple[float, float]:
        correct = math.floor(each.guesses * _right_share(shift, each.guesses / each.canaries))
        bound = one_run_bound(each.guesses, correct, each.canaries, delta, confidence)
        return bound, each.largest

    powerful = [each for each in designs if each.largest > epsilon]
    return max(powerful or designs, key=told)


def _normal_shift(epsilon: float, delta: float) -> float:
    """By how many deviations a normal distribution is shifted that is (ε, δ)-close to itself."""
    low, high = 0.0, 2 * _LARGEST
    while high - low > 1e-6:
        middle = (low + high) / 2
        if _normal_delta(middle, 1.0, epsilon) > delta:
            high = middle
        else:
            low = middle
    return low


def _right_share(shift: float, guessed: float) -> float:
    """Share of right guesses where scores are N(shift, 1) with the canary and N(0, 1) without."""
    from scipy.stats import norm

    low, high = -40.0, 40.0 + shift
    while high - low > 1e-9:
        middle = (low + high) / 2
        above = norm.sf(middle) + norm.sf(middle - shift)
        low, high = (middle, high) if above > guessed else (low, middle)
    return float(norm.sf(low - shift)) / guessed


def one_run_bound(
    guesses: int, correct: int, num_canaries: int, delta: float, confidence: float = 0.95
) -> float:
    """Lower bound on ε from one run with many canaries, each there by a fair coin of its own.

    Where (ε, δ)-DP holds, guesses are as often right as v or oftener with probability at most
    β + 2 m δ α: β of a binomial of r trials of probability e^ε / (1 + e^ε), and α the largest
    P[v > binomial ≥ v − i] / i (Steinke, Nasr & Jagielski 2023, Privacy Auditing with One (1)
    Training Run, theorem 5.2 and appendix D).

    Args:
      guesses: r.
      correct: v, of them.
      num_canaries: m, those abstained from included.
      delta: at which ε is claimed.
      confidence: with which the bound holds.

    Returns:
      The largest ε that the guesses refute; 0 if they refute none.

    Raises:
      ConfigError: the counts, δ or the confidence are impossible.
    """
    if not 0 <= correct <= guesses <= num_canaries:
        raise ConfigError(
            f"correct={correct}, guesses={guesses}, num_canaries={num_canaries}: expected them in "
            "ascending order"
        )
    _check(delta, confidence)
    return _largest(
        lambda epsilon: (
            _one_run_p_value(guesses, correct, num_canaries, epsilon, delta) < 1 - confidence
        )
    )


def _one_run_p_value(
    guesses: int, correct: int, num_canaries: int, epsilon: float, delta: float
) -> float:
    from scipy.stats import binom

    right = 1 / (1 + math.exp(-epsilon))
    chance = float(binom.sf(correct - 1, guesses, right))
    if correct == 0:
        return chance
    fewer = np.cumsum(binom.pmf(np.arange(correct - 1, -1, -1), guesses, right))
    return chance + 2 * num_canaries * delta * float(np.max(fewer / np.arange(1, correct + 1)))


def clopper_pearson_bound(counts: Counts, delta: float, confidence: float = 0.95) -> float:
    """Lower bound on ε from many independent runs, half of them with the canary.

    (ε, δ)-DP means that no test has a true positive rate above e^ε FPR + δ, nor a true negative
    rate above e^ε FNR + δ (Kairouz, Oh & Viswanath 2015). Both rates are bounded by Clopper &
    Pearson (1934), each at half the error (Jagielski, Ullman & Oprea 2020, Auditing Differentially
    Private Machine Learning).

    Args:
      counts: of a test that was fixed before these runs.
      delta: at which ε is claimed.
      confidence: with which the bound holds.

    Returns:
      The largest ε that the counts refute; 0 if they refute none.

    Raises:
      ConfigError: the counts, δ or the confidence are impossible.
    """
    from scipy.stats import beta

    hits, positives, alarms, negatives = counts
    if not (0 <= hits <= positives and 0 <= alarms <= negatives and positives and negatives):
        raise ConfigError(f"{counts}: expected at least one run of either kind, and rates up to 1")
    _check(delta, confidence)
    error = (1 - confidence) / 2
    least = float(beta.ppf(error, hits, positives - hits + 1)) if hits else 0.0
    most = float(beta.ppf(1 - error, alarms + 1, negatives - alarms)) if alarms < negatives else 1.0
    ratios = [(least - delta) / most]
    if least < 1:
        ratios.append((1 - most - delta) / (1 - least))
    return max([0.0, *(math.log(ratio) for ratio in ratios if ratio > 0)])


def many_run_bound(
    present: Float[np.ndarray, "runs"],
    absent: Float[np.ndarray, "runs"],
    delta: float,
    confidence: float = 0.95,
) -> float:
    """`clopper_pearson_bound` of the best threshold on scores.

    The threshold is picked on the first half of the runs and tried on the second, which are
    independent of it, so that the bound holds with the confidence that it says.

    Args:
      present: scores of runs with the canary, the larger the likelier it is there.
      absent: of runs without it.
      delta: at which ε is claimed.
      confidence: with which the bound holds.

    Raises:
      ConfigError: a score is NaN or infinite, or δ or the confidence is impossible.
    """
    _check_finite(present, absent)
    half = min(len(present), len(absent)) // 2
    candidates = np.quantile(
        np.concatenate([present[:half], absent[:half]]), np.linspace(0, 1, 201)
    )

    def bound(threshold: float, runs: slice) -> float:
        hits, alarms = present[runs] > threshold, absent[runs] > threshold
        counts = Counts(int(hits.sum()), len(hits), int(alarms.sum()), len(alarms))
        return clopper_pearson_bound(counts, delta, confidence)

    best = max(candidates, key=lambda threshold: bound(threshold, slice(half)))
    return bound(best, slice(half, None))


def one_shot_estimate(
    present: Float[np.ndarray, "some"], absent: Float[np.ndarray, "others"], delta: float
) -> float:
    """Estimate of ε from one run: that of two normal distributions fitted to the scores.

    An estimate, not a bound: it may exceed the true ε, and it believes in the two shapes (Andrew et
    al. 2023, One-shot Empirical Privacy Estimation for Federated Learning, algorithm 2). There the
    scores are cosines with random directions, so that those without the canary are known to be
    N(0, 1/d); here absent canaries show them.

    Args:
      present: scores of canaries that were there, at least two.
      absent: of those that were not, at least two.
      delta: at which ε is wanted.

    Raises:
      ConfigError: scores are too few or all the same, or δ is impossible.
    """
    _check_finite(present, absent)
    if min(len(present), len(absent)) < 2 or not np.std(present) or not np.std(absent):
        raise ConfigError(
            f"{len(present)} and {len(absent)} scores: expected at least 2 of either kind that "
            "differ; use more canaries"
        )
    _check(delta, 0.5)
    noise = float(np.std(absent, ddof=1))
    shift = float(np.mean(present) - np.mean(absent)) / noise
    spread = float(np.std(present, ddof=1)) / noise
    return _largest(lambda epsilon: _normal_delta(shift, spread, epsilon) > delta)


def _normal_delta(shift: float, spread: float, epsilon: float) -> float:
    """The least δ at which N(0, 1) and N(shift, spread²) are (ε, δ)-close, either way.

    Where the density of one is e^ε times the other's, a parabola is zero: what lies beyond or
    between its roots is the set that tells them apart best.
    """
    return max(
        _hockey_stick(0.0, 1.0, shift, spread, epsilon),
        _hockey_stick(shift, spread, 0.0, 1.0, epsilon),
    )


def _hockey_stick(
    mean: float, deviation: float, other: float, spread: float, epsilon: float
) -> float:
    """The largest P[S] − e^ε Q[S] of a set S, P = N(mean, deviation²), Q = N(other, spread²)."""
    from scipy.stats import norm

    # ln p − ln q − ε = a x² + b x + c.
    a = 0.5 / spread**2 - 0.5 / deviation**2
    b = mean / deviation**2 - other / spread**2
    c = (
        0.5 * (other / spread) ** 2
        - 0.5 * (mean / deviation) ** 2
        + math.log(spread / deviation)
        - epsilon
    )

    def above(low: float, high: float) -> float:
        first = norm.cdf(high, mean, deviation) - norm.cdf(low, mean, deviation)
        second = norm.cdf(high, other, spread) - norm.cdf(low, other, spread)
        return float(first - math.exp(epsilon) * second)

    roots = sorted(np.roots([a, b, c]).tolist(), key=lambda root: root.real)
    if not roots or any(abs(root.imag) > 0 for root in roots):
        return max(0.0, above(-math.inf, math.inf))
    if len(roots) == 1:
        return above(roots[0].real, math.inf) if b > 0 else above(-math.inf, roots[0].real)
    low, high = (root.real for root in roots)
    inside = above(low, high)
    return inside if a < 0 else above(-math.inf, math.inf) - inside


def _largest(refuted: Callable[[float], bool]) -> float:
    """The largest ε that is refuted, to 1e-6; all smaller ones are."""
    if not refuted(0.0):
        return 0.0
    low, high = 0.0, _LARGEST
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low


def _check(delta: float, confidence: float) -> None:
    if not (0 <= delta < 1 and 0 < confidence < 1):
        raise ConfigError(
            f"delta={delta}, confidence={confidence}: expected δ from 0 to below 1, and a "
            "confidence between 0 and 1"
        )


def _check_finite(*scores: Float[np.ndarray, "runs"]) -> None:
    # NaN is on neither side of a threshold: a pipeline that makes them would pass.
    if not all(np.all(np.isfinite(each)) for each in scores):
        raise ConfigError("A score is NaN or infinite, expected finite ones: training diverged")
