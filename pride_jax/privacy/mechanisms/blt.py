"""The BLT mechanism: Gaussian noise that a buffered linear Toeplitz matrix correlates over rounds.

McMahan, Xu & Zhang 2024, "A Hassle-free Algorithm for Strong Differential Privacy in Federated
Learning Systems". The matrix is in `blt_matrix`, its noise on the device in `blt_noise`.

Nothing is amplified: every round shares noise with all before it, and the accountant takes cohorts
as known. What keeps ε small is that a client's rounds lie apart, which the sampler guarantees. That
each round's sum depends on what was released before costs nothing (Denisov, McMahan, Rush, Smith &
Thakurta 2022, "Improved Differential Privacy for SGD via Optimal Private Linear Operators on
Adaptive Streams").
"""

import functools
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from pride_jax.errors import ConfigError
from pride_jax.privacy.amplification import ORDERS
from pride_jax.privacy.clipping import Adaptive
from pride_jax.privacy.mechanisms.blt_matrix import (
    Buffers,
    Schedule,
    Workload,
    column,
    optimal_buffers,
    sensitivity,
)
from pride_jax.privacy.mechanisms.correlated import Correlated, Memory
from pride_jax.privacy.mechanisms.mechanism import Setting
from pride_jax.privacy.profile import GaussianProfile, Profile
from pride_jax.privacy.readers import Reader
from pride_jax.privacy.sampling import Accounted, CyclicPoisson, Full
from pride_jax.privacy.values import Floats, Values


@dataclass(frozen=True)
class BufferedToeplitz(Correlated):
    """Gaussian noise on each round's sum, some of which all later rounds take back."""

    noise_multiplier: float
    """Standard deviation of the noise, before it is correlated, over the clipping norm."""
    buffers: int = 2
    """Copies of the model that the noise is remembered in; 0 is independent noise."""
    momentum: float = 0.0
    """Of the server, whose model's noise is made small."""
    schedule: Schedule = "constant"
    """How the server's learning rate follows the rounds."""
    values: Values = Floats()
    """What updates are added as."""

    def _check(self) -> None:
        super()._check()
        self._at_least(0, "buffers")
        self._below_one("momentum")

    def check(self, setting: Setting) -> None:
        """Refuses what it cannot account.

        Raises:
          ConfigError: nothing says how far apart a client's rounds are, there are too many buffers,
            or the norm adapts.
        """
        sampler, clipping = setting.sampler, setting.clipping
        if not isinstance(sampler, Full | CyclicPoisson):
            raise ConfigError(
                f"sampler={sampler} with mechanism={self}: expected 'cyclic_poisson', whose groups "
                "take turns, or 'full', since rounds share noise, and only a bound on how often "
                "and how soon a client comes again is accounted"
            )
        if isinstance(clipping, Adaptive):
            raise ConfigError(
                f"clipping={clipping} with mechanism={self}: expected flat clipping, one norm for "
                "all rounds"
            )
        if self.buffers >= setting.rounds:
            self._refuse("buffers", f"fewer than rounds={setting.rounds}")
        self.check_room(setting)

    def _buffers(self, setting: Setting) -> Buffers:
        workload = Workload(setting.rounds, self.momentum, self.schedule)
        return optimal_buffers(self.buffers, workload, setting.sampler.separation)

    def reach(self, setting: Setting, releases: int) -> float:
        """Sensitivity of all releases as one Gaussian mechanism, in clipping norms."""
        sampler = setting.sampler
        first = column(self._buffers(setting), releases)
        return sampler.sensitivity * sensitivity(first, sampler.separation)

    def profile(self, setting: Setting, releases: int, reader: Reader) -> Profile:
        """All (ε, δ), the same whether cohorts are known or not: exact."""
        del reader
        return GaussianProfile(self.gaussian_move(setting, releases))

    def divergences(self, setting: Setting, releases: int) -> Float64[np.ndarray, "orders"]:
        """Rényi divergences of all releases."""
        return ORDERS * (self.reach(setting, releases) / self.noise_multiplier) ** 2 / 2

    def accountant(self, sampler: Accounted) -> str:
        """Whose ε it is, for a disclosure."""
        return (
            "the Gaussian mechanism's exact curve (Balle & Wang 2018) at the sensitivity of rounds "
            f"that are {sampler.separation} or more apart for a client, nothing amplified"
        )

    def memory(self, setting: Setting) -> Memory:
        """The noise of the plan's matrix."""
        from pride_jax.privacy.mechanisms.blt_noise import replay, step

        buffers = self._buffers(setting)
        return Memory(functools.partial(replay, buffers), functools.partial(step, buffers))

    def describe(self) -> str:
        """What is done to a clipped update, or to the sum, for a disclosure."""
        return (
            "the server adds Gaussian noise in floating point, correlated over all rounds by "
            f"{self.buffers} buffers, noise multiplier {self.noise_multiplier:.4g}."
        )
