"""A layer of the networks here that Flax has otherwise."""

import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float


class Conv(nnx.Module):
    """A convolution with stride 1, "same" padding and a bias.

    Initialised as Flax's own ``nnx.Conv``, but its bias draws no key.
    """

    def __init__(self, inputs: int, outputs: int, window: int, *, rngs: nnx.Rngs) -> None:
        shape = (window, window, inputs, outputs)
        self.kernel = nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros(outputs))

    def __call__(
        self, x: Float[Array, "batch height width inputs"]
    ) -> Float[Array, "batch height width outputs"]:
        """Images to feature maps of the same size."""
        features = lax.conv_general_dilated(
            x, self.kernel[...], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        return features + self.bias[None, None, None]
