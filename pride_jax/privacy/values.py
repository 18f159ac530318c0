"""What updates are added as: integers of a public grid, or floats for studies."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from pride_jax.validated import Validated

if TYPE_CHECKING:
    from jaxtyping import Array, Float


@dataclass(frozen=True)
class Floats:
    """Floating-point numbers, for studies: their noise has no stated distance from any."""

    smallest_sum = 0
    """Fewest clients whose sum is opened: whoever adds floats sees each client's."""
    counts = True
    """Whether clients may report if their update was within the norm."""

    def scaled(self, dimension: int) -> "Floats":
        """The same for another number of parameters."""
        del dimension
        return self


@dataclass(frozen=True)
class Integers(Validated):
    """Integers of some bits, that a secure sum adds; the largest may stand for the clipping norm.

    Where the grid is fine, updates are rounded to the nearest integers, else at random, again until
    they are short enough for `max_squared_norm`, see `rounding`.
    """

    dimension: int
    """Number of parameters, d."""
    bits: int = 16
    """Of an integer: at most 2^(bits-1) - 1."""

    smallest_sum = 2
    """Fewest clients whose sum a secure sum opens, where there are two."""
    counts = False
    """Whether clients may report if their update was within the norm."""

    def _section(self) -> str:
        return ""

    def _check(self) -> None:
        self._at_least(1, "dimension")
        if not 2 <= self.bits <= 16:
            self._refuse("bits", "2 to 16")

    def scaled(self, dimension: int) -> Self:
        """The same for another number of parameters."""
        return type(self)(dimension, self.bits)

    @property
    def levels(self) -> int:
        """The largest integer c, which stands for the clipping norm."""
        return 2 ** (self.bits - 1) - 1

    @property
    def max_squared_norm(self) -> int:
        """Most that the squared L2 norm of a client's integers can be, see `rounded_norm`."""
        return math.floor(rounded_norm(self.levels, self.dimension))

    @property
    def max_l1_norm(self) -> float:
        """Most that the L1 norm of a client's integers can be."""
        squared = float(self.max_squared_norm)
        return min(math.sqrt(self.dimension * squared), squared)

    @property
    def grid(self) -> "Grid":
        """The grid whose largest integer stands for the clipping norm."""
        return Grid(self.dimension, self.bits, self.levels, self.max_squared_norm)


@dataclass(frozen=True)
class DeviceIntegers(Integers):
    """Integers that a device adds, whoever comes, and with them who was within the norm."""

    dimension: int = 2**20
    """The most parameters that there is room for; the fewer, the less rounding costs."""

    smallest_sum = 0
    """Fewest clients whose sum is opened: the device sees each client's."""
    counts = True
    """Whether clients may report if their update was within the norm."""


@dataclass(frozen=True)
class FixedPoint:
    """What a secure sum adds where no noise is made for it: floats within a limit, as integers.

    An update with a larger value is scaled down as a whole, and counted.
    """

    dimension: int
    """Number of parameters, d."""
    bits: int
    """Of an integer: at most 2^(bits-1) - 1."""
    limit: float
    """The value that the largest integer stands for."""


Values = Floats | DeviceIntegers | Integers
"""What updates are added as."""


def rounded_norm(levels: float, dimension: int) -> float:
    """Most that the squared L2 norm of integers may be whose updates are at most ``levels`` long.

    c² + d/4 + √(2 ln(1/β)) (c + √d/2) with β = e^(-1/2) (Kairouz, Liu & Steinke 2021, The
    Distributed Discrete Gaussian Mechanism), whose rounding at random succeeds with probability
    1 − β at least. An integer vector's L1 norm is at most this, too.
    """
    return levels**2 + dimension / 4 + levels + math.sqrt(dimension) / 2


@dataclass(frozen=True)
class Grid:
    """The public grid of one plan: what a step is, and how long a client's integers may be."""

    dimension: int
    """Number of parameters, d."""
    bits: int
    """That integers have at most."""
    levels: float
    """Steps of the clipping norm, c; at most 2^(bits-1) - 1."""
    max_squared_norm: int
    """Bound on the squared L2 norm of a client's integers; below 2^32 − 1."""
    deviation: float = 0.0
    """Standard deviation of the noise that the server adds, in steps; 0 if it adds none."""
    half: int = 0
    """What a client counts for whose update is within the norm; 0 where nobody counts."""

    def nearest(self, length: int) -> bool:
        """Whether rounding so many values to the nearest integers loses next to nothing.

        Those of an update as long as the norm are four steps and more, in the root of their mean
        square.
        """
        return self.levels**2 >= 16 * length

    @property
    def stretched(self) -> float:
        """The largest L2 norm that rounding leaves of an update, in clipping norms."""
        return math.sqrt(self.max_squared_norm) / self.levels

    @property
    def span(self) -> float:
        """The value that the largest integer stands for, in clipping norms."""
        return (2 ** (self.bits - 1) - 1) / self.levels

    def step(self, norm: "float | Float[Array, '']") -> "float | Float[Array, '']":
        """What an integer of 1 stands for."""
        return norm * (1 / self.levels)
