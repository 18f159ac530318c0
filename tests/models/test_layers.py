"""The fast convolution is `lax.conv` in value and gradient, alone, in loops and under vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from pride_jax.models.layers import conv2d, max_pool_2x2


def reference(x, kernel):
    return lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


@settings(max_examples=15, deadline=None)
@given(
    batch=st.integers(1, 3),
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    window=st.sampled_from([(1, 1), (3, 3), (5, 5), (3, 5)]),
    inputs=st.integers(1, 3),
    outputs=st.integers(1, 3),
)
def test_value_and_gradients_are_those_of_lax_conv(batch, height, width, window, inputs, outputs):
    x = draw(0, batch, height, width, inputs)
    kernel = draw(1, *window, inputs, outputs)
    cotangent = draw(2, batch, height, width, outputs)
    ours, our_pullback = jax.vjp(conv2d, x, kernel)
    theirs, their_pullback = jax.vjp(reference, x, kernel)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for mine, other in zip(our_pullback(cotangent), their_pullback(cotangent), strict=True):
        np.testing.assert_allclose(mine, other, atol=1e-4)


@pytest.mark.parametrize("axes", [(0, 0), (0, None), (None, 0)])
def test_vmap_gives_what_a_loop_gives(axes):
    xs = draw(0, 3, 2, 6, 6, 2) if axes[0] == 0 else draw(0, 2, 6, 6, 2)
    kernels = draw(1, 3, 5, 5, 2, 4) if axes[1] == 0 else draw(1, 5, 5, 2, 4)

    def loss(x, kernel):
        return jnp.sum(jnp.sin(conv2d(x, kernel)))

    got = jax.jit(jax.vmap(jax.grad(loss, argnums=(0, 1)), axes))(xs, kernels)
    for number in range(3):
        x = xs[number] if axes[0] == 0 else xs
        kernel = kernels[number] if axes[1] == 0 else kernels
        expected = jax.grad(lambda x, k: jnp.sum(jnp.sin(reference(x, k))), argnums=(0, 1))(
            x, kernel
        )
        for mine, other in zip(got, expected, strict=True):
            np.testing.assert_allclose(mine[number], other, atol=1e-4)


def test_gradient_inside_a_scan_is_the_gradient_outside():
    x, kernel = draw(0, 2, 6, 6, 2), draw(1, 3, 3, 2, 2)

    def step(kernel, _):
        gradient = jax.grad(lambda k: jnp.sum(conv2d(x, k) ** 2))(kernel)
        return kernel - 0.001 * gradient, None

    looped, _ = jax.lax.scan(step, kernel, None, length=3)
    expected = kernel
    for _ in range(3):
        gradient = jax.grad(lambda k: jnp.sum(reference(x, k) ** 2))(expected)
        expected = expected - 0.001 * gradient
    np.testing.assert_allclose(looped, expected, rtol=1e-5, atol=1e-6)


def test_even_kernel_is_refused():
    with pytest.raises(ValueError, match="odd sides, got 4×3"):
        conv2d(draw(0, 1, 6, 6, 1), draw(1, 4, 3, 1, 1))


def test_max_pool_takes_the_largest_of_each_block_and_sends_the_gradient_there():
    x = draw(0, 2, 6, 4, 3)
    blocks = x.reshape(2, 3, 2, 2, 2, 3)
    np.testing.assert_array_equal(max_pool_2x2(x), blocks.max(axis=(2, 4)))
    gradient = jax.grad(lambda x: jnp.sum(max_pool_2x2(x)))(x)
    largest = np.asarray(blocks.max(axis=(2, 4), keepdims=True) == blocks).reshape(x.shape)
    np.testing.assert_array_equal(gradient, largest.astype(np.float32))


def test_odd_image_is_refused():
    with pytest.raises(ValueError, match="even sides, got 5×4"):
        max_pool_2x2(draw(0, 1, 5, 4, 1))
