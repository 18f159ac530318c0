"""Poisson samplers: each client is drawn apart from the others, of all clients or of a group."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
from jaxtyping import Float64

from pride_jax.privacy.amplification import (
    Curve,
    gaussian_divergences,
    subsampled_divergences,
    truncated_divergences,
    truncated_poisson_curve,
)
from pride_jax.privacy.sampler import SamplerBase

if TYPE_CHECKING:
    from jaxtyping import Array, Int

    from pride_jax.types import Cohort, Key


RANK_BITS = 96
"""Of a client's random rank in a cohort; the lowest are called."""


class _Poisson(SamplerBase):
    """What an accountant asks of Poisson sampling, of all clients or of groups in turn."""

    num_clients: int
    rate: float
    capacity: int

    adjacency = "zero_out"
    """What the neighbour of a population is: one client's whole data becomes nothing."""
    sensitivity = 1.0
    """Most by which one client changes a round's sum in L2, in clipping norms."""
    amplifies = True
    """Whether not knowing the cohort hides anything."""

    @property
    def slots(self) -> int:
        """The static size of a cohort."""
        return self.capacity

    @property
    def expected_cohort(self) -> float:
        """Clients expected in a round, m."""
        return self.num_clients * self.rate

    @property
    def turn_rate(self) -> float:
        """Probability that a client is drawn in a round that is its turn."""
        return self.rate * self.separation

    @property
    def distance(self) -> float:
        """The most by which drawn cohorts are from those accounted for, see `draws.poisson`."""
        return self.group_size**2 / 2 * 2.0**-RANK_BITS

    def draw(self, key: "Key", round_: "int | Int[Array, '']") -> "Cohort":
        """A cohort of the group whose turn the round is."""
        from pride_jax.privacy import draws

        return draws.poisson(
            key, round_, self.group_size, self.turn_rate, self.capacity, self.separation
        )

    def scaled(self, num_clients: int) -> Self:
        """The same rate for another number of clients, with as many slots in proportion."""
        capacity = math.ceil(self.capacity * num_clients / self.num_clients)
        return replace(self, num_clients=num_clients, capacity=capacity)  # pyright: ignore

    def divergences(
        self, known: Float64[np.ndarray, "orders"], smallest_cohort: int
    ) -> Float64[np.ndarray, "orders"]:
        """Rényi divergences of a client's turn, for every noise that is symmetric about 0.

        They hold for clients that keep state, too.

        Args:
          known: of a round in which the client is known to take part.
          smallest_cohort: the fewest clients whose sum is opened.
        """
        from scipy.stats import binom

        subsampled = subsampled_divergences(known, self.turn_rate)
        others = self.group_size - 1, self.turn_rate
        decides = np.logaddexp(
            binom.logsf(self.capacity - 1, *others), binom.logpmf(smallest_cohort - 1, *others)
        )
        return truncated_divergences(known, subsampled, float(decides))

    def gaussian_divergences(
        self, noise_multiplier: float, smallest_cohort: int
    ) -> Float64[np.ndarray, "orders"]:
        """`divergences` of Gaussian noise of this standard deviation in clipping norms."""
        return self.divergences(gaussian_divergences(noise_multiplier), smallest_cohort)

    def gaussian_epsilon(
        self,
        noise_multiplier: float,
        rounds: int,
        delta: float,
        smallest_cohort: int,
        client_state: bool,
    ) -> float:
        """ε at δ of rounds under Gaussian noise, see `truncated_poisson_curve`.

        Args:
          noise_multiplier: standard deviation of the noise in clipping norms.
          rounds: how many; a client has ⌈rounds / groups⌉ turns.
          delta: δ.
          smallest_cohort: the fewest clients whose sum is opened.
          client_state: whether clients keep state between their rounds.
        """
        turns = self.turns(rounds)
        curve = truncated_poisson_curve(
            clients=self.group_size,
            rate=self.turn_rate,
            capacity=self.capacity,
            noise_multiplier=noise_multiplier,
            turns=turns,
            client_state=client_state,
        )
        return self._less_unopened(curve, turns, delta, smallest_cohort)

    def _less_unopened(self, curve: Curve, turns: int, delta: float, smallest_cohort: int) -> float:
        """ε at what is left of δ once sums of too few clients, which are not opened, are paid for.

        Where one client decides whether there are enough, noise alone is released instead of the
        others' sum. That has probability τ a round and costs (1 + e^ε) τ of δ; infinite ε if it is
        over half.
        """
        if smallest_cohort < 2:
            return curve(delta)
        from scipy.stats import binom

        decides = binom.pmf(smallest_cohort - 1, self.group_size - 1, self.turn_rate)
        most = curve(delta / 2)
        cost = turns * float(decides) * (1 + math.exp(min(most, 700.0)))
        return curve(delta - cost) if cost <= delta / 2 else math.inf

    def accountant(self) -> str:
        """Whose ε of Gaussian noise `gaussian_epsilon` is, for a disclosure."""
        return "privacy loss distributions (PLD), the truncation of cohorts included"

    def _check_draw(self, groups: int) -> None:
        self._at_least(1, "num_clients", "capacity")
        self._above_zero("rate")
        if self.rate > 1:
            self._refuse("rate", "more than 0 and at most 1")
        if self.turn_rate > 1:
            self._refuse(
                "rate", f"at most 1/groups={1 / groups:g}: only one group is drawn from in a round"
            )
        if self.capacity > self.group_size:
            self._refuse(
                "capacity", f"at most {self.group_size}, the clients that can be drawn in a round"
            )


@dataclass(frozen=True)
class TruncatedPoisson(_Poisson):
    """Each client with the same probability, apart from the others; at most ``capacity`` of them.

    Of more, as many are chosen uniformly. A static shape needs the bound; the accountant knows it.
    """

    num_clients: int
    """All clients, N."""
    rate: float
    """Probability of a client, q; drawn as a multiple of 2^-32, rounded down."""
    capacity: int
    """Slots of the cohort."""

    def _check(self) -> None:
        self._check_draw(1)

    def describe(self) -> str:
        """The sentence of a disclosure."""
        return (
            f"Each client takes part in a round with probability {self.rate:g}, apart from the "
            f"others; of more than {self.capacity}, as many are chosen at random."
        )


@dataclass(frozen=True)
class CyclicPoisson(_Poisson):
    """Truncated Poisson sampling from one group of clients a round, the groups in turn.

    Client ``i`` is in group ``i mod groups``, so that it takes part at most once in ``groups``
    rounds, as banded noise needs (Choquette-Choo et al. 2023, Algorithm 2).
    """

    num_clients: int
    """All clients, N; a multiple of ``groups``."""
    rate: float
    """Share of all clients expected in a round; a client's own probability is ``groups`` times that
    in its group's rounds."""
    capacity: int
    """Slots of the cohort."""
    groups: int
    """That take turns; of one size, fixed, whatever the data."""

    def _check(self) -> None:
        self._at_least(1, "groups")
        if self.num_clients % self.groups:
            self._refuse(
                "groups", f"a divisor of num_clients={self.num_clients}: groups of one size"
            )
        self._check_draw(self.groups)

    @property
    def group_size(self) -> int:
        """Clients that can be drawn in a round: those whose turn it is."""
        return self.num_clients // self.groups

    @property
    def separation(self) -> int:
        """Rounds from one turn of a client to its next."""
        return self.groups

    def describe(self) -> str:
        """The sentence of a disclosure."""
        return (
            f"{self.groups} groups of clients take turns; in its turn a client takes part with "
            f"probability {self.turn_rate:g}, apart from the others; of more than "
            f"{self.capacity}, as many are chosen at random."
        )
