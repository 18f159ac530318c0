"""The privacy plan: one frozen description that the sampler, the noise and the accountant share."""

import math
from dataclasses import dataclass
from typing import Literal

from pride_jax.errors import ConfigError, TooFewError
from pride_jax.validated import Validated

_UNSUPPORTED = {
    ("gaussian", "cyclic_poisson"): (
        "mechanism='banded', which accounts groups that take turns; band=1 is the same noise"
    ),
    ("skellam", "fixed_size"): (
        "'full' or 'truncated_poisson': no bound is known here for Skellam noise and a fixed size"
    ),
    ("skellam", "cyclic_poisson"): (
        "'full' or 'truncated_poisson': groups that take turns are accounted for banded noise only"
    ),
    ("banded", "truncated_poisson"): (
        "'full' or 'cyclic_poisson': nothing here accounts a client that is drawn again "
        "within a band, where rounds share noise"
    ),
    ("banded", "fixed_size"): (
        "'full' or 'cyclic_poisson': nothing here accounts a client that is drawn again "
        "within a band, where rounds share noise"
    ),
}
"""What to do instead of each (mechanism, sampling) that no accountant here accounts."""


def default_capacity(expected_cohort: float, clients: int) -> int:
    """Slots for a Poisson cohort that it hardly ever exceeds: m + 6√m, at most all clients."""
    return min(clients, math.ceil(expected_cohort + 6 * math.sqrt(expected_cohort)))


@dataclass(frozen=True, kw_only=True)
class PrivacyPlan(Validated):
    """How clients are drawn and how their sum is noised, in a way that can be accounted.

    Raises:
      ConfigError: a value is impossible, or nothing here accounts the combination.
    """

    num_clients: int
    """All clients, N; public."""
    rounds: int
    """Releases of a model, T."""
    delta: float
    """Of (ε, δ)."""
    noise_multiplier: float | None = None
    """Standard deviation of the sum's noise over the clipping norm; None until calibrated."""
    sampling: Literal["full", "truncated_poisson", "fixed_size", "cyclic_poisson"] = (
        "truncated_poisson"
    )
    """`cyclic_poisson`: fixed groups take turns, and each draws among its own."""
    sampling_rate: float | None = None
    """Share of all clients expected in a round; not for `full`."""
    capacity: int | None = None
    """Most clients of a round, a random choice if more are drawn; m + 6√m if not given."""
    clipping: Literal["flat", "adaptive"] = "flat"
    clipping_norm: float = 1.0
    """C, at first for `adaptive`."""
    quantile: float = 0.5
    """Share of updates that `adaptive` clipping leaves as they are."""
    mechanism: Literal["gaussian", "skellam", "banded"] = "gaussian"
    adjacency: Literal["zero_out", "replace_one"] | None = None
    """What the neighbour of a population is; the one that the sampling allows if not given."""
    groups: int = 1
    """Groups that take turns, for `cyclic_poisson`; of one size, fixed, whatever the data."""
    band: int = 1
    """Rounds that share noise, for `banded`; 1 is independent noise, for `full` as good as any."""
    dimension: int | None = None
    """Number of parameters d, where updates are rounded to integers, as `skellam` needs."""
    bits: int | None = None
    """Of these integers: the clipping norm stands for c = 2^(bits-1) - 1."""
    dropouts: int = 0
    """Announced clients that may be missing from a sum, for `skellam`."""
    colluders: int = 0
    """Clients that may tell their shares of the noise, for `skellam`."""

    def _section(self) -> str:
        return ""

    def _check(self) -> None:
        self._at_least(1, "num_clients", "rounds", "capacity", "groups", "band", "dimension")
        self._at_least(0, "noise_multiplier", "dropouts", "colluders")
        self._above_zero("delta", "sampling_rate")
        # Squares of much smaller numbers vanish in float32, and with them the norm.
        self._at_least(1e-15, "clipping_norm")
        self._below_one("delta", "quantile")
        self._check_combination()
        self._check_sampling()
        self._check_mechanism()
        if self.clipping == "adaptive" and self.noise_multiplier:
            _ = self.update_noise_multiplier

    def _check_combination(self) -> None:
        instead = _UNSUPPORTED.get((self.mechanism, self.sampling))
        if instead:
            self._refuse("sampling", f"with mechanism={self.mechanism!r} {instead}")
        if self.sampling == "fixed_size" and self.adjacency == "zero_out":
            self._refuse(
                "adjacency", "'replace_one': no bound is known here for a fixed size under zero-out"
            )
        if self.sampling != "fixed_size" and self.adjacency == "replace_one":
            self._refuse(
                "adjacency", f"'zero_out', under which sampling={self.sampling!r} is accounted"
            )
        if self.clipping == "adaptive" and self.mechanism != "gaussian":
            self._refuse(
                "clipping", f"'flat': mechanism={self.mechanism!r} needs one norm for all rounds"
            )
        if self.clipping == "adaptive" and self.sampling == "fixed_size":
            self._refuse(
                "clipping", "'flat' with sampling='fixed_size': the count's noise is not doubled"
            )

    def _check_sampling(self) -> None:
        poisson = self.sampling in ("truncated_poisson", "cyclic_poisson")
        if self.sampling == "full":
            if self.sampling_rate not in (None, 1):
                self._refuse("sampling_rate", "none or 1, since sampling='full' takes everyone")
        elif self.sampling_rate is None or self.sampling_rate > 1:
            self._refuse("sampling_rate", f"more than 0 and at most 1 for {self.sampling!r}")
        if self.sampling == "fixed_size":
            size = self.num_clients * self.rate
            if round(size) < 1 or abs(size - round(size)) > 1e-6:
                self._refuse("sampling_rate", f"a whole number of clients, not {size:g}: k / N")
        if self.groups != 1 and self.sampling != "cyclic_poisson":
            self._refuse("groups", "1: only sampling='cyclic_poisson' has groups that take turns")
        if self.num_clients % self.groups:
            self._refuse(
                "groups", f"a divisor of num_clients={self.num_clients}: groups of one size"
            )
        if self.turn_rate > 1:
            self._refuse(
                "sampling_rate",
                f"at most 1/groups={1 / self.groups:g}: only one group is drawn from in a round",
            )
        if self.capacity is not None and not poisson:
            self._refuse("capacity", f"none: sampling={self.sampling!r} says how many take part")
        if self.capacity is not None and self.capacity > self.group_size:
            self._refuse(
                "capacity", f"at most {self.group_size}, the clients that can be drawn in a round"
            )

    def _check_mechanism(self) -> None:
        if self.band != 1 and self.mechanism != "banded":
            self._refuse("band", "1: only mechanism='banded' shares noise between rounds")
        if self.band > self.rounds:
            self._refuse("band", f"at most rounds={self.rounds}")
        if self.sampling == "cyclic_poisson" and self.groups < self.band:
            self._refuse(
                "groups",
                f"at least band={self.band}, so that no two rounds of a client share noise",
            )
        if (self.dimension is None) != (self.bits is None):
            self._refuse("bits", f"a value if, and only if, dimension={self.dimension} is one")
        if self.mechanism == "skellam" and self.bits is None:
            self._refuse("bits", "a value, and dimension, for mechanism='skellam'")
        if self.clipping == "adaptive" and self.bits is not None:
            self._refuse("clipping", "'flat' for integers, whose scale is the clipping norm")
        for name in ("dropouts", "colluders"):
            if getattr(self, name) and self.mechanism != "skellam":
                self._refuse(name, "0: only mechanism='skellam' adds noise in shares")
        if self.bits is not None and not 2 <= self.bits <= 16:
            self._refuse("bits", "2 to 16")
        if self.dropouts + self.colluders >= self.expected_cohort:
            self._refuse(
                "dropouts",
                f"fewer than expected_cohort={self.expected_cohort:g} together with "
                f"colluders={self.colluders}: someone must add noise",
            )
        if self.bits is not None and self.smallest_cohort > self.slots:
            self._refuse("capacity", f"at least {self.smallest_cohort}, fewer are not opened")

    @property
    def rate(self) -> float:
        """Share of all clients expected in a round, q."""
        return 1.0 if self.sampling_rate is None else float(self.sampling_rate)

    @property
    def expected_cohort(self) -> float:
        """Clients expected in a round, m: the fixed denominator of the mean."""
        size = self.num_clients * self.rate
        return float(round(size)) if self.sampling == "fixed_size" else size

    @property
    def group_size(self) -> int:
        """Clients that can be drawn in a round: all, or those whose turn it is."""
        return self.num_clients // self.groups

    @property
    def turn_rate(self) -> float:
        """Probability that a client is drawn in a round that is its turn."""
        return self.rate * self.groups

    @property
    def separation(self) -> int:
        """Rounds from one turn of a client to its next."""
        return self.groups

    @property
    def slots(self) -> int:
        """The static size of a cohort: everyone, the fixed size, or the capacity."""
        if self.sampling in ("full", "fixed_size"):
            return round(self.expected_cohort)
        if self.capacity is not None:
            return self.capacity
        return default_capacity(self.expected_cohort, self.group_size)

    @property
    def smallest_cohort(self) -> int:
        """Fewest announced clients whose sum is opened; the release of fewer is a sum of nothing.

        Integers go through a secure sum, which opens at least two clients' (or one's, where there
        is no other). Shares of Skellam noise are made so that all cohorts from this size on have
        the same noise: the larger it is, the less the noise of dropouts and colluders costs.
        """
        if self.bits is None:
            return 0
        if self.mechanism != "skellam":
            return min(2, self.slots)
        if self.sampling == "full":
            return self.num_clients
        cohort = self.expected_cohort
        needed = self.dropouts + max(2, self.colluders + 1)
        return max(needed, math.floor(cohort - 6 * math.sqrt(cohort)))

    @property
    def relation(self) -> Literal["zero_out", "replace_one"]:
        """The adjacency as used: one client's data becomes nothing, or any other data."""
        return "replace_one" if self.sampling == "fixed_size" else "zero_out"

    @property
    def sensitivity(self) -> float:
        """Most by which one client changes a round's sum in L2, in clipping norms."""
        return 2.0 if self.relation == "replace_one" else 1.0

    @property
    def known_noise_multiplier(self) -> float:
        """The noise multiplier of a plan that has one.

        Raises:
          ConfigError: there is none yet.
        """
        if self.noise_multiplier is None:
            raise ConfigError(
                "noise_multiplier=None: expected a number; calibrate the plan to a target ε first"
            )
        return float(self.noise_multiplier)

    @property
    def noise_scale(self) -> float:
        """Standard deviation of the float sum's noise: noise multiplier times clipping norm.

        Where updates are rounded, the norm is that of the integers, which rounding may raise.
        """
        if self.bits is None:
            return self.known_noise_multiplier * self.clipping_norm
        norm = math.sqrt(self.max_squared_norm) * self.clipping_norm / self._levels
        return self.known_noise_multiplier * norm

    @property
    def count_noise(self) -> float:
        """Standard deviation σ_b = m/20 of the noise on how many updates are below the norm.

        Of adaptive clipping (Andrew et al. 2021).
        """
        return self.expected_cohort / 20

    @property
    def update_noise_multiplier(self) -> float:
        """Noise multiplier z_Δ of the sum, when part of the budget goes to the count.

        z_Δ = (z⁻² - (2σ_b)⁻²)^(-1/2), so that sum and count together cost what z costs (Andrew et
        al. 2021); z itself for flat clipping.

        Raises:
          ConfigError: the count alone costs more than z allows, or there is no z yet.
        """
        noise = self.known_noise_multiplier
        if self.clipping == "flat" or noise == 0:
            return noise
        left = noise**-2 - (2 * self.count_noise) ** -2
        if left <= 0:
            self._refuse(
                "noise_multiplier",
                f"less than a tenth of the expected cohort, {self.expected_cohort / 10:g}, with "
                "clipping='adaptive': the noise on its count is m/20, which alone costs more; "
                "use clipping='flat', more clients a round or a larger ε",
            )
        return left**-0.5

    @property
    def max_squared_norm(self) -> int:
        """Most that the squared L2 norm of a client's integers can be.

        Conditional stochastic rounding draws again until it holds: ⌊c² + d/4 + √(2 ln(1/β))
        (c + √d/2)⌋ with β = e^(-1/2) (Kairouz, Liu & Steinke 2021, The Distributed Discrete
        Gaussian Mechanism). An integer vector's L1 norm is at most this, too.

        Raises:
          ConfigError: the plan rounds nothing to integers.
        """
        levels = self._levels
        assert self.dimension is not None, "it has one if it has bits"
        return math.floor(levels**2 + self.dimension / 4 + levels + math.sqrt(self.dimension) / 2)

    @property
    def _levels(self) -> int:
        if self.bits is None:
            self._refuse("bits", "a value, and dimension: nothing is rounded to integers without")
        return 2 ** (self.bits - 1) - 1

    @property
    def total_variance(self) -> float:
        """Variance of the noise in a sum of integers that nobody is missing from, for `skellam`.

        It does not depend on how many were announced. What dropouts and colluders leave of it is
        at least `noise_variance`.
        """
        least = self.smallest_cohort
        return self.noise_variance * least / (least - self.dropouts - self.colluders)

    @property
    def noise_variance(self) -> float:
        """Variance μ of the noise in a sum of integers that is accounted, for `skellam`.

        Raises:
          ConfigError: the plan rounds nothing to integers, or has no noise multiplier yet.
        """
        return self.known_noise_multiplier**2 * self.max_squared_norm


def smallest_sum(
    plan: PrivacyPlan | None, smallest_cohort: int, round_: int, announced: int
) -> int:
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
    if plan is not None and plan.mechanism == "skellam":
        return announced - plan.dropouts
    return smallest
