"""Thresholds: right to their last bit against another computation, and what they leave out."""

import math

import gmpy2
import mpmath
import numpy as np
import pytest

from pride_jax.privacy.mechanisms.thresholds import (
    above,
    discrete_gaussian,
    discrete_gaussian_distance,
    gaussian_distance,
    rounded_gaussian,
    skellam,
    skellam_distance,
)

DEVIATIONS = [0.2, 1.0, 3.3, 255.9, 256.0, 1000.7, 20_000.3]


def values_of(thresholds):
    pairs = zip(thresholds.high.tolist(), thresholds.low.tolist(), strict=True)
    return [(high << 64) | low for high, low in pairs]


def gaussian_tail(deviation, k):
    """2^127 P(|round(N(0, deviation²))| ≥ k), by MPFR alone."""
    x = (k - gmpy2.mpfr(0.5)) / gmpy2.mpfr(deviation)
    return gmpy2.mul_2exp(gmpy2.erfc(x / gmpy2.sqrt(gmpy2.mpfr(2))), 127)


@pytest.mark.parametrize("deviation", DEVIATIONS)
def test_gaussian_thresholds_are_the_probabilities_rounded_down(deviation):
    values = values_of(rounded_gaussian(deviation))
    some = np.random.default_rng(0).integers(0, len(values), 60).tolist()
    with gmpy2.context(precision=500):
        for place in (0, 1, len(values) // 2, len(values) - 1, *some):
            exact = gaussian_tail(deviation, place + 1)
            assert 0 <= exact - values[place] < 1 + 2**-6


@pytest.mark.parametrize("deviation", DEVIATIONS)
def test_what_is_left_out_and_rounded_is_the_distance(deviation):
    """Half the sum of differences of all probabilities, by the definition of total variation."""
    thresholds = rounded_gaussian(deviation)
    values = values_of(thresholds)
    with gmpy2.context(precision=500):
        left_out = gmpy2.mul_2exp(gaussian_tail(deviation, len(values) + 1), -127)
        assert 0 < left_out < 2.0**-112
        assert thresholds.distance >= left_out
        if len(values) < 5000:
            exact = [gaussian_tail(deviation, k + 1) for k in range(len(values) + 200)]
            made = [*values, *[0] * 201]
            masses = zip(
                *(np.subtract(tail[:-1], tail[1:]) for tail in (exact, made[: len(exact)])),
                strict=True,
            )
            total = sum(abs(a - b) for a, b in masses) / 2 + exact[-1]
            assert gmpy2.mul_2exp(total, -127) <= thresholds.distance
    assert thresholds.distance <= gaussian_distance(deviation) <= 4 * thresholds.distance


def skellam_mass(k, variance):
    return mpmath.besseli(k, variance) * mpmath.exp(-variance)


def discrete_gaussian_mass(k, variance):
    """By the theta function that all weights add up to."""
    total = mpmath.jtheta(3, 0, mpmath.exp(-1 / (2 * mpmath.mpf(variance))))
    return mpmath.exp(-(mpmath.mpf(k) ** 2) / (2 * mpmath.mpf(variance))) / total


@pytest.mark.parametrize(
    ("made_of", "distance", "mass"),
    [
        (skellam, skellam_distance, skellam_mass),
        (discrete_gaussian, discrete_gaussian_distance, discrete_gaussian_mass),
    ],
)
@pytest.mark.parametrize("variance", [1e-3, 0.7, 30.0, 2500.0])
def test_thresholds_of_integers_are_the_probabilities_rounded_down(
    made_of, distance, mass, variance
):
    thresholds = made_of(variance)
    values = values_of(thresholds)
    with mpmath.workdps(80):
        masses, k = [], 1
        while not masses or masses[-1] > mpmath.mpf(2) ** -200:
            masses.append(2 * mass(k, variance))
            k += 1
        tails = [mpmath.mpf(0)]
        for mass in reversed(masses):
            tails.append(tails[-1] + mass)
        tails = tails[::-1]
        for made, tail in zip(values, tails, strict=False):
            assert 0 <= tail * 2**127 - made < 1 + 2**-6
        assert thresholds.distance >= tails[len(values)]
    assert thresholds.distance <= distance(variance) <= 4 * thresholds.distance


def test_wide_skellam_thresholds_agree_with_the_normal_distribution():
    """Saddle points tell the tail to a few parts in the variance."""
    variance = 2.0**24
    values = values_of(skellam(variance))
    for k in (1000, 4096, 10_000, 20_000):
        with gmpy2.context(precision=200):
            normal = float(gaussian_tail(math.sqrt(variance), k) / gmpy2.mpfr(2) ** 127)
        fourth = (k**3 / variance**2 - 3 * k / variance) / 24
        density = math.exp(-(k**2) / (2 * variance)) / math.sqrt(2 * math.pi * variance)
        assert values[k - 1] / 2**127 == pytest.approx(normal + 2 * density * fourth, rel=1e-5)


@pytest.mark.parametrize(
    ("distance", "widest"), [(gaussian_distance, 2.0**16), (skellam_distance, 2.0**32)]
)
def test_ten_to_the_ten_draws_cost_less_than_a_thousandth_of_delta(distance, widest):
    # ε = 8 and δ = 1e-6; a single draw below 2^-74.
    assert distance(widest) < 2.0**-104
    assert (1 + math.exp(8)) * 1e10 * distance(widest) < 1e-6 / 1e3


def test_counts_of_thresholds_are_those_of_a_search_one_by_one():
    thresholds = np.array([9, 7, 7, 3], np.uint64)
    draws = np.arange(12, dtype=np.uint64)
    exceed = [(thresholds > draw).sum() for draw in draws]
    reach = [(thresholds >= draw).sum() for draw in draws]
    np.testing.assert_array_equal(above(thresholds, draws, "right"), exceed)
    np.testing.assert_array_equal(above(thresholds, draws, "left"), reach)
