"""What updates are added as: floats, or integers that rounding may make a little longer."""

import math
from dataclasses import dataclass

from pride_jax.validated import Validated


@dataclass(frozen=True)
class Floats:
    """Floating-point numbers, as the device adds them."""

    smallest_sum = 0
    """Fewest clients whose sum is opened: whoever adds floats sees each client's."""

    max_squared_norm = math.inf
    """Most that the squared norm of a client's integers can be: there are none."""

    def scaled(self, dimension: int) -> "Floats":
        """The same for another number of parameters."""
        del dimension
        return self

    def stretched(self, norm: float) -> float:
        """The largest L2 norm of an update that was clipped to ``norm``."""
        return norm


@dataclass(frozen=True)
class Integers(Validated):
    """Integers of some bits, of which the largest stands for the clipping norm.

    Conditional stochastic rounding draws again until the integers are short enough for
    `max_squared_norm`, see `rounding.round_within`.
    """

    dimension: int
    """Number of parameters, d."""
    bits: int
    """Of an integer: the clipping norm stands for c = 2^(bits-1) - 1."""

    smallest_sum = 2
    """Fewest clients whose sum a secure sum opens, where there are two."""

    def _section(self) -> str:
        return ""

    def _check(self) -> None:
        self._at_least(1, "dimension")
        if not 2 <= self.bits <= 16:
            self._refuse("bits", "2 to 16")

    def scaled(self, dimension: int) -> "Integers":
        """The same for another number of parameters."""
        return Integers(dimension, self.bits)

    @property
    def levels(self) -> int:
        """The largest integer c, which stands for the clipping norm."""
        return 2 ** (self.bits - 1) - 1

    @property
    def max_squared_norm(self) -> int:
        """Most that the squared L2 norm of a client's integers can be.

        ⌊c² + d/4 + √(2 ln(1/β)) (c + √d/2)⌋ with β = e^(-1/2) (Kairouz, Liu & Steinke 2021, The
        Distributed Discrete Gaussian Mechanism). An integer vector's L1 norm is at most this, too.
        """
        d = self.dimension
        return math.floor(self.levels**2 + d / 4 + self.levels + math.sqrt(d) / 2)

    @property
    def max_l1_norm(self) -> float:
        """Most that the L1 norm of a client's integers can be."""
        squared = float(self.max_squared_norm)
        return min(math.sqrt(self.dimension * squared), squared)

    def stretched(self, norm: float) -> float:
        """The largest L2 norm that rounding leaves of an update that was clipped to ``norm``."""
        return math.sqrt(self.max_squared_norm) * norm / self.levels


Values = Floats | Integers
"""What updates are added as."""
