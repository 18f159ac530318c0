"""The convolution adds its bias."""

import jax.numpy as jnp
import numpy as np
from flax import nnx

from pride_jax.models.layers import Conv


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


def test_convolution_is_that_of_flax():
    ours = Conv(2, 3, 5, rngs=nnx.Rngs(0))
    theirs = nnx.Conv(2, 3, (5, 5), rngs=nnx.Rngs(0))
    ours.bias[...] = draw(1, 3)
    theirs.kernel[...], theirs.bias[...] = ours.kernel[...], ours.bias[...]
    np.testing.assert_array_equal(ours(draw(0, 2, 6, 5, 2)), theirs(draw(0, 2, 6, 5, 2)))
