"""Distributions of integers as thresholds in multiprecision, and how far these are from them.

A symmetric integer X is drawn by its magnitude, the number of k ≥ 1 with u < P(|X| ≥ k) for u
uniform in [0, 1), and a sign. Thresholds hold 127 bits of these probabilities: 63 are compared at
first, 64 more only where those are equal.
"""

import functools
import itertools
import math
from collections.abc import Iterable
from typing import Any, Literal, NamedTuple

import gmpy2 as _gmpy2
import numpy as np
from jaxtyping import Int64, UInt64

gmpy2: Any = _gmpy2
"""Its stubs leave out what MPFR computes."""

BITS = 127
"""Of a threshold."""
_SMALLEST = -112
"""Thresholds below 2 to this power are left out, and their events never happen."""


class Thresholds(NamedTuple):
    """The thresholds of magnitudes 1, 2, …, descending.

    Attributes:
      high: their first 63 bits.
      low: their last 64 bits.
      distance: the most that a draw's distribution differs in total variation from the one that
        they are made of: the sum over magnitudes of how far a threshold may be from its
        probability. Half the sum of the differences of p_k = P_k − P_{k+1} is at most that.
    """

    high: UInt64[np.ndarray, "magnitudes"]
    low: UInt64[np.ndarray, "magnitudes"]
    distance: float


def thresholds_of(probabilities: Iterable[int], scale: int, error: float) -> Thresholds:
    """Thresholds of descending probabilities of |X| ≥ 1, 2, … .

    Args:
      probabilities: times 2^scale; asked for until one is below 2^-112, which is left out.
      scale: above 127.
      error: of a probability, at most.
    """
    shift, least = scale - BITS, gmpy2.mpz(1) << (scale + _SMALLEST)
    kept = itertools.takewhile(lambda probability: probability >= least, probabilities)
    words = b"".join(int(value >> shift).to_bytes(16, "big") for value in kept)
    high, low = np.frombuffer(words, ">u8").astype(np.uint64).reshape(-1, 2).T
    distance = len(high) * (2.0**-BITS + error) + 2.0**_SMALLEST + error
    return Thresholds(np.ascontiguousarray(high), np.ascontiguousarray(low), distance)


def above(
    thresholds: UInt64[np.ndarray, "magnitudes"],
    draws: UInt64[np.ndarray, "draws"],
    side: Literal["left", "right"],
) -> Int64[np.ndarray, "draws"]:
    """How many descending thresholds exceed each draw (``right``), or at least reach it."""
    ascending = thresholds[::-1]
    return len(thresholds) - np.searchsorted(ascending, draws, side=side)


_PRECISION = 320
"""Bits of the fixed point in which probabilities are computed."""
_TERMS = 16
"""Degree of the Taylor polynomials: with steps of 2^-8 deviations what is left out is < 2^-160."""
_STEPS = 256
"""Polynomials a deviation."""
_ERROR = 2.0**-135
"""Of a probability, at most: more than the sum of all that is rounded and left out."""


@functools.lru_cache(maxsize=8)
def rounded_gaussian(deviation: float) -> Thresholds:
    """Thresholds of round(N(0, deviation²)).

    P(|X| ≥ k) = erfc((k − ½) / (deviation √2)). The complementary error function is computed
    at some points by MPFR, and between them by its Taylor polynomial, whose values at equal steps
    are sums of sums of differences. With φ the normal density and He_j Hermite's polynomials,
    erfc((x + t)/√2) = erfc(x/√2) − 2 φ(x) Σ_j (−1)^j He_j(x) t^(j+1) / (j+1)!.

    Args:
      deviation: above 0.
    """
    block = max(1, math.floor(deviation / _STEPS))
    with gmpy2.context(precision=_PRECISION):
        values = itertools.chain.from_iterable(
            _block(deviation, first, block) for first in itertools.count(1, block)
        )
        return thresholds_of(values, _PRECISION, _ERROR)


def gaussian_distance(deviation: float) -> float:
    """At least the distance of `rounded_gaussian`'s thresholds, without making them.

    P(|X| ≥ k) ≤ exp(−x²/2) at x = (k − ½)/deviation, which is below 2^-112 from x = 12.47 on.
    """
    return (12.47 * deviation + 2) * 2 * 2.0**-BITS + 2.0 ** (_SMALLEST + 1)


def _block(deviation: float, first: int, count: int) -> list[int]:
    """2^320 P(|X| ≥ k) for ``count`` magnitudes k from the first on."""
    step = 1 / gmpy2.mpfr(deviation)
    x = (first - gmpy2.mpfr(0.5)) * step
    values = [gmpy2.erfc(x / gmpy2.sqrt(gmpy2.mpfr(2)))]
    if count > 1:
        factor = -2 * gmpy2.exp(-x * x / 2) / gmpy2.sqrt(2 * gmpy2.const_pi())
        before, hermite = gmpy2.mpfr(0), gmpy2.mpfr(1)
        for j in range(_TERMS):
            factor *= step / (j + 1)
            values.append(factor * hermite)
            # (−1)^j He_j, from He_{j+1} = x He_j − j He_{j−1}.
            before, hermite = hermite, -x * hermite - j * before
    scaled = [gmpy2.mpz(gmpy2.rint(gmpy2.mul_2exp(value, _PRECISION))) for value in values]
    differences = [
        sum(weight * value for weight, value in zip(weights, scaled, strict=False))
        for weights in _differences()
    ][: len(scaled)]
    column = [differences[-1]] * count
    for difference in reversed(differences[:-1]):
        column = list(itertools.accumulate(column[: count - 1], initial=difference))
    return column


@functools.cache
def _differences() -> list[list[int]]:
    """Row m: the m-th difference at 0, steps of 1, of t^0, t^1, …: m! times Stirling numbers."""
    powers = [[t**j for j in range(_TERMS + 1)] for t in range(_TERMS + 1)]
    rows = []
    while powers:
        rows.append(powers[0])
        powers = [
            [b - a for a, b in zip(*pair, strict=True)] for pair in itertools.pairwise(powers)
        ]
    return rows


def skellam(variance: float) -> Thresholds:
    """Thresholds of the difference of two Poisson numbers of mean variance / 2 each.

    P(X = k) = e^-v I_k(v) for variance v (Skellam 1946). Modified Bessel functions obey
    I_{k−1} = I_{k+1} + (2k / v) I_k. Begun at 0 and 1 beyond the last that counts and followed
    downwards, that gives all of them up to a factor (Miller's algorithm), which their sum, 1,
    tells. Another solution is in it, that grows with k while I_k falls: what it adds to a
    probability is nowhere more than the first that was left out.

    Args:
      variance: above 0.
    """
    last = math.ceil(_bernstein(variance, 161))
    with gmpy2.context(precision=_SKELLAM_PRECISION):
        double = 2 / gmpy2.mpfr(variance)
        above, here = gmpy2.mpfr(0), gmpy2.mpfr(1)
        tails = [here]
        for k in range(last, 1, -1):
            above, here = here, above + k * double * here
            tails.append(tails[-1] + here)
        total = above + double * here + 2 * tails[-1]
        factor = gmpy2.mul_2exp(2 / total, _SKELLAM_PRECISION)
        values = (gmpy2.mpz(tail * factor) for tail in reversed(tails))
        return thresholds_of(values, _SKELLAM_PRECISION, _ERROR)


def skellam_distance(variance: float) -> float:
    """At least the distance of `skellam`'s thresholds, without making them."""
    return (_bernstein(variance, 1 - _SMALLEST) + 2) * 2 * 2.0**-BITS + 2.0 ** (_SMALLEST + 1)


def _bernstein(variance: float, bits: int) -> float:
    """Where the probability of a larger magnitude is at most 2^(1 − bits), for Skellam integers.

    Bernstein's inequality P(|X| ≥ a) ≤ 2 exp(−a² / (2 (v + a/3))), by which Poisson numbers abide.
    """
    exponent = bits * math.log(2)
    return exponent / 3 + math.sqrt(exponent**2 / 9 + 2 * variance * exponent)


_SKELLAM_PRECISION = 192
"""Bits of the floating point in which Skellam probabilities are computed, all sums of positives."""


def discrete_gaussian(variance: float) -> Thresholds:
    """Thresholds of integers k with probabilities proportional to exp(−k² / (2 variance)).

    Canonne, Kamath & Steinke 2020, The Discrete Gaussian for Differential Privacy. Neighbouring
    weights differ by exp((2k − 1) / (2 variance)), which changes from k to k by a common factor:
    products all the way down from the last weight that counts, of rounded numbers whose relative
    errors add up to less than (last + 2)² units of the last place.

    Args:
      variance: above 0.
    """
    last = math.ceil(_subgaussian(variance, 161)) + 1
    with gmpy2.context(precision=_GAUSSIAN_PRECISION):
        inverse = 1 / gmpy2.mpfr(variance)
        weight = gmpy2.exp(-inverse * last * last / 2)
        factor, change = gmpy2.exp(inverse * (2 * last - 1) / 2), gmpy2.exp(-inverse)
        tails = [weight]
        for _ in range(last, 1, -1):
            weight *= factor
            factor *= change
            tails.append(tails[-1] + weight)
        scale = gmpy2.mul_2exp(2 / (1 + 2 * tails[-1]), _GAUSSIAN_PRECISION)
        values = (gmpy2.mpz(tail * scale) for tail in reversed(tails))
        return thresholds_of(values, _GAUSSIAN_PRECISION, _ERROR)


def discrete_gaussian_distance(variance: float) -> float:
    """At least the distance of `discrete_gaussian`'s thresholds, without making them."""
    return (_subgaussian(variance, 1 - _SMALLEST) + 2) * 2 * 2.0**-BITS + 2.0 ** (_SMALLEST + 1)


def _subgaussian(variance: float, bits: int) -> float:
    """Where the probability of a larger magnitude is at most 2^(1 − bits): 2 exp(−a² / (2 v))."""
    return math.sqrt(2 * variance * bits * math.log(2))


_GAUSSIAN_PRECISION = 256
"""Bits of the floating point in which discrete Gaussian probabilities are computed."""
