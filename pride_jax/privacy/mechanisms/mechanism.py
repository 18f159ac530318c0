"""What every mechanism offers: its noise, what it costs, and what a disclosure says of it."""

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np
from jaxtyping import Float64

from pride_jax.privacy.clipping import Clipping
from pride_jax.privacy.sampling import Accounted
from pride_jax.privacy.values import Values

if TYPE_CHECKING:
    from jaxtyping import Array, Float

    from pride_jax.types import Key, Update


class Setting(NamedTuple):
    """Where a mechanism works: the rest of a plan.

    Attributes:
      sampler: who takes part.
      clipping: to which norm updates are scaled down.
      rounds: of the run.
      client_state: whether clients keep state between their rounds.
    """

    sampler: Accounted
    clipping: Clipping
    rounds: int
    client_state: bool


class PrivacyState(NamedTuple):
    """What a plan carries from round to round on the device.

    Attributes:
      norm: the clipping norm of the round to come; public.
      window: past noise, hidden, where noise is correlated; ``()`` where it is not.
    """

    norm: "Float[Array, '']"
    window: Any


class Mechanism(Protocol):
    """The noise of a plan."""

    @property
    def noise_multiplier(self) -> float:
        """Standard deviation of the sum's noise in clipping norms."""
        ...

    @property
    def dropouts(self) -> int:
        """Announced clients that may be missing from a sum."""
        ...

    @property
    def values(self) -> Values:
        """What updates are added as."""
        ...

    def with_noise(self, noise_multiplier: float) -> Self:
        """The same mechanism with another noise multiplier."""
        ...

    def check(self, setting: Setting) -> None:
        """Refuses what it cannot account.

        Raises:
          ConfigError: as above, with the reason.
        """
        ...

    def smallest_cohort(self, sampler: Accounted) -> int:
        """Fewest announced clients whose sum is opened."""
        ...

    def smallest_sum(self, announced: int, sampler: Accounted) -> int:
        """Fewest of so many announced clients that must be in a sum for it to be opened."""
        ...

    def known_epsilon(self, setting: Setting, releases: int, delta: float) -> float:
        """ε at δ of so many releases against who knows each round's cohort.

        Called with at least one release and some noise only, as the next two.
        """
        ...

    def epsilon(self, setting: Setting, releases: int, delta: float) -> float:
        """ε at δ against who sees the released models; never more than `known_epsilon`."""
        ...

    def divergences(self, setting: Setting, releases: int) -> Float64[np.ndarray, "orders"]:
        """Rényi divergences of all releases, against who sees the released models."""
        ...

    def init(
        self, setting: Setting, key: "Key", like: "Update", round_: "Array | int"
    ) -> PrivacyState:
        """The state before a round; ``key`` is the run's noise key."""
        ...

    def release(
        self,
        setting: Setting,
        round_key: "Key",
        state: PrivacyState,
        total: "Update",
        within: "Float[Array, '']",
    ) -> "tuple[Update, PrivacyState]":
        """The sum that may be released; ``round_key`` is the noise key folded with the round."""
        ...
