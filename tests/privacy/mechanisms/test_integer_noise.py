"""Integers drawn on a device: the thresholds' own distribution, ends included, on every path."""

import bisect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2, kstest, norm

from pride_jax.privacy.mechanisms.integer_noise import (
    draw,
    exactly,
    gaussian_table,
    quickly,
    table_of,
)
from pride_jax.privacy.mechanisms.thresholds import Thresholds, rounded_gaussian
from pride_jax.privacy.randomness import study_key

DRAWS = 200_000
SCALES = [0.4, 3.0, 500.0, 2.0**16]


def drawn(deviation, seed=0, size=DRAWS):
    return np.asarray(draw(study_key(seed), size, gaussian_table(deviation)))


def words_of(values):
    """127-bit numbers as four words, 31 bits in the first."""
    return jnp.array([[(v >> s) & 0xFFFFFFFF for v in values] for s in (96, 64, 32, 0)], jnp.uint32)


def as_numbers(thresholds):
    pairs = zip(thresholds.high.tolist(), thresholds.low.tolist(), strict=True)
    return [(high << 64) | low for high, low in pairs]


def fits(values, deviation):
    """Chi-squared where there are few values, Kolmogorov-Smirnov's test where there are many."""
    if deviation < 10:
        edges = np.arange(-40, 41)
        probabilities = np.diff(norm.cdf(np.append(edges, 41) - 0.5, scale=deviation))
        expected = len(values) * probabilities
        often = expected > 10
        counts = np.array([(values == edge).sum() for edge in edges])
        distance = np.sum((counts - expected)[often] ** 2 / expected[often])
        return distance < chi2.ppf(1 - 1e-6, often.sum())
    # A rounded number is a normal one less one that is uniform, to within a step.
    moved = values + np.random.default_rng(1).uniform(-0.5, 0.5, len(values))
    return kstest(moved, norm(0, deviation).cdf).pvalue > 1e-6


@pytest.mark.parametrize("deviation", SCALES)
def test_the_distribution_is_the_rounded_normal_one_of_this_scale_and_no_other(deviation):
    values = drawn(deviation)
    assert values.dtype == np.int32
    assert fits(values, deviation)
    for wrong in (0.95, 1.05):
        assert not fits(values, wrong * deviation)
    assert not fits(values + np.int32(np.ceil(0.1 * deviation)), deviation)


@pytest.mark.parametrize("deviation", SCALES)
def test_draws_invert_the_thresholds_one_by_one(deviation):
    thresholds = rounded_gaussian(deviation)
    first, _ = jax.random.split(study_key(7))
    words = np.asarray(jax.random.bits(first, (2, DRAWS), jnp.uint32)).astype(object)
    ascending = as_numbers(thresholds)[::-1]
    for index, value in enumerate(drawn(deviation, 7)[:300].tolist()):
        number = (((words[0, index] >> 1) << 32) | words[1, index]) << 64
        magnitude = len(ascending) - bisect.bisect_right(ascending, number)
        assert value == (-magnitude if words[0, index] & 1 else magnitude)


@pytest.mark.parametrize("deviation", SCALES)
def test_both_searches_are_right_at_every_edge(deviation):
    """Draws at thresholds and next to them, from the centre to the last of the tail."""
    thresholds = rounded_gaussian(deviation)
    numbers, table = as_numbers(thresholds), gaussian_table(deviation)
    places = np.unique(np.geomspace(1, len(numbers), 200).astype(int) - 1)
    near = (-(1 << 64), -1, 0, 1, 1 << 64)
    values = [min(max(numbers[p] + offset, 0), 2**127 - 1) for p in places for offset in near]
    ascending = numbers[::-1]
    expected = [len(numbers) - bisect.bisect_right(ascending, value) for value in values]
    words = words_of(values)
    np.testing.assert_array_equal(exactly(words, table), expected)
    alone = jax.jit(jax.vmap(lambda a, b: quickly(a[None], b[None], table)))
    quick, decided = (np.asarray(each) for each in alone(words[0], words[1]))
    # Within 2^-63 of a threshold, those that are equal in 63 bits are left undecided.
    assert decided[:: len(near)].mean() > 0.3 and not decided[2 :: len(near)].any()
    np.testing.assert_array_equal(quick[decided, 0], np.array(expected)[decided])


def test_where_63_bits_decide_nothing_that_is_said():
    table = gaussian_table(500.0)
    numbers = as_numbers(rounded_gaussian(500.0))
    tied = words_of([numbers[10], numbers[400], 0])
    for column in range(3):
        assert not quickly(tied[0, column, None], tied[1, column, None], table)[1]
    apart = words_of([numbers[10] - (1 << 64), numbers[10] + (1 << 64)])
    assert quickly(apart[0], apart[1], table)[1]


def test_ties_are_decided_by_the_bits_after():
    """Thresholds that no 63 bits tell apart: every draw needs 64 more."""
    high = np.full(3, 2**62, np.uint64)
    low = np.array([3 << 62, 2 << 62, 1 << 62], np.uint64)
    table = table_of(Thresholds(high, low, 0.0))
    values = [(2**62 << 64) | (quarter << 62) for quarter in range(4)]
    np.testing.assert_array_equal(exactly(words_of(values), table), [3, 2, 1, 0])
    # u < ½ + 2^-63·…: half of all draws have magnitude 3, none but ties 1 or 2.
    magnitudes = np.abs(np.asarray(draw(study_key(0), 4000, table)))
    assert set(magnitudes.tolist()) == {0, 3}
    assert abs((magnitudes == 3).mean() - 0.5) < 5 * 0.5 / np.sqrt(4000)


def test_floats_end_where_integers_do_not():
    """JAX's normal numbers have no value beyond 5.5 deviations, and gaps before; integers go on."""
    last = np.float32(1) - np.float32(2) ** -23
    largest = np.sqrt(2) * jax.scipy.special.erfinv(last)
    assert largest < 5.5
    thresholds, table = rounded_gaussian(1000.0), gaussian_table(1000.0)
    assert len(thresholds.high) > 12_000
    numbers = as_numbers(thresholds)
    # No magnitude is left out up to the last: all thresholds are different.
    assert all(numbers[i] > numbers[i + 1] for i in range(len(numbers) - 1))
    far = [numbers[place] - 1 for place in (5500, 6000, 9000, len(numbers) - 1)]
    np.testing.assert_array_equal(exactly(words_of(far), table), [5501, 6001, 9001, len(numbers)])


def test_integers_are_the_same_compiled_batched_and_alone():
    keys = jax.random.split(study_key(2), 2)
    table = gaussian_table(500.0)
    alone = np.stack([draw(key, 1000, table) for key in keys])
    together = jax.jit(jax.vmap(lambda key: draw(key, 1000, table)))(keys)
    np.testing.assert_array_equal(together, alone)
    assert abs(np.corrcoef(alone[0], alone[1])[0, 1]) < 5 / np.sqrt(1000)
