"""The privacy plan: one frozen value that the sampler, the noise and the accountant share."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pride_jax.errors import ConfigError, TooFewError
from pride_jax.privacy.as_json import from_dict, to_dict
from pride_jax.privacy.clipping import Adaptive, Clipping, Flat, Unclipped
from pride_jax.privacy.mechanisms.banded import Banded
from pride_jax.privacy.mechanisms.blt import BufferedToeplitz
from pride_jax.privacy.mechanisms.discrete_gaussian import DiscreteGaussian
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.mechanism import PrivacyState, Setting
from pride_jax.privacy.mechanisms.share_noise import Rng
from pride_jax.privacy.mechanisms.shares import Shares
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.readers import Reader
from pride_jax.privacy.sampling import (
    Accounted,
    CyclicPoisson,
    FixedSize,
    Full,
    TruncatedPoisson,
)
from pride_jax.privacy.values import (
    DeviceIntegers,
    FixedPoint,
    Floats,
    Grid,
    Integers,
    Rotated,
    integers_of,
)
from pride_jax.validated import Validated

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int

    from pride_jax.types import Cohort, Key, Update

Mechanism = Gaussian | Skellam | DiscreteGaussian | Banded | BufferedToeplitz
"""The mechanisms that a plan may have."""


@dataclass(frozen=True, kw_only=True)
class Plan(Validated):
    """How clients are drawn and how their sum is noised, in a way that can be accounted.

    Raises:
      ConfigError: a value is impossible, or nothing here accounts the combination.
    """

    sampler: Accounted
    """Who takes part in a round."""
    clipping: Clipping
    """To which norm updates are scaled down."""
    mechanism: Mechanism
    """The noise, and what it costs."""
    rounds: int
    """Releases of a model, T."""
    delta: float
    """Of (ε, δ); below one in so many clients, or giving one away at random would be private."""
    client_state: bool = False
    """Whether clients keep state between their rounds, as SCAFFOLD's do; see `client_state`."""
    public_sizes: bool = False
    """Whether clients' numbers of examples are public, so that updates may be weighed by them."""

    must_open = False
    """Whether a run ends where too few clients are in a sum: a sum of nothing was accounted for."""

    def _section(self) -> str:
        return ""

    def _check(self) -> None:
        self._at_least(1, "rounds")
        self._above_zero("delta")
        self._below_one("delta")
        self.mechanism.check(self.setting)
        if self.client_state and isinstance(self.sampler, FixedSize):
            self._refuse(
                "client_state",
                f"False with sampler={self.sampler}: a client that is called takes another's "
                "place, which the other remembers, and nothing here accounts that; use full or "
                "truncated_poisson, or a method whose clients keep nothing",
            )
        if self.smallest_cohort > self.sampler.slots:
            raise ConfigError(
                f"capacity={self.sampler.slots}: expected at least {self.smallest_cohort}, fewer "
                "are not opened"
            )

    @property
    def setting(self) -> Setting:
        """What the mechanism is told of the rest."""
        return Setting(self.sampler, self.clipping, self.rounds, self.client_state)

    @property
    def grid(self) -> Grid:
        """The grid of the integers that clients add.

        Raises:
          ConfigError: they add floats.
        """
        return self.mechanism.grid(self.setting)

    def distance(self, releases: int) -> float:
        """At most the total variation from what is accounted to so many releases as drawn.

        Of cohorts and noise together; of noise in floats, no distance is known and none counted.
        """
        return releases_distance(self.mechanism, self.setting, releases)

    @property
    def added(self) -> Floats | Grid:
        """What clients' updates are added as."""
        return Floats() if isinstance(self.mechanism.values, Floats) else self.grid

    def on_device(self, dimension: int) -> Floats | Grid:
        """What a device adds.

        Args:
          dimension: numbers that a client sends.

        Raises:
          ConfigError: the plan was made for what a secure sum adds, or for other updates.
        """
        expected, found = DeviceIntegers(dimension), self.mechanism.values
        floats = isinstance(found, Floats)
        if not floats and (not isinstance(found, DeviceIntegers) or found.dimension < dimension):
            raise ConfigError(
                f"The plan adds {found}, but on_device adds {expected}, or Floats() for studies: "
                "make the plan for these, or add integers with a protocol"
            )
        return self.added

    def in_secure_sum(self, integers: FixedPoint) -> Grid:
        """What a secure sum adds: its integers, of a norm that the noise is made for.

        Args:
          integers: of the method and the secure sum.

        Raises:
          ConfigError: the plan was made for others.
        """
        dimension, bits, limit = integers.dimension, integers.bits, integers.limit
        found, norm = self.mechanism.values, self.clipping.norm
        possible = [integers_of(dimension, bits, rotation=may) for may in (False, True)]
        if found not in possible or norm != limit:
            raise ConfigError(
                f"The plan adds {found} of norm {norm}, but method and secure aggregation "
                f"{possible[0]} of limit {limit}: they must be the same, or the accounting is wrong"
            )
        return self.grid

    @property
    def smallest_cohort(self) -> int:
        """Fewest announced clients whose sum is opened; fewer release a sum of nothing."""
        return self.mechanism.smallest_cohort(self.sampler)

    def opened_from(self, fewest: int | None) -> "Plan":
        """The same: ε depends on which sums are opened.

        Raises:
          ConfigError: the fewest clients whose sum is opened are given beside the plan's own.
        """
        if fewest is not None:
            raise ConfigError(
                f"smallest_cohort={fewest} with a privacy plan: expected none, since ε depends on "
                "which sums are opened, and the plan says that itself"
            )
        return self

    def smallest_sum(self, announced: int) -> int:
        """Fewest of so many announced clients that must be in a sum for it to be opened."""
        return self.mechanism.smallest_sum(announced, self.sampler)

    @property
    def draws_from_key(self) -> bool:
        """Whether noise follows from the run's noise key, so that a round can be done again."""
        return self.mechanism.draws_from_key

    @property
    def reader(self) -> Reader:
        """Who the plan's ε is for.

        The coalition that the noise provides for, if any, else who sees the released models and
        nothing else.
        """
        return "colluding_clients" if self.mechanism.colluders else "models"

    def keys(self, private: "Key | None", public: "Key") -> "tuple[Key, Key]":
        """The keys of cohorts and of noise.

        Args:
          private: the run's secret key.
          public: of the run's seed, which guards nothing.

        Raises:
          ConfigError: the private key is not given, or guards no secret.
        """
        import jax

        from pride_jax.privacy.randomness import check_secret

        del public
        if private is None:
            raise ConfigError(
                "private=None with a privacy plan: expected the secret key of noise and cohorts; "
                "make one with secret_key()"
            )
        check_secret(private)
        cohorts, noise = jax.random.split(private)
        return cohorts, noise

    def init(self, key: "Key", like: "Update", round_: "Int[Array, '']") -> PrivacyState:
        """The state before a round, made anew from the key.

        Args:
          key: the run's noise key, a secret.
          like: anything in the shapes of the sums.
          round_: the round about to come.
        """
        return self.mechanism.init(self.setting, key, like, round_)

    def release(
        self,
        key: "Key",
        state: PrivacyState,
        round_: "Int[Array, '']",
        total: "Update",
        within: "Float[Array, '']",
    ) -> "tuple[Update, PrivacyState]":
        """A round's sum as it may be released, and the state after it.

        Args:
          key: the run's noise key, a secret.
          state: before the round.
          round_: the round.
          total: the sum of the clipped and weighted updates; of their integers, unless the
            mechanism's values are floats, and of rotated updates' where they are `Rotated`.
          within: the sum over clients of ½ where the update was within the clipping norm, −½ where
            it was longer and 0 of clients without data, in steps of the grid where there is one;
            used where ``clipping.adapts``.
        """
        import jax
        from jax.flatten_util import ravel_pytree

        from pride_jax.privacy.rotation import rotate_back

        round_key = jax.random.fold_in(key, round_)
        noised, after = self.mechanism.release(self.setting, round_key, state, total, within)
        if isinstance(self.mechanism.values, Rotated):
            vector, unravel = ravel_pytree(noised)
            noised = unravel(rotate_back(round_, vector))
        return noised, after

    def divisors(
        self, weights: "Float[Array, 'clients']", cohort: "Cohort"
    ) -> "tuple[Float[Array, ''], Float[Array, '']]":
        """By what a sum of weighted updates is divided, and how many took part.

        Those expected, which nobody changes by coming.

        Args:
          weights: of all clients.
          cohort: those in the sum.
        """
        import jax.numpy as jnp

        del cohort
        expected = self.sampler.expected_cohort
        return expected * jnp.mean(weights), jnp.asarray(expected, jnp.float32)

    def shares(self, rng: Rng) -> Shares:
        """The noise that clients add to their integers, if any.

        Args:
          rng: where its randomness comes from; ``os.urandom``.
        """
        return self.mechanism.shares(self.setting, rng)

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON has it."""
        return to_dict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Plan":
        """The plan that `to_dict` gave.

        Raises:
          ConfigError: the values are no plan's.
        """
        plan = plan_of(values)
        if not isinstance(plan, Plan):
            raise ConfigError(f"{values!r}: expected a plan, as Plan.to_dict writes it")
        return plan


def plan_of(values: dict[str, Any]) -> Plan | NoPlan:
    """What ``to_dict`` gave of either.

    Raises:
      ConfigError: the values are neither's.
    """
    plan = from_dict(values, _KINDS)
    if not isinstance(plan, Plan | NoPlan):
        raise ConfigError(f"{values!r}: expected a plan, as Plan.to_dict writes it")
    return plan


def smallest_sum(plan: Plan | NoPlan, round_: int, announced: int) -> int:
    """The fewest of the clients announced for a round whose integer sum may be opened.

    Args:
      plan: what is private, or that nothing is.
      round_: the round.
      announced: clients called to it.

    Raises:
      TooFewError: too few are announced.
    """
    if announced < plan.smallest_cohort:
        raise TooFewError(f"Round {round_}: {announced} clients, expected {plan.smallest_cohort}")
    return plan.smallest_sum(announced)


def releases_distance(mechanism: Mechanism, setting: Setting, releases: int) -> float:
    """See `Plan.distance`."""
    return releases * (mechanism.distance(setting) + setting.sampler.distance)


_KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Plan,
        NoPlan,
        Full,
        FixedSize,
        TruncatedPoisson,
        CyclicPoisson,
        Flat,
        Adaptive,
        Unclipped,
        Gaussian,
        Skellam,
        DiscreteGaussian,
        Banded,
        BufferedToeplitz,
        Floats,
        Integers,
        DeviceIntegers,
        Rotated,
    )
}
"""All that a plan, or what stands in its place, is made of, by name."""
