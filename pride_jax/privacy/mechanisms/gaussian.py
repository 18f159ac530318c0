"""The Gaussian mechanism: the server adds independent Gaussian noise to a round's sum.

McMahan, Ramage, Talwar & Zhang 2018, Learning Differentially Private Recurrent Language Models;
with a norm that adapts, Andrew, Thakkar, McMahan & Ramaswamy 2021, Differentially Private Learning
with Adaptive Clipping.

Sums are of integers of a public grid, and the noise is a normal number rounded to an integer. Since
a sum of integers x is one itself, x + round(n) = round(x + n): what is released is computed from
the sum with continuous normal noise, and costs what that costs, exactly, by whatever accountant.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pride_jax.errors import ConfigError
from pride_jax.privacy.clipping import Adaptive
from pride_jax.privacy.mechanisms.mechanism import Memoryless, PrivacyState, Setting, floats_of
from pride_jax.privacy.mechanisms.server_noise import ServerNoise
from pride_jax.privacy.sampling import CyclicPoisson, FixedSize
from pride_jax.privacy.values import DeviceIntegers, Floats, Grid, Values, levels_of, rounded_norm

if TYPE_CHECKING:
    from jaxtyping import Array, Float

    from pride_jax.types import Key, Update

LARGEST_DEVIATION = 2.0**16
"""Steps of the grid in a standard deviation, at most: more noise makes the steps larger."""
_SMALLEST_DEVIATION = 2.0**12
"""Steps in a standard deviation that every plan takes, if its integers have as many."""
_STRETCH = 1e-4
"""What rounding may add to the norm: a finer grid than this needs is a larger table for nothing."""


@dataclass(frozen=True)
class Gaussian(Memoryless, ServerNoise):
    """Independent Gaussian noise on each round's sum, on the grid of its integers."""

    noise_multiplier: float
    """Standard deviation of the sum's noise over the clipping norm."""
    values: Values = DeviceIntegers()
    """What updates are added as."""

    def check(self, setting: Setting) -> None:
        """Refuses what it cannot account.

        Raises:
          ConfigError: groups take turns; integers do not fit; or the norm adapts in a secure sum,
            with cohorts of a fixed size, or where its count costs more than there is.
        """
        sampler, clipping = setting.sampler, setting.clipping
        if isinstance(sampler, CyclicPoisson):
            raise ConfigError(
                f"sampler={sampler} with mechanism={self}: expected mechanism='banded', which "
                "accounts groups that take turns; band=1 is the same noise"
            )
        if isinstance(clipping, Adaptive):
            if isinstance(sampler, FixedSize):
                raise ConfigError(
                    f"clipping={clipping} with sampler={sampler}: expected flat clipping, since "
                    "the count's noise is not doubled"
                )
            if not self.values.counts:
                raise ConfigError(
                    f"clipping={clipping} with {self.values}: expected flat clipping for integers "
                    "of a secure sum, in which nobody counts"
                )
            clipping.sum_noise_multiplier(self.noise_multiplier, sampler.expected_cohort)
        if not isinstance(self.values, Floats):
            self._check_count(self.grid(setting), setting)
            self.check_room(setting)

    def _check_count(self, grid: Grid, setting: Setting) -> None:
        if isinstance(setting.clipping, Adaptive) and not grid.half:
            raise ConfigError(
                f"clipping={setting.clipping} with {self}: expected more bits or noise, since half "
                "a client is less than a step of the count's grid"
            )

    def grid(self, setting: Setting) -> Grid:
        """The grid of the integers, of which the noise has 2^12 to 2^16 steps a deviation.

        Raises:
          ConfigError: there is none, or so large a noise leaves too few steps for the norm.
        """
        grid, clipping = super().grid(setting), setting.clipping
        cohort = setting.sampler.expected_cohort
        multiplier = clipping.sum_noise_multiplier(self.noise_multiplier, cohort)
        deviation = multiplier * math.sqrt(grid.max_squared_norm)
        enough = _enough_steps(multiplier, grid.dimension)
        if deviation > enough:
            deviation = enough
            grid = self._coarser(grid, math.floor((deviation / multiplier) ** 2))
        half = 0
        if isinstance(clipping, Adaptive):
            # Without noise, any number of steps.
            half = math.floor(deviation / 2 / clipping.count_noise(cohort)) if deviation else 2**15
        return replace(grid, deviation=deviation, half=half)

    def _coarser(self, grid: Grid, max_squared_norm: int) -> Grid:
        """The grid of the most levels whose integers are as short as that."""
        if max_squared_norm - rounded_norm(0, grid.dimension) < 2:
            self._refuse(
                "noise_multiplier",
                f"at most {LARGEST_DEVIATION / math.sqrt(rounded_norm(1, grid.dimension) + 1):.3g} "
                f"for {grid.dimension} parameters, which rounding would else lengthen too much",
            )
        levels = levels_of(max_squared_norm, grid.dimension)
        return replace(grid, levels=levels, max_squared_norm=max_squared_norm)

    @property
    def states_distance(self) -> bool:
        """Whether it is known how far noise as drawn is from what is accounted: of integers."""
        return not isinstance(self.values, Floats)

    def distance(self, setting: Setting) -> float:
        """The most by which a release's noise differs from rounded normal numbers."""
        if isinstance(self.values, Floats):
            return 0.0
        from pride_jax.privacy.mechanisms.thresholds import gaussian_distance

        grid = self.grid(setting)
        # The count takes one draw more.
        return (grid.dimension + 1) * gaussian_distance(grid.deviation)

    def noise_scale(self, setting: Setting, norm: float) -> float:
        """Standard deviation of the noise of a sum of updates that were clipped to ``norm``."""
        if isinstance(self.values, Floats):
            return super().noise_scale(setting, norm)
        grid = self.grid(setting)
        return norm * grid.deviation / grid.levels

    def reach(self, setting: Setting, releases: int) -> float:
        """Sensitivity of all releases as one Gaussian mechanism, in clipping norms."""
        return setting.sampler.sensitivity * math.sqrt(releases)

    def release(
        self,
        setting: Setting,
        round_key: "Key",
        state: PrivacyState,
        total: "Update",
        within: "Float[Array, '']",
    ) -> "tuple[Update, PrivacyState]":
        """The noised sum; where the norm adapts, the next one follows the noised count."""
        if isinstance(self.values, Floats):
            return self._release_floats(setting, round_key, state, total, within)
        from pride_jax.privacy.mechanisms.gaussian_noise import add_rounded

        grid, clipping = self.grid(setting), setting.clipping
        total, within = add_rounded(round_key, (total, within), grid.deviation)
        noised = floats_of(total, grid.step(state.norm))
        if not isinstance(clipping, Adaptive):
            return noised, state
        share = floats_of(within, 0.5 / grid.half / setting.sampler.expected_cohort) + 0.5
        return noised, state._replace(norm=clipping.next_norm(state.norm, share))

    def _release_floats(
        self,
        setting: Setting,
        round_key: "Key",
        state: PrivacyState,
        total: "Update",
        within: "Float[Array, '']",
    ) -> "tuple[Update, PrivacyState]":
        import jax

        from pride_jax.privacy.mechanisms.gaussian_noise import add_gaussian

        clipping = setting.clipping
        if not isinstance(clipping, Adaptive):
            return add_gaussian(round_key, total, self.noise_scale(setting, clipping.norm)), state
        cohort = setting.sampler.expected_cohort
        sum_key, count_key = jax.random.split(round_key)
        multiplier = clipping.sum_noise_multiplier(self.noise_multiplier, cohort)
        noised = add_gaussian(sum_key, total, multiplier * state.norm)
        share = add_gaussian(count_key, within, clipping.count_noise(cohort)) / cohort + 0.5
        return noised, state._replace(norm=clipping.next_norm(state.norm, share))

    def describe(self) -> str:
        """What is done to a clipped update, or to the sum, for a disclosure."""
        if isinstance(self.values, Floats):
            return (
                "the server adds Gaussian noise of standard deviation "
                f"{self.noise_multiplier:.4g} clipping norms to the sum, in floating point."
            )
        return (
            f"{self.values.describe()} of a public grid, on which the server adds rounded Gaussian "
            f"noise of standard deviation {self.noise_multiplier:.4g} times their largest norm to "
            "the sum."
        )


def _enough_steps(multiplier: float, dimension: int) -> float:
    """The least power of 2 that, as a deviation, leaves the norm steps enough, within the bounds.

    Powers of 2, so that plans share their tables.
    """
    lengthened = rounded_norm(0, dimension)
    levels = (1 + math.sqrt(1 + 8 * _STRETCH * lengthened)) / (4 * _STRETCH)
    steps = min(LARGEST_DEVIATION, max(_SMALLEST_DEVIATION, multiplier * levels))
    return 2.0 ** math.ceil(math.log2(steps))
