"""The Gaussian mechanism: the server adds independent Gaussian noise to a round's sum.

McMahan, Ramage, Talwar & Zhang 2018, Learning Differentially Private Recurrent Language Models;
with a norm that adapts, Andrew, Thakkar, McMahan & Ramaswamy 2021, Differentially Private Learning
with Adaptive Clipping.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pride_jax.errors import ConfigError
from pride_jax.privacy.clipping import Adaptive
from pride_jax.privacy.mechanisms.mechanism import PrivacyState, Setting
from pride_jax.privacy.mechanisms.server_noise import ServerNoise
from pride_jax.privacy.sampling import CyclicPoisson, FixedSize
from pride_jax.privacy.values import Floats, Integers, Values

if TYPE_CHECKING:
    from jaxtyping import Array, Float

    from pride_jax.types import Key, Update


@dataclass(frozen=True)
class Gaussian(ServerNoise):
    """Independent Gaussian noise on each round's sum of floats, or of integers once opened."""

    noise_multiplier: float
    """Standard deviation of the sum's noise over the clipping norm."""
    values: Values = Floats()
    """What updates are added as."""

    def check(self, setting: Setting) -> None:
        """Refuses what it cannot account.

        Raises:
          ConfigError: groups take turns; or the norm adapts with integers, with cohorts of a fixed
            size, or where its count costs more than there is.
        """
        sampler, clipping = setting.sampler, setting.clipping
        if isinstance(sampler, CyclicPoisson):
            raise ConfigError(
                f"sampler={sampler} with mechanism={self}: expected mechanism='banded', which "
                "accounts groups that take turns; band=1 is the same noise"
            )
        if not isinstance(clipping, Adaptive):
            return
        if isinstance(sampler, FixedSize):
            raise ConfigError(
                f"clipping={clipping} with sampler={sampler}: expected flat clipping, since the "
                "count's noise is not doubled"
            )
        if isinstance(self.values, Integers):
            raise ConfigError(
                f"clipping={clipping} with {self.values}: expected flat clipping for integers, "
                "whose scale is the clipping norm"
            )
        clipping.sum_noise_multiplier(self.noise_multiplier, sampler.expected_cohort)

    def reach(self, setting: Setting, releases: int) -> float:
        """Sensitivity of all releases as one Gaussian mechanism, in clipping norms."""
        return setting.sampler.sensitivity * math.sqrt(releases)

    def init(
        self, setting: Setting, key: "Key", like: "Update", round_: "Array | int"
    ) -> PrivacyState:
        """The state before a round: the clipping norm."""
        import jax.numpy as jnp

        del key, like, round_
        return PrivacyState(jnp.asarray(setting.clipping.norm, jnp.float32), ())

    def release(
        self,
        setting: Setting,
        round_key: "Key",
        state: PrivacyState,
        total: "Update",
        within: "Float[Array, '']",
    ) -> "tuple[Update, PrivacyState]":
        """The noised sum; where the norm adapts, the next one follows the noised count."""
        import jax

        from pride_jax.privacy.mechanisms.gaussian_noise import add_gaussian

        clipping = setting.clipping
        if not isinstance(clipping, Adaptive):
            return add_gaussian(round_key, total, self.noise_scale(clipping.norm)), state
        cohort = setting.sampler.expected_cohort
        sum_key, count_key = jax.random.split(round_key)
        multiplier = clipping.sum_noise_multiplier(self.noise_multiplier, cohort)
        noised = add_gaussian(sum_key, total, multiplier * state.norm)
        share = add_gaussian(count_key, within, clipping.count_noise(cohort)) / cohort + 0.5
        return noised, state._replace(norm=clipping.next_norm(state.norm, share))

    def describe(self) -> str:
        """What is done to a clipped update, or to the sum, for a disclosure."""
        return (
            f"the server adds Gaussian noise of standard deviation {self.noise_multiplier:.4g} "
            "clipping norms to the sum, in floating point."
        )
