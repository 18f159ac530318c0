"""Samplers: who takes part in a round, and what an accountant needs to know of it.

A sampler is a frozen value. A federation draws its cohorts with it, with a privacy plan or without
one, and an accountant asks it what its draws hide. Nothing here imports JAX before a cohort is
drawn.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float64

from pride_jax.privacy.amplification import without_replacement_divergences
from pride_jax.privacy.losses import Mixture, by_rate
from pride_jax.privacy.pairs import Replaced
from pride_jax.privacy.poisson import CyclicPoisson, TruncatedPoisson
from pride_jax.privacy.readers import View
from pride_jax.privacy.sampler import SamplerBase

if TYPE_CHECKING:
    from dp_accounting import DpEvent
    from jaxtyping import Array, Int

    from pride_jax.types import Cohort, Key


@dataclass(frozen=True)
class Full(SamplerBase):
    """Every client in every round."""

    num_clients: int
    """All clients, N."""

    adjacency = "zero_out"
    """What the neighbour of a population is: one client's whole data becomes nothing."""
    sensitivity = 1.0
    """Most by which one client changes a round's sum in L2, in clipping norms."""
    amplifies = False
    """Whether not knowing the cohort hides anything."""

    def _check(self) -> None:
        self._at_least(1, "num_clients")

    @property
    def slots(self) -> int:
        """The static size of a cohort."""
        return self.num_clients

    @property
    def expected_cohort(self) -> float:
        """Clients of a round, m."""
        return float(self.num_clients)

    @property
    def rate(self) -> float:
        """Share of all clients in a round, q."""
        return 1.0

    def mixtures(self, move: float, view: View) -> tuple[Mixture, ...]:
        """None: nothing is hidden."""
        del move, view
        return ()

    def draw(self, key: "Key", round_: "int | Int[Array, '']") -> "Cohort":
        """Everyone, whatever key and round."""
        from pride_jax.privacy import draws

        del key, round_
        return draws.everyone(self.num_clients)

    def scaled(self, num_clients: int) -> "Full":
        """The same of another number of clients."""
        return Full(num_clients)

    def describe(self) -> str:
        """The sentence of a disclosure."""
        return "Every client takes part in every round."


@dataclass(frozen=True)
class FixedSize(SamplerBase):
    """``size`` clients uniformly at random, without replacement."""

    num_clients: int
    """All clients, N."""
    size: int
    """Clients of a round."""

    adjacency = "replace_one"
    """What the neighbour of a population is: one client's whole data becomes any other."""
    sensitivity = 2.0
    """Most by which one client changes a round's sum in L2, in clipping norms: replaced, twice."""
    amplifies = True
    """Whether not knowing the cohort hides anything."""

    def _check(self) -> None:
        self._at_least(1, "num_clients", "size")
        if self.size > self.num_clients:
            self._refuse("size", f"at most num_clients={self.num_clients}: change the cohort size")

    @property
    def slots(self) -> int:
        """The static size of a cohort."""
        return self.size

    @property
    def expected_cohort(self) -> float:
        """Clients of a round, m."""
        return float(self.size)

    @property
    def rate(self) -> float:
        """Share of all clients in a round, q."""
        return self.size / self.num_clients

    def draw(self, key: "Key", round_: "int | Int[Array, '']") -> "Cohort":
        """A cohort, whatever the round; the time grows with the cohort, not with the clients."""
        from pride_jax.privacy import draws

        del round_
        return draws.without_replacement(key, self.num_clients, self.size)

    def scaled(self, num_clients: int) -> "FixedSize":
        """The same share of another number of clients.

        Raises:
          ConfigError: that is not a whole number of them.
        """
        if num_clients * self.size % self.num_clients:
            self._refuse(
                "size", f"the same share of {num_clients} clients to be a whole number of them"
            )
        return FixedSize(num_clients, num_clients * self.size // self.num_clients)

    def describe(self) -> str:
        """The sentence of a disclosure."""
        return f"{self.size} clients a round, uniformly without replacement."

    def shown(self, smallest_cohort: int) -> float:
        """Probability of a sum that shows a client's call: every cohort is as large."""
        del smallest_cohort
        return 0.0

    def event(self, noise_multiplier: float) -> "DpEvent":
        """A round under Gaussian noise, as dp_accounting has it; see `events.event_of`."""
        import dp_accounting

        noise = dp_accounting.GaussianDpEvent(noise_multiplier)
        return dp_accounting.SampledWithoutReplacementDpEvent(self.num_clients, self.size, noise)

    def gaussian_divergences(
        self, noise_multiplier: float, smallest_cohort: int
    ) -> Float64[np.ndarray, "orders"]:
        """Rényi divergences of a round under Gaussian noise, see `without_replacement_divergences`.

        Args:
          noise_multiplier: standard deviation of the noise in clipping norms.
          smallest_cohort: every cohort is as large.
        """
        del smallest_cohort
        return without_replacement_divergences(
            clients=self.num_clients,
            size=self.size,
            noise_multiplier=noise_multiplier / self.sensitivity,
        )

    def mixtures(self, move: float, view: View) -> tuple[Mixture, ...]:
        """Bounds of a round under Gaussian noise, none if nothing is known to be hidden.

        A coalition of clients knows how many of the rest were called, and draws from fewer.

        Args:
          move: most that a client adds to a sum, in standard deviations of the noise.
          view: who reads; a plan never asks for clients that keep state.
        """

        def pair(rate: float) -> Replaced:
            return Replaced(rate, self.sensitivity * move)

        if view.reader != "colluding_clients":
            return (((1.0, pair(self.rate)),),)
        from scipy.stats import hypergeom

        clients = self.num_clients - view.colluders
        if clients < 1:
            return ()
        numbers = np.arange(max(1, self.size - view.colluders), min(self.size, clients) + 1)
        chances = hypergeom.pmf(numbers, self.num_clients, clients, self.size)
        return (by_rate(numbers / clients, chances, pair),)

    def accountant(self) -> str:
        """Whose ε of Gaussian noise `mixtures` lead to, for a disclosure."""
        return (
            "privacy loss distributions (PLD) of sampling without replacement, at twice the "
            "clipping norm"
        )


Accounted = Full | FixedSize | TruncatedPoisson | CyclicPoisson
"""The samplers that a privacy plan may have."""


def default_capacity(expected_cohort: float, clients: int) -> int:
    """Slots for a Poisson cohort that it hardly ever exceeds: m + 6√m, at most all clients."""
    return min(clients, math.ceil(expected_cohort + 6 * math.sqrt(expected_cohort)))


def full(num_clients: int) -> Full:
    """Every client in every round.

    Raises:
      ConfigError: there are no clients.
    """
    return Full(num_clients)


def fixed_size(num_clients: int, size: int) -> FixedSize:
    """``size`` of the clients uniformly at random, without replacement.

    Raises:
      ConfigError: ``size`` is not within 1 … ``num_clients``.
    """
    return FixedSize(num_clients, size)


def truncated_poisson(
    num_clients: int, rate: float, capacity: int | None = None
) -> TruncatedPoisson:
    """Each client with probability ``rate``; at most ``capacity`` of them, m + 6√m if not given.

    Raises:
      ConfigError: the rate or the capacity is impossible.
    """
    if capacity is None:
        # What is impossible is refused before a capacity is made of it.
        least = TruncatedPoisson(num_clients, rate, 1)
        capacity = default_capacity(num_clients * rate, least.group_size)
    return TruncatedPoisson(num_clients, rate, capacity)


def cyclic_poisson(
    num_clients: int, rate: float, groups: int, capacity: int | None = None
) -> CyclicPoisson:
    """`truncated_poisson` from one of ``groups`` groups a round, see `CyclicPoisson`.

    Raises:
      ConfigError: the rate, the capacity or the number of groups is impossible.
    """
    if capacity is None:
        least = CyclicPoisson(num_clients, rate, 1, groups)
        capacity = default_capacity(num_clients * rate, least.group_size)
    return CyclicPoisson(num_clients, rate, capacity, groups)
