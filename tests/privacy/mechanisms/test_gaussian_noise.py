"""Gaussian noise: its scale, and that it depends on the key and the shapes only."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pride_jax.privacy.mechanisms.gaussian_noise import add_gaussian

ZEROS = {"bias": jnp.zeros(100_000), "weights": jnp.zeros((500, 200))}


def has_scale(values, scale):
    """Whether the variance is scale² within five deviations of its estimate."""
    return abs((values**2).mean() / scale**2 - 1) < 5 * np.sqrt(2 / values.size)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_every_leaf_has_the_scale_asked_for_and_no_other(scale):
    for leaf in jax.tree.leaves(add_gaussian(jax.random.key(0), ZEROS, scale)):
        noise = np.asarray(leaf, np.float64)
        assert abs(noise.mean()) < 5 * scale / np.sqrt(noise.size)
        assert abs((noise**4).mean() / (noise**2).mean() ** 2 - 3) < 5 * np.sqrt(24 / noise.size)
        assert has_scale(noise, scale)
        assert not has_scale(noise, scale * 2 / 3)
        assert not has_scale(noise, scale * 3 / 2)


def test_leaves_and_keys_are_independent():
    noise = add_gaussian(jax.random.key(0), ZEROS, 1.0)
    other = add_gaussian(jax.random.key(1), ZEROS, 1.0)
    draws = np.stack(
        [np.ravel(leaf) for leaf in (noise["bias"], noise["weights"], other["bias"])]
    ).astype(np.float64)
    correlations = np.corrcoef(draws)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 5 / np.sqrt(draws.shape[1])


def test_noise_does_not_depend_on_the_sum():
    ones = jax.tree.map(jnp.ones_like, ZEROS)
    noise = add_gaussian(jax.random.key(0), ZEROS, 1.0)
    noised = add_gaussian(jax.random.key(0), ones, 1.0)
    for leaf, each in zip(jax.tree.leaves(noised), jax.tree.leaves(noise), strict=True):
        np.testing.assert_allclose(leaf - 1, each, atol=1e-6)


def test_the_scale_may_be_computed():
    scaled = jax.jit(add_gaussian)(jax.random.key(0), ZEROS, jnp.float32(2.0))
    alone = add_gaussian(jax.random.key(0), ZEROS, 2.0)
    np.testing.assert_allclose(scaled["bias"], alone["bias"], rtol=1e-6, atol=1e-6)
