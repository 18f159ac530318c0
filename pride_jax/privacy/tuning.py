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
from dataclasses import dataclass, replace

import numpy as np

from pride_jax.errors import ConfigError
from pride_jax.privacy.amplification import ORDERS, from_divergences
from pride_jax.privacy.charge import charged
from pride_jax.privacy.number_of_runs import Divergences, Epsilons, Runs
from pride_jax.privacy.plan import Plan
from pride_jax.validated import Validated


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
        """ε of one run and its score, the largest of any setting, for who its plan is for.

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
                plan.mechanism.profile(plan.setting, plan.rounds, plan.reader).epsilon(delta)
                for plan in different
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
    runs = tuning.runs
    curve = released * runs.tuned(tuning.divergences())
    single = tuning.epsilons()
    spread = runs.spread(single)

    def cost(delta: float) -> float:
        each = spread + single(delta / released / runs.expected)
        return min(from_divergences(curve, delta), released * each)

    # The number of runs, and the noise and cohorts of as many as are expected.
    of_a_run = max(plan.distance(plan.rounds) for plan in dict.fromkeys(tuning.plans))
    return charged(cost, tuning.delta, released * (runs.excess + runs.expected * of_a_run))


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
