"""Banded matrices: optimal coefficients, and the sensitivity that brute force finds."""

import itertools

import numpy as np
import pytest
import scipy.linalg
from hypothesis import given
from hypothesis import strategies as st

from pride_jax.errors import ConfigError
from pride_jax.privacy.mechanisms.band_matrix import band_coefficients, prefix_error, sensitivity


def dense(coefficients, rounds):
    column = np.zeros(rounds)
    column[: len(coefficients)] = coefficients
    return scipy.linalg.toeplitz(column, np.zeros(rounds))


@pytest.mark.parametrize(("band", "rounds", "separation"), [(1, 7, 1), (4, 30, 4), (10, 200, 25)])
def test_coefficients_are_nonnegative_and_of_unit_norm(band, rounds, separation):
    coefficients = band_coefficients(band, rounds, separation)
    assert len(coefficients) == band
    assert coefficients[0] > 0
    assert min(coefficients) >= 0
    assert np.linalg.norm(coefficients) == pytest.approx(1, abs=1e-12)


@given(st.sampled_from([(3, 20, 3), (5, 200, 8), (4, 9, 1)]), st.data())
def test_no_other_coefficients_are_better(shape, data):
    band, rounds, separation = shape

    def objective(coefficients):
        return prefix_error(coefficients, rounds) * sensitivity(coefficients, rounds, separation)

    best = band_coefficients(band, rounds, separation)
    change = data.draw(st.lists(st.floats(-0.1, 0.1), min_size=band, max_size=band))
    other = np.maximum(np.array(best) + change, 0.0)
    other[0] = max(other[0], 0.1)
    assert objective(best) <= objective(other.tolist()) * (1 + 1e-10)


def test_the_prefix_error_is_that_of_the_dense_inverse():
    coefficients, rounds = [0.8, 0.5, 0.1], 12
    error = np.linalg.norm(np.tri(rounds) @ np.linalg.inv(dense(coefficients, rounds)))
    assert prefix_error(coefficients, rounds) == pytest.approx(error / np.sqrt(rounds))


def test_a_full_band_beats_the_square_root_of_the_prefix_sums():
    # Fichtenberger, Henzinger & Upadhyay 2023: coefficients (1 − x)^(-1/2), not optimised.
    rounds = 64
    steps = np.arange(1, rounds)
    root = np.concatenate([[1.0], np.cumprod((2 * steps - 1) / (2 * steps))])
    best = band_coefficients(rounds, rounds, rounds)
    unoptimised = prefix_error(root.tolist(), rounds) * np.linalg.norm(root)
    assert 0.9 * unoptimised < prefix_error(best, rounds) < unoptimised


@pytest.mark.parametrize("separation", [2, 3, 5, 8])
def test_sensitivity_covers_every_pattern_of_participation(separation):
    rounds, coefficients = 8, [0.8, 0.6]
    matrix = dense(coefficients, rounds)
    patterns = [
        np.array(pattern)
        for pattern in itertools.product([-1, 0, 1], repeat=rounds)
        if np.diff(np.flatnonzero(pattern)).min(initial=separation) >= separation
    ]
    largest = max(np.linalg.norm(matrix @ pattern) for pattern in patterns)
    assert largest <= sensitivity(coefficients, rounds, separation) + 1e-12
    assert sensitivity(coefficients, rounds, separation) == pytest.approx(
        np.sqrt(-(-rounds // separation))
    )


def test_sensitivity_of_full_participation_is_reached_by_equal_contributions():
    rounds, coefficients = 8, [0.7, 0.5, 0.2]
    matrix = dense(coefficients, rounds)
    signs = itertools.product([-1, 1], repeat=rounds)
    largest = max(np.linalg.norm(matrix @ pattern) for pattern in signs)
    assert sensitivity(coefficients, rounds, 1) == pytest.approx(largest)
    assert largest == pytest.approx(np.linalg.norm(matrix @ np.ones(rounds)))


def test_independent_noise_is_the_band_of_one():
    assert band_coefficients(1, 100, 1) == (1.0,)
    assert sensitivity((1.0,), 100, 1) == 10
    assert prefix_error((1.0,), 100) == pytest.approx(np.sqrt(50.5))


@pytest.mark.parametrize(
    ("band", "rounds", "separation"), [(0, 5, 1), (6, 5, 6), (3, 5, 2), (2, 5, 0)]
)
def test_what_does_not_fit_together_is_refused(band, rounds, separation):
    with pytest.raises(ConfigError, match=f"band={band}"):
        band_coefficients(band, rounds, separation)
