"""A replaced max-pooling is the function's own in value and gradient, bit for bit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from pride_jax.models.replacing import replace_layers, with_own_gradients


def draw(seed, *shape):
    """Few values, so that many are equal."""
    return jnp.asarray(np.random.default_rng(seed).integers(-2, 3, shape), jnp.float32)


def value_and_gradient(function, x):
    value, pull = jax.vjp(function, x)
    slopes = jnp.asarray(np.random.default_rng(1).normal(size=value.shape), value.dtype)
    return value, *pull(slopes)


def assert_same_bits(function, x):
    both = jax.jit(
        lambda x: [value_and_gradient(each, x) for each in (with_own_gradients(function), function)]
    )
    for mine, other in zip(*both(x), strict=True):
        np.testing.assert_array_equal(mine, other)


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@settings(max_examples=8, deadline=None)
@given(
    window=pairs, strides=pairs, padding=st.tuples(st.integers(0, 1), st.integers(0, 1)), seed=...
)
def test_value_and_gradient_are_flaxs_own(window, strides, padding, seed: int):
    sides = tuple((min(side, reach - 1), 0) for side, reach in zip(padding, window, strict=True))
    x = draw(abs(seed), 2, 5, 7, 3)
    pool = functools.partial(nnx.max_pool, window_shape=window, strides=strides)
    assert_same_bits(functools.partial(pool, padding=sides), x)  # pyright: ignore


@pytest.mark.parametrize("size", [(4, 6, 16), (5, 7, 16), (4, 6, 3)])
def test_windows_side_by_side_are_not_scattered_on_any_device(size):
    def loss(x):
        return jnp.sum(jnp.sin(nnx.max_pool(x, (2, 3), (2, 3))))

    x = draw(3, 2, *size)
    assert_same_bits(functools.partial(nnx.max_pool, window_shape=(2, 3), strides=(2, 3)), x)
    gradient = jax.jit(jax.grad(with_own_gradients(loss)))
    assert "select_and_scatter" not in gradient.lower(x).as_text()


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_windows_of_other_axes_and_precisions(dtype):
    x = draw(0, 2, 3, 6, 6, 4).astype(dtype)
    assert_same_bits(
        lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (1, 1, 3, 2, 2), (1, 1, 2, 2, 1), "SAME"),
        x,
    )


def test_clients_side_by_side_and_a_loop():
    xs = draw(0, 3, 2, 5, 5, 2)

    def loss(x):
        return jnp.sum(jnp.sin(nnx.max_pool(x, (3, 3), (2, 2))))

    def descend(x, loss):
        return lax.fori_loop(0, 2, lambda _, x: x - jax.grad(loss)(x), x)

    ours, theirs = (
        jax.jit(jax.vmap(lambda x, each=each: descend(x, each)))(xs)
        for each in (with_own_gradients(loss), loss)
    )
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_gradients_have_gradients():
    x = draw(0, 1, 4, 4, 2)

    def second(function):
        def first(x):
            return jax.grad(lambda x: jnp.sum(function(x) ** 3))(x)

        return jax.jit(jax.grad(lambda x: jnp.sum(first(x) ** 2)))(x)

    pool = functools.partial(nnx.max_pool, window_shape=(2, 2), strides=(2, 2))
    np.testing.assert_allclose(second(with_own_gradients(pool)), second(pool), rtol=1e-6)


@pytest.mark.parametrize(
    ("x", "window", "low"),
    [(jnp.zeros((1, 8, 9, 1)), (8, 9), -jnp.inf), (jnp.zeros((1, 4, 4, 1), int), (2, 2), -(2**31))],
)
def test_a_window_of_many_pixels_and_whole_numbers_are_left_as_they_are(x, window, low):
    program = jax.make_jaxpr(
        lambda x: lax.reduce_window(x, low, lax.max, (1, *window, 1), (1, 1, 1, 1), "VALID")
    )(x)
    assert replace_layers(program).eqns == program.eqns
