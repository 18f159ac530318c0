"""Clipping bounds every update, and says what it did."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pride_jax.privacy.norms import adapt_norm, clip_by_norm

# XLA flushes subnormal numbers to zero, so there are none to test with.
finite = st.floats(-(2.0**50), 2.0**50, width=32, allow_subnormal=False)


@settings(max_examples=100, deadline=None)
@given(arrays(np.float32, 5, elements=finite), st.floats(2.0**-10, 2.0**10, width=32))
def test_norm_never_exceeds_the_bound_and_direction_is_kept(values, bound):
    clipped, info = clip_by_norm(
        {"a": jnp.asarray(values[:2]), "b": jnp.asarray(values[2:])}, bound
    )
    result = np.concatenate([clipped["a"], clipped["b"]]).astype(np.float64)
    norm = np.linalg.norm(values.astype(np.float64))
    assert np.linalg.norm(result) <= bound or not info.clipped
    assert bool(info.clipped) == (np.float32(norm) > bound) or abs(norm / bound - 1) < 1e-5
    if info.clipped:
        np.testing.assert_allclose(result, values * (bound / norm), rtol=1e-4, atol=1e-30)
    else:
        np.testing.assert_array_equal(result, values)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_what_is_not_finite_or_overflows_becomes_zeros_and_is_told(bad):
    clipped, info = clip_by_norm([jnp.array([1.0, bad]), jnp.ones(3)], 1.0)
    assert bool(info.nonfinite)
    assert not bool(info.clipped)
    assert all(not leaf.any() for leaf in jax.tree.leaves(clipped))


def test_no_bound_leaves_updates_as_they_are():
    update = jnp.array([1e10, -3.0])
    clipped, info = clip_by_norm(update, jnp.inf)
    np.testing.assert_array_equal(clipped, update)
    assert not info.clipped


def test_the_norm_may_be_computed():
    clipped, info = jax.jit(clip_by_norm)(jnp.array([3.0, 4.0]), jnp.float32(2.5))
    np.testing.assert_allclose(clipped, [1.5, 2.0], rtol=2e-5)
    assert info.clipped


def test_the_norm_moves_geometrically_towards_the_quantile():
    # C · exp(−0.2 · (0.75 − 0.5)) and C · exp(−0.2 · (0.25 − 0.5)), by hand.
    assert adapt_norm(jnp.float32(2.0), jnp.float32(0.75), 0.5) == pytest.approx(1.902459, rel=1e-6)
    assert adapt_norm(jnp.float32(2.0), jnp.float32(0.25), 0.5) == pytest.approx(2.102542, rel=1e-6)


@pytest.mark.parametrize("quantile", [0.2, 0.5, 0.9])
def test_the_norm_settles_at_the_quantile_of_the_updates(quantile):
    lengths = jax.random.uniform(jax.random.key(0), (1000,), maxval=8.0)
    norm = jnp.float32(0.1)
    for key in jax.random.split(jax.random.key(1), 100):
        bits = (lengths <= norm).astype(jnp.float32) - 0.5
        noised = (jnp.sum(bits) + 20 * jax.random.normal(key)) / 1000 + 0.5
        norm = adapt_norm(norm, noised, quantile)
    assert float(jnp.mean((lengths <= norm).astype(jnp.float32))) == pytest.approx(
        quantile, abs=0.05
    )
