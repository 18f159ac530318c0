"""Draws whose probabilities are exact: of whole numbers and fractions, never of floats.

Every function takes ``below``, which gives a uniform whole number from 0 to less than its argument;
in production always `secrets.randbelow`, which asks the operating system.
"""

import math
from collections.abc import Callable
from fractions import Fraction

Below = Callable[[int], int]
"""``n`` -> a uniform whole number from 0 to ``n − 1``."""

_HALF = Fraction(1, 2)


def bernoulli(below: Below, probability: Fraction) -> bool:
    """True with the given probability."""
    return below(probability.denominator) < probability.numerator


def negative_binomial(below: Below, shape: Fraction, stop: Fraction) -> int:
    """A truncated negative binomial number, at least 1.

    Pr[k] is proportional to (1 − γ)^k · Π_{l<k} (l + η) / (l + 1), and to (1 − γ)^k / k for η = 0
    (Papernot & Steinke 2022, definition 1): geometric for η = 1, logarithmic for η = 0. A geometric
    number is drawn, and kept with probability Π_{1≤l<k} (l + η) / (l + 1).

    Args:
      below: see the file.
      shape: η, above −1 and at most 1.
      stop: γ, above 0 and below 1.
    """
    while True:
        count = 1
        while not bernoulli(below, stop):
            count += 1
        if all(bernoulli(below, (step + shape) / (step + 1)) for step in range(1, count)):
            return count


def poisson(below: Below, mean: Fraction) -> int:
    """A Poisson number: the sum of several whose means are at most a half.

    For such a mean m, a number k with probability 2^−(k+1) is drawn, and kept with probability
    (2m)^k / k!.

    Args:
      below: see the file.
      mean: above 0.
    """
    pieces = math.ceil(2 * mean)
    each = 2 * mean / pieces
    return sum(_small_poisson(below, each) for _ in range(pieces))


def _small_poisson(below: Below, twice_mean: Fraction) -> int:
    while True:
        count = 0
        while bernoulli(below, _HALF):
            count += 1
        if all(bernoulli(below, twice_mean / step) for step in range(1, count + 1)):
            return count


def discrete_gaussian(below: Below, variance: Fraction) -> int:
    """A whole number k with probability proportional to exp(−k² / (2σ²)).

    Canonne, Kamath & Steinke 2020, The Discrete Gaussian for Differential Privacy, algorithm 3.

    Args:
      below: see the file.
      variance: σ², above 0.
    """
    scale = math.isqrt(math.floor(variance)) + 1
    while True:
        value = _discrete_laplace(below, scale)
        if _exponential(below, (abs(value) - variance / scale) ** 2 / (2 * variance)):
            return value


def _discrete_laplace(below: Below, scale: int) -> int:
    """A whole number k with probability proportional to exp(−|k| / scale); algorithm 2 there."""
    while True:
        rest = below(scale)
        if not _exponential(below, Fraction(rest, scale)):
            continue
        whole = 0
        while _exponential(below, Fraction(1)):
            whole += 1
        magnitude, negative = rest + scale * whole, bernoulli(below, _HALF)
        if magnitude or not negative:
            return -magnitude if negative else magnitude


def _exponential(below: Below, exponent: Fraction) -> bool:
    """True with probability exp(−exponent); algorithm 1 there."""
    whole = math.floor(exponent)
    if not all(_small_exponential(below, Fraction(1)) for _ in range(whole)):
        return False
    return _small_exponential(below, exponent - whole)


def _small_exponential(below: Below, exponent: Fraction) -> bool:
    step = 1
    while bernoulli(below, exponent / step):
        step += 1
    return step % 2 == 1
