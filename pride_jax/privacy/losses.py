"""Privacy losses of one round on a grid: what the worst pair of its distributions tells apart.

The loss of an outcome is the log of its probability with a client's data over that without. A round
is dominated by a pair of distributions if no event is told apart better than the pair allows; its
rounds then compose as the pair's losses add up (Zhu, Dong & Wang 2022, Optimal Accounting of
Differential Privacy via Characteristic Function, theorem 10). Here a pair is known by the mass that
its two distributions have between any two losses. Each such cell's mass goes to the two ends, so
that both distributions keep theirs: the pair on the grid dominates the pair (Doroshenko, Ghazi,
Kamath, Kumar & Manurangsi 2022, Connect the Dots), and what that adds is of second order.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from jaxtyping import Float64


class Cells(NamedTuple):
    """Masses between neighbouring losses l_0 < l_1 < …, and what they are more than at an end.

    Attributes:
      first: mass of the distribution with the client, P.
      second: mass of the one without, Q.
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


class Losses(NamedTuple):
    """A loss's distribution on the multiples of an interval.

    Attributes:
      interval: between neighbouring losses.
      lowest: the multiple that the first probability belongs to.
      probabilities: of the multiples from there on.
      infinite: the probability of an infinite loss.
    """

    interval: float
    lowest: int
    probabilities: Float64[np.ndarray, "losses"]
    infinite: float


class Piece(Protocol):
    """A pair of distributions that a round, or a part of it, is dominated by."""

    @property
    def symmetric(self) -> bool:
        """Whether the pair is its own reverse."""
        ...

    def spread(self) -> float:
        """Root mean square of the loss, roughly."""
        ...

    def beyond(self, loss: float) -> float:
        """Probability that the loss of either direction is more, of the larger one."""
        ...

    def cells(self, losses: Float64[np.ndarray, "ends"]) -> Cells:
        """Masses between losses from −l to l, of which the middle one is 0."""
        ...


@dataclass(frozen=True)
class Called:
    """Unit Gaussian noise that a client moves by ``move`` if it is called, which is not seen.

    P = (1 − q) N(0, 1) + q N(μ, 1) against Q = N(0, 1). It dominates a round in which a client's
    data is there or not, its call is hidden and nobody else's place depends on it, in any dimension
    (Zhu, Dong & Wang 2022, theorem 11).
    """

    rate: float
    """Probability of a call, q; 1 is noise whose move is seen."""
    move: float
    """Most that the client moves the sum, in standard deviations of the noise, μ."""

    @property
    def symmetric(self) -> bool:
        """Whether the pair is its own reverse."""
        return self.rate == 1

    def spread(self) -> float:
        """Root mean square of the loss under P, or under Q if that is more, roughly."""
        points = np.linspace(-8.0, 8.0, 801)
        weights = np.exp(-(points**2) / 2)
        still, moved = (
            float(np.sqrt(weights @ self._loss(points + at) ** 2 / weights.sum()))
            for at in (0.0, self.move)
        )
        return math.hypot(still, math.sqrt(self.rate) * moved)

    def beyond(self, loss: float) -> float:
        """Probability that the loss of either direction is more, of the larger one."""
        from scipy.special import ndtr

        down, up = self._point(np.array([-loss, loss]))
        upward = (1 - self.rate) * ndtr(-up) + self.rate * ndtr(self.move - up)
        return float(max(upward, ndtr(down)))

    def cells(self, losses: Float64[np.ndarray, "ends"]) -> Cells:
        """Masses between these losses."""
        ends = self._point(losses)
        points = np.concatenate([[-np.inf], ends, [np.inf]])
        still = _between(points[:-1], points[1:])
        moved = _between(points[:-1] - self.move, points[1:] - self.move)
        first = (1 - self.rate) * still + self.rate * moved
        # Both differences are free of cancellation where rate and losses are small. Where e^l is
        # beyond doubles, all of a cell's mass is taken to be at the end that costs more.
        low, high = losses[:-1], losses[1:]
        inner, change = still[1:-1], self.rate * (moved - still)[1:-1]
        over = change - np.expm1(np.minimum(low, _LARGEST)) * inner
        shrunk = np.exp(np.minimum(-high, _LARGEST))
        back = -np.expm1(np.minimum(-high, _LARGEST)) * inner - shrunk * change
        return Cells(
            first=first[1:-1],
            second=inner,
            over=np.where(low < _LARGEST, over, first[1:-1]),
            back=np.where(-high < _LARGEST, back, inner),
            above=float(first[-1]),
            below=float(still[0]),
        )

    def _loss(self, points: Float64[np.ndarray, "points"]) -> Float64[np.ndarray, "points"]:
        exponents = self.move * points - self.move**2 / 2
        if self.rate == 1:
            return exponents
        small = np.minimum(exponents, _LARGEST)
        return np.where(
            exponents < _LARGEST,
            np.log1p(self.rate * np.expm1(small)),
            exponents + math.log(self.rate),
        )

    def _point(self, losses: Float64[np.ndarray, "ends"]) -> Float64[np.ndarray, "ends"]:
        """Where P over Q is e^loss; −∞ for losses that are below all."""
        if self.rate == 1:
            return losses / self.move + self.move / 2
        small = np.minimum(losses, _LARGEST)
        with np.errstate(divide="ignore"):
            log_ratio = np.where(
                losses < _LARGEST,
                np.log1p(np.maximum(np.expm1(small) / self.rate, -1.0)),
                losses - math.log(self.rate),
            )
        return log_ratio / self.move + self.move / 2


@dataclass(frozen=True)
class Replaced:
    """Unit Gaussian noise under a client whose call takes another's place, or is replaced.

    A cohort of a known size is drawn without replacement, a client with probability γ, and the
    client's data is another's or nobody's: sums differ by twice the clipping norm. Then H_α is at
    most that of (1 − γ) N(0, 1) + γ N(μ, 1) against N(0, 1) for α >= 1 (Balle, Barthe & Gaboardi
    2018, Privacy Amplification by Subsampling, theorem 11) and, since neighbours may be exchanged,
    1 − α + α H_(1/α) of the same for α < 1. One direction composed alone would be no bound. As one
    pair these are: the losses above 0 of `Called`, the same mirrored below 0, and the rest at 0.
    """

    rate: float
    """Probability of a call, γ."""
    move: float
    """Most by which one client's being exchanged moves the sum, in standard deviations, μ."""

    symmetric = True
    """Whether the pair is its own reverse."""

    def spread(self) -> float:
        """Root mean square of the loss, roughly."""
        return Called(self.rate, self.move).spread()

    def beyond(self, loss: float) -> float:
        """Probability that the loss is more than this one, above 0."""
        return Called(self.rate, self.move).beyond(loss)

    def cells(self, losses: Float64[np.ndarray, "ends"]) -> Cells:
        """Masses between losses from −l to l, of which the middle one is 0."""
        half = Called(self.rate, self.move).cells(losses[len(losses) // 2 :])
        mirrored = half.reversed()
        first, second, over, back = (
            np.concatenate(pair) for pair in zip(mirrored[:4], half[:4], strict=True)
        )
        return Cells(first, second, over, back, half.above, half.above)


Mixture = tuple[tuple[float, Piece], ...]
"""What a round is: with these probabilities, which are seen, one of these pairs; else nothing."""


def replaced(
    rates: Float64[np.ndarray, "sizes"], chances: Float64[np.ndarray, "sizes"], move: float
) -> Mixture:
    """A round whose cohort is one of several sizes, which are seen: `Replaced` of as many rates.

    H_α is convex in the rate (α >= 1: γ H(1 + (α − 1) / γ) is a perspective; α < 1 follows), so
    that moving chances to the ends of intervals of rates, means kept, never lowers it.

    Args:
      rates: that a client is among those of a size, rising.
      chances: of each size; what they lack of 1 is a round that tells nothing.
      move: of `Replaced`.
    """
    likely = np.flatnonzero(chances > 1e-6 * chances.max())
    inner = np.linspace(rates[likely[0]], rates[likely[-1]], _NODES)
    nodes = np.unique(np.concatenate([rates[:1], inner, rates[-1:]]))
    if len(nodes) == 1:
        return ((float(chances.sum()), Replaced(float(nodes[0]), move)),)
    below = np.clip(np.searchsorted(nodes, rates, side="right") - 1, 0, len(nodes) - 2)
    upward = (rates - nodes[below]) / (nodes[below + 1] - nodes[below])
    weights = np.bincount(below, chances * (1 - upward), len(nodes))
    weights += np.bincount(below + 1, chances * upward, len(nodes))
    return tuple(
        (float(weight), Replaced(float(rate), move))
        for rate, weight in zip(nodes, weights, strict=True)
        if weight > 0 and rate > 0
    )


_NODES = 12


def spread(mixture: Mixture) -> float:
    """Root mean square of a round's loss, roughly."""
    return math.sqrt(sum(weight * piece.spread() ** 2 for weight, piece in mixture))


def reach(mixture: Mixture, mass: float) -> float:
    """A loss that a round exceeds with no more than this probability, nor its reverse."""

    def beyond(loss: float) -> float:
        return sum(weight * piece.beyond(loss) for weight, piece in mixture)

    far = spread(mixture)
    while beyond(far) > mass:
        far *= 2
    near = far / 2
    while far > 1.05 * near:
        middle = math.sqrt(near * far)
        near, far = (middle, far) if beyond(middle) > mass else (near, middle)
    return far


def on_grid(mixture: Mixture, interval: float, farthest: float) -> tuple[Losses, ...]:
    """A round's losses on a grid, never too small: of both directions, or of one if they agree.

    Args:
      mixture: the round.
      interval: of the grid.
      farthest: all losses beyond are taken to be infinite.
    """
    half = max(1, math.ceil(farthest / interval))
    ends = interval * np.arange(-half, half + 1)
    parts = [(weight, piece.cells(ends)) for weight, piece in mixture]
    forward = _directed(parts, interval)
    if all(piece.symmetric for _, piece in mixture):
        return (forward,)
    backward = [
        (weight, cells if piece.symmetric else cells.reversed())
        for (weight, cells), (_, piece) in zip(parts, mixture, strict=True)
    ]
    return forward, _directed(backward, interval)


_LARGEST = 600.0
"""e to this is a double, with room for factors."""


def _directed(parts: list[tuple[float, Cells]], interval: float) -> Losses:
    """The loss of a mixture; mass that no cell has is at 0, where it costs no less than it did."""
    cells = len(parts[0][1].first)
    at, infinite = np.zeros(cells + 1), 0.0
    for weight, part in parts:
        # Within 0 … P but for rounding.
        upper = np.clip(part.over / -math.expm1(-interval), 0.0, part.first)
        at[1:] += weight * upper
        at[:-1] += weight * (part.first - upper)
        infinite += weight * part.above
    at[cells // 2] += max(0.0, 1 - infinite - float(at.sum()))
    present = np.flatnonzero(at)
    lowest, highest = int(present[0]), int(present[-1])
    return Losses(interval, lowest - cells // 2, at[lowest : highest + 1], infinite)


def _between(
    low: Float64[np.ndarray, "cells"], high: Float64[np.ndarray, "cells"]
) -> Float64[np.ndarray, "cells"]:
    """Mass of a unit Gaussian between points, exact in both of its tails."""
    from scipy.special import ndtr

    right = low > 0
    return ndtr(np.where(right, -low, high)) - ndtr(np.where(right, -high, low))
