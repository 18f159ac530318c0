"""BLT noise: the dense inverse's, of the right scale, and the same to the bit when replayed."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from pride_jax.privacy.mechanisms.blt_matrix import Buffers, Workload, column, optimal_buffers
from pride_jax.privacy.mechanisms.blt_noise import empty_buffers, replay, step
from pride_jax.privacy.mechanisms.gaussian_noise import add_gaussian, standard_normal

LIKE = {"weights": jnp.zeros((501, 3))}
KEY = jax.random.key(5)
BUFFERS = optimal_buffers(3, Workload(40, 0.5, "cosine"), 40)


def stepped(buffers, rounds, scale=1.0, like=LIKE):
    """Every round's noise and what the buffers hold, one compiled program a round."""
    one = jax.jit(lambda key, past: step(buffers, key, past, scale))
    past = empty_buffers(len(buffers.decays), like)
    noises, pasts = [], [past]
    for number in range(rounds):
        noise, past = one(jax.random.fold_in(KEY, number), past)
        noises.append(noise)
        pasts.append(past)
    return noises, pasts


def same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def dense(buffers, rounds):
    return scipy.linalg.toeplitz(column(buffers, rounds), np.zeros(rounds))


def test_noise_is_the_dense_inverse_applied_to_independent_noise():
    rounds, scale, buffers = 40, 3.0, BUFFERS
    noises, pasts = stepped(buffers, rounds, scale)
    for name, leaf in LIKE.items():
        fresh = np.stack(
            [standard_normal(jax.random.fold_in(KEY, t), LIKE)[name] for t in range(rounds)]
        ).astype(np.float64)
        expected = np.linalg.solve(dense(buffers, rounds), scale * fresh.reshape(rounds, -1))
        given = np.stack([noise[name] for noise in noises]).reshape(rounds, -1)
        np.testing.assert_allclose(given, expected, atol=3e-5)
        assert pasts[-1][name].shape == (len(buffers.decays), *leaf.shape)


def test_no_buffers_are_independent_noise():
    noises, _ = stepped(Buffers((), ()), 3, scale=0.7)
    for number, noise in enumerate(noises):
        independent = add_gaussian(jax.random.fold_in(KEY, number), LIKE, 0.7)
        jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), noise, independent)


def test_undoing_the_correlation_leaves_the_scale_that_accounting_assumes_and_no_other():
    rounds, scale = 12, 2.0
    noises, _ = stepped(BUFFERS, rounds, scale, jnp.zeros(20_000))
    undone = dense(BUFFERS, rounds) @ np.stack(noises).astype(np.float64)
    covariance = undone @ undone.T / undone.shape[1] / scale**2
    tolerance = 5 * np.sqrt(2 / undone.shape[1])
    np.testing.assert_allclose(covariance, np.eye(rounds), atol=tolerance)
    for wrong in (2 / 3, 0.9, 3 / 2):
        assert abs(covariance.trace() / rounds / wrong**2 - 1) > tolerance
    # Of a matrix that was not drawn, some of the correlation is left.
    other = dense(Buffers((0.9,), (0.5,)), rounds) @ np.stack(noises) / scale
    assert np.abs(other @ other.T / other.shape[1] - np.eye(rounds)).max() > tolerance


def train(buffers, rounds):
    """What the buffers hold after rounds of a program that uses the noise for more than them."""

    def one(number, carry):
        params, past = carry
        noise, past = step(buffers, jax.random.fold_in(KEY, number), past, 0.3)
        params = jax.tree.map(lambda a, n: 0.9 * a + (jnp.tanh(a) + n) / 7.0, params, noise)
        return params, past

    start = (jax.tree.map(jnp.ones_like, LIKE), empty_buffers(len(buffers.decays), LIKE))
    return jax.lax.fori_loop(0, rounds, one, start)[1]


def test_replayed_buffers_are_those_of_a_loop_over_rounds_to_the_bit():
    _, pasts = stepped(BUFFERS, 30)
    looped = jax.jit(lambda rounds: train(BUFFERS, rounds))
    replayed = jax.jit(lambda round_: replay(BUFFERS, KEY, round_, LIKE))
    for round_ in (0, 1, 4, 30):
        same_bits(replayed(round_), looped(round_))
        jax.tree.map(
            partial(np.testing.assert_allclose, atol=1e-5), replayed(round_), pasts[round_]
        )
