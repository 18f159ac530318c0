"""Why a sum of discrete Gaussian shares costs no more than Gaussian noise of almost its variance.

Let X be the sum of n independent discrete Gaussians of parameter s each, P(X_i = k) ~ e^(−k²/(2s)),
v = n s its parameter, and η(c) = 2 Σ_{j >= 1} e^(−2π² c j²). Let

    τ = Σ_{k=1}^{n−1} log((1 + η_k) / (1 − η_k)),  η_k = η(s k/(k + 1)),    κ = 1/v + 2τ.

**Claim.** Where v >= 4 and τ <= 0.05, for every integer vector k and independent copies of X as
coordinates, the pair (k + X, X) is dominated by (N(k, g), N(0, g)) with g = (1 + √(1 − κ/3))/(2κ),
which is v − 1/12 − … where τ is negligible. It holds under sampling and composition as in
`dominance`, whose reduction to steps h(m + 1) − h(m) of normal scores is used here: X is symmetric,
and log-concave as a sum of what is.

**Almost a discrete Gaussian** (as Kairouz, Liu & Steinke 2021, with another constant). For a and b
let c = ab/(a + b). By completing the square and Poisson's summation formula, the convolution of
discrete Gaussians of parameters a and b is, at x, a constant times e^(−x²/(2(a + b))) (1 + u), |u|
<= η(c). So if the sum of the first k is e^(−x²/(2ks)) w_k(x), where log w_k varies by τ_k at most,
that of k + 1 is e^(−x²/(2(k + 1)s)) w_(k+1)(x), where it varies by τ_k + log((1 + η_k)/(1 − η_k)).

**Curvature.** log P(X=m)² / (P(X=m−1) P(X=m+1)) is 1/v and two differences of log w: at most κ.

**Maximum.** Let d be the supremum of all steps d_m. For m to infinity log P(X >= m) is −m²/(2v) up
to what is bounded, so that h(m) − m/√v tends to 0 and d_m to 1/√v <= 1/√g. So d is that at most,
or is the largest of the steps; then d² (1 − d²/12) <= κ, as `dominance` shows of any symmetric
distribution with this curvature: d² <= 6 (1 − √(1 − κ/3)) = 1/g, or d >= 3.4. The latter cannot be.
Let r = P(X=m+1)/P(X=m) >= e^(−(2m + 1)/(2v) − τ) for the step's m >= 0. Then P(X > m)/P(X >= m) >=
r/(1 + r) would be at most Φ(−1.7)/Φ(1.7) < 0.05, so r < 0.053 and a = m + ½ > 2.88 v >= 11. There
h(m) >= 0, so that d <= 2 log(1 + 1/r)/b with b = h(m + 1), as in `dominance`, and log(1 + 1/r) <=
a/v + τ + 0.06. X is subgaussian (Canonne, Kamath & Steinke 2020): P(X > m) <= e^(−(m+1)²/(2v)),
and Φ(−b) >= e^(−b²)/4 give b² >= a²/(2v) − 1.39 >= 0.9 a²/(2v). So d <= 3 (1/√v + 0.11 √v/a) <=
3.2/√v < 2. ∎

How much is lost: of shares with s >= 3 nothing that could be seen, as τ < 1e-12 n; κ counts the
ripples of narrower shares in full at every step, which is more than they cost.
"""

import math

SMALLEST_VARIANCE = 4.0
"""From which on the claim is proved."""
LARGEST_VARIATION = 0.05
"""τ up to which it is."""


def gaussian_variance(variance: float, share: float, clients: int) -> float:
    """The variance g of Gaussian noise that costs no less; 0 where the claim tells of none.

    Args:
      variance: parameter v of a sum, at least.
      share: parameter s of each share, at least.
      clients: shares in a sum, at most.
    """
    variation = variation_of(share, clients)
    if variance < SMALLEST_VARIANCE or variation > LARGEST_VARIATION:
        return 0.0
    curvature = 1 / variance + 2 * variation
    return (1 + math.sqrt(1 - curvature / 3)) / (2 * curvature)


def variation_of(share: float, clients: int) -> float:
    """τ, at most; infinite where shares are so small that the claim has none."""
    first = min(clients, _ONE_BY_ONE)
    steps = [_step(share * k / (k + 1)) for k in range(1, first)]
    # Steps become smaller with k.
    return math.fsum(steps) + (clients - first) * _step(share * first / (first + 1))


_ONE_BY_ONE = 64
"""Steps that are added up one by one; each of the others is as large as the next, at most."""


def _step(narrowness: float) -> float:
    """log((1 + η) / (1 − η)), at most.

    The terms of η(c) after the first are no larger than a geometric series of ratio e^(−6π² c).
    """
    first = math.exp(-2 * math.pi**2 * narrowness)
    if first >= 0.4:
        return math.inf
    return 2 * math.atanh(2 * first / (1 - first**3)) * (1 + 1e-12)
