"""What every mechanism offers: its noise, what it costs, and what a disclosure says of it."""

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self

import numpy as np
from jaxtyping import Float64

from pride_jax.privacy.clipping import Clipping
from pride_jax.privacy.profile import Least, LossProfile, Profile
from pride_jax.privacy.readers import Reader, View
from pride_jax.privacy.sampling import Accounted
from pride_jax.privacy.values import Grid, Values

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int32, PyTree

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


def hidden(known: Profile, setting: Setting, releases: int, move: float, view: View) -> Profile:
    """What a reader who does not know the cohorts learns of releases with Gaussian noise.

    Args:
      known: what one learns who knows them.
      setting: the rest of the plan.
      releases: how many.
      move: most that a client adds to a sum, in standard deviations of the noise.
      view: who reads.
    """
    if view.reader == "cohorts":
        return known
    turns = setting.sampler.turns(releases)
    bounds = setting.sampler.mixtures(move, view)
    if not bounds:
        return known
    return Least((known, *(LossProfile(mixture, turns) for mixture in bounds)))


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
    def colluders(self) -> int:
        """Clients of the largest coalition that the noise provides for."""
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

    def grid(self, setting: Setting) -> Grid:
        """The grid of the integers.

        Raises:
          ConfigError: there are none, or they do not fit.
        """
        ...

    @property
    def states_distance(self) -> bool:
        """Whether it is known how far noise as drawn is from what is accounted."""
        ...

    def distance(self, setting: Setting) -> float:
        """The most by which a release's noise differs from what is accounted, in total variation.

        0 where none is stated.
        """
        ...

    def smallest_cohort(self, sampler: Accounted) -> int:
        """Fewest announced clients whose sum is opened."""
        ...

    def smallest_sum(self, announced: int, sampler: Accounted) -> int:
        """Fewest of so many announced clients that must be in a sum for it to be opened."""
        ...

    def gaussian_move(self, setting: Setting, releases: int) -> float:
        """Most that a client of known cohorts moves releases, in standard deviations of a Gaussian.

        So many releases cost no more than one of Gaussian noise with a client that moves it so far,
        μ of Gaussian DP; infinite where no such is known.
        """
        ...

    def profile(self, setting: Setting, releases: int, reader: Reader) -> Profile:
        """All (ε, δ) of so many releases against such a reader.

        Called with at least one release and some noise only, as the next one.
        """
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
        """The sum that may be released, in floats; ``round_key`` is of the noise and the round.

        Where ``values`` are integers, ``total`` and ``within`` are sums of them.
        """
        ...


class Memoryless:
    """Mechanisms whose rounds share no noise."""

    def init(
        self, setting: Setting, key: "Key", like: "Update", round_: "Array | int"
    ) -> PrivacyState:
        """The state before a round: the clipping norm."""
        import jax.numpy as jnp

        del key, like, round_
        return PrivacyState(jnp.asarray(setting.clipping.norm, jnp.float32), ())


def floats_of(total: "PyTree[Int32[Array, '...']]", step: "float | Float[Array, '']") -> "Update":
    """What a sum of integers stands for, of which 1 is a step."""
    import jax
    import jax.numpy as jnp

    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32) * step, total)
