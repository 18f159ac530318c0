"""What Gaussian noise costs that the server adds, independent or correlated over rounds."""

from dataclasses import replace
from typing import Self

import numpy as np
from jaxtyping import Float64

from pride_jax.errors import ConfigError
from pride_jax.privacy.amplification import ORDERS, gaussian_epsilon
from pride_jax.privacy.mechanisms.mechanism import Setting
from pride_jax.privacy.mechanisms.skellam_noise import Rng
from pride_jax.privacy.sampling import Accounted, Full
from pride_jax.privacy.values import Floats, Grid, Values
from pride_jax.validated import Validated


class ServerNoise(Validated):
    """The accounting of mechanisms whose releases are, for a known cohort, one Gaussian."""

    noise_multiplier: float
    values: Values
    dropouts = 0
    """Announced clients that may be missing from a sum: their number says nothing here."""
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

    def distance(self, setting: Setting) -> float:
        """0: of floats no distance is known."""
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

    def shares(self, setting: Setting, rng: Rng) -> None:
        """None: the server adds the noise."""
        del setting, rng

    def known_epsilon(self, setting: Setting, releases: int, delta: float) -> float:
        """ε at δ against who knows each round's cohort: the exact curve of one Gaussian."""
        return gaussian_epsilon(self.noise_multiplier / self.reach(setting, releases), delta)

    def epsilon(self, setting: Setting, releases: int, delta: float) -> float:
        """ε at δ against who sees the released models, but neither cohorts nor sums."""
        sampler = setting.sampler
        known = self.known_epsilon(setting, releases, delta)
        if isinstance(sampler, Full) or known in (0, np.inf):
            return known
        smallest = self.smallest_cohort(sampler)
        amplified = sampler.gaussian_epsilon(
            self.noise_multiplier, releases, delta, smallest, setting.client_state
        )
        return min(amplified, known)

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
        return (
            "Sums in floating point round, which one client's data may change a little for "
            "others', and noise in floating point has gaps that a reader of the last bits could "
            "use: good for studies of utility; for a release, privacy.mechanism=skellam has none."
        )
