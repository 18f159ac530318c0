"""The banded mechanism: Gaussian noise that a banded matrix correlates over rounds.

Choquette-Choo et al. 2023, (Amplified) Banded Matrix Factorization. The matrix is in `band_matrix`,
its noise on the device in `banded_noise`.
"""

import functools
from dataclasses import dataclass

from pride_jax.errors import ConfigError
from pride_jax.privacy.clipping import Adaptive
from pride_jax.privacy.mechanisms.band_matrix import band_coefficients, sensitivity
from pride_jax.privacy.mechanisms.correlated import Correlated, Memory
from pride_jax.privacy.mechanisms.mechanism import Setting
from pride_jax.privacy.sampling import CyclicPoisson, Full
from pride_jax.privacy.values import Floats, Values


@dataclass(frozen=True)
class Banded(Correlated):
    """Gaussian noise on each round's sum, some of which later rounds take back."""

    noise_multiplier: float
    """Standard deviation of the noise, before it is correlated, over the clipping norm."""
    band: int
    """Rounds that share noise; 1 is independent noise, for full participation as good as any."""
    values: Values = Floats()
    """What updates are added as."""

    def _check(self) -> None:
        super()._check()
        self._at_least(1, "band")

    def check(self, setting: Setting) -> None:
        """Refuses what it cannot account.

        Raises:
          ConfigError: a client may be drawn again within a band, the band is longer than the run,
            or the norm adapts.
        """
        sampler, clipping = setting.sampler, setting.clipping
        if not isinstance(sampler, Full | CyclicPoisson):
            raise ConfigError(
                f"sampler={sampler} with mechanism={self}: expected 'full' or 'cyclic_poisson', "
                "since nothing here accounts a client that is drawn again within a band, where "
                "rounds share noise"
            )
        if isinstance(clipping, Adaptive):
            raise ConfigError(
                f"clipping={clipping} with mechanism={self}: expected flat clipping, one norm for "
                "all rounds"
            )
        if self.band > setting.rounds:
            self._refuse("band", f"at most rounds={setting.rounds}")
        self.check_room(setting)
        if isinstance(sampler, CyclicPoisson) and sampler.groups < self.band:
            raise ConfigError(
                f"groups={sampler.groups}: expected at least band={self.band}, so that no two "
                "rounds of a client share noise"
            )

    def _coefficients(self, setting: Setting) -> tuple[float, ...]:
        return band_coefficients(self.band, setting.rounds, setting.sampler.separation)

    def reach(self, setting: Setting, releases: int) -> float:
        """Sensitivity of all releases as one Gaussian mechanism, in clipping norms."""
        coefficients = self._coefficients(setting)[:releases]
        sampler = setting.sampler
        return sampler.sensitivity * sensitivity(coefficients, releases, sampler.separation)

    def memory(self, setting: Setting) -> Memory:
        """The noise of the plan's matrix."""
        from pride_jax.privacy.mechanisms.banded_noise import replay, step

        coefficients = self._coefficients(setting)
        return Memory(
            functools.partial(replay, coefficients), functools.partial(step, coefficients)
        )

    def describe(self) -> str:
        """What is done to a clipped update, or to the sum, for a disclosure."""
        return (
            "the server adds Gaussian noise in floating point, correlated over "
            f"{self.band} rounds, noise multiplier {self.noise_multiplier:.4g}."
        )
