"""Forms of a convolution and its gradients that XLA's CPU backend is fast at, chosen by shapes.

XLA hands an ordinary channels-last convolution to Eigen. Measured on one core (see
results/benchmarks), other forms are faster for

- few channels, of inputs and outputs: products of matrices, image by image, where a window is a
  column and channels come first, so that columns lie side by side;
- gradients of strided convolutions: as ordinary convolutions they multiply the zeros between the
  places where the window stood;
- depthwise convolutions, for which Eigen has no path: products number by number.
"""

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from pride_jax.models.windows import Moves, Padding, by_offset, interleaved, places

Precision = Any
"""As `jax.lax` says it in a traced program: None or a pair of ``lax.Precision``."""

_FEW, _MANY_PLACES = 16, 400
"""Channels up to which a column is cheap, and places of an image from which the many columns pay
off; with 4 channels of inputs or fewer for a value, whose product is the smaller part."""


def columns_for_value(x: Array, kernel: Array) -> bool:
    """Whether products over columns are the faster form of this convolution."""
    inputs, outputs = kernel.shape[-2:]
    return 4 * inputs <= _FEW >= outputs and math.prod(x.shape[1:-1]) >= _MANY_PLACES


def columns_for_kernel(x: Array, gradient: Array, moves: Moves) -> bool:
    """Whether products over columns are the faster form of the gradient of this kernel."""
    few = max(x.shape[-1], gradient.shape[-1]) <= _FEW
    return moves.strided or (few and math.prod(gradient.shape[1:-1]) >= _MANY_PLACES)


def value(x: Array, kernel: Array, moves: Moves, precision: Precision) -> Array:
    """A convolution of images ``[batch, *space, inputs]`` as a product for each image."""
    window, outputs = kernel.shape[:-2], kernel.shape[-1]
    rows = kernel.reshape(-1, outputs).T
    space = places(x.shape[1:-1], window, moves)

    def one(image: Array) -> Array:
        columns = _columns(image, window, moves)
        return lax.dot(rows, columns, precision=precision).T.reshape(*space, outputs)

    return lax.map(one, x)


def kernel_gradient(
    x: Array,
    gradient: Array,
    window: tuple[int, ...],
    moves: Moves,
    precision: Precision,
) -> Array:
    """The gradient of the kernel ``[*window, inputs, outputs]``, a product for each image."""
    inputs, outputs = x.shape[-1], gradient.shape[-1]

    def add(total: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
        image, slopes = pair
        columns = _columns(image, window, moves)
        return total + lax.dot(columns, slopes.reshape(-1, outputs), precision=precision), None

    zero = jnp.zeros((math.prod(window) * inputs, outputs), x.dtype)
    total, _ = lax.scan(add, zero, (x, gradient))
    return total.reshape(*window, inputs, outputs)


def input_gradient(
    gradient: Array,
    kernel: Array,
    size: tuple[int, ...],
    moves: Moves,
    convolve: Callable[[Padding, Array, Array], Array],
) -> Array:
    """The gradient of images of this size, of a strided convolution, without the zeros.

    Places of an image that lie a stride apart meet the same part of the kernel. One convolution
    with stride 1 gives all parts as channels; then they are put between each other.

    Args:
      gradient: of the outputs, ``[batch, *space, outputs]``.
      kernel: ``[*window, inputs, outputs]``.
      size: of the images, ``[*space]``.
      moves: of the convolution, without dilation.
      convolve: ``(padding, images, kernel)``, with stride 1.
    """
    *window, inputs, outputs = kernel.shape
    strides, axes = moves.strides, range(len(window))
    steps = [-(-reach // stride) for reach, stride in zip(window, strides, strict=True)]
    whole = [
        (0, step * stride - reach)
        for step, stride, reach in zip(steps, strides, window, strict=True)
    ]
    parts = jnp.pad(kernel, [*whole, (0, 0), (0, 0)])
    parts = parts.reshape(*itertools.chain(*zip(steps, strides, strict=True)), inputs, outputs)
    parts = jnp.flip(parts, [2 * axis for axis in axes])
    last = 2 * len(window)
    parts = parts.transpose(
        *(2 * axis for axis in axes), last + 1, *(2 * axis + 1 for axis in axes), last
    ).reshape(*steps, outputs, -1)
    together = convolve(tuple((step - 1, step - 1) for step in steps), gradient, parts)
    apart = jnp.moveaxis(together.reshape(*together.shape[:-1], -1, inputs), -2, 0)
    # What the window never reached has no gradient.
    return interleaved(apart, size, moves)


def depthwise(moves: Moves) -> Callable[[Array, Array], Array]:
    """A convolution of each channel alone.

    Returns:
      A function of images ``[batch, *space, channels]`` and a kernel ``[*window, 1, outputs]``, as
      many outputs of each channel.
    """

    def value(x: Array, kernel: Array) -> Array:
        channels = x.shape[-1]
        ones = (1,) * (x.ndim - 1)
        kernels = kernel.reshape(-1, *ones, channels, kernel.shape[-1] // channels)
        pixels = by_offset(x, kernel.shape[:-2], moves)
        each = (pixel[..., None] * one for pixel, one in zip(pixels, kernels, strict=True))
        return functools.reduce(jnp.add, each).reshape(*pixels[0].shape[:-1], -1)

    def backward(saved: tuple[Array, Array], slope: Array) -> tuple[Array, Array]:
        x, kernel = saved
        _, pull = jax.vjp(lambda x: value(x, kernel), x)
        return *pull(slope), _depthwise_kernel_gradient(x, slope, kernel.shape, moves)

    convolve = jax.custom_vjp(value)
    convolve.defvjp(lambda *saved: (value(*saved), saved), backward)
    return convolve


def _depthwise_kernel_gradient(
    x: Array, gradient: Array, shape: tuple[int, ...], moves: Moves
) -> Array:
    """Image by image: XLA sums products over places fast if a product of matrices asks for it."""
    channels = x.shape[-1]
    ones = jnp.ones((1, math.prod(gradient.shape[1:-1])), x.dtype)

    def add(total: Array, pair: tuple[Array, Array]) -> tuple[Array, None]:
        image, slopes = pair
        many = slopes.reshape(*slopes.shape[:-1], channels, -1)
        sums = [
            lax.dot(ones, (pixel[0][..., None] * many).reshape(ones.size, -1))
            for pixel in by_offset(image[None], shape[:-2], moves)
        ]
        return total + jnp.stack(sums), None

    zero = jnp.zeros((math.prod(shape[:-2]), 1, shape[-1]), x.dtype)
    return lax.scan(add, zero, (x, gradient))[0].reshape(shape)


def _columns(image: Array, window: tuple[int, ...], moves: Moves) -> Array:
    """Of an image ``[*space, inputs]``, a column for each place where the window stands."""
    first = jnp.moveaxis(image, -1, 0)[..., None]
    return jnp.stack(by_offset(first, window, moves)).reshape(
        math.prod(window) * image.shape[-1], -1
    )
