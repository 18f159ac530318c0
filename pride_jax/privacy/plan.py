"""The privacy plan: one frozen value that the sampler, the noise and the accountant share."""

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pride_jax.errors import ConfigError, TooFewError
from pride_jax.privacy.clipping import Adaptive, Clipping, Flat
from pride_jax.privacy.mechanisms.banded import Banded
from pride_jax.privacy.mechanisms.blt import BufferedToeplitz
from pride_jax.privacy.mechanisms.discrete_gaussian import DiscreteGaussian
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.integer_shares import IntegerShares
from pride_jax.privacy.mechanisms.mechanism import PrivacyState, Setting
from pride_jax.privacy.mechanisms.share_noise import Rng
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.readers import Reader
from pride_jax.privacy.sampling import (
    Accounted,
    CyclicPoisson,
    FixedSize,
    Full,
    TruncatedPoisson,
)
from pride_jax.privacy.values import DeviceIntegers, Floats, Grid, Integers, Rotated
from pride_jax.validated import Validated

if TYPE_CHECKING:
    from jaxtyping import Array, Float, Int

    from pride_jax.types import Key, Update

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
    def smallest_cohort(self) -> int:
        """Fewest announced clients whose sum is opened; fewer release a sum of nothing."""
        return self.mechanism.smallest_cohort(self.sampler)

    @property
    def dropouts(self) -> int:
        """Announced clients that may be missing from a sum."""
        return self.mechanism.dropouts

    @property
    def reader(self) -> Reader:
        """Who the plan's ε is for.

        The coalition that the noise provides for, if any, else who sees the released models and
        nothing else.
        """
        return "colluding_clients" if self.mechanism.colluders else "models"

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

    def shares(self, rng: Rng) -> IntegerShares | None:
        """The noise that clients add to their integers; None where the server adds the noise.

        Args:
          rng: where its randomness comes from; ``os.urandom``.
        """
        return self.mechanism.shares(self.setting, rng)

    def to_dict(self) -> dict[str, Any]:
        """The plan as JSON has it."""
        return _to_dict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Plan":
        """The plan that `to_dict` gave.

        Raises:
          ConfigError: the values are no plan's.
        """
        plan = _from_dict(values)
        if not isinstance(plan, Plan):
            raise ConfigError(f"{values!r}: expected a plan, as Plan.to_dict writes it")
        return plan


def smallest_sum(plan: Plan | None, smallest_cohort: int, round_: int, announced: int) -> int:
    """The fewest of the clients announced for a round whose integer sum may be opened.

    Args:
      plan: what is private, if anything.
      smallest_cohort: the fewest without a plan.
      round_: the round.
      announced: clients called to it.

    Raises:
      TooFewError: too few are announced.
    """
    smallest = smallest_cohort if plan is None else plan.smallest_cohort
    if announced < smallest:
        raise TooFewError(f"Round {round_}: {announced} clients, expected {smallest}")
    return smallest if plan is None else plan.mechanism.smallest_sum(announced, plan.sampler)


def releases_distance(mechanism: Mechanism, setting: Setting, releases: int) -> float:
    """See `Plan.distance`."""
    return releases * (mechanism.distance(setting) + setting.sampler.distance)


_KINDS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Plan,
        Full,
        FixedSize,
        TruncatedPoisson,
        CyclicPoisson,
        Flat,
        Adaptive,
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
"""All that a plan is made of, by name."""


def _to_dict(part: Any) -> Any:
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return part
    fields = {field.name: _to_dict(getattr(part, field.name)) for field in dataclasses.fields(part)}
    return {"kind": type(part).__name__, **fields}


def _from_dict(values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    fields = {name: _from_dict(value) for name, value in values.items() if name != "kind"}
    kind = _KINDS.get(values.get("kind", ""))
    if kind is None:
        raise ConfigError(f"kind={values.get('kind')!r}: expected one of {', '.join(_KINDS)}")
    names = {field.name for field in dataclasses.fields(kind)}
    if names != set(fields):
        raise ConfigError(f"{kind.__name__} of {sorted(fields)}: expected {sorted(names)}")
    return kind(**fields)
