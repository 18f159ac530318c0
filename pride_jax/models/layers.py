"""Convolution and pooling that stay fast inside loops and under vmap.

XLA's CPU backend finds no fast path for the gradients of ``lax.conv`` inside a loop body (JAX issue
12868), nor for the grouped convolution into which ``vmap`` over kernels turns. Here both
gradients are ordinary NHWC convolutions, and on a CPU a batch of kernels is looped over instead of
grouped: the loop keeps the fast path.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Float


@functools.cache
def _convolution(pad_height: int, pad_width: int) -> Callable[[Array, Array], Array]:
    """Stride-1 NHWC convolution of images with a kernel that may be batched by vmap."""

    def convolve(x: Array, kernel: Array) -> Array:
        return lax.conv_general_dilated(
            x,
            kernel,
            window_strides=(1, 1),
            padding=((pad_height, pad_height), (pad_width, pad_width)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )

    def loop_over_kernels(xs: Array, kernels: Array) -> Array:
        return lax.map(lambda pair: convolve(*pair), (xs, kernels))

    batched = jax.custom_batching.custom_vmap(convolve)

    @batched.def_vmap
    def _batch_rule(
        axis_size: int, in_batched: list[bool], x: Array, kernel: Array
    ) -> tuple[Array, bool]:
        x_batched, kernel_batched = in_batched
        if not kernel_batched:
            merged = batched(x.reshape(-1, *x.shape[2:]), kernel)
            return merged.reshape(axis_size, -1, *merged.shape[1:]), True
        xs = x if x_batched else jnp.broadcast_to(x, (axis_size, *x.shape))
        return lax.platform_dependent(
            xs, kernel, cpu=loop_over_kernels, default=jax.vmap(convolve)
        ), True

    return batched


@jax.custom_vjp
def conv2d(
    x: Float[Array, "batch height width inputs"],
    kernel: Float[Array, "rows columns inputs outputs"],
) -> Float[Array, "batch height width outputs"]:
    """Convolution with stride 1 and zero padding that keeps the image's size.

    Equal to ``lax.conv_general_dilated(x, kernel, (1, 1), "SAME")`` in NHWC/HWIO, value and
    gradients.

    Args:
      x: images, channels last.
      kernel: an odd number of rows and of columns.

    Raises:
      ValueError: the kernel has an even side, for which "same" padding is not symmetric.
    """
    rows, columns = kernel.shape[:2]
    if rows % 2 == 0 or columns % 2 == 0:
        raise ValueError(
            f"Expected a kernel with odd sides, got {rows}×{columns}: use an odd window"
        )
    return _convolution(rows // 2, columns // 2)(x, kernel)


def _conv2d_forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return conv2d(x, kernel), (x, kernel)


def _conv2d_backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = saved
    convolve = _convolution(kernel.shape[0] // 2, kernel.shape[1] // 2)
    x_gradient = convolve(gradient, kernel[::-1, ::-1].swapaxes(2, 3))
    kernel_gradient = convolve(x.transpose(3, 1, 2, 0), gradient.transpose(1, 2, 0, 3))
    return x_gradient, kernel_gradient.transpose(1, 2, 0, 3)


conv2d.defvjp(_conv2d_forward, _conv2d_backward)


def max_pool_2x2(
    x: Float[Array, "batch height width channels"],
) -> Float[Array, "batch half_height half_width channels"]:
    """The largest of each 2×2 block, stride 2; tied values share the gradient.

    Raises:
      ValueError: a side of the image is odd.
    """
    batch, height, width, channels = x.shape
    if height % 2 or width % 2:
        raise ValueError(f"Expected images with even sides, got {height}×{width}: pad them first")
    blocks = x.reshape(batch, height // 2, 2, width // 2, 2, channels)
    rows = jnp.maximum(blocks[:, :, 0], blocks[:, :, 1])
    return jnp.maximum(rows[:, :, :, 0], rows[:, :, :, 1])


class Conv(nnx.Module):
    """A `conv2d` with bias, initialised as Flax's own ``nnx.Conv``."""

    def __init__(self, inputs: int, outputs: int, window: int, *, rngs: nnx.Rngs) -> None:
        shape = (window, window, inputs, outputs)
        self.kernel = nnx.Param(nnx.initializers.lecun_normal()(rngs.params(), shape))
        self.bias = nnx.Param(jnp.zeros(outputs))

    def __call__(
        self, x: Float[Array, "batch height width inputs"]
    ) -> Float[Array, "batch height width outputs"]:
        """Images to feature maps of the same size."""
        return conv2d(x, self.kernel[...]) + self.bias[None, None, None]
