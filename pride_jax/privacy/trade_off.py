"""The whole trade-off of a plan: every (ε, δ), and what stands for them in other definitions."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pride_jax.privacy.accounting import profile, releases_of
from pride_jax.privacy.events import event_of
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.profile import Profile
from pride_jax.privacy.readers import Reader
from pride_jax.validated import expect

if TYPE_CHECKING:
    import numpy as np
    from dp_accounting import DpEvent
    from jaxtyping import Float64


@dataclass(frozen=True)
class TradeOff:
    """What a reader may learn of the releases, at every ε or δ."""

    plan: Plan
    """What is released."""
    releases: int
    """How often."""
    reader: Reader
    """Who reads."""

    @property
    def profile(self) -> Profile:
        """Every (ε, δ): exact for full participation with Gaussian noise, else upper bounds."""
        return profile(self.plan, self.releases, self.reader)

    def epsilon(self, delta: float) -> float:
        """ε >= 0 at this δ, above 0 and below 1."""
        return self.profile.epsilon(delta)

    def delta(self, epsilon: float) -> float:
        """δ at this ε >= 0."""
        return self.profile.delta(epsilon)

    def curve(self, points: int = 16) -> "Float64[np.ndarray, 'points 2']":
        """Pairs (ε, δ), from ε = 0 to the ε of a hundredth of the plan's δ, evenly spaced."""
        import numpy as np

        told = self.profile
        most = told.epsilon(self.plan.delta / 100)
        return np.array([(each, told.delta(each)) for each in np.linspace(0, most, points)])

    @property
    def mu(self) -> float:
        """μ of Gaussian differential privacy (Dong, Roth & Su 2022); infinite where none is known.

        That of known cohorts, whoever reads: not knowing them lowers δ at every ε, but no μ holds
        for all ε that is smaller than theirs by much, since μ follows from the largest ε. Exact for
        Gaussian and banded noise in full participation, else an upper bound.
        """
        return self.plan.mechanism.gaussian_move(self.plan.setting, self.releases)

    @property
    def rho(self) -> float:
        """ρ of zero-concentrated differential privacy (Bun & Steinke 2016): μ²/2, as `mu`."""
        return self.mu**2 / 2

    def event(self) -> "DpEvent":
        """The releases as an event of dp_accounting, see `events.event_of`.

        Raises:
          ConfigError: no event tells what the plan costs.
        """
        return event_of(self.plan, self.releases)

    def to_dict(self) -> dict[str, Any]:
        """What a summary tells of it: reader, μ and ρ (None if infinite), pairs (ε, δ)."""
        return {
            "reader": self.reader,
            "mu": self.mu if math.isfinite(self.mu) else None,
            "rho": self.rho if math.isfinite(self.rho) else None,
            "epsilon_delta": self.curve().tolist(),
        }


def trade_off(plan: Plan, rounds: int | None = None, reader: Reader | None = None) -> TradeOff:
    """The whole trade-off of a plan.

    Args:
      plan: what is released.
      rounds: releases so far; all of the plan's if not given.
      reader: who reads; the plan's own if not given.

    Raises:
      ConfigError: nothing is released, or without noise; or the argument is no plan.
    """
    expect("plan", plan, Plan, "a Plan(sampler, clipping, mechanism, rounds, delta)")
    reader = plan.reader if reader is None else reader
    releases = releases_of(plan, rounds)
    profile(plan, releases, reader)
    return TradeOff(plan, releases, reader)
