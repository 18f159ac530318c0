"""The banded mechanism: Gaussian noise that a banded matrix correlates over rounds.

Choquette-Choo et al. 2023, (Amplified) Banded Matrix Factorization. The matrix is in `band_matrix`,
its noise on the device in `banded_noise`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pride_jax.errors import ConfigError
from pride_jax.privacy.clipping import Adaptive
from pride_jax.privacy.mechanisms.band_matrix import band_coefficients, sensitivity
from pride_jax.privacy.mechanisms.mechanism import PrivacyState, Setting, floats_of
from pride_jax.privacy.mechanisms.server_noise import ServerNoise
from pride_jax.privacy.sampling import CyclicPoisson, Full
from pride_jax.privacy.values import Floats, Values

if TYPE_CHECKING:
    from jaxtyping import Array, Float

    from pride_jax.types import Key, Update


@dataclass(frozen=True)
class Banded(ServerNoise):
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

    def init(
        self, setting: Setting, key: "Key", like: "Update", round_: "Array | int"
    ) -> PrivacyState:
        """The state before a round: the clipping norm, and the noise that the band remembers."""
        import jax.numpy as jnp

        from pride_jax.privacy.mechanisms.banded_noise import replay
        from pride_jax.types import Hidden

        window = replay(self._coefficients(setting), key, round_, like)
        norm = jnp.asarray(setting.clipping.norm, jnp.float32)
        return PrivacyState(norm, Hidden(window, "past noise"))

    def release(
        self,
        setting: Setting,
        round_key: "Key",
        state: PrivacyState,
        total: "Update",
        within: "Float[Array, '']",
    ) -> "tuple[Update, PrivacyState]":
        """The noised sum, and the state with this round's noise in it."""
        import jax
        import jax.numpy as jnp

        from pride_jax.privacy.mechanisms.banded_noise import step

        del within
        if not isinstance(self.values, Floats):
            total = floats_of(total, self.grid(setting).step(setting.clipping.norm))
        scale = self.noise_scale(setting, setting.clipping.norm)
        window = state.window
        noise, kept = step(self._coefficients(setting), round_key, window.value, scale)
        noised = jax.tree.map(jnp.add, total, noise)
        return noised, state._replace(window=window.replace(kept))

    def describe(self) -> str:
        """What is done to a clipped update, or to the sum, for a disclosure."""
        return (
            "the server adds Gaussian noise in floating point, correlated over "
            f"{self.band} rounds, noise multiplier {self.noise_multiplier:.4g}."
        )
