"""What stands in the place of a plan where nothing is private: sums are used as they are."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pride_jax.privacy.as_json import to_dict
from pride_jax.privacy.clipping import Clipping, Unclipped
from pride_jax.privacy.mechanisms.mechanism import PrivacyState
from pride_jax.privacy.mechanisms.share_noise import Rng
from pride_jax.privacy.mechanisms.shares import NO_SHARES, Shares
from pride_jax.privacy.sampler import Sampler
from pride_jax.privacy.values import FixedPoint, Floats
from pride_jax.validated import Validated

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int

    from pride_jax.types import Cohort, Key, Update


@dataclass(frozen=True)
class NoPlan(Validated):
    """How clients are drawn and clipped without a privacy plan, told as a `Plan` tells it.

    Raises:
      ConfigError: the norm adapts, which takes a plan's noised count.
    """

    sampler: Sampler
    """Who takes part in a round."""
    clipping: Clipping | Unclipped = Unclipped()
    """To which norm updates are scaled down, if to any."""
    fewest: int | None = None
    """Fewest announced clients whose sum is opened; half of those expected, and at least two, if
    not given."""

    public_sizes = True
    """Whether clients' numbers of examples are public."""
    must_open = True
    """Whether a run ends where too few clients are in a sum: a sum of nothing would be a lie."""
    draws_from_key = False
    """Whether noise follows from the run's noise key: there is none."""

    def _section(self) -> str:
        return ""

    def _check(self) -> None:
        if self.clipping.adapts:
            self._refuse(
                "clipping",
                "Flat or Unclipped without a privacy plan, since the norm adapts to a noised count",
            )

    @property
    def smallest_cohort(self) -> int:
        """Fewest announced clients whose sum is opened: of one alone it would be its update."""
        if self.fewest is not None:
            return self.fewest
        return max(2, math.ceil(self.sampler.expected_cohort / 2))

    def opened_from(self, fewest: int | None) -> "NoPlan":
        """The same, but for the fewest clients whose sum is opened."""
        return replace(self, fewest=fewest)

    def smallest_sum(self, announced: int) -> int:
        """Fewest of so many announced clients that must be in a sum for it to be opened."""
        del announced
        return self.smallest_cohort

    def on_device(self, dimension: int) -> Floats:
        """What a device adds: floats."""
        del dimension
        return Floats()

    def in_secure_sum(self, integers: FixedPoint) -> FixedPoint:
        """What a secure sum adds: its own integers."""
        return integers

    def keys(self, private: "Key | None", public: "Key") -> "tuple[Key, Key]":
        """The keys of cohorts and of noise, of which there is none.

        Args:
          private: a key to draw cohorts from; the public one if not given.
          public: of the run's seed.
        """
        import jax

        if private is None:
            return public, public
        cohorts, noise = jax.random.split(private)
        return cohorts, noise

    def init(self, key: "Key", like: "Update", round_: "Int[Array, '']") -> PrivacyState:
        """The state before a round: the clipping norm."""
        import jax.numpy as jnp

        del key, like, round_
        return PrivacyState(jnp.asarray(self.clipping.norm, jnp.float32), ())

    def release(
        self,
        key: "Key",
        state: PrivacyState,
        round_: "Int[Array, '']",
        total: "Update",
        within: "Float[Array, '']",
    ) -> "tuple[Update, PrivacyState]":
        """A round's sum and the state, as they are."""
        del key, round_, within
        return total, state

    def divisors(
        self, weights: "Float[Array, 'clients']", cohort: "Cohort"
    ) -> "tuple[Float[Array, ''], Float[Array, '']]":
        """By what a sum of weighted updates is divided, and how many took part: who is in it.

        Args:
          weights: of all clients.
          cohort: those in the sum.
        """
        import jax.numpy as jnp

        came = jnp.where(cohort.mask, weights[cohort.ids], 0.0)
        return jnp.sum(came), jnp.sum(cohort.mask.astype(jnp.float32))

    def shares(self, rng: Rng) -> Shares:
        """No shares: there is no noise."""
        del rng
        return NO_SHARES

    def to_dict(self) -> dict[str, Any]:
        """The value as JSON has it."""
        return to_dict(self)
