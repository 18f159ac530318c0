"""What a plan costs: the ε of its releases, the noise for a target ε, the price of tuning."""

import functools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
from jaxtyping import Float64

from pride_jax.errors import ConfigError
from pride_jax.privacy.banded import band_coefficients, sensitivity
from pride_jax.privacy.plan import PrivacyPlan

_ORDERS = np.arange(2, 513)
"""Rényi orders; whole, as the bounds of Skellam noise and of subsampling need them."""


def epsilon(plan: PrivacyPlan, rounds: int | None = None) -> float:
    """ε at the plan's δ against who sees the released models, but neither cohorts nor sums.

    - Full participation, Gaussian or banded noise: all releases are one Gaussian mechanism, whose
      ε is exact (Balle & Wang 2018, theorem 8). For banded noise its sensitivity is that of the
      band matrix.
    - Truncated Poisson, Gaussian noise: privacy loss distributions (PLD), rounded up to multiples
      of 1e-3. If more clients are drawn than there is capacity for, a random choice takes part.
    - Cyclic Poisson, banded noise: ⌈rounds / groups⌉ truncated Poisson draws from a client's group,
      since no two of its turns share noise (Choquette-Choo et al. 2023, (Amplified) Banded Matrix
      Factorization).
    - Fixed size, Gaussian noise: Rényi divergences under sampling without replacement (Wang, Balle
      & Kasiviswanathan 2019, theorem 27) at twice the clipping norm, which the library leaves to
      us.
    - Skellam noise: Rényi divergences (`skellam_divergences`), for truncated Poisson subsampled
      (`subsampled_divergences`) and truncated (`truncated_divergences`).

    It is never more than `epsilon_known_cohort`, whose adversary sees more, and the same where
    clients may drop out, since the noise that is left may tell of the cohort.

    Args:
      plan: with a noise multiplier.
      rounds: releases so far; all of the plan's if not given.

    Raises:
      ConfigError: there is no noise multiplier.
    """
    return _epsilon(plan, plan.known_noise_multiplier, _releases(plan, rounds))


def epsilon_known_cohort(plan: PrivacyPlan, rounds: int | None = None) -> float:
    """ε at the plan's δ against who also knows each round's cohort: nothing is amplified.

    For Gaussian and banded noise, which the server adds, the sums without noise are still unknown
    to the adversary. For Skellam noise, which the clients add, it may be aggregator and key holder.

    Args:
      plan: with a noise multiplier.
      rounds: releases so far; all of the plan's if not given.

    Raises:
      ConfigError: there is no noise multiplier.
    """
    return _unamplified(plan, plan.known_noise_multiplier, _releases(plan, rounds))


@functools.lru_cache(maxsize=256)
def calibrate(plan: PrivacyPlan, target_epsilon: float) -> PrivacyPlan:
    """The plan with a noise multiplier whose `epsilon` is at most the target and within 1% of it.

    Or as close as it gets, where ε jumps as a function of the noise.

    Raises:
      ConfigError: the target is not positive and finite, or adaptive clipping cannot spend so
        little.
    """
    if not 0 < target_epsilon < math.inf:
        raise ConfigError(f"target_epsilon={target_epsilon}: expected a positive, finite number")
    high = 1.0
    while _epsilon(plan, high, plan.rounds) > target_epsilon:
        high *= 2
    low = high / 2
    while _epsilon(plan, low, plan.rounds) <= target_epsilon:
        low, high = low / 2, low
    # Where few clients may come, ε jumps: below some noise their sums cost all of δ.
    while _epsilon(plan, high, plan.rounds) < 0.99 * target_epsilon and high / low > 1 + 1e-6:
        middle = math.sqrt(low * high)
        if _epsilon(plan, middle, plan.rounds) <= target_epsilon:
            high = middle
        else:
            low = middle
    return replace(plan, noise_multiplier=high)


def rounds_within(plan: PrivacyPlan, target_epsilon: float) -> int:
    """The most releases whose `epsilon` is at most the target; it may exceed the plan's rounds.

    Raises:
      ConfigError: there is no noise multiplier.
    """
    within, beyond = 0, 1
    while epsilon(plan, beyond) <= target_epsilon:
        within, beyond = beyond, 2 * beyond
        if within > 2**20:
            return within
    while beyond - within > 1:
        middle = (within + beyond) // 2
        if epsilon(plan, middle) <= target_epsilon:
            within = middle
        else:
            beyond = middle
    return within


@functools.lru_cache(maxsize=256)
def tuning_epsilon(plan: PrivacyPlan, runs: int, rounds: int | None = None) -> float:
    """ε of having released only the best of several runs, all of the same plan.

    The number of runs must itself be random, geometric with mean ``runs``, drawn beforehand and
    kept secret; a number fixed in advance is not covered. The score that picks the best must come
    from the released models and public data. Papernot & Steinke 2022, Hyperparameter Tuning with
    Rényi Differential Privacy, theorem 2 with η = 1; by Rényi divergences for every plan.

    Args:
      plan: with a noise multiplier.
      runs: the expected number of runs; 1 is always a single run, whose `epsilon` it is.
      rounds: releases of each; all of the plan's if not given.

    Raises:
      ConfigError: ``runs`` is below 1, or there is no noise multiplier.
    """
    if runs < 1:
        raise ConfigError(f"runs={runs}: expected at least 1")
    noise = plan.known_noise_multiplier
    if runs == 1 or noise == 0:
        return epsilon(plan, rounds)
    releases = _releases(plan, rounds)
    if plan.dropouts:
        single = releases * _known_divergences(plan, noise)
    else:
        single = _divergences(plan, noise, releases)
    least = np.min((1 - 1 / _ORDERS) * single + math.log(runs) / _ORDERS)
    return _from_divergences(single + 2 * least + math.log(runs) / (_ORDERS - 1), plan.delta)


def skellam_divergences(
    variance: float, squared_norm: float, l1_norm: float
) -> Float64[np.ndarray, "orders"]:
    """Rényi divergences of orders 2, 3, … 512, at most, of Skellam noise and itself moved.

    D_α <= α Δ₂² / (2μ) + min(((2α - 1) Δ₂² + 6 Δ₁) / (4μ²), 3 Δ₁ / (2μ)) for a move by an integer
    vector (Agarwal, Kairouz & Liu 2021, The Skellam Mechanism, section 3).

    Args:
      variance: μ of the noise of each coordinate: it is the difference of two Poisson numbers of
        mean μ/2.
      squared_norm: Δ₂², squared L2 norm of the vector, at most.
      l1_norm: Δ₁, its L1 norm, at most.
    """
    excess = np.minimum(
        ((2 * _ORDERS - 1) * squared_norm + 6 * l1_norm) / (4 * variance**2),
        3 * l1_norm / (2 * variance),
    )
    return _ORDERS * squared_norm / (2 * variance) + excess


def subsampled_divergences(
    divergences: Float64[np.ndarray, "orders"], rate: float
) -> Float64[np.ndarray, "orders"]:
    """Rényi divergences when a client takes part with probability ``rate``, else adds nothing.

    For noise P, moved noise P' and their mixture R = (1 - q) P + q P':
    E_P[(R/P)^α] = Σ_k binom(α, k) (1 - q)^(α-k) q^k E_P[(P'/P)^k], and the last factor is
    e^((k-1) D_k). That is D_α(R || P), and D_α(P || R) is never larger, since x -> Δ - x exchanges
    P and P' for every noise that is symmetric about 0, Gaussian and Skellam among them (Mironov,
    Talwar & Zhang 2019, Rényi Differential Privacy of the Sampled Gaussian Mechanism, theorem 5
    and section 3.3).

    Args:
      divergences: of orders 2, 3, … between noise and moved noise, or bounds of them.
      rate: q, more than 0 and at most 1.
    """
    if rate == 1:
        return divergences
    from scipy.special import gammaln, logsumexp

    powers = np.arange(len(divergences) + 2)
    log_factorials = gammaln(powers + 1)
    terms = powers * math.log(rate) - log_factorials
    terms[2:] += (powers[2:] - 1) * divergences
    absent = powers * math.log1p(-rate) - log_factorials
    log_moments = [
        log_factorials[order] + logsumexp(terms[: order + 1] + absent[order::-1])
        for order in powers[2:]
    ]
    # Rounding may leave a moment that is barely above 1 barely below it.
    return np.maximum(log_moments, 0.0) / (powers[2:] - 1)


def truncated_divergences(
    divergences: Float64[np.ndarray, "orders"],
    subsampled: Float64[np.ndarray, "orders"],
    log_truncation: float,
) -> Float64[np.ndarray, "orders"]:
    """Rényi divergences when clients beyond a cohort's capacity are left out at random.

    Whether so many others are drawn that one more may not fit does not depend on a client's data.
    If they are not, its participation is Poisson's; if they are, knowing the cohort bounds it. Both
    together are a mixture with weight τ = Pr[Bin(N - 1, q) >= capacity] on either side, so that, by
    joint convexity, E[(P/Q)^α] <= (1 - τ) e^((α-1) D_α^subsampled) + τ e^((α-1) D_α). The same
    holds where the client decides whether a sum has enough clients to be opened: τ is then the
    probability of either.

    It needs zero-out adjacency: a client without data keeps its place in the draw.

    Args:
      divergences: of orders 2, 3, … of a round in which the client is known to take part.
      subsampled: of a round of Poisson sampling, from `subsampled_divergences`.
      log_truncation: ln τ; -inf if cohorts are never too large or too small.
    """
    orders = np.arange(2, len(divergences) + 2)
    log_fits = math.log(-math.expm1(log_truncation)) if log_truncation < 0 else -math.inf
    fits = log_fits + (orders - 1) * subsampled
    return np.logaddexp(fits, log_truncation + (orders - 1) * divergences) / (orders - 1)


def _releases(plan: PrivacyPlan, rounds: int | None) -> int:
    if rounds is None:
        return plan.rounds
    if rounds < 0:
        raise ConfigError(f"rounds={rounds}: expected at least 0 releases")
    return rounds


@functools.lru_cache(maxsize=4096)
def _epsilon(plan: PrivacyPlan, noise: float, rounds: int) -> float:
    unamplified = _unamplified(plan, noise, rounds)
    if plan.dropouts:
        # The noise that dropouts leave depends on the size of the cohort, and may tell of it.
        return unamplified
    if plan.sampling == "full" or unamplified in (0, math.inf):
        return unamplified
    if plan.sampling == "fixed_size" or plan.mechanism == "skellam":
        amplified = _from_divergences(_divergences(plan, noise, rounds), plan.delta)
    else:
        amplified = _by_loss_distribution(plan, noise, rounds)
    return min(amplified, unamplified)


def _unamplified(plan: PrivacyPlan, noise: float, rounds: int) -> float:
    if rounds == 0:
        return 0.0
    if noise == 0:
        return math.inf
    if plan.mechanism == "skellam":
        return _from_divergences(rounds * _known_divergences(plan, noise), plan.delta)
    from dp_accounting.gaussian_mechanism import get_epsilon_gaussian

    return float(get_epsilon_gaussian(noise / _reach(plan, rounds), plan.delta))


def _reach(plan: PrivacyPlan, rounds: int) -> float:
    """Sensitivity of all releases as one Gaussian mechanism, in clipping norms."""
    coefficients = band_coefficients(plan.band, plan.rounds, plan.separation)[:rounds]
    return plan.sensitivity * sensitivity(coefficients, rounds, plan.separation)


def _turns(plan: PrivacyPlan, rounds: int) -> int:
    """Rounds in which a client can be drawn."""
    return -(-rounds // plan.separation)


def _by_loss_distribution(plan: PrivacyPlan, noise: float, rounds: int) -> float:
    import dp_accounting
    from dp_accounting.pld import PLDAccountant

    # Losses of little noise span too much to be told apart by thousandths.
    interval = 1e-3 * max(1.0, (0.3 / noise) ** 2)
    accountant = PLDAccountant(dp_accounting.NeighboringRelation.REPLACE_SPECIAL, interval)
    event = dp_accounting.TruncatedSubsampledGaussianDpEvent(
        dataset_size=plan.group_size,
        sampling_probability=plan.turn_rate,
        truncated_batch_size=plan.slots,
        noise_multiplier=noise,
    )
    accountant.compose(event, _turns(plan, rounds))
    return _less_unopened(plan, rounds, lambda delta: float(accountant.get_epsilon(delta)))


def _less_unopened(plan: PrivacyPlan, rounds: int, curve: Callable[[float], float]) -> float:
    """ε at what is left of δ once sums of too few clients, which are not opened, are paid for.

    Where one client decides whether there are enough, noise alone is released instead of the
    others' sum. That has probability τ a round and costs (1 + e^ε) τ of δ; infinite ε if it is
    over half.
    """
    if plan.smallest_cohort < 2:
        return curve(plan.delta)
    from scipy.stats import binom

    decides = binom.pmf(plan.smallest_cohort - 1, plan.group_size - 1, plan.turn_rate)
    most = curve(plan.delta / 2)
    cost = _turns(plan, rounds) * float(decides) * (1 + math.exp(min(most, 700.0)))
    return curve(plan.delta - cost) if cost <= plan.delta / 2 else math.inf


def _divergences(plan: PrivacyPlan, noise: float, rounds: int) -> Float64[np.ndarray, "orders"]:
    """Of all releases together, against who sees the released models."""
    if plan.sampling == "fixed_size":
        return rounds * _fixed_size_divergences(plan, noise)
    if plan.sampling == "full" and plan.mechanism != "skellam":
        return _ORDERS * (_reach(plan, rounds) / noise) ** 2 / 2
    known = _known_divergences(plan, noise)
    subsampled = subsampled_divergences(known, plan.turn_rate)
    from scipy.stats import binom

    others = plan.group_size - 1, plan.turn_rate
    truncation = np.logaddexp(
        binom.logsf(plan.slots - 1, *others), binom.logpmf(plan.smallest_cohort - 1, *others)
    )
    return _turns(plan, rounds) * truncated_divergences(known, subsampled, float(truncation))


def _known_divergences(plan: PrivacyPlan, noise: float) -> Float64[np.ndarray, "orders"]:
    """Of a round in which a client is known to take part."""
    if plan.mechanism != "skellam":
        return _ORDERS * (plan.sensitivity / noise) ** 2 / 2
    assert plan.dimension is not None, "a plan of Skellam noise has one"
    squared = float(plan.max_squared_norm)
    l1_norm = min(math.sqrt(plan.dimension * squared), squared)
    return skellam_divergences(noise**2 * squared, squared, l1_norm)


def _fixed_size_divergences(plan: PrivacyPlan, noise: float) -> Float64[np.ndarray, "orders"]:
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant

    # Its cost grows as the square of the order.
    orders = [*range(2, 33), 40, 48, 64, 96, 128, 256, 512]
    accountant = RdpAccountant(orders, dp_accounting.NeighboringRelation.REPLACE_ONE)
    accountant.compose(
        dp_accounting.SampledWithoutReplacementDpEvent(
            plan.num_clients, plan.slots, dp_accounting.GaussianDpEvent(noise / plan.sensitivity)
        )
    )
    every = np.full(len(_ORDERS), math.inf)
    every[np.array(orders) - 2] = accountant.rdp
    return every


def _from_divergences(divergences: Float64[np.ndarray, "orders"], delta: float) -> float:
    from dp_accounting.rdp import compute_epsilon

    return float(compute_epsilon(_ORDERS.tolist(), divergences.tolist(), delta)[0])
