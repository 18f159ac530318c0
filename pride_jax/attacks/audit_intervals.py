"""Means of samples, the intervals they lie in, and products, ratios and roots of those.

Each mean lies in its interval but for a small probability. Where all of them do, so does all that
is computed from them: errors add up over what was measured, not over what was concluded.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True)
class Interval:
    """Where a figure that is not negative lies."""

    low: float
    """At least this."""
    high: float
    """At most this."""

    def __mul__(self, other: "Interval | float") -> "Interval":
        low, high = _ends(other)
        # 0 · ∞: a bound that says nothing times one that says all.
        return Interval(
            self.low * low if min(self.low, low) > 0 else 0.0,
            self.high * high if min(self.high, high) > 0 else 0.0,
        )

    def __truediv__(self, other: "Interval | float") -> "Interval":
        low, high = _ends(other)
        least = self.low / high if high > 0 else math.inf
        most = self.high / low if low > 0 else math.inf
        # 0 / 0 may be anything.
        return Interval(least if self.low > 0 else 0.0, most)

    def __sub__(self, other: "Interval") -> "Interval":
        return Interval(max(0.0, self.low - other.high), max(0.0, self.high - other.low))

    def root(self) -> "Interval":
        """Where the square root lies."""
        return Interval(math.sqrt(self.low), math.sqrt(self.high))


def _ends(other: Interval | float) -> tuple[float, float]:
    return (other.low, other.high) if isinstance(other, Interval) else (other, other)


def largest(intervals: list[Interval]) -> Interval:
    """Where the largest of several figures lies."""
    return Interval(max(each.low for each in intervals), max(each.high for each in intervals))


class Mean(NamedTuple):
    """Of independent samples.

    Attributes:
      value: their mean.
      error: its standard error.
    """

    value: float
    error: float

    def within(self, errors: float) -> Interval:
        """Where a mean that is not negative lies, so many standard errors off at most."""
        return Interval(
            max(0.0, self.value - errors * self.error), max(0.0, self.value + errors * self.error)
        )


def mean_of(samples: Float[np.ndarray, "..."]) -> Mean:
    """The mean of independent samples, and its error as they show it."""
    return Mean(float(np.mean(samples)), float(np.std(samples, ddof=1) / math.sqrt(samples.size)))
