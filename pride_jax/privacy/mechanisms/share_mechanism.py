"""Integer noise that clients add in shares, before their updates are protected.

Nobody sees a sum without noise. What is common to `skellam` and `discrete_gaussian`: for whom the
shares are sized, against whom the sum is accounted, and what is sent.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Self

import numpy as np
from jaxtyping import Float64, Int64

from pride_jax.errors import ConfigError
from pride_jax.privacy.amplification import ORDERS
from pride_jax.privacy.clipping import Adaptive
from pride_jax.privacy.mechanisms.mechanism import (
    Memoryless,
    PrivacyState,
    Setting,
    floats_of,
    hidden,
)
from pride_jax.privacy.mechanisms.share_noise import Rng, Tail, wire_bits
from pride_jax.privacy.mechanisms.shares import Shares, integer_shares
from pride_jax.privacy.profile import GaussianProfile, Profile
from pride_jax.privacy.readers import Reader, View
from pride_jax.privacy.sampling import Accounted, CyclicPoisson, FixedSize, Full, TruncatedPoisson
from pride_jax.privacy.values import Grid, Integers
from pride_jax.validated import Validated

if TYPE_CHECKING:
    from jaxtyping import Array, Float

    from pride_jax.types import Key, Update


class ShareNoise(NamedTuple):
    """A distribution of integers of which clients draw shares.

    Attributes:
      name: of the noise.
      draw: randomness, variance of each integer, shape -> that many.
      distance: variance -> at most the total variation of a draw from what it is said to be.
      tail: see `share_noise.Tail`; of a sum of shares, with the sum of their variances.
    """

    name: str
    draw: Callable[[Rng, float, int], Int64[np.ndarray, "length"]]
    distance: Callable[[float], float]
    tail: Tail


@dataclass(frozen=True)
class ShareMechanism(Memoryless, Validated):
    """Integer noise in shares, sized for a cohort less the missing and the colluding."""

    noise_multiplier: float
    """Standard deviation of the noise that is accounted over the largest norm of the integers."""
    values: Integers
    """What updates are added as."""
    dropouts: int = 0
    """Announced clients that may be missing from a sum; with more, nothing is opened."""
    colluders: int = 0
    """Clients that may tell their shares of the noise, and how many were called."""
    exchangeable: bool = False
    """Whether those who are missing are a uniform choice of the called. If it may depend on who was
    called, the noise that they leave may tell, and nothing is amplified where some may be missing.
    """

    states_distance = True
    """Whether it is known how far noise as drawn is from what is accounted."""
    draws_from_key = False
    """Whether the noise follows from the run's noise key: it comes from the system each time."""

    def _section(self) -> str:
        return ""

    def _check(self) -> None:
        self._at_least(0, "noise_multiplier", "dropouts", "colluders")

    def with_noise(self, noise_multiplier: float) -> Self:
        """The same mechanism with another noise multiplier."""
        return replace(self, noise_multiplier=noise_multiplier)

    @property
    def noise(self) -> ShareNoise:
        """What shares are drawn from."""
        raise NotImplementedError

    def gaussian_variance(self, sampler: Accounted) -> float:
        """Variance of Gaussian noise that costs no less, whatever the update; 0 if none is known.

        That it costs no less holds under sampling and composition, too, see `dominance`.
        """
        raise NotImplementedError

    def check(self, setting: Setting) -> None:
        """Refuses what it cannot account.

        Raises:
          ConfigError: no bound is known here for the sampler, the norm adapts, or cohorts are too
            small for somebody to add noise.
        """
        sampler = self._accounted(setting.sampler)
        if isinstance(setting.clipping, Adaptive):
            raise ConfigError(
                f"clipping={setting.clipping} with mechanism={self}: expected flat clipping, one "
                "norm for all rounds"
            )
        if self.dropouts + self.colluders >= sampler.expected_cohort:
            self._refuse(
                "dropouts",
                f"fewer than expected_cohort={sampler.expected_cohort:g} together with "
                f"colluders={self.colluders}: someone must add noise",
            )

    def _accounted(self, sampler: Accounted) -> Full | TruncatedPoisson:
        if isinstance(sampler, FixedSize):
            raise ConfigError(
                f"sampler={sampler} with mechanism={self}: expected 'full' or 'truncated_poisson', "
                f"since no bound is known here for {self.noise.name} noise and a fixed size"
            )
        if isinstance(sampler, CyclicPoisson):
            raise ConfigError(
                f"sampler={sampler} with mechanism={self}: expected 'full' or 'truncated_poisson', "
                "since groups that take turns are accounted for banded noise only"
            )
        return sampler

    def smallest_cohort(self, sampler: Accounted) -> int:
        """Fewest announced clients whose sum is opened; the release of fewer is a sum of nothing.

        Shares are made so that all cohorts from this size on have the same noise: the larger it is,
        the less the noise of dropouts and colluders costs.
        """
        if isinstance(sampler, Full):
            return sampler.num_clients
        cohort = sampler.expected_cohort
        needed = self.dropouts + max(2, self.colluders + 1)
        return max(needed, math.floor(cohort - 6 * math.sqrt(cohort)))

    def smallest_sum(self, announced: int, sampler: Accounted) -> int:
        """Fewest of so many announced clients that must be in a sum for it to be opened."""
        del sampler
        return announced - self.dropouts

    @property
    def noise_variance(self) -> float:
        """Variance μ of the noise in a sum of integers that is accounted."""
        return self.noise_multiplier**2 * self.values.max_squared_norm

    def total_variance(self, sampler: Accounted) -> float:
        """Variance of the noise in a sum of integers that nobody is missing from.

        It does not depend on how many were announced. What dropouts and colluders leave of it is at
        least `noise_variance`.
        """
        least = self.smallest_cohort(sampler)
        return self.noise_variance * least / (least - self.dropouts - self.colluders)

    def gaussian_move(self, setting: Setting, releases: int) -> float:
        """Most that a client moves releases, in deviations of Gaussian noise that costs no less."""
        return math.sqrt(releases) * self._move(setting.sampler)

    def _move(self, sampler: Accounted) -> float:
        variance = self.gaussian_variance(sampler)
        return math.sqrt(self.values.max_squared_norm / variance) if variance else math.inf

    def profile(self, setting: Setting, releases: int, reader: Reader) -> Profile:
        """All (ε, δ) of so many releases against such a reader.

        The noise that is left where clients are missing depends on how many were called and how
        many are missing: a reader of models is told both.
        """
        sampler = self._accounted(setting.sampler)
        known, move = self.known_profile(sampler, releases), self._move(sampler)
        if math.isinf(move):
            return known
        if self.dropouts:
            reader = self._told_of_dropouts(reader)
        smallest = self.smallest_cohort(sampler)
        view = View(reader, max(1, self.colluders), smallest, setting.client_state)
        return hidden(known, setting, releases, move, view)

    def known_profile(self, sampler: Accounted, releases: int) -> Profile:
        """All (ε, δ) of rounds in which a client is known to take part."""
        return GaussianProfile(math.sqrt(releases) * self._move(sampler))

    def _told_of_dropouts(self, reader: Reader) -> Reader:
        """What a reader knows whom the noise tells how many are missing."""
        if not self.exchangeable:
            return "cohorts"
        return "cohort_sizes" if reader == "models" else reader

    def known_divergences(self, sampler: Accounted) -> Float64[np.ndarray, "orders"]:
        """Rényi divergences of a round in which a client is known to take part."""
        return ORDERS * self._move(sampler) ** 2 / 2

    def divergences(self, setting: Setting, releases: int) -> Float64[np.ndarray, "orders"]:
        """Rényi divergences of all releases, against the readers that the noise provides for.

        Nothing is amplified where clients may be missing, or collude: they know, or the noise that
        they leave may tell, how many were called.
        """
        sampler = self._accounted(setting.sampler)
        known = self.known_divergences(sampler)
        if isinstance(sampler, Full) or self.dropouts or self.colluders:
            return releases * known
        return releases * sampler.divergences(known, self.smallest_cohort(sampler))

    def grid(self, setting: Setting) -> Grid:
        """The grid of the integers."""
        del setting
        return self.values.grid

    def distance(self, setting: Setting) -> float:
        """The most by which a release's noise differs from the accounted: that of all shares."""
        if self.noise_multiplier == 0:
            return 0.0
        share = self.total_variance(setting.sampler) / self.smallest_cohort(setting.sampler)
        return setting.sampler.slots * self.values.dimension * self.noise.distance(share)

    def release(
        self,
        setting: Setting,
        round_key: "Key",
        state: PrivacyState,
        total: "Update",
        within: "Float[Array, '']",
    ) -> "tuple[Update, PrivacyState]":
        """The sum as it is: the noise is in it already, see `shares`."""
        del round_key, within
        return floats_of(total, self.grid(setting).step(state.norm)), state

    def shares(self, setting: Setting, rng: Rng) -> Shares:
        """The noise that clients add.

        Args:
          setting: the rest of the plan.
          rng: where its randomness comes from; ``os.urandom``.
        """
        sampler, length = setting.sampler, self.values.dimension
        variance = self.total_variance(sampler)

        def draw(announced: int, here: int) -> Int64[np.ndarray, "clients length"]:
            # One client at a time: its numbers fit into the cache.
            return np.stack(
                [self.noise.draw(rng, variance / announced, length) for _ in range(here)]
            )

        bits = self.values.bits
        wide = wire_bits(
            largest=self.values.largest,
            clients=sampler.slots,
            variance=variance,
            values=setting.rounds * length,
            tail=self.noise.tail,
        )
        return integer_shares(self.values.largest, wide, wide - bits, draw)

    def describe(self) -> str:
        """What is done to a clipped update, or to the sum, for a disclosure."""
        return (
            f"{self.values.describe()} of squared norm at most {self.values.max_squared_norm}, "
            f"and each client adds a share of {self.noise.name} noise before protection, so that "
            f"the sum of those not missing (up to {self.dropouts}) nor telling their shares (up to "
            f"{self.colluders}) holds a variance of at least {self.noise_variance:.6g}; with more "
            "missing nothing is opened."
        )

    def accountant(self, sampler: Accounted) -> str:
        """Whose ε it is, for a disclosure."""
        gaussian = f"Gaussian noise of variance {self.gaussian_variance(sampler):.6g}"
        if isinstance(sampler, Full):
            return f"{gaussian}, which costs no less, by its exact curve (Balle & Wang 2018)"
        if self.dropouts and not self.exchangeable:
            return f"{gaussian}, which costs no less, without amplification: clients may be missing"
        return f"{gaussian}, which costs no less, by {sampler.accountant()}"

    def against(self) -> str:
        """Against whom ε holds, for a disclosure."""
        held = "who sees the released models"
        if self.colluders:
            held += f", even for {self.colluders} colluding clients, who know how many were called"
        return (
            f"It holds against {held}; aggregator and key holder, who see sums with the noise in "
            "them, know the cohorts besides."
        )

    def caveat(self) -> str:
        """What ε leaves out, for a disclosure."""
        return (
            "Noised integers are sent as residues with room for the whole sum: the probability "
            "that any value of the run leaves it and is opened wrong is at most 2^-40, which costs "
            "the released models no privacy, and who opens the sums (1 + e^ε)·2^-40 of δ."
        )
