"""What it costs to release the best of a secret random number of runs (Papernot & Steinke 2022).

Hyperparameter Tuning with Rényi Differential Privacy, https://arxiv.org/abs/2110.03620. A procedure
draws a number of runs K in secret, carries out K independent runs, each with settings drawn anew
from a distribution that no data chose, and releases the one with the best score alone. A run costs
as much as with the dearest of all settings, since a reader learns the settings with the model.

Two bounds are taken, and the smaller holds. One is theirs, by Rényi divergences. The other follows
Koskela, Redberg & Wang 2024, Privacy Profiles for Private Selection, by ε as a function of δ: let f
generate the probabilities of K, and let q and q' be the probabilities of one event under either of
two neighbours. If f'(q) / f'(q') is at most e^c for all events, then ε(δ) of everything is at most
c + ε(δ / E[K]) of one run. For an output y is released with probability Q(y) times a mean of f'(X)
over events X, coupled with Q'(y) and f'(X'), so that its part of δ at ε is at most
f'(1) max(0, Q(y) − e^(ε − c) Q'(y)), and f'(1) = E[K].
"""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from jaxtyping import Float64

from pride_jax.errors import ConfigError
from pride_jax.privacy.amplification import ORDERS, from_divergences
from pride_jax.privacy.exact import Below, negative_binomial, poisson
from pride_jax.privacy.plan import Plan
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
        """C of the file's second bound: by what factor the generating function may tell runs apart.

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
        """C of the file's second bound: f'(q) / f'(q') = e^(μ (q − q')), and q − q' <= δ(0)."""
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


@dataclass(frozen=True)
class PublicScore(Validated):
    """A run is scored by its model and by examples that are no client's."""

    examples: str = "test"
    """Whose: a data set's, by name, or those that a run is tested on."""

    def divergences(self) -> Divergences:
        """Nothing: a score is computed from what the run's plan covers."""
        return np.zeros(len(ORDERS))

    def describe(self) -> str:
        """The words of a disclosure."""
        whose = "the runs' own" if self.examples == "test" else self.examples
        return f"by test examples ({whose}) that no client holds, which are taken to be public"


@dataclass(frozen=True)
class HeldOutScore(Validated):
    """A run is scored by clients' accuracies on what they hold out, added up with noise."""

    noise_multiplier: float
    """Standard deviation of the discrete Gaussian noise in a client's largest accuracy, 1."""

    def _check(self) -> None:
        self._above_zero("noise_multiplier")

    def divergences(self) -> Divergences:
        """Of one score: a client moves the sum by at most 1 (Canonne, Kamath & Steinke 2020)."""
        return ORDERS / (2 * self.noise_multiplier**2)

    def describe(self) -> str:
        """The words of a disclosure."""
        return (
            "by the sum of clients' accuracies on examples that they hold out, with discrete "
            f"Gaussian noise of standard deviation {self.noise_multiplier:g}"
        )


Score = PublicScore | HeldOutScore
"""How runs are compared."""


@dataclass(frozen=True, kw_only=True)
class Tuning(Validated):
    """The whole procedure, of which the best run's models, settings and score are released."""

    plans: tuple[Plan, ...]
    """Those of all settings that may be drawn, drawn or not."""
    runs: Runs
    """How many there are."""
    score: Score
    """How they are compared."""

    def _section(self) -> str:
        return ""

    def _check(self) -> None:
        if not self.plans:
            self._refuse("plans", "at least one")
        same = {
            "δ": {plan.delta for plan in self.plans},
            "clients": {plan.sampler.num_clients for plan in self.plans},
            "neighbours": {plan.sampler.adjacency for plan in self.plans},
        }
        for what, found in same.items():
            if len(found) > 1:
                raise ConfigError(
                    f"plans with {what} of {sorted(found)}: expected the same for all settings, "
                    "since one ε is to cover them"
                )

    @property
    def delta(self) -> float:
        """Of (ε, δ)."""
        return self.plans[0].delta

    def divergences(self) -> Divergences:
        """Rényi divergences of one run and its score: the largest of any setting."""
        different = dict.fromkeys(self.plans)
        each = [plan.mechanism.divergences(plan.setting, plan.rounds) for plan in different]
        return np.max(each, axis=0) + self.score.divergences()

    def epsilons(self) -> Epsilons:
        """ε of one run and its score, the largest of any setting.

        By Rényi divergences where scores have noise of their own.
        """
        if isinstance(self.score, HeldOutScore):
            both = self.divergences()
            return lambda delta: from_divergences(both, delta) if delta < 1 else 0.0
        different = dict.fromkeys(self.plans)

        @functools.cache
        def single(delta: float) -> float:
            if delta >= 1:
                return 0.0
            return max(
                plan.mechanism.epsilon(plan.setting, plan.rounds, delta) for plan in different
            )

        return single


@functools.lru_cache(maxsize=256)
def tuning_epsilon(tuning: Tuning, released: int = 1) -> float:
    """ε at the tuning's δ of everything: all runs, their scores, and the choice.

    Against who sees what is released, but neither the other runs nor their number.

    Args:
      tuning: the procedure.
      released: how many times it is carried out on the same clients, each releasing its best run.

    Raises:
      ConfigError: ``released`` is below 1.
    """
    if released < 1:
        raise ConfigError(f"released={released}: expected at least 1")
    if any(plan.mechanism.noise_multiplier == 0 for plan in tuning.plans):
        return math.inf
    runs, delta = tuning.runs, tuning.delta
    curve = released * runs.tuned(tuning.divergences())
    single = tuning.epsilons()
    spread = runs.spread(single)

    def cost(delta: float) -> float:
        each = spread + single(delta / released / runs.expected)
        return min(from_divergences(curve, delta), released * each)

    excess = released * runs.excess
    if not excess:
        return cost(delta)
    # Other numbers of runs, by a total variation d: (ε, δ) is (ε, δ + (1 + e^ε) d) of theirs.
    charged = excess * (1 + math.exp(min(cost(delta / 2), 700.0)))
    return cost(delta - charged) if charged <= delta / 2 else math.inf


def calibrate_tuning(tuning: Tuning, target_epsilon: float) -> Tuning:
    """The tuning with all noise multiplied by one factor, so that everything costs the target.

    At most that, and within 1% of it; never with less noise than is given.

    Args:
      tuning: whose plans have noise.
      target_epsilon: the `tuning_epsilon` of everything.

    Raises:
      ConfigError: no noise on updates is enough, since scores, or the bound on the number of runs,
        cost more.
    """

    def louder(factor: float) -> Tuning:
        return replace(
            tuning,
            plans=tuple(
                replace(plan, mechanism=plan.mechanism.with_noise(factor * noise))
                for plan in tuning.plans
                for noise in (plan.mechanism.noise_multiplier,)
            ),
        )

    low = high = 1.0
    while tuning_epsilon(louder(high)) > target_epsilon:
        if high > 2**20:
            raise ConfigError(
                f"target_epsilon={target_epsilon}: expected more, since without its models' cost a "
                "tuning costs more: add noise to scores, or take fewer runs"
            )
        low, high = high, 2 * high
    while tuning_epsilon(louder(high)) < 0.99 * target_epsilon and high / low > 1 + 1e-6:
        middle = math.sqrt(low * high)
        if tuning_epsilon(louder(middle)) <= target_epsilon:
            high = middle
        else:
            low = middle
    return louder(high)


def _smallest(high: float, holds: Callable[[float], bool]) -> float:
    """Up to 1%, and never less than, the smallest number from which something holds.

    Args:
      high: a number for which it holds.
      holds: it, of other numbers from 0.
    """
    low = 0.0
    while high - low > 0.01 * high:
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
