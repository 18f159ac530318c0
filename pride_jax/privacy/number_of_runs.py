"""The secret number of runs of which the best is released, and what choosing among them costs.

A run is what is carried out so many times, independently; what is said of one holds in both
directions between neighbours. Let f generate the probabilities of the number K, and let q and q' be
the probabilities of one event in a run of either of two neighbours.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Float64

from pride_jax.privacy.amplification import ORDERS
from pride_jax.privacy.exact import Below, negative_binomial, poisson
from pride_jax.validated import Validated

Divergences = Float64[np.ndarray, "orders"]
"""Rényi divergences of the orders of `ORDERS`, at most; in both directions between neighbours."""

Epsilons = Callable[[float], float]
"""δ -> ε, at most; in both directions."""

_DENOMINATOR = 2**60


class _Runs(Validated):
    """A distribution of the number of runs."""

    mean: float
    excess = 0.0
    """Total variation between the number that is drawn and the number that is accounted."""

    def _section(self) -> str:
        return ""

    def _check(self) -> None:
        if not 1.001 <= self.mean <= 1e6:
            self._refuse("mean", "1.001 to 1,000,000 runs: with a single one nothing is chosen")

    def slots(self, count: int) -> int:
        """How many runs are carried out where so many are drawn."""
        return count


@dataclass(frozen=True)
class NegativeBinomial(_Runs):
    """A truncated negative binomial number of runs, at least one."""

    mean: float
    """Expected number of runs."""
    shape: float = 1.0
    """η: 1 is geometric, 0 logarithmic; the smaller, the cheaper and the more often one run."""

    def _check(self) -> None:
        super()._check()
        if not -0.999 <= self.shape <= 1:
            self._refuse("shape", "−0.999 to 1: for a more even number take Poisson")

    @property
    def stop(self) -> Fraction:
        """γ, at most what the mean asks for, so that the mean is not smaller than was asked for."""
        low, high = 0, _DENOMINATOR
        while high - low > 1:
            middle = (low + high) // 2
            if _mean(middle / _DENOMINATOR, self.shape) >= self.mean:
                low = middle
            else:
                high = middle
        if low == 0:
            self._refuse("mean", f"fewer runs for shape={self.shape}")
        return Fraction(low, _DENOMINATOR)

    def draw(self, below: Below) -> int:
        """A number of runs."""
        return negative_binomial(below, Fraction(self.shape), self.stop)

    @property
    def expected(self) -> float:
        """E[K]: the mean, or a little more."""
        return _mean(float(self.stop), self.shape)

    def spread(self, single: Epsilons) -> float:
        """At least the largest log f'(q) / f'(q'), within 1%.

        f'(q) is proportional to (γ + (1 − γ) r)^−(1 + η) where r = 1 − q, and r' is at most
        e^ε r + δ(ε) of a single run. At the ε where δ(ε) = γ / (1 − γ) · (e^ε − 1) that makes
        (γ + (1 − γ) r') / (γ + (1 − γ) r) at most e^ε, and no other ε makes it less.
        """
        odds = float(self.stop / (1 - self.stop))
        return (1 + self.shape) * _smallest(
            math.log1p(1 / odds), lambda epsilon: single(odds * math.expm1(epsilon)) <= epsilon
        )

    def tuned(self, single: Divergences) -> Divergences:
        """Rényi divergences of the best of all runs, from those of a single run (theorem 2).

        D_α + (1 + η) · min over β of ((1 − 1/β) D_β + log(1/γ) / β) + log E[K] / (α − 1).
        """
        stop = float(self.stop)
        least = np.min((1 - 1 / ORDERS) * single - math.log(stop) / ORDERS)
        return single + (1 + self.shape) * least + math.log(self.expected) / (ORDERS - 1)

    def describe(self) -> str:
        """The words of a disclosure."""
        name = {1.0: "geometric", 0.0: "logarithmic"}.get(self.shape, "negative binomial")
        return f"{name} with mean {self.mean:g}" + (
            "" if self.shape in (0, 1) else f" and shape {self.shape:g}"
        )


@dataclass(frozen=True)
class Poisson(_Runs):
    """A Poisson number of runs, drawn again where it is 0, so that something is released."""

    mean: float
    """Of the Poisson number, μ; the runs expected are μ / (1 − e^−μ)."""

    def draw(self, below: Below) -> int:
        """A number of runs."""
        while (count := poisson(below, Fraction(self.mean))) == 0:
            pass
        return count

    @property
    def expected(self) -> float:
        """E[K]."""
        return self.mean / -math.expm1(-self.mean)

    def spread(self, single: Epsilons) -> float:
        """At least the largest log f'(q) / f'(q') = μ (q − q'), and q − q' is at most δ(0)."""
        return self.mean * _smallest(1.0, lambda delta: single(delta) == 0)

    def tuned(self, single: Divergences) -> Divergences:
        """Rényi divergences of the best of all runs, from those of a single run.

        D_α + μ δ_α + log E[K] / (α − 1), where a single run is (log(1 + 1 / (α − 1)), δ_α)-private.
        That is theorem 6 for K ≥ 1. Its proof bounds f'(q)^α f'(q')^(1−α), where f generates the
        probabilities of K and q, q' are those of one event in either run, and
        f'(x) = E[K] e^(μ(x − 1)) in both cases; only E[K] is another.
        """
        beyond = self.mean * deltas(single, np.log1p(1 / (ORDERS - 1)))
        return single + beyond + math.log(self.expected) / (ORDERS - 1)

    def describe(self) -> str:
        """The words of a disclosure."""
        return f"Poisson with mean {self.mean:g}, drawn again where it is 0"


@dataclass(frozen=True)
class AtMost(Validated):
    """As many runs carried out whatever number is drawn, so that no time tells the number.

    A number above ``most`` is drawn again. Runs beyond the number that is drawn cannot be chosen.
    """

    runs: NegativeBinomial | Poisson
    """What is drawn and accounted."""
    most: int
    """Runs that are carried out."""

    def _section(self) -> str:
        return ""

    def _check(self) -> None:
        self._at_least(2, "most")
        if self.excess > 0.01:
            self._refuse("most", f"more for {self.runs.describe()}, which often exceeds it")

    @property
    def excess(self) -> float:
        """At least the probability that a number is drawn again, by Chernoff's bound."""
        if isinstance(self.runs, Poisson):
            mean, ratio = self.runs.mean, self.most / self.runs.mean
            exponent = self.most - mean - self.most * math.log(ratio) if ratio > 1 else 0.0
            return min(1.0, math.exp(exponent) / -math.expm1(-mean))
        # Beyond 1, ratios of neighbouring probabilities are at most 1 − γ.
        return math.exp(self.most * math.log1p(-float(self.runs.stop)))

    def draw(self, below: Below) -> int:
        """A number of runs that may be chosen from."""
        while (count := self.runs.draw(below)) > self.most:
            pass
        return count

    def slots(self, count: int) -> int:
        """How many runs are carried out, however many may be chosen from."""
        del count
        return self.most

    @property
    def expected(self) -> float:
        """That of ``runs``, which is accounted; `excess` is charged to δ."""
        return self.runs.expected

    def spread(self, single: Epsilons) -> float:
        """That of ``runs``."""
        return self.runs.spread(single)

    def tuned(self, single: Divergences) -> Divergences:
        """Those of ``runs``."""
        return self.runs.tuned(single)

    def describe(self) -> str:
        """The words of a disclosure."""
        return f"{self.runs.describe()}, drawn again above {self.most}"


Runs = NegativeBinomial | Poisson | AtMost
"""The distributions of the number of runs."""


def _smallest(high: float, holds: Callable[[float], bool]) -> float:
    """Within 1% or 1e-9, and never less than, the smallest number from which something holds.

    Args:
      high: a number for which it holds.
      holds: it, of other numbers from 0.
    """
    low = 0.0
    while high - low > max(0.01 * high, 1e-9):
        middle = (low + high) / 2
        if holds(middle):
            high = middle
        else:
            low = middle
    return high


def deltas(divergences: Divergences, epsilons: Divergences) -> Divergences:
    """δ at each ε of what has these Rényi divergences (Canonne, Kamath & Steinke 2020, prop. 12).

    Args:
      divergences: of all orders.
      epsilons: one for each δ that is wanted.
    """
    gaps = divergences[None, :] - epsilons[:, None]
    logs = (ORDERS - 1) * (gaps + np.log1p(-1 / ORDERS)) - np.log(ORDERS)
    return np.exp(np.minimum(logs.min(axis=1), 0.0))


def _mean(stop: float, shape: float) -> float:
    """E[K] of the truncated negative binomial distribution (definition 1)."""
    log_stop = math.log(stop)
    if shape == 0:
        return (1 / stop - 1) / -log_stop
    return shape * (1 / stop - 1) / -math.expm1(shape * log_stop)
