"""An accountant written apart, from the definitions: brackets of ε without the package's code.

A round is a list of events that the reader sees, each with its probability and with two
distributions, given as their masses between points of a line and the ratios at these points. The
larger ratio of a cell's ends gives losses that are never too small, and that of its masses, which
is all that one can tell who sees only the cell, losses that are never too large. They are put on a
grid at random, means kept, so that the error of a sum of T is more than h √(T log(1/η) / 2) with
probability η at most (Hoeffding); this is the idea of Gopi, Lee & Wutschitz 2021, Numerical
Composition of Differential Privacy. Sums are taken by the fast Fourier
transform; what is cut off or wraps around is bounded by Chernoff and counted against either bound.
"""

import math
from typing import NamedTuple

import numpy as np
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import erfc, gammaln, ive

CELLS = 200_000


class Event(NamedTuple):
    """What a reader may see of a round: masses under both, and log ratios at the ends of cells."""

    chance: float
    one: np.ndarray
    other: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def swapped(self):
        return Event(self.chance, self.other, self.one, -self.high, -self.low)

    def losses(self):
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log(self.one) - np.log(self.other)


def mass(low, high, mean):
    """Of a unit normal between points."""
    low, high = (low - mean) / math.sqrt(2), (high - mean) / math.sqrt(2)
    right = low > 0
    a, b = np.where(right, low, -high), np.where(right, high, -low)
    return (erfc(a) - erfc(b)) / 2


def hidden_call(chance, rate, move, cells=CELLS):
    """The client is called with this rate, or not; if it is, its data moves a unit normal."""
    points = np.concatenate([[-np.inf], np.linspace(-11, 11 + move, cells), [np.inf]])
    low, high = points[:-1], points[1:]
    still = mass(low, high, 0.0)
    moved = (1 - rate) * still + rate * mass(low, high, move)
    log_rest = math.log1p(-rate) if rate < 1 else -np.inf
    ratios = np.logaddexp(log_rest, math.log(rate) + move * points - move**2 / 2)
    return Event(chance, moved, still, ratios[:-1], ratios[1:])


def replaced(chance, rate, move, cells=CELLS):
    """The worst for a client that is exchanged: ratios above 1 of a hidden call, and mirrored."""
    points = np.concatenate([np.linspace(move / 2, 11 + move, cells), [np.inf]])
    low, high = points[:-1], points[1:]
    still = mass(low, high, 0.0)
    moved = (1 - rate) * still + rate * mass(low, high, move)
    ratios = np.log1p(rate * np.expm1(np.minimum(move * points - move**2 / 2, 700)))
    rest = np.array([1 - still.sum() - moved.sum()])
    one = np.concatenate([moved, still, rest])
    other = np.concatenate([still, moved, rest])
    low = np.concatenate([ratios[:-1], -ratios[1:], [0.0]])
    high = np.concatenate([ratios[1:], -ratios[:-1], [0.0]])
    return Event(chance, one, other, low, high)


def counted(chance, rate, move, cells=CELLS):
    """Called in a number that is seen, data or none: the worst others are as far off as possible.

    One way they are at −1, the client at 1 or 0; the other way at 1, the client at −1 or 0. The
    first has all losses above 0, the second, mirrored, all below.
    """
    points = np.concatenate([np.linspace(1.5 * move, 11 + 2 * move, cells), [np.inf]])
    low, high = points[:-1], points[1:]
    still, once, twice = (mass(low, high, shift * move) for shift in (0, 1, 2))
    two, one = (1 - rate) * still + rate * twice, (1 - rate) * still + rate * once
    log_rest = math.log1p(-rate) if rate < 1 else -np.inf
    ratios = np.logaddexp(log_rest, math.log(rate) + 2 * move * points - 2 * move**2)
    with np.errstate(invalid="ignore"):
        ratios -= np.logaddexp(log_rest, math.log(rate) + move * points - move**2 / 2)
    ratios[-1] = np.inf
    ratios[0] = 0.0
    below = replaced(1.0, rate, move, cells)
    half = len(below.one) // 2
    return _joined(
        chance,
        (two, one, ratios[:-1], ratios[1:]),
        (below.other[:half], below.one[:half], -below.high[:half], -below.low[:half]),
    )


def _joined(chance, above, below):
    """Losses above 0 of one pair and below 0 of another, with what is missing at 0."""
    rest = [np.array([1 - above[side].sum() - below[side].sum()]) for side in (0, 1)]
    one, other = (np.concatenate([above[s], below[s], rest[s]]) for s in (0, 1))
    low, high = (np.concatenate([above[s], below[s], [0.0]]) for s in (2, 3))
    return Event(chance, one, other, low, high)


def _of_masses(chance, one, other):
    kept = (one > 1e-290) & (other > 1e-290)
    one, other = one[kept], other[kept]
    ratios = np.log(one) - np.log(other)
    return Event(chance, one, other, ratios, ratios)


def skellam(variance):
    """Integers -> their probabilities, of Skellam noise; and its variance."""
    return lambda line: ive(np.abs(line), variance), variance


def discrete_gaussian_sum(share, clients):
    """As `skellam`, of the sum of so many discrete Gaussians, added up one by one."""
    far = _far(share * clients, 0)
    line = np.arange(-far, far + 1)
    one = np.exp(-(line**2) / (2 * share))
    one = total = one / one.sum()
    for _ in range(clients - 1):
        total = np.convolve(total, one, "same")

    def masses(at):
        inside = np.abs(at) <= far
        return np.where(inside, total[np.where(inside, at + far, 0)], 0.0)

    return masses, share * clients


def integer_call(chance, rate, noise, shift):
    """Exact probabilities of integer noise, which a called client's data moves by an integer."""
    masses, variance = noise
    line = np.arange(-_far(variance, shift), _far(variance, shift) + 1)
    still, moved = (masses(line - at) for at in (0, shift))
    return _of_masses(chance, (1 - rate) * still + rate * moved, still)


def integer_counted(chance, rate, noise, shift):
    """As `counted`, with exact probabilities of integer noise."""
    masses, variance = noise
    line = np.arange(-_far(variance, shift), _far(variance, shift) + 1)
    still, once, twice = (masses(line - at) for at in (0, shift, 2 * shift))
    first = _of_masses(1.0, (1 - rate) * still + rate * twice, (1 - rate) * still + rate * once)
    second = _of_masses(1.0, (1 - rate) * still + rate * once, still)
    up, down = first.low > 0, second.low > 0
    return _joined(
        chance,
        (first.one[up], first.other[up], first.low[up], first.low[up]),
        (second.other[down], second.one[down], -second.low[down], -second.low[down]),
    )


def _far(variance, shift):
    return int(14 * math.sqrt(variance)) + 2 * shift + 40


def chances_of(clients, rate):
    """Probabilities of 0 … clients successes."""
    if rate == 1:
        return np.arange(clients + 1) == clients
    n = np.arange(clients + 1)
    log = gammaln(clients + 1) - gammaln(n + 1) - gammaln(clients - n + 1)
    return np.exp(log + n * math.log(rate) + (clients - n) * math.log1p(-rate))


def nothing(chance):
    one = np.ones(1)
    return Event(chance, one, one, np.zeros(1), np.zeros(1))


def bracket(events, rounds, delta):
    """Bounds of the smallest ε of so many rounds, less than 1% apart if the grid can be as fine."""
    events = [event for event in events if event.chance > 0]
    missing = 1 - sum(event.chance for event in events)
    if missing > 1e-15:
        events.append(nothing(missing))
    directions = [events, [event.swapped() for event in events]]
    low, high, share = 0.0, math.inf, 1 / 50
    while share > 1e-4:
        bounds = [_bracket(each, rounds, delta, share) for each in directions]
        low = max(low, *(bound[0] for bound in bounds))
        high = min(high, max(bound[1] for bound in bounds))
        if high - low <= 0.01 * high:
            break
        share /= 5
    return low, high


def _bracket(events, rounds, delta, share):
    cut = 1e-4 * delta / rounds
    first = np.concatenate([event.chance * event.one for event in events])
    least = np.concatenate([event.losses() for event in events])
    most = np.concatenate([event.high for event in events])
    some = first > 0
    first, least, most = first[some], least[some], most[some]
    usual = np.isfinite(least)
    interval = share * math.sqrt(float(first[usual] @ least[usual] ** 2))
    return (
        _epsilon(first, least, interval, rounds, delta, cut, upper=False),
        _epsilon(first, most, interval, rounds, delta, cut, upper=True),
    )


def _epsilon(chances, losses, interval, rounds, delta, cut, upper):
    order = np.argsort(losses)
    chances, losses = chances[order], losses[order]
    above = np.cumsum(chances[::-1])[::-1]
    beyond = above <= cut
    infinite = float(chances[beyond].sum())
    below = (np.cumsum(chances) <= cut) | (losses == -np.inf)
    kept = ~beyond & ~below
    bottom = float(chances[below & ~beyond].sum())
    chances, losses = chances[kept], losses[kept]
    if upper:
        # What is below is put at the lowest loss that is left.
        chances = np.concatenate([[bottom], chances])
        losses = np.concatenate([losses[:1], losses])
    places = losses / interval
    floor = np.floor(places).astype(np.int64)
    up = places - floor
    lowest = int(floor.min())
    grid = np.bincount(floor - lowest, chances * (1 - up), int(floor.max()) - lowest + 2)
    grid += np.bincount(floor - lowest + 1, chances * up, len(grid))
    at = interval * (lowest + np.arange(len(grid)))
    # Sums outside of this window have a probability of at most `cut`, either side.
    mean = float(grid @ at)
    spread = math.sqrt(float(grid @ (at - mean) ** 2) * rounds)

    def far(sign):
        best = math.inf
        for step in np.geomspace(1e-2, 30, 40) / spread:
            exponent = sign * step * (at - mean)
            top = float(exponent.max())
            if top < 600:
                log = math.log(float(grid @ np.exp(exponent)))
                best = min(best, (rounds * log - math.log(cut)) / step)
        return best

    up_to, down_to = far(1), far(-1)
    length = next_fast_len(int((up_to + down_to) / interval) + 4, real=True)
    centre = round(mean / interval)
    dtype = np.longdouble if delta < 1e-9 else np.float64
    circle = np.bincount((np.arange(len(grid)) + lowest - centre) % length, grid, length)
    summed = irfft(rfft(circle.astype(dtype)) ** rounds, length)
    first = math.floor((rounds * mean - down_to) / interval) - rounds * centre - 1
    summed = np.maximum(np.roll(summed, -first), 0)
    sums = interval * (rounds * centre + first + np.arange(length))
    wrapped = 2 * cut
    failure = 1e-3 * delta
    shift = interval * math.sqrt(rounds * math.log(1 / failure) / 2)
    if upper:
        spare = delta - failure - wrapped - rounds * infinite - cut
        return _solve(summed, sums, spare) + shift
    return max(0.0, _solve(summed, sums, delta + failure + wrapped) - shift)


def _solve(summed, sums, delta):
    """The smallest ε with Σ (1 − e^(ε − l)) P(l) <= δ over l > ε."""
    low, high = 0.0, float(max(sums[-1], 0.0))
    for _ in range(60):
        middle = (low + high) / 2
        above = sums > middle
        spent = float((-np.expm1(middle - sums[above]) * summed[above]).sum())
        low, high = (low, middle) if spent <= delta else (middle, high)
    return high
