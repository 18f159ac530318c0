"""Losses of many rounds: δ at ε, or ε at δ, of a round's losses added up.

Sums are taken by the fast Fourier transform (Koskela, Jälkö & Honkela 2020, Computing Tight
Differential Privacy Guarantees Using FFT). Where δ is small, probabilities are tilted first to
p(l) e^(λ l), with the λ that bounds δ best: tilted losses have their mean near ε, so that even the
smallest δ is a sum of numbers that rounding leaves alone.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from pride_jax.privacy.losses import Losses

MOST = 2**21
"""Losses, or sums of them, that are told apart at the most."""

_OUTSIDE = math.log(1e-14)
"""Log of the tilted mass that may be outside the sums that are told apart, on either side."""

_PLAIN = 1e-8
"""A larger δ is summed without tilt: heavy tails, which a tilt raises, take many more sums."""


def epsilon_of(losses: Losses, rounds: int, delta: float) -> float:
    """The smallest ε >= 0 at which so many rounds with these losses are (ε, δ).

    Infinite where losses are infinite with more probability than δ, or sums are more than `MOST`.
    """
    left = delta - _infinite(losses, rounds)
    if left <= 0:
        return math.inf
    moments = _Moments(losses)
    if moments.deviation == 0:
        return max(0.0, rounds * float(moments.losses[0]))

    def bound(tilt: float) -> float:
        return (rounds * moments.log(tilt) + _log_most(tilt) - math.log(left)) / tilt

    tilt = 0.0 if left > _PLAIN else _least(bound, moments, rounds)
    total = _add(losses, moments, rounds, tilt)
    if total is None or total.missing >= left:
        return math.inf
    # Divided by e^scale, as the tails are.
    target = math.exp(math.log(left - total.missing) - total.scale)
    above, delta_at = total.tails()
    beyond = np.flatnonzero(delta_at > target)
    cell = int(beyond[-1]) + 1 if beyond.size else 0
    if cell == len(above):
        return math.inf
    # Between two losses δ is linear in e^ε.
    share = (delta_at[cell] - target) / (above[cell] - delta_at[cell])
    within = math.log1p(share) if beyond.size else 0.0
    return max(0.0, float(total.losses[cell]) + within)


def delta_of(losses: Losses, rounds: int, epsilon: float) -> float:
    """The smallest δ at which so many rounds with these losses are (ε, δ).

    1 where sums are more than `MOST`.
    """
    infinite, moments = _infinite(losses, rounds), _Moments(losses)
    if moments.deviation == 0:
        finite = -math.expm1(min(0.0, epsilon - rounds * float(moments.losses[0])))
        return min(1.0, infinite + finite)

    def bound(tilt: float) -> float:
        return rounds * moments.log(tilt) + _log_most(tilt) - tilt * epsilon

    tilt = _least(bound, moments, rounds)
    total = _add(losses, moments, rounds, 0.0 if bound(tilt) > math.log(_PLAIN) else tilt)
    if total is None:
        return 1.0
    above, delta_at = total.tails()
    cell = int(np.searchsorted(total.losses, epsilon))
    if cell == len(above):
        return min(1.0, infinite + total.missing)
    shrunk = math.exp(epsilon - float(total.losses[cell]))
    tail = float(above[cell] - shrunk * (above[cell] - delta_at[cell]))
    return min(1.0, infinite + total.missing + tail * math.exp(min(total.scale, 600.0)))


class _Moments:
    """Moments of the finite losses of a round."""

    def __init__(self, losses: Losses) -> None:
        multiples = losses.lowest + np.arange(len(losses.probabilities))
        present = losses.probabilities > 0
        self.losses = losses.interval * multiples[present]
        self.log_probabilities = np.log(losses.probabilities[present])
        _, self.deviation = self.tilted(0.0)

    def log(self, tilt: float) -> float:
        """K(λ), the log of the sum of p e^(λ l)."""
        exponents = self.log_probabilities + tilt * self.losses
        largest = float(exponents.max())
        return largest + math.log(float(np.exp(exponents - largest).sum()))

    def tilted(self, tilt: float) -> tuple[float, float]:
        """Mean and standard deviation of the tilted loss, K' and the root of K''."""
        exponents = self.log_probabilities + tilt * self.losses
        weights = np.exp(exponents - exponents.max())
        weights /= weights.sum()
        mean = float(weights @ self.losses)
        return mean, math.sqrt(float(weights @ (self.losses - mean) ** 2))


class _Sum(NamedTuple):
    """Tilted distribution of the sum of all losses: P(l) = weights · e^(scale − tilt (l − middle)).

    Attributes:
      losses: the sums that are told apart.
      weights: of each.
      tilt: λ.
      middle: near the mean of the tilted sum.
      scale: see above.
      missing: at least the mass of P above all of the sums.
    """

    losses: Float64[np.ndarray, "sums"]
    weights: Float64[np.ndarray, "sums"]
    tilt: float
    middle: float
    scale: float
    missing: float

    def tails(self) -> tuple[Float64[np.ndarray, "sums"], Float64[np.ndarray, "sums"]]:
        """Mass from each loss on, and δ at each loss, both over e^scale.

        Far below the middle both are too large, and never asked for.
        """
        from scipy.signal import lfilter

        exponents = np.minimum(-self.tilt * (self.losses - self.middle), 300.0)
        masses = self.weights * np.exp(exponents)
        above = np.cumsum(masses[::-1])
        # δ(l_(k-1)) = (1 − r) P(l >= l_k) + r δ(l_k), r = e^-interval: sums of positive numbers.
        interval = float(self.losses[1] - self.losses[0])
        below = np.concatenate([[0.0], -math.expm1(-interval) * above[:-1]])
        delta_at = np.asarray(lfilter([1.0], [1.0, -math.exp(-interval)], below))
        return above[::-1], delta_at[::-1]


def _infinite(losses: Losses, rounds: int) -> float:
    return -math.expm1(rounds * math.log1p(-losses.infinite)) if losses.infinite < 1 else 1.0


def _log_most(tilt: float) -> float:
    """Log of the most that (1 − e^-y) e^(-λ y) can be for y >= 0."""
    return tilt * math.log(tilt) - (1 + tilt) * math.log1p(tilt)


def _least(bound: Callable[[float], float], moments: _Moments, rounds: int) -> float:
    """The tilt of the least bound."""
    from scipy.optimize import minimize_scalar

    spread = math.sqrt(rounds) * moments.deviation
    limits = math.log(1e-3 / spread), math.log(1e3 / spread)
    found = minimize_scalar(
        lambda log_tilt: bound(math.exp(log_tilt)),
        bounds=limits,
        method="bounded",
        options={"xatol": 5e-2},
    )
    return math.exp(found.x)


def _add(losses: Losses, moments: _Moments, rounds: int, tilt: float) -> _Sum | None:
    """The sum of all rounds' tilted losses; None where more than `MOST` would be told apart."""
    interval, log_moment = losses.interval, moments.log(tilt)
    mean, deviation = moments.tilted(tilt)
    centre, middle = round(mean / interval), rounds * mean
    if deviation == 0:
        deviation = interval
    steps = np.geomspace(2e-2, 20, 10) / (math.sqrt(rounds) * deviation)

    def reach(sign: int) -> float:
        """How far from the middle tilted sums are but for that mass, by Chernoff's bound."""
        return min(
            (
                rounds * (moments.log(tilt + sign * step) - log_moment - sign * step * mean)
                - _OUTSIDE
            )
            / step
            for step in steps
        )

    up, down = reach(1), reach(-1)
    if (up + down) / interval > MOST:
        return None
    lowest = math.floor((middle - down) / interval) - rounds * centre
    highest = math.ceil((middle + up) / interval) - rounds * centre
    # Of a length that is fast to transform.
    needed = max(8, highest - lowest + 1)
    length = min(odd << math.ceil(math.log2(needed / odd)) for odd in (1, 3, 5))
    # The sum of offsets from the centre, modulo the length.
    offsets = losses.lowest + np.arange(len(losses.probabilities)) - centre
    with np.errstate(divide="ignore"):
        log_probabilities = np.log(losses.probabilities)
    tilted = np.exp(log_probabilities + tilt * interval * (offsets + centre) - log_moment)
    each = np.bincount(offsets % length, weights=tilted, minlength=length)
    summed = np.roll(np.fft.irfft(np.fft.rfft(each) ** rounds, length), -lowest)
    sums = interval * (rounds * centre + lowest + np.arange(length, dtype=np.float64))
    scale = rounds * log_moment - tilt * middle
    missing = math.exp(min(0.0, scale - tilt * up + _OUTSIDE))
    # The transform rounds: against the exact curve, 10^8 rounds lost a part of 2^-34 of δ each.
    summed = np.maximum(summed, 0.0) * (1 + rounds * 2.0**-30)
    return _Sum(sums, summed, tilt, middle, scale, missing)
