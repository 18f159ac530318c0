"""Correlated noise: against the dense inverse, and the same to the bit when replayed."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from pride_jax.privacy.mechanisms.band_matrix import band_coefficients
from pride_jax.privacy.mechanisms.banded_noise import empty_window, replay, step
from pride_jax.privacy.mechanisms.gaussian_noise import add_gaussian, standard_normal

LIKE = {"bias": jnp.zeros(37), "weights": jnp.zeros((501, 3))}
KEY = jax.random.key(5)
COEFFICIENTS = band_coefficients(5, 40, 5)


def stepped(coefficients, rounds, scale=1.0, like=LIKE):
    """Every round's noise and window, one compiled program a round."""
    one = jax.jit(lambda key, window: step(coefficients, key, window, scale))
    window = empty_window(len(coefficients), like)
    noises, windows = [], [window]
    for number in range(rounds):
        noise, window = one(jax.random.fold_in(KEY, number), window)
        noises.append(noise)
        windows.append(window)
    return noises, windows


def train(coefficients, rounds):
    """The window after rounds of a program that uses the noise for more than the window."""

    def one(number, carry):
        params, window = carry
        noise, window = step(coefficients, jax.random.fold_in(KEY, number), window, 0.3)
        params = jax.tree.map(lambda a, n: 0.9 * a + (jnp.tanh(a) + n) / 7.0, params, noise)
        return params, window

    start = (jax.tree.map(jnp.ones_like, LIKE), empty_window(len(coefficients), LIKE))
    return jax.lax.fori_loop(0, rounds, one, start)[1]


def same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("band", [1, 2, 5])
def test_noise_is_the_dense_inverse_applied_to_independent_noise(band):
    rounds, scale = 40, 3.0
    coefficients = band_coefficients(band, rounds, band)
    column = np.zeros(rounds)
    column[:band] = coefficients
    matrix = scipy.linalg.toeplitz(column, np.zeros(rounds))
    noises, _ = stepped(coefficients, rounds, scale)
    for name, leaf in LIKE.items():
        fresh = np.stack(
            [standard_normal(jax.random.fold_in(KEY, t), LIKE)[name] for t in range(rounds)]
        ).astype(np.float64)
        expected = np.linalg.solve(matrix, scale * fresh.reshape(rounds, -1))
        given = np.stack([noise[name] for noise in noises]).reshape(rounds, -1)
        assert given.shape[1] == leaf.size
        np.testing.assert_allclose(given, expected, atol=2e-5)


def test_a_band_of_one_is_independent_noise_exactly():
    noises, windows = stepped((1.0,), 3, scale=0.7)
    independent = jax.jit(lambda key: add_gaussian(key, LIKE, 0.7))
    for number, noise in enumerate(noises):
        same_bits(noise, independent(jax.random.fold_in(KEY, number)))
    assert all(leaf.shape[0] == 0 for leaf in jax.tree.leaves(windows[-1]))


def test_undoing_the_correlation_leaves_the_scale_that_accounting_assumes():
    rounds, scale = 12, 2.0
    noises, _ = stepped(COEFFICIENTS, rounds, scale, jnp.zeros(20_000))
    noise = np.stack(noises).astype(np.float64)
    last = sum(c * noise[-1 - j] for j, c in enumerate(COEFFICIENTS))
    tolerance = 5 * np.sqrt(2 / last.size)
    assert abs(last.var() / scale**2 - 1) < tolerance
    for wrong in (2 / 3, 3 / 2):
        assert abs(last.var() / (wrong * scale) ** 2 - 1) > tolerance


def test_sums_over_rounds_vary_less_than_those_of_independent_noise():
    rounds = 40
    coefficients = band_coefficients(10, rounds, 10)
    noises, _ = stepped(coefficients, rounds, like=jnp.zeros(2000))
    sums = np.cumsum(np.stack(noises).astype(np.float64), axis=0)
    inverse = np.linalg.inv(
        scipy.linalg.toeplitz([*coefficients, *[0.0] * (rounds - 10)], np.zeros(rounds))
    )
    expected = np.linalg.norm(np.tri(rounds) @ inverse, axis=1)
    np.testing.assert_allclose(sums.std(axis=1), expected, rtol=5 / np.sqrt(2 * 2000))
    assert expected[-1] < 0.6 * np.sqrt(rounds)


@pytest.mark.parametrize("band", [1, 2, 7])
def test_replayed_windows_are_those_of_a_loop_over_rounds_to_the_bit(band):
    coefficients = band_coefficients(band, 40, band)
    _, windows = stepped(coefficients, 30)
    looped = jax.jit(lambda rounds: train(coefficients, rounds))
    replayed = jax.jit(lambda round_: replay(coefficients, KEY, round_, LIKE))
    for round_ in (0, 1, 4, 30):
        same_bits(replayed(round_), looped(round_))
        close = partial(np.testing.assert_allclose, atol=1e-5)
        jax.tree.map(close, replayed(round_), windows[round_])


def test_noise_is_of_the_same_draws_operation_by_operation():
    """Some versions of JAX compile normal numbers alone to other last bits than in a program."""
    noises, windows = stepped(COEFFICIENTS, 4)
    close = partial(np.testing.assert_allclose, atol=2e-6)
    for number in range(4):
        key = jax.random.fold_in(KEY, number)
        noise, window = step(COEFFICIENTS, key, windows[number], 1.0)
        jax.tree.map(close, noise, noises[number])
        jax.tree.map(close, window, windows[number + 1])


def test_the_window_does_not_depend_on_the_scale():
    _, small = stepped(COEFFICIENTS, 6, 0.1)
    _, large = stepped(COEFFICIENTS, 6, 10.0)
    same_bits(small[-1], large[-1])
