"""Privacy losses of one round on a grid, and the rounds that are mixtures of pairs.

The loss of an outcome is the log of its probability with a client's data over that without. Rounds
that are dominated by pairs compose as the pairs' losses add up (Zhu, Dong & Wang 2022, Optimal
Accounting of Differential Privacy via Characteristic Function, theorem 10). The mass of a pair
between two neighbouring losses of a grid goes to both, so that either distribution keeps its own:
the pair on the grid dominates the pair (Doroshenko, Ghazi, Kamath, Kumar & Manurangsi 2022, Connect
the Dots), and what that adds is of second order.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from pride_jax.privacy.pairs import Cells, Pair


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


Mixture = tuple[tuple[float, Pair], ...]
"""What a round is: with these probabilities, which are seen, one of these pairs; else nothing."""


def by_rate(
    rates: Float64[np.ndarray, "sizes"],
    chances: Float64[np.ndarray, "sizes"],
    pair: Callable[[float], Pair],
) -> Mixture:
    """A round whose cohort is one of several sizes, which are seen.

    A pair's distributions are linear in the rate, so that H_α is convex in the rate: moving chances
    to the ends of intervals of rates, means kept, never lowers it.

    Args:
      rates: that a client is among those of a size, rising.
      chances: of each size; what they lack of 1 is a round that tells nothing.
      pair: of a rate.
    """
    likely = np.flatnonzero(chances > 1e-6 * chances.max())
    inner = np.linspace(rates[likely[0]], rates[likely[-1]], _NODES)
    nodes = np.unique(np.concatenate([rates[:1], inner, rates[-1:]]))
    if len(nodes) == 1:
        return ((float(chances.sum()), pair(float(nodes[0]))),)
    below = np.clip(np.searchsorted(nodes, rates, side="right") - 1, 0, len(nodes) - 2)
    upward = (rates - nodes[below]) / (nodes[below + 1] - nodes[below])
    weights = np.bincount(below, chances * (1 - upward), len(nodes))
    weights += np.bincount(below + 1, chances * upward, len(nodes))
    return tuple(
        (float(weight), pair(float(rate)))
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
