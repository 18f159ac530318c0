"""Why Skellam noise of variance v costs no more than Gaussian noise of variance v − 2.

Let X be the difference of two Poisson numbers of mean v/2 each: P(X = n) = e^(−v) I_n(v), with the
modified Bessel functions I. Let v >= 4.

**Claim.** For every integer vector k and independent X_1, …, X_d, the pair (k + X, X) is dominated
by (N(k, v − 2), N(0, v − 2)): no H_α of it is larger. It holds then for subsampling, for mixtures
and under composition, which use nothing else of a noise that is symmetric about 0 (Zhu, Dong & Wang
2022, theorems 10 and 11), and a Gaussian asks for the L2 norm of k alone, whatever its shape.

**One coordinate, a shift of 1, is enough.** Independent coordinates compose, so let d = 1. X is
log-concave, so that the best events for a shift k are X >= m. Write h(m) = Φ⁻¹(P(X < m)). Against
the event X >= m the shifted noise has P(X >= m − k), and the Gaussian pair of variance s² is never
worse if h(m) − h(m − k) <= k/s for all m: then it lies above all corners of the curve of best
events, which is linear between them. These differences add up. So it is enough that

    d_m = h(m + 1) − h(m) <= 1/s  for all integers m.

This says that the increasing map which makes X a standard normal is a contraction. For densities
Caffarelli's theorem concludes it from second derivatives; here are integers, so it is proved anew.

**Curvature.** Let κ be the most that log P(X=n)² / (P(X=n−1) P(X=n+1)) is over all n. Claim:
κ <= log((v − ½) / (v − 3/2)). With φ(x) = x I_n'(x) / I_n(x), I_(n−1) I_(n+1) / I_n² is
(φ² − n²)/x², and φ solves x φ' = R² − φ² with R² = x² + n². Let g² = R² − x²/(R − ½). Where
R >= 2.8, g grows more slowly than such a solution: x g' <= R² − g², that is with s = R − ½ and
t = x²/R², s − 1 + tR/(2s) <= R √(1 − t/s); by √(1 − u) >= 1 − u/2 − u²/2 it is enough that
(R/s)(1 + 1/(2s)) <= 3/2, true from s = 2.3 on. So φ >= g from any point on where φ >= g and
R >= 2.8: from 0 on for n >= 3, as the series φ = n + x²/(2n + 2) + … shows; from x = 4 on for
n = 0, 1, 2, where φ(4) = 3.454, 3.632, 4.079 and g(4) = 3.381, 3.547, 3.996. There
1 − I_(n−1) I_(n+1) / I_n² = (R² − φ²)/x² <= 1/(R − ½) <= 1/(v − ½).

**Maximum.** Let d be the largest d_m; by symmetry let h(m) + h(m + 1) >= 0, so m >= 0. Let G(c) be
the normal mass within d/2 of c, and c the middle of h(m) and h(m + 1). Then P(X=m) = G(c), and as
d is the largest, P(X=m−1) <= G(c − d) and P(X=m+1) <= G(c + d). So

    κ >= log G(c)² / (G(c − d) G(c + d)) = d² − log E e^(d (w − w')) >= d² (1 − d²/12),

with w, w' independent standard normals on the interval of length d around c. The last step: the
second derivative of log E e^(θ w) is the variance of such a normal, tilted, and at most d²/12. For
a truncated exponential of the same mean crosses it twice, is more spread (Karlin & Novikoff 1963),
and has variance 1/θ² − (d/2)²/sinh²(θ d/2) <= d²/12.

So d² <= 6 (1 − √(1 − κ/3)) or d² >= 6 (1 + √(1 − κ/3)) >= 11.6. The first is at most 1/(v − 2), for
x = 1/(v − 2) has x (1 − x/12) >= κ. The second cannot be: let r = I_(m+1)/I_m, at least
v/(2m + 2 + v) (Amos 1974), so P(X > m)/P(X >= m) >= r/(1 + r). With d >= 3.4 this would be at most
Φ(−1.7)/Φ(1.7) < 0.05, so r < 0.055 and m > 8 v >= 32. There h(m) > 0 and, from Φ(−b)/Φ(−b + d) <=
e^(−d b/2) with b = h(m + 1) >= d, d <= 2 log(1 + 1/r)/b. Chernoff's bound P(X > m) <= e^(−J), J =
(m+1) asinh((m+1)/v) − √((m+1)² + v²) + v >= 1.7 (m + 1), and Φ(−b) >= e^(−b²)/4 give b² >= J −
log 4. So d <= 2 log(3 + (m + 1)/2) / √(1.7 (m + 1) − 1.4) < 1. It also tends to 0: there is a
largest d_m. ∎

How much is lost: numerically d_0 is the largest, of a variance of v − 1/3 (results/privacy). With
c = 2^(b−1) − 1 levels v is over c², so that from 8 bits on the 2 costs less than 1e-4 of the noise.
"""

SMALLEST_VARIANCE = 4.0
"""From which on the claim is proved."""


def gaussian_variance(variance: float) -> float:
    """The variance of Gaussian noise that costs no less than Skellam noise of at least 4."""
    return variance - 2
