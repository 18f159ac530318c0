"""What Gaussian noise costs that the server adds, independent or correlated over rounds."""

import math
from dataclasses import replace
from typing import Self

import numpy as np
from jaxtyping import Float64

from pride_jax.errors import ConfigError
from pride_jax.privacy.amplification import ORDERS
from pride_jax.privacy.mechanisms.mechanism import Setting, hidden
from pride_jax.privacy.mechanisms.share_noise import Rng
from pride_jax.privacy.mechanisms.shares import NO_SHARES, Shares
from pride_jax.privacy.profile import GaussianProfile, Profile
from pride_jax.privacy.readers import Reader, View
from pride_jax.privacy.sampling import Accounted, Full
from pride_jax.privacy.values import Floats, Grid, Values
from pride_jax.validated import Validated

_REACH = 13
"""No noise is as many deviations from 0: its thresholds end before."""


class ServerNoise(Validated):
    """The accounting of mechanisms whose releases are, for a known cohort, one Gaussian."""

    noise_multiplier: float
    values: Values
    dropouts = 0
    """Announced clients that may be missing from a sum: their number says nothing here."""
    colluders = 0
    """Clients of the largest coalition that the noise provides for: no client knows any of it."""
    draws_from_key = True
    """Whether the noise follows from the run's noise key, so that a round can be done again."""

    def _section(self) -> str:
        return ""

    def _check(self) -> None:
        self._at_least(0, "noise_multiplier")

    def with_noise(self, noise_multiplier: float) -> Self:
        """The same mechanism with another noise multiplier."""
        return replace(self, noise_multiplier=noise_multiplier)  # pyright: ignore

    def reach(self, setting: Setting, releases: int) -> float:
        """Sensitivity of all releases as one Gaussian mechanism, in clipping norms."""
        raise NotImplementedError

    def grid(self, setting: Setting) -> Grid:
        """The grid of the integers.

        Raises:
          ConfigError: there are none.
        """
        del setting
        if isinstance(self.values, Floats):
            raise ConfigError(f"The grid of {self}: expected integers, since floats have none")
        return self.values.grid

    def check_room(self, setting: Setting) -> None:
        """Refuses integers whose sum may leave 32 bits.

        Raises:
          ConfigError: as above.
        """
        if isinstance(self.values, Floats):
            return
        grid, slots = self.grid(setting), setting.sampler.slots
        adds = max(math.sqrt(grid.max_squared_norm), grid.half)
        if slots * adds + _REACH * grid.deviation >= 2**31:
            raise ConfigError(
                f"Sums of up to {slots} clients with {self}: expected below 2^31, but each may add "
                f"{adds:.0f} steps; use smaller cohorts or fewer bits"
            )

    @property
    def states_distance(self) -> bool:
        """Whether it is known how far noise as drawn is from what is accounted: of floats never."""
        return False

    def distance(self, setting: Setting) -> float:
        """0: none is stated."""
        del setting
        return 0.0

    def noise_scale(self, setting: Setting, norm: float) -> float:
        """Standard deviation of the noise of a sum of updates that were clipped to ``norm``."""
        floats = isinstance(self.values, Floats)
        return self.noise_multiplier * norm * (1 if floats else self.grid(setting).stretched)

    def smallest_cohort(self, sampler: Accounted) -> int:
        """Fewest announced clients whose sum is opened; the release of fewer is a sum of nothing.

        Integers go through a secure sum, which opens at least two clients' (or one's, where there
        is no other).
        """
        return min(self.values.smallest_sum, sampler.slots)

    def smallest_sum(self, announced: int, sampler: Accounted) -> int:
        """Fewest of so many announced clients that must be in a sum for it to be opened."""
        del announced
        return self.smallest_cohort(sampler)

    def shares(self, setting: Setting, rng: Rng) -> Shares:
        """No shares: the server adds the noise."""
        del setting, rng
        return NO_SHARES

    def gaussian_move(self, setting: Setting, releases: int) -> float:
        """Most that a client moves all releases, in standard deviations of one Gaussian: exact."""
        return self.reach(setting, releases) / self.noise_multiplier

    def profile(self, setting: Setting, releases: int, reader: Reader) -> Profile:
        """All (ε, δ) of so many releases against such a reader; for known cohorts exact."""
        known = GaussianProfile(self.gaussian_move(setting, releases))
        smallest = self.smallest_cohort(setting.sampler)
        view = View(reader, max(1, self.colluders), smallest, setting.client_state)
        return hidden(known, setting, releases, 1 / self.noise_multiplier, view)

    def divergences(self, setting: Setting, releases: int) -> Float64[np.ndarray, "orders"]:
        """Rényi divergences of all releases, against who sees the released models."""
        sampler = setting.sampler
        if isinstance(sampler, Full):
            return ORDERS * (self.reach(setting, releases) / self.noise_multiplier) ** 2 / 2
        each = sampler.gaussian_divergences(self.noise_multiplier, self.smallest_cohort(sampler))
        return sampler.turns(releases) * each

    def accountant(self, sampler: Accounted) -> str:
        """Whose ε it is, for a disclosure."""
        if isinstance(sampler, Full):
            return "the Gaussian mechanism's exact curve (Balle & Wang 2018)"
        return sampler.accountant()

    def against(self) -> str:
        """Against whom ε holds, for a disclosure."""
        return (
            "It holds against who sees the released models, not against aggregator or key holder, "
            "who see the sum before the noise."
        )

    def caveat(self) -> str:
        """What ε leaves out, for a disclosure."""
        if self.states_distance:
            return "Sums are of integers, and so the same in any order of clients and devices."
        return (
            "No stated distance: noise in floating point has gaps that a reader of the last bits "
            "could use, and sums in floating point round, which one client's data may change a "
            "little for others'. Good for studies of utility; for a release, gaussian with "
            "privacy.noise=integers, or noise that clients add, has neither."
        )
