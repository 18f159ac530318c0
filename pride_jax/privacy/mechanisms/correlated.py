"""What all noise that is correlated over rounds does: remember past noise, and add a round's."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from pride_jax.privacy.mechanisms.mechanism import PrivacyState, Setting, floats_of
from pride_jax.privacy.mechanisms.server_noise import ServerNoise
from pride_jax.privacy.values import Floats, Rotated

if TYPE_CHECKING:
    from jaxtyping import Array, Float

    from pride_jax.types import Key, Update


class Memory(NamedTuple):
    """Noise of one matrix, on the device.

    Attributes:
      replay: noise key, round, sums -> past noise before that round, made again.
      step: round's noise key, past noise, scale -> the round's noise, and past noise after it.
    """

    replay: Callable[..., Any]
    step: Callable[..., tuple[Any, Any]]


class Correlated(ServerNoise):
    """Noise in floats on each round's sum, some of which later rounds take back."""

    def _check(self) -> None:
        super()._check()
        if isinstance(self.values, Rotated):
            self._refuse(
                "values",
                "no Rotated integers: a round's rotation would turn what it takes back of the "
                "noise of rounds before",
            )

    def memory(self, setting: Setting) -> Memory:
        """The noise of the plan's matrix."""
        raise NotImplementedError

    def init(
        self, setting: Setting, key: "Key", like: "Update", round_: "Array | int"
    ) -> PrivacyState:
        """The state before a round: the clipping norm, and the noise that is remembered."""
        import jax.numpy as jnp

        from pride_jax.types import Hidden

        past = self.memory(setting).replay(key, round_, like)
        norm = jnp.asarray(setting.clipping.norm, jnp.float32)
        return PrivacyState(norm, Hidden(past, "past noise"))

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

        del within
        if not isinstance(self.values, Floats):
            total = floats_of(total, self.grid(setting).step(setting.clipping.norm))
        scale = self.noise_scale(setting, setting.clipping.norm)
        past = state.window
        noise, kept = self.memory(setting).step(round_key, past.value, scale)
        noised = jax.tree.map(jnp.add, total, noise)
        return noised, state._replace(window=past.replace(kept))
