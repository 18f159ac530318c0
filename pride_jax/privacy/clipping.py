"""Clipping: to which norm updates are scaled down, and how that norm follows the rounds.

A clipping is a frozen value, in a federation with a privacy plan and in one without. Nothing here
imports JAX before a norm changes.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pride_jax.errors import ConfigError
from pride_jax.validated import Validated

if TYPE_CHECKING:
    from jaxtyping import Array, Float

_SMALLEST_NORM = 1e-15
"""Squares of much smaller numbers vanish in float32, and with them the norm."""


@dataclass(frozen=True)
class Unclipped:
    """Updates stay as they are; no privacy plan can have it."""

    norm = math.inf
    """The clipping norm C."""
    adapts = False
    """Whether clients report if they were within the norm."""


@dataclass(frozen=True)
class Flat(Validated):
    """One norm in all rounds (McMahan et al. 2018, DP-FedAvg)."""

    norm: float
    """The clipping norm C."""

    adapts = False
    """Whether clients report if they were within the norm."""

    def _section(self) -> str:
        return ""

    def _check(self) -> None:
        self._at_least(_SMALLEST_NORM, "norm")

    def sum_noise_multiplier(self, noise_multiplier: float, expected_cohort: float) -> float:
        """The noise multiplier of the sum: all of the budget is the sum's."""
        del expected_cohort
        return noise_multiplier

    def describe(self) -> str:
        """What the norm is, for a disclosure."""
        return f"{self.norm:g}"


@dataclass(frozen=True)
class Adaptive(Validated):
    """A norm that follows a quantile of the updates' norms (Andrew et al. 2021).

    Each client reports whether its update was within the norm. Noise on the count of those costs
    part of the budget, and the sum takes more noise for it.
    """

    norm: float
    """The clipping norm C of the first round."""
    quantile: float = 0.5
    """Share of updates that clipping leaves as they are."""

    adapts = True
    """Whether clients report if they were within the norm."""

    def _section(self) -> str:
        return ""

    def _check(self) -> None:
        self._at_least(_SMALLEST_NORM, "norm")
        self._below_one("quantile")

    def count_noise(self, expected_cohort: float) -> float:
        """Standard deviation σ_b = m/20 of the noise on how many updates are within the norm."""
        return expected_cohort / 20

    def sum_noise_multiplier(self, noise_multiplier: float, expected_cohort: float) -> float:
        """Noise multiplier z_Δ of the sum, when part of the budget goes to the count.

        z_Δ = (z⁻² - (2σ_b)⁻²)^(-1/2), so that sum and count together cost what z costs (Andrew et
        al. 2021).

        Raises:
          ConfigError: the count alone costs more than z allows.
        """
        if noise_multiplier == 0:
            return noise_multiplier
        left = noise_multiplier**-2 - (2 * self.count_noise(expected_cohort)) ** -2
        if left <= 0:
            raise ConfigError(
                f"noise_multiplier={noise_multiplier!r}: expected less than a tenth of the "
                f"expected cohort, {expected_cohort / 10:g}, with {self}: the noise on its count "
                "is m/20, which alone costs more; use Flat, more clients a round or a larger ε"
            )
        return left**-0.5

    def next_norm(
        self, norm: "Float[Array, '']", noised_share: "Float[Array, '']"
    ) -> "Float[Array, '']":
        """The clipping norm of the next round, see `norms.adapt_norm`.

        Args:
          norm: of this round.
          noised_share: of its clients whose update was within the norm, with noise.
        """
        from pride_jax.privacy.norms import adapt_norm

        return adapt_norm(norm, noised_share, self.quantile)

    def describe(self) -> str:
        """What the norm is, for a disclosure."""
        return (
            f"at first {self.norm:g}, which follows a private estimate of the {self.quantile:g} "
            "quantile of the norms, whose noise is part of ε"
        )


Clipping = Flat | Adaptive
"""The clippings that a privacy plan may have."""
