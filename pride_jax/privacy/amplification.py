"""What sampling hides: divergences of one round's noise become those of a sampled round.

Rényi divergences are arrays over the orders 2, 3, … 512: whole orders, as the bounds of Skellam
noise and of subsampling need them.
"""

import math

import numpy as np
from jaxtyping import Float64

ORDERS = np.arange(2, 513)
"""The Rényi orders."""


def gaussian_divergences(noise_multiplier: float) -> Float64[np.ndarray, "orders"]:
    """Rényi divergences of Gaussian noise and itself moved by 1.

    Args:
      noise_multiplier: standard deviation of the noise.
    """
    return ORDERS * (1 / noise_multiplier) ** 2 / 2


def from_divergences(divergences: Float64[np.ndarray, "orders"], delta: float) -> float:
    """ε at δ of releases with these Rényi divergences of orders 2 … 512."""
    from dp_accounting.rdp import compute_epsilon

    return float(compute_epsilon(ORDERS.tolist(), divergences.tolist(), delta)[0])


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


def without_replacement_divergences(
    *, clients: int, size: int, noise_multiplier: float
) -> Float64[np.ndarray, "orders"]:
    """Rényi divergences of a round of ``size`` clients of ``clients``, one of them replaced.

    Under Gaussian noise moved by at most 1 (Wang, Balle & Kasiviswanathan 2019, theorem 27). Some
    orders are left out, with infinity for them: the cost of one grows as its square.
    """
    import dp_accounting
    from dp_accounting.rdp import RdpAccountant

    orders = [*range(2, 33), 40, 48, 64, 96, 128, 256, 512]
    accountant = RdpAccountant(orders, dp_accounting.NeighboringRelation.REPLACE_ONE)
    accountant.compose(
        dp_accounting.SampledWithoutReplacementDpEvent(
            clients, size, dp_accounting.GaussianDpEvent(noise_multiplier)
        )
    )
    every = np.full(len(ORDERS), math.inf)
    every[np.array(orders) - 2] = accountant.rdp
    return every
