"""Pooling takes the largest, and the convolution adds its bias."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from pride_jax.models.layers import Conv, max_pool_2x2


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


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


def test_convolution_is_that_of_flax():
    ours = Conv(2, 3, 5, rngs=nnx.Rngs(0))
    theirs = nnx.Conv(2, 3, (5, 5), rngs=nnx.Rngs(0))
    ours.bias[...] = draw(1, 3)
    theirs.kernel[...], theirs.bias[...] = ours.kernel[...], ours.bias[...]
    np.testing.assert_array_equal(ours(draw(0, 2, 6, 5, 2)), theirs(draw(0, 2, 6, 5, 2)))
