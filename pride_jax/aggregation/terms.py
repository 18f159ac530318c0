"""What everyone agrees on before a sum: how many values, how wide, of how many clients."""

import math
from dataclasses import dataclass

from pride_jax.errors import ConfigError

_LARGEST_COUNT = 2**31 - 1


@dataclass(frozen=True)
class Terms:
    """What everyone agrees on before a sum.

    Attributes:
      length: number of values in a client's vector.
      bits: width of a value: every client's integers lie in ±(2^(bits-1) - 1).
      limit: the float that the largest integer stands for (see ``fixed_point``); messages of
        clients that quantised with another limit are refused.
      smallest_cohort: fewer contributions than this are not opened.
      largest_cohort: at most this many contributions are added.

    Raises:
      ConfigError: a value is out of range, or the sum could leave int64.
    """

    length: int
    bits: int
    limit: float
    smallest_cohort: int
    largest_cohort: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "limit", float(self.limit))
        if not 1 <= self.length <= _LARGEST_COUNT:
            raise ConfigError(
                f"Terms: length={self.length}, expected 1 … {_LARGEST_COUNT}: "
                "set it to the model's number of parameters"
            )
        if not 2 <= self.bits <= 32:
            raise ConfigError(f"Terms: bits={self.bits}, expected 2 … 32: 8 and 16 are usual")
        if not (math.isfinite(self.limit) and self.limit > 0):
            raise ConfigError(
                f"Terms: limit={self.limit}, expected a finite positive number: "
                "set it to the largest magnitude that one value of an update may have"
            )
        if not 1 <= self.smallest_cohort <= self.largest_cohort <= _LARGEST_COUNT:
            raise ConfigError(
                f"Terms: smallest_cohort={self.smallest_cohort}, "
                f"largest_cohort={self.largest_cohort}, expected "
                f"1 <= smallest_cohort <= largest_cohort <= {_LARGEST_COUNT}"
            )

    @property
    def largest_value(self) -> int:
        """The largest magnitude of one client's integers."""
        return 2 ** (self.bits - 1) - 1
