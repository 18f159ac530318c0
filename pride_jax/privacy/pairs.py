"""Pairs of distributions that dominate a round of noised sums: no event tells more of a client.

A pair (P, Q) is told by its hockey-stick divergences H_α(P ‖ Q) = sup_E P(E) − α Q(E), and here by
the mass that P and Q have between any two losses log dP/dQ. All noise is Gaussian with variance 1
in one dimension; sums in any dimension, and other noise (`mechanisms.dominance`), need no other.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float64


class Cells(NamedTuple):
    """Masses between neighbouring losses l_0 < l_1 < …, and what they are more than at an end.

    Attributes:
      first: mass of P, the distribution with the client's data.
      second: mass of Q, the one without.
      over: P − e^l Q with the loss at a cell's lower end; at least 0.
      back: Q − e^(−l) P with the loss at its upper end; at least 0.
      above: mass of P beyond the last loss.
      below: mass of Q before the first loss.
    """

    first: Float64[np.ndarray, "cells"]
    second: Float64[np.ndarray, "cells"]
    over: Float64[np.ndarray, "cells"]
    back: Float64[np.ndarray, "cells"]
    above: float
    below: float

    def reversed(self) -> "Cells":
        """Those of Q against P."""
        first, second, over, back = (part[::-1] for part in self[:4])
        return Cells(second, first, back, over, self.below, self.above)

    def after(self, below: "Cells") -> "Cells":
        """These, of losses from 0 on, after others of losses up to 0."""
        first, second, over, back = (
            np.concatenate(pair) for pair in zip(below[:4], self[:4], strict=True)
        )
        return Cells(first, second, over, back, self.above, below.below)


class Pair(Protocol):
    """A pair of distributions that a round, or a part of it, is dominated by."""

    @property
    def symmetric(self) -> bool:
        """Whether the pair is its own reverse."""
        ...

    def spread(self) -> float:
        """Root mean square of the loss, roughly."""
        ...

    def beyond(self, loss: float) -> float:
        """Probability that the loss of either direction is more than one above 0: the larger."""
        ...

    def cells(self, losses: Float64[np.ndarray, "ends"]) -> Cells:
        """Masses between losses from −l to l, of which the middle one is 0."""
        ...


@dataclass(frozen=True)
class Called:
    """A client whose call is not seen, in a round where nobody else's place depends on the call.

    P = (1 − q) N(0) + q N(μ) against Q = N(0) (Zhu, Dong & Wang 2022, Optimal Accounting of
    Differential Privacy via Characteristic Function, theorem 11).
    """

    rate: float
    """Probability of a call, q; 1 is a call that is known."""
    move: float
    """Most that the client moves the sum, in standard deviations of the noise, μ."""

    @property
    def symmetric(self) -> bool:
        """Whether the pair is its own reverse."""
        return self.rate == 1

    def spread(self) -> float:
        """Root mean square of the loss, roughly."""
        points = np.linspace(-8.0, 8.0, 801)
        weights = np.exp(-(points**2) / 2)
        still, moved = (
            float(np.sqrt(weights @ self._loss(points + at) ** 2 / weights.sum()))
            for at in (0.0, self.move)
        )
        return math.hypot(still, math.sqrt(self.rate) * moved)

    def beyond(self, loss: float) -> float:
        """Probability that the loss of either direction is more than one above 0: the larger."""
        down, up = self._points(np.array([-loss, loss]))
        return max(float(self._first(up, np.inf)), float(_mass(-np.inf, down)))

    def cells(self, losses: Float64[np.ndarray, "ends"]) -> Cells:
        """Masses between losses."""
        points = self._points(losses)
        second = _between(points)
        change = self.rate * (_between(points, self.move) - second)
        above = float(self._first(points[-1], np.inf))
        return _cells(losses, second, change, above, float(_mass(-np.inf, points[0])))

    def _first(self, low: np.ndarray, high: float) -> np.ndarray:
        return (1 - self.rate) * _mass(low, high) + self.rate * _mass(low, high, self.move)

    def _loss(self, points: Float64[np.ndarray, "points"]) -> Float64[np.ndarray, "points"]:
        exponents = self.move * points - self.move**2 / 2
        if self.rate == 1:
            return exponents
        doubles = np.log1p(self.rate * np.expm1(np.minimum(exponents, _LARGEST)))
        return np.where(exponents < _LARGEST, doubles, exponents + math.log(self.rate))

    def _points(self, losses: Float64[np.ndarray, "ends"]) -> Float64[np.ndarray, "ends"]:
        """Where the loss is so much; −∞ for a loss that is below all."""
        if self.rate == 1:
            return losses / self.move + self.move / 2
        with np.errstate(divide="ignore"):
            ratios = np.maximum(np.expm1(np.minimum(losses, _LARGEST)) / self.rate, -1.0)
            doubles = np.log1p(ratios)
        exponents = np.where(losses < _LARGEST, doubles, losses - math.log(self.rate))
        return exponents / self.move + self.move / 2


@dataclass(frozen=True)
class Replaced:
    """A client of a cohort of fixed size, which is drawn without replacement; data is replaced.

    For α >= 1, H_α is at most that of `Called` with the rate γ and the move of an exchange (Balle,
    Barthe & Gaboardi 2018, Privacy Amplification by Subsampling, theorem 11) and, since neighbours
    may be exchanged, 1 − α + α H_(1/α) of the same for α < 1. One direction composed alone would be
    no bound. As one pair they are the losses above 0 of `Called`, their mirror image below 0, and
    the rest of the mass at 0.
    """

    rate: float
    """Probability of a call, γ."""
    move: float
    """Most by which replacing the data moves the sum, in standard deviations of the noise."""

    symmetric = True
    """Whether the pair is its own reverse."""

    def spread(self) -> float:
        """Root mean square of the loss, roughly."""
        return Called(self.rate, self.move).spread()

    def beyond(self, loss: float) -> float:
        """Probability that the loss of either direction is more than one above 0."""
        return Called(self.rate, self.move).beyond(loss)

    def cells(self, losses: Float64[np.ndarray, "ends"]) -> Cells:
        """Masses between losses from −l to l, of which the middle one is 0."""
        half = Called(self.rate, self.move).cells(losses[len(losses) // 2 :])
        return half.after(half.reversed()._replace(below=half.above))


@dataclass(frozen=True)
class Counted:
    """A client that is one of a number of called, which is seen; its data is there, or is nothing.

    Given the number, cohorts are drawn without replacement, a client with probability γ, and its
    call takes another's place. Let a cohort without the client have the sum y; exchanging some r in
    it for the client gives all cohorts with it. So a round is a mixture, over cohorts and r, of

        P = (1 − γ) N(y) + γ N(y − x_r + x)  against  Q = (1 − γ) N(y) + γ N(y − x_r)

    with |x|, |x_r| <= μ, and no worse than the worst of these. By advanced joint convexity (Balle,
    Barthe & Gaboardi 2018, theorem 2) H_α'(P ‖ Q) is γ H_α(A ‖ (1 − β) B + β C) with A =
    N(y − x_r + x), B = N(y), C = N(y − x_r): the mean, under A, of a convex function of a weighted
    sum of the ratios of B and of C to A. Either ratio is less in convex order than that of a
    Gaussian moved by 2μ, or by μ, along a line; there both rise together; and a sum is greatest in
    convex order where its summands rise together (Kaas, Dhaene & Goovaerts 2000, Upper and Lower
    Bounds for Sums of Random Variables). So for α >= 1

        H_α(P ‖ Q) is at most that of (1 − γ) N(0) + γ N(2μ) against (1 − γ) N(0) + γ N(μ),
        H_α(Q ‖ P) is at most that of (1 − γ) N(0) + γ N(μ) against N(0), as of `Called`,

    both of which some clients' data reach. As one pair they are the losses above 0 of the first,
    the mirror image of those of the second below 0, and the rest at 0. The proof asks for pairs of
    shifts only, so it holds for every noise whose pairs Gaussian ones dominate.
    """

    rate: float
    """Probability of a call, γ."""
    move: float
    """Most that the client moves the sum, in standard deviations of the noise, μ."""

    symmetric = False
    """Whether the pair is its own reverse."""

    def spread(self) -> float:
        """Root mean square of the loss, roughly."""
        called = Called(self.rate, 2 * self.move).spread()
        return max(Called(self.rate, self.move).spread(), called / 2)

    def beyond(self, loss: float) -> float:
        """Probability that the loss of either direction is more than one above 0: the larger."""
        (up,) = self._points(np.array([loss]))
        here = (1 - self.rate) * _mass(up, np.inf) + self.rate * _mass(up, np.inf, 2 * self.move)
        return max(float(here), Called(self.rate, self.move).beyond(loss))

    def cells(self, losses: Float64[np.ndarray, "ends"]) -> Cells:
        """Masses between losses from −l to l, of which the middle one is 0."""
        losses = losses[len(losses) // 2 :]
        points = self._points(losses)
        once, twice = _between(points, self.move), _between(points, 2 * self.move)
        second = (1 - self.rate) * _between(points) + self.rate * once
        top = points[-1]
        above = (1 - self.rate) * _mass(top, np.inf) + self.rate * _mass(top, np.inf, 2 * self.move)
        half = _cells(losses, second, self.rate * (twice - once), float(above), 0.0)
        called = Called(self.rate, self.move).cells(losses)
        return half.after(called.reversed()._replace(below=called.above))

    def _points(self, losses: Float64[np.ndarray, "ends"]) -> Float64[np.ndarray, "ends"]:
        """Where the loss is so much, which is at least 0.

        With t = e^(μ x − 3μ²/2) the ratio is (a + t²)/(a + t), a = e^(−μ²) (1 − γ)/γ, which rises
        from 1 at t = 1: a quadratic equation for t.
        """
        absent = math.exp(-(self.move**2)) * (1 - self.rate) / self.rate
        small = np.minimum(losses, _LARGEST / 2)
        more = np.expm1(small)
        root = np.expm1(2 * small) + 4 * absent * more
        beyond_one = (more + root / (1 + np.sqrt(1 + root))) / 2
        exponents = np.where(losses < _LARGEST / 2, np.log1p(beyond_one), losses)
        return exponents / self.move + 1.5 * self.move


_LARGEST = 600.0
"""e to this is a double, with room for factors."""


def _cells(
    losses: Float64[np.ndarray, "ends"],
    second: Float64[np.ndarray, "cells"],
    change: Float64[np.ndarray, "cells"],
    above: float,
    below: float,
) -> Cells:
    """The cells of masses Q and P − Q, without cancellation where rates and losses are small.

    Where e^l is beyond doubles, all of a cell's mass is taken to be at the end that costs more.
    """
    first = second + change
    low, back_from_high = losses[:-1], -losses[1:]
    over = change - np.expm1(np.minimum(low, _LARGEST)) * second
    capped = np.minimum(back_from_high, _LARGEST)
    back = -np.expm1(capped) * second - np.exp(capped) * change
    return Cells(
        first=first,
        second=second,
        over=np.where(low < _LARGEST, over, first),
        back=np.where(back_from_high < _LARGEST, back, second),
        above=above,
        below=below,
    )


def _mass(low: np.ndarray | float, high: np.ndarray | float, mean: float = 0.0) -> np.ndarray:
    """Mass of N(mean) between points, exact in both of its tails."""
    from scipy.special import ndtr

    low, high = np.asarray(low) - mean, np.asarray(high) - mean
    right = low > 0
    return ndtr(np.where(right, -low, high)) - ndtr(np.where(right, -high, low))


def _between(
    points: Float64[np.ndarray, "ends"], mean: float = 0.0
) -> Float64[np.ndarray, "cells"]:
    """`_mass` between neighbouring points, with one evaluation of each."""
    from scipy.special import ndtr

    moved = points - mean
    tails = ndtr(-np.abs(moved))
    right = moved > 0
    below = np.where(right, 1 - tails, tails)
    return np.where(right[:-1], tails[:-1] - tails[1:], below[1:] - below[:-1])
