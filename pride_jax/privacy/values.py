"""What updates are added as: integers of a public grid, or floats for studies."""

import math
from dataclasses import dataclass, replace
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
    def largest(self) -> int:
        """Most that a client's integer can be, in magnitude."""
        return 2 ** (self.bits - 1) - 1

    @property
    def levels(self) -> int:
        """Steps c of the clipping norm, for which the largest integer stands."""
        return self.largest

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
        """The grid of these integers."""
        return Grid(self.dimension, self.bits, self.levels, self.max_squared_norm)

    def describe(self) -> str:
        """What becomes of a clipped update, for a disclosure."""
        return "it is rounded to integers"


@dataclass(frozen=True)
class Rotated(Integers):
    """Integers of rotated updates, see `rotation`: a finer grid of as many bits.

    No value of a rotated update is large: the largest integer stands for some deviations of a
    value, and not for the clipping norm (Kairouz, Liu & Steinke 2021). An update with a larger
    value all the same is scaled down as a whole, and counted.
    """

    def _check(self) -> None:
        super()._check()
        if self.dimension > _LONGEST:
            self._refuse("dimension", f"at most {_LONGEST}, or squared norms leave 32 bits")
        if self.levels <= super().largest:
            self._refuse(
                "bits",
                f"others for {self.dimension} values, whose grid a rotation makes no finer: use "
                "Integers",
            )

    def scaled(self, dimension: int) -> Integers:
        """The same for another number of parameters, rotated where that makes a grid finer."""
        return integers_of(dimension, self.bits, rotation=True)

    @property
    def largest(self) -> int:
        """Most that a client's integer can be, in magnitude."""
        return min(super().largest, math.ceil(self.levels * _spread(self.dimension)))

    @property
    def levels(self) -> int:
        """Steps c of the clipping norm: as many as there is room for, and use."""
        return _rotated_levels(self.dimension, self.bits)

    @property
    def grid(self) -> "Grid":
        """The grid of these integers."""
        return replace(super().grid, reach=self.largest / self.levels, rotated=True)

    def describe(self) -> str:
        """What becomes of a clipped update, for a disclosure."""
        return (
            "it is rotated by Hadamard transforms with public signs of each round, scaled down "
            f"where a value then exceeds {self.grid.reach:.3g} clipping norms, and rounded to "
            "integers"
        )


def integers_of(dimension: int, bits: int, *, rotation: bool) -> Integers:
    """What a secure sum adds: of rotated updates where that is wanted and makes a grid finer.

    Args:
      dimension: number of parameters.
      bits: of an integer.
      rotation: whether updates may be rotated.
    """
    plain = Integers(dimension, bits)
    if rotation and _rotated_levels(dimension, bits) > plain.levels:
        return Rotated(dimension, bits)
    return plain


_LONGEST = 2**27
_FINE = 8
"""Steps of a value of a rotated update, in the root of their mean square, from which on finer grids
are of no use: rounding lengthens an update by 1 in 500."""
_RARE = 2.0**-10
"""How often a rotated update has a value beyond the largest integer, at most."""


def _rotated_levels(dimension: int, bits: int) -> int:
    room = (2 ** (bits - 1) - 1) / _spread(dimension)
    return math.floor(min(room, _FINE * math.sqrt(dimension), levels_of(2**32 - 2, dimension)))


def _spread(dimension: int) -> float:
    """The largest value of a rotated update over its norm, but for one update in 1024.

    By `rotation`, one of d values exceeds k/√m norms with probability 2 d exp(−k²/2) at most.
    """
    deviations = math.sqrt(2 * math.log(2 * dimension / _RARE))
    return deviations / math.sqrt(block_of(dimension))


def block_of(dimension: int) -> int:
    """The largest power of two m within so many values: those of a Hadamard transform."""
    return 2 ** (dimension.bit_length() - 1)


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

    span = 1.0
    """The same, in limits."""


Values = Floats | DeviceIntegers | Integers
"""What updates are added as."""


def rounded_norm(levels: float, dimension: int) -> float:
    """Most that the squared L2 norm of integers may be whose updates are at most ``levels`` long.

    c² + d/4 + √(2 ln(1/β)) (c + √d/2) with β = e^(-1/2) (Kairouz, Liu & Steinke 2021, The
    Distributed Discrete Gaussian Mechanism), whose rounding at random succeeds with probability
    1 − β at least. An integer vector's L1 norm is at most this, too.
    """
    return levels**2 + dimension / 4 + levels + math.sqrt(dimension) / 2


def levels_of(max_squared_norm: float, dimension: int) -> float:
    """The levels c of which `rounded_norm` is that; not real where it is too small for any."""
    left = max_squared_norm - rounded_norm(0, dimension)
    return (math.sqrt(1 + 4 * left) - 1) / 2


@dataclass(frozen=True)
class Grid:
    """The public grid of one plan: what a step is, and how long a client's integers may be."""

    dimension: int
    """Number of parameters, d."""
    bits: int
    """That integers have at most."""
    levels: float
    """Steps of the clipping norm, c."""
    max_squared_norm: int
    """Bound on the squared L2 norm of a client's integers; below 2^32 − 1."""
    deviation: float = 0.0
    """Standard deviation of the noise that the server adds, in steps; 0 if it adds none."""
    half: int = 0
    """What a client counts for whose update is within the norm; 0 where nobody counts."""
    reach: float = 1.0
    """Most that a value of an update can be, in clipping norms."""
    rotated: bool = False
    """Whether updates are rotated first, see `rotation`."""

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
        """The value that the largest integer of so many bits stands for, in clipping norms."""
        return (2 ** (self.bits - 1) - 1) / self.levels

    def step(self, norm: "float | Float[Array, '']") -> "float | Float[Array, '']":
        """What an integer of 1 stands for."""
        return norm * (1 / self.levels)
