"""Integer noise: its distribution at every scale, its shares, and residues that keep its sums."""

import math
import sys

import numpy as np
import pytest
import scipy.special
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pride_jax.errors import ConfigError
from pride_jax.privacy.mechanisms.share_noise import (
    centre,
    magnitudes_of,
    wire_bits,
    wrap_probability,
)
from pride_jax.privacy.mechanisms.skellam_noise import (
    LARGEST_VARIANCE,
    distance,
    skellam,
    tail_bound,
)
from pride_jax.privacy.mechanisms.thresholds import Thresholds, skellam_distance

DRAWS = 200_000
SCALES = [1.0, 3.0, 30.0, 1000.0, 2e4, 2e5, 2.0**18]


def fixed(seed):
    """A source of bytes that gives the same in every test run."""
    return np.random.default_rng(seed).bytes


def draws(standard_deviation, seed=0):
    return skellam(fixed(seed), standard_deviation**2, DRAWS)


def mean_fits(values, variance):
    return abs(values.mean()) < 5 * math.sqrt(variance / DRAWS)


def variance_fits(values, variance):
    spread = variance * math.sqrt((2 + 1 / variance) / DRAWS)
    return abs((values.astype(float) ** 2).mean() - variance) < 5 * spread


def parity_fits(values, variance):
    even = (1 + math.exp(-2 * variance)) / 2
    return abs((values % 2 == 0).mean() - even) < 5 * 0.5 / math.sqrt(DRAWS)


def kurtosis_fits(values, variance):
    standardised = values / math.sqrt(variance)
    excess = (standardised**4).mean() - 3 * (standardised**2).mean() ** 2
    # The sampling deviation is 24^½ for a normal and at most 13 from a variance of 1 on.
    return abs(excess - 1 / variance) < 5 * (24 + 150 / variance) ** 0.5 / math.sqrt(DRAWS)


STATISTICS = [mean_fits, variance_fits, parity_fits, kurtosis_fits]


@pytest.mark.parametrize("scale", SCALES)
def test_mean_variance_parity_and_kurtosis_are_those_of_skellam(scale):
    values = draws(scale)
    assert values.dtype == np.int64
    assert all(fits(values, scale**2) for fits in STATISTICS)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("wrong", [2 / 3, 3 / 2])
def test_a_wrong_scale_is_seen_in_the_variance(scale, wrong):
    assert not variance_fits(draws(scale), (scale * wrong) ** 2)


@pytest.mark.parametrize("wrong", [2 / 3, 3 / 2])
@pytest.mark.parametrize("fits", [variance_fits, parity_fits, kurtosis_fits])
def test_at_scale_one_every_statistic_sees_a_wrong_scale(fits, wrong):
    assert fits(draws(1.0), 1.0)
    assert not fits(draws(wrong), 1.0)


@pytest.mark.parametrize("scale", SCALES[2:])
def test_parity_sees_what_is_only_even_and_kurtosis_what_is_uniform(scale):
    assert not parity_fits(2 * draws(scale / 2), scale**2)
    width = round(scale * math.sqrt(3))
    uniform = np.random.default_rng(0).integers(-width, width + 1, DRAWS)
    assert not kurtosis_fits(uniform, scale**2)


@pytest.mark.parametrize("variance", [1e-3, 0.3, 1.0, 20.0])
def test_frequencies_are_those_of_the_distribution(variance):
    values = skellam(fixed(1), variance, DRAWS)
    numbers = np.arange(-40, 41)
    probabilities = scipy.special.ive(numbers, variance)
    counts = np.array([(values == number).sum() for number in numbers])
    expected = DRAWS * probabilities
    often = expected > 10
    distance = np.sum((counts - expected)[often] ** 2 / expected[often])
    assert abs(distance - often.sum()) < 5 * math.sqrt(2 * often.sum())
    assert counts[~often].sum() <= 10 + 5 * expected[~often].sum()


@pytest.mark.parametrize("variance", [0.5, 20.0, 1e4])
def test_draws_invert_the_distribution_function_on_an_aes_stream(variance):
    """Against a search through sums of probabilities, one draw at a time."""
    key = bytes(range(32))
    stream = Cipher(AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(800))
    probabilities = 2 * scipy.special.ive(np.arange(1, 2000), variance)
    tails = [math.fsum(probabilities[k:]) for k in range(len(probabilities))]
    expected = []
    for start in range(0, 800, 8):
        bits = int.from_bytes(stream[start : start + 8], sys.byteorder)
        magnitude = sum((bits >> 1) < tail * 2**63 for tail in tails)
        expected.append(-magnitude if bits & 1 else magnitude)
    assert skellam(lambda count: key[:count], variance, (10, 10)).ravel().tolist() == expected


def test_draws_that_63_bits_do_not_decide_take_64_more():
    high = np.array([2**62, 2**62, 2**61], np.uint64)
    low = np.array([3 << 62, 1 << 62, 0], np.uint64)
    table = Thresholds(high, low, 0.0)
    draws = np.array([2**62, 2**62, 2**62, 2**62 - 1, 2**62 + 1, 0], np.uint64)
    asked = []

    def stream(count):
        asked.append(count)
        return np.array([[0, 2 << 62, 3 << 62][len(asked) - 1]], np.uint64)

    np.testing.assert_array_equal(magnitudes_of(table, draws, stream), [2, 1, 0, 2, 0, 3])
    assert asked == [1, 1, 1]


def test_noise_beyond_a_table_is_a_sum_that_is_further_off():
    assert distance(2.0**30) == skellam_distance(2.0**30)
    assert distance(2.0**34) == 4 * skellam_distance(2.0**32)
    assert distance(LARGEST_VARIANCE) < 2.0**-100


@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan, math.inf, LARGEST_VARIANCE * 1.01])
def test_variances_beyond_what_is_tested_are_refused(variance):
    with pytest.raises(ConfigError, match="variance="):
        skellam(fixed(0), variance, 3)


@given(st.data(), st.integers(2, 32))
def test_sums_of_centred_residues_are_the_sums_as_long_as_they_are_in_range(data, bits):
    largest = 2 ** (bits - 1) - 1
    values = data.draw(arrays(np.int64, (5, 3), elements=st.integers(-(2**40), 2**40)))
    total = data.draw(arrays(np.int64, 3, elements=st.integers(-largest, largest)))
    values[-1] = total - values[:-1].sum(axis=0)
    residues = centre(values, bits)
    assert np.abs(residues).max() <= largest
    np.testing.assert_array_equal((residues - values) % (2**bits - 1), 0)
    np.testing.assert_array_equal(centre(residues.sum(axis=0), bits), total)


def test_extreme_integers_are_centred_without_overflow():
    extremes = np.array([-(2**63), 2**63 - 1])
    expected = [(value + 2**31 - 1) % (2**32 - 1) - (2**31 - 1) for value in extremes.tolist()]
    np.testing.assert_array_equal(centre(extremes, 32), expected)


def test_residues_just_out_of_range_wrap():
    np.testing.assert_array_equal(centre(np.array([7, 8, -7, -8]), 4), [7, -7, -7, 7])


@pytest.mark.parametrize("bits", [1, 33])
def test_impossible_widths_are_refused(bits):
    with pytest.raises(ConfigError, match=f"bits={bits}"):
        centre(np.array([0]), bits)


@pytest.mark.parametrize("variance", [0.01, 1.0, 50.0, 1e4])
@pytest.mark.parametrize("deviations", [1, 3, 6, 9])
def test_the_tail_bound_holds_and_is_not_far_off(variance, deviations):
    distance = math.ceil(deviations * math.sqrt(variance))
    numbers = np.arange(distance, distance + 5000)
    exact = 2 * scipy.special.ive(numbers, variance).sum()
    bound = tail_bound(variance, distance)
    assert exact <= bound
    assert bound < 50 * exact * (deviations + 1)


def test_the_tail_bound_does_not_cancel_at_large_variances():
    bound = tail_bound(4e10, 2_000_000)
    assert bound == pytest.approx(2 * math.exp(-50), rel=1e-4, abs=0)


@pytest.mark.parametrize(
    ("largest", "clients", "variance", "values"),
    [
        (2**13 - 1, 100, 1e8, 199_210 * 200),
        (2**15 - 1, 1000, 4e10, 10**9),
        (1, 1, 1e-3, 1),
        (127, 3, 1e4, 10**6),
        (100, 3, 1.0, 10**6),
    ],
)
def test_residues_are_as_narrow_as_the_probability_allows(largest, clients, variance, values):
    numbers = {"largest": largest, "clients": clients, "variance": variance, "values": values}
    numbers["tail"] = tail_bound
    wire = wire_bits(**numbers)
    assert wrap_probability(wire, **numbers) <= 2.0**-40
    assert wrap_probability(wire - 1, **numbers) > 2.0**-40


def test_noised_sums_of_the_largest_values_survive_the_wire():
    clients, variance, values = 10, 1e4, 20_000
    wire = wire_bits(largest=31, clients=clients, variance=variance, values=values, tail=tail_bound)
    source = fixed(3)
    noised = 31 + np.stack([skellam(source, variance / clients, values) for _ in range(clients)])
    assert np.abs(noised.sum(axis=0)).max() > 2 ** (wire - 3)
    opened = centre(centre(noised, wire).sum(axis=0), wire)
    np.testing.assert_array_equal(opened, noised.sum(axis=0))


def test_sums_too_large_for_the_wire_are_refused():
    with pytest.raises(ConfigError, match="more than 32 bits: quantise to fewer bits"):
        wire_bits(largest=2**15 - 1, clients=100_000, variance=1.0, values=1, tail=tail_bound)
