"""Poisson samplers: each client is drawn apart from the others, of all clients or of a group."""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Self

import numpy as np
from jaxtyping import Float64, Int64

from pride_jax.privacy.amplification import (
    gaussian_divergences,
    subsampled_divergences,
    truncated_divergences,
)
from pride_jax.privacy.losses import Mixture, by_rate
from pride_jax.privacy.pairs import Called, Counted
from pride_jax.privacy.readers import View
from pride_jax.privacy.sampler import RANK_BITS, SamplerBase

if TYPE_CHECKING:
    from dp_accounting import DpEvent
    from jaxtyping import Array, Int

    from pride_jax.types import Cohort, Key


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
    def threshold(self) -> int:
        """Of 2^32 words as many call a client in its turn: those below."""
        return math.floor(self.rate * self.separation * 2**32)

    @property
    def turn_rate(self) -> float:
        """Probability that a client is drawn in a round that is its turn, exactly as it is drawn.

        What is accounted and told to dp_accounting is this one, a multiple of 2^-32.
        """
        return self.threshold / 2**32

    @property
    def distance(self) -> float:
        """The most by which drawn cohorts are from those accounted for, in total variation.

        They agree unless two drawn clients have equal ranks and one of them may have to give way:
        the probability that both are drawn and equal, times that of as many others as it takes.
        """
        from scipy.stats import binom

        others = self.group_size - 2
        if others < self.capacity - 1:
            return 0.0
        full = float(binom.sf(self.capacity - 2, others, self.turn_rate))
        pairs = self.group_size * (self.group_size - 1) / 2
        return pairs * self.turn_rate * 2.0**-RANK_BITS * full

    def draw(self, key: "Key", round_: "int | Int[Array, '']") -> "Cohort":
        """A cohort of the group whose turn the round is."""
        from pride_jax.privacy import draws

        return draws.poisson(
            key, round_, self.group_size, self.threshold, self.capacity, self.separation
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

    def mixtures(self, move: float, view: View) -> tuple[Mixture, ...]:
        """Bounds of a client's turn under Gaussian noise, none if nothing is known to be hidden.

        A reader of models is not told how many others were called. If so few are that the client
        decides whether a sum is opened, or so many that it takes another's place, the reader is
        given more here, and in these rounds only, see `_fitting` and `_full`; or, where clients
        keep state, whether the client was called, which by convexity never costs less. Who knows
        the number sees sampling without replacement: the number does not depend on anybody's data,
        and given the number every cohort is as likely.

        Args:
          move: most that a client moves a sum, in standard deviations of the noise.
          view: who reads.
        """
        if view.reader == "models":
            if view.client_state:
                return (self._call_shown(move, view),)
            return (self._fitting(move, view) + self._full(move),)
        # A call then always takes another's place, who may remember it.
        coalition = view.colluders if view.reader == "colluding_clients" else 0
        if view.client_state or coalition >= self.group_size:
            return ()
        clients = self.group_size - coalition
        drawn, chances = _binomial(clients, self.turn_rate)
        # Those beyond the capacity are as many as the capacity; of too few nothing is told.
        numbers = np.minimum(drawn, self.capacity)
        enough = numbers >= max(1, view.smallest_cohort - coalition)
        return (
            by_rate(numbers[enough] / clients, chances[enough], lambda rate: Counted(rate, move)),
        )

    def _call_shown(self, move: float, view: View) -> Mixture:
        """Rounds that may not fit show whether the client was called: known, or nothing."""
        from scipy.stats import binom

        full = float(binom.sf(self.capacity - 1, self.group_size - 1, self.turn_rate))
        more = float(binom.sf(self.capacity, self.group_size, self.turn_rate))
        few = self._few(view.smallest_cohort)
        called = more * self.capacity / self.group_size + few * self.turn_rate
        return (1 - full - few, Called(self.turn_rate, move)), (called, Called(1.0, move))

    def _full(self, move: float) -> Mixture:
        """Rounds that may not fit show how many others were drawn, n.

        The client is then one of the cohort with probability q · capacity / (n + 1), and another
        gives way.
        """
        others, chances = _binomial(self.group_size - 1, self.turn_rate)
        full = others >= self.capacity
        if not full.any():
            return ()
        rates = self.turn_rate * self.capacity / (others[full] + 1)
        return by_rate(rates[::-1], chances[full][::-1], lambda rate: Counted(rate, move))

    def _fitting(self, move: float, view: View) -> Mixture:
        """Rounds that others leave room in show little more than is seen of them.

        If others are one too few, n, a sum that is opened shows the call. So a reader is told, at
        most, that the client is called and others are n, or that it is not, others are n + 1, and a
        coin falls so: then as many are called either way, and a call takes another's place. Without
        the coin a client would surely be called where others are n + 1 and nothing is told.
        """
        from scipy.stats import binom

        rate, others, least = self.turn_rate, self.group_size - 1, view.smallest_cohort
        fits = 1 - float(binom.sf(self.capacity - 1, others, rate))
        few = self._few(least)
        if few == 0:
            return ((fits, Called(rate, move)),)
        shown = few * rate
        if least >= self.capacity:
            return (fits - few, Called(rate, move)), (shown, Called(1.0, move))
        enough = float(binom.pmf(least, others, rate))
        absent = enough * (1 - rate) / 2
        return (
            (fits - few - enough, Called(rate, move)),
            (enough - absent, Called(enough * rate / (enough - absent), move)),
            (shown + absent, Counted(shown / (shown + absent), move)),
        )

    def _few(self, smallest_cohort: int) -> float:
        """Probability that the client decides whether there are enough clients to open a sum."""
        from scipy.stats import binom

        if smallest_cohort < 2:
            return 0.0
        return float(binom.pmf(smallest_cohort - 1, self.group_size - 1, self.turn_rate))

    def shown(self, smallest_cohort: int) -> float:
        """Probability of a sum that shows a client's call, since it is opened for that client."""
        return self._few(smallest_cohort) * self.turn_rate

    def event(self, noise_multiplier: float) -> "DpEvent":
        """A client's turn under Gaussian noise, as dp_accounting has it."""
        import dp_accounting

        return dp_accounting.TruncatedSubsampledGaussianDpEvent(
            self.group_size, self.turn_rate, self.capacity, noise_multiplier
        )

    def accountant(self) -> str:
        """Whose ε of Gaussian noise `mixtures` lead to, for a disclosure."""
        return "privacy loss distributions (PLD), the truncation of cohorts included"

    def _check_draw(self, groups: int) -> None:
        self._at_least(1, "num_clients", "capacity")
        self._above_zero("rate")
        if self.rate > 1:
            self._refuse("rate", "more than 0 and at most 1")
        if self.threshold < 1:
            self._refuse("rate", f"at least {2.0**-32 / groups:.3g}: it is drawn in steps of 2^-32")
        if self.turn_rate > 1:
            self._refuse(
                "rate", f"at most 1/groups={1 / groups:g}: only one group is drawn from in a round"
            )
        if self.capacity > self.group_size:
            self._refuse(
                "capacity", f"at most {self.group_size}, the clients that can be drawn in a round"
            )


def _binomial(
    clients: int, rate: float
) -> tuple[Int64[np.ndarray, "numbers"], Float64[np.ndarray, "numbers"]]:
    """How many of the clients may be drawn, and with which chances, rarer than 1e-300 left out."""
    from scipy.stats import binom

    if rate == 1:
        return np.array([clients]), np.ones(1)
    mean = clients * rate
    far = 40 * math.sqrt(mean) + 800
    numbers = np.arange(max(0, math.floor(mean - far)), min(clients, math.ceil(mean + far)) + 1)
    return numbers, binom.pmf(numbers, clients, rate)


@dataclass(frozen=True)
class TruncatedPoisson(_Poisson):
    """Each client with the same probability, apart from the others; at most ``capacity`` of them.

    Of more, as many are chosen uniformly. A static shape needs the bound; the accountant knows it.
    """

    num_clients: int
    """All clients, N."""
    rate: float
    """Probability of a client, q; drawn and accounted rounded down to a multiple of 2^-32."""
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
    in its group's rounds, rounded down to a multiple of 2^-32."""
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
