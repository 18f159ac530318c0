"""What releases cost: δ as a function of ε, and ε as a function of δ."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pride_jax.privacy.amplification import ORDERS
from pride_jax.privacy.charge import charge, charged
from pride_jax.privacy.composition import MOST, delta_of, epsilon_of
from pride_jax.privacy.losses import Losses, Mixture, on_grid, reach, spread


class Profile(Protocol):
    """All (ε, δ) of some releases, none understated."""

    def epsilon(self, delta: float) -> float:
        """ε >= 0 at this δ."""
        ...

    def delta(self, epsilon: float) -> float:
        """δ at this ε >= 0."""
        ...


@dataclass(frozen=True)
class GaussianProfile:
    """One Gaussian release whose noise has a standard deviation of 1: exact."""

    move: float
    """By how much a client moves it at the most, μ of Gaussian DP."""

    def epsilon(self, delta: float) -> float:
        """ε >= 0 at this δ."""
        from scipy.special import ndtri

        if self.delta(0.0) <= delta:
            return 0.0
        # Halved to the last bit; the upper end is never too small.
        low, high = 0.0, self.move**2 / 2 + self.move * abs(float(ndtri(delta)))
        while low < (middle := (low + high) / 2) < high:
            if self._log_delta(middle) > math.log(delta):
                low = middle
            else:
                high = middle
        return high

    def delta(self, epsilon: float) -> float:
        """δ at this ε >= 0 (Balle & Wang 2018, theorem 8)."""
        return math.exp(self._log_delta(epsilon))

    def _log_delta(self, epsilon: float) -> float:
        from scipy.special import log_ndtr

        with_client = float(log_ndtr(self.move / 2 - epsilon / self.move))
        without = epsilon + float(log_ndtr(-self.move / 2 - epsilon / self.move))
        return with_client + math.log(max(-math.expm1(without - with_client), 1e-300))


@dataclass(frozen=True)
class RenyiProfile:
    """Releases of which Rényi divergences of the orders 2 … 512 are known, or bounds of them."""

    divergences: tuple[float, ...]
    """Of all releases."""

    def epsilon(self, delta: float) -> float:
        """ε >= 0 at this δ."""
        from dp_accounting.rdp import compute_epsilon

        return float(compute_epsilon(ORDERS.tolist(), list(self.divergences), delta)[0])

    def delta(self, epsilon: float) -> float:
        """δ at this ε >= 0."""
        from dp_accounting.rdp.rdp_privacy_accountant import compute_delta

        return float(compute_delta(ORDERS.tolist(), list(self.divergences), epsilon)[0])


@dataclass(frozen=True)
class LossProfile:
    """Rounds of one mixture of pairs, composed on grids that are refined until ε stays."""

    mixture: Mixture
    """What each round is dominated by."""
    rounds: int
    """How many."""

    def epsilon(self, delta: float) -> float:
        """ε >= 0 at this δ; infinite where no grid that fits into memory is fine enough."""
        return self._refined(lambda losses: epsilon_of(losses, self.rounds, delta), delta)

    def delta(self, epsilon: float) -> float:
        """δ at this ε >= 0."""
        expected = 1e-3
        while True:
            found = self._refined(lambda losses: delta_of(losses, self.rounds, epsilon), expected)
            # What is cut off counts as δ, and must not be much of it.
            if found > 0.1 * expected or expected < 1e-250:
                return found
            expected *= 1e-4

    def _refined(self, cost: Callable[[Losses], float], delta: float) -> float:
        """The cost on grids of which each halves the last, until it changes by less than 1 in 2000.

        Every grid's is a bound. One that is too fine to be composed costs infinity.
        """
        farthest = reach(self.mixture, 2e-3 * delta / self.rounds)

        def on(interval: float) -> float:
            return max(cost(losses) for losses in on_grid(self.mixture, interval, farthest))

        interval = max(spread(self.mixture) / 2, 2 * farthest / MOST)
        found = on(interval)
        while math.isinf(found) and farthest / interval > 8:
            interval *= 4
            found = on(interval)
        for _ in range(_HALVES):
            interval /= 2
            if 2 * farthest / interval > MOST:
                break
            coarser, found = found, min(found, on(interval))
            if found >= 0.9995 * coarser:
                break
        return found


_HALVES = 10


@dataclass(frozen=True)
class Charged:
    """Releases whose cohorts and noise are some distance from those of a profile; see `charge`."""

    ideal: Profile
    """What is accounted."""
    distance: float
    """Total variation of all releases, at most."""

    def epsilon(self, delta: float) -> float:
        """ε >= 0 at this δ; infinite where the distance would take more than a thousandth of δ."""
        return charged(self.ideal.epsilon, delta, self.distance)

    def delta(self, epsilon: float) -> float:
        """δ at this ε >= 0."""
        return min(1.0, self.ideal.delta(epsilon) + charge(epsilon, self.distance))


@dataclass(frozen=True)
class Least:
    """Several bounds of the same releases: the least one at each ε and δ."""

    profiles: tuple[Profile, ...]
    """The bounds."""

    def epsilon(self, delta: float) -> float:
        """ε >= 0 at this δ."""
        return min(each.epsilon(delta) for each in self.profiles)

    def delta(self, epsilon: float) -> float:
        """δ at this ε >= 0."""
        return min(each.delta(epsilon) for each in self.profiles)
