"""Convolutions with gradients of their own, for any that a Flax module has.

XLA's CPU backend finds no fast path for the gradients of ``lax.conv_general_dilated`` inside a loop
body (JAX issue 12868), nor for the grouped convolution into which ``vmap`` over kernels turns.
Here both gradients are ordinary channels-last convolutions. Under ``vmap``, a CPU loops over the
kernels instead of grouping them, which keeps the fast path; for other devices
`with_batched_kernels` says what a batch of kernels becomes.

Any number of spatial axes, strides, dilation, padding of zero or more and any order of axes are
replaced; groups (depthwise, too) and transposed convolutions on CPUs alone. What stays as it is:
negative padding, transposed convolutions with strides or with padding wider than the window, groups
of the batch, and outputs of another type than the inputs.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core
from jaxtyping import Array

from pride_jax.models import cpu_forms
from pride_jax.models.by_platform import on_cpu
from pride_jax.models.cpu_forms import Precision
from pride_jax.models.windows import Moves, Padding, by_offset, by_place, places, step_by_step
from pride_jax.types import Key, Model, Params
from pride_jax.validated import expect, expect_one_of

BatchedKernels = Literal["grouped", "products"]
"""What a convolution with a kernel a client becomes on a GPU: one convolution of as many groups, or
products of matrices, for which every window of an image is copied to a row."""

_batched_kernels: ContextVar[BatchedKernels] = ContextVar("batched_kernels", default="grouped")


def with_batched_kernels(model: Model, form: BatchedKernels) -> Model:
    """The same model, of whose convolutions batches of kernels become what ``form`` says.

    Values agree up to float rounding. A CPU has its loop in either case.

    Raises:
      ConfigError: there is no such form.
    """
    expect("model", model, Model, "a Model, such as cnn(features, outputs)")
    expect_one_of("form", form, get_args(BatchedKernels))

    def apply(params: Params, inputs: Array) -> Array:
        with _as(form):
            return model.apply(params, inputs)

    def train(params: Params, inputs: Array, key: Key) -> Array:
        with _as(form):
            return model.train(params, inputs, key)

    return Model(model.init, apply, train)


@contextlib.contextmanager
def _as(form: BatchedKernels) -> Iterator[None]:
    """Says what batches of kernels become in what is traced within the block."""
    before = _batched_kernels.set(form)
    try:
        yield
    finally:
        _batched_kernels.reset(before)


def replaceable(eqn: core.JaxprEqn) -> bool:
    """Whether `any_layout` can stand for a convolution."""
    params = eqn.params
    shapes: list[Any] = [variable.aval for variable in (*eqn.invars, *eqn.outvars)]
    x, kernel, result = shapes
    return (
        params["batch_group_count"] == 1
        and all(side >= 0 for pair in params["padding"] for side in pair)
        and (set(params["lhs_dilation"]) == {1} or _is_transposed(params, kernel.shape))
        and all(jnp.issubdtype(each.dtype, jnp.floating) for each in (x, kernel))
        and x.dtype == kernel.dtype == result.dtype
        and x.ndim > 2
        and 0 not in (*x.shape, *kernel.shape, *result.shape)
    )


def _is_transposed(params: dict[str, Any], shape: tuple[int, ...]) -> bool:
    """Whether it is the gradient of a convolution's images, which holds no negative padding."""
    window = [shape[axis] for axis in params["dimension_numbers"].rhs_spec[2:]]
    return set(params["window_strides"]) == {params["feature_group_count"]} == {1} and all(
        before <= (reach - 1) * apart
        for (before, _), reach, apart in zip(
            params["padding"], window, params["rhs_dilation"], strict=True
        )
    )


def any_layout(params: dict[str, Any], x: Array, kernel: Array) -> Array:
    """A convolution as JAX's primitive describes it, by way of channels-last."""
    spec = params["dimension_numbers"]
    batch, channels, *space = spec.lhs_spec
    x = _transposed(x, (batch, *space, channels))
    outputs, inputs, *window = spec.rhs_spec
    kernel = _transposed(kernel, (*window, inputs, outputs))
    result = _channels_last(params)(x, kernel)
    batch, channels, *space = spec.out_spec
    places = (batch, *space, channels)
    return _transposed(result, tuple(places.index(axis) for axis in range(len(places))))


def _channels_last(params: dict[str, Any]) -> Callable[[Array, Array], Array]:
    moves = Moves(
        tuple(params["window_strides"]),
        tuple(map(tuple, params["padding"])),
        tuple(params["rhs_dilation"]),
    )
    groups, precision = params["feature_group_count"], params["precision"]
    spread = tuple(params["lhs_dilation"])
    if groups == 1 == max(spread):
        return lambda x, kernel: _plain(moves, precision, x, kernel)
    as_it_is = functools.partial(xla, moves, precision, groups=groups, spread=spread)
    if groups > 1:
        return on_cpu(lambda x, kernel: _grouped(groups, moves, precision, x, kernel), as_it_is)
    return on_cpu(lambda x, kernel: _upwards(spread, moves, precision, x, kernel), as_it_is)


def _plain(moves: Moves, precision: Precision, x: Array, kernel: Array) -> Array:
    if math.prod(kernel.shape[:-2]) == 1 and not any(map(any, moves.padding)):
        return _product(x, kernel, moves.strides, precision)
    return convolution(moves, precision, _batched_kernels.get())(x, kernel)


def _grouped(groups: int, moves: Moves, precision: Precision, x: Array, kernel: Array) -> Array:
    """On a CPU, a convolution of each group of channels alone."""
    if kernel.shape[-2] == 1:
        return cpu_forms.depthwise(moves)(x, kernel)
    each = jnp.moveaxis(x.reshape(*x.shape[:-1], groups, -1), -2, 0)
    kernels = jnp.moveaxis(kernel.reshape(*kernel.shape[:-1], groups, -1), -2, 0)
    found = jax.vmap(functools.partial(_plain, moves, precision))(each, kernels)
    return jnp.moveaxis(found, 0, -2).reshape(*found.shape[1:-1], kernel.shape[-1])


def _upwards(
    spread: tuple[int, ...], moves: Moves, precision: Precision, x: Array, kernel: Array
) -> Array:
    """On a CPU, a transposed convolution: its images are the gradient of one with strides."""
    window = kernel.shape[:-2]
    seen = [(reach - 1) * apart for reach, apart in zip(window, moves.dilation, strict=True)]
    before = [reach - first for reach, (first, _) in zip(seen, moves.padding, strict=True)]
    size = tuple(
        (side - 1) * stride + 1 + sum(pad) - reach
        for side, stride, pad, reach in zip(x.shape[1:-1], spread, moves.padding, seen, strict=True)
    )
    padding = tuple(
        (first, (side - 1) * stride + 1 + reach - first - out)
        for first, side, stride, reach, out in zip(
            before, x.shape[1:-1], spread, seen, size, strict=True
        )
    )
    back = Moves(spread, padding, moves.dilation)
    flipped = jnp.flip(kernel, tuple(range(len(window)))).swapaxes(-2, -1)
    return _x_gradient(size, back, precision, "grouped", x, flipped)


def _transposed(x: Array, axes: tuple[int, ...]) -> Array:
    return x if axes == tuple(range(x.ndim)) else x.transpose(axes)


def _product(x: Array, kernel: Array, strides: tuple[int, ...], precision: Precision) -> Array:
    """A convolution with a window of one pixel."""
    kept = lax.slice(x, [0] * x.ndim, x.shape, (1, *strides, 1))
    if set(strides) != {1}:
        # XLA's GPU compiler ends over a product that such a slice is fused into (XLA issue 47381).
        kept = lax.optimization_barrier(kept)
    flat = lax.dot(
        kept.reshape(-1, x.shape[-1]), kernel.reshape(kernel.shape[-2:]), precision=precision
    )
    return flat.reshape(*kept.shape[:-1], kernel.shape[-1])


@functools.cache
def convolution(
    moves: Moves, precision: Precision, form: BatchedKernels = "grouped"
) -> Callable[[Array, Array], Array]:
    """A channels-last convolution that is fast in loops and under vmap, and so are its gradients.

    Args:
      moves: of the window.
      precision: of its products and of those of its gradients, wherever these are traced.
      form: of a batch of kernels on other devices than CPUs.

    Returns:
      A function of images ``[batch, *space, inputs]`` and a kernel ``[*window, inputs, outputs]``,
      differentiable in reverse any number of times.
    """

    def backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
        x, kernel = saved
        return x_gradient(gradient, kernel, x.shape[1:-1]), kernel_gradient(x, gradient, kernel)

    def x_gradient(gradient: Array, kernel: Array, size: tuple[int, ...]) -> Array:
        return _x_gradient(size, moves, precision, form, gradient, kernel)

    def kernel_gradient(x: Array, gradient: Array, kernel: Array) -> Array:
        window = kernel.shape[:-2]
        as_convolution = functools.partial(_kernel_gradient, window, moves, precision, form)
        if not cpu_forms.columns_for_kernel(x, gradient, moves):
            return as_convolution(x, gradient)

        def of_columns(x: Array, gradient: Array) -> Array:
            return cpu_forms.kernel_gradient(x, gradient, window, moves, precision)

        # The product of images and gradient is linear in each: its gradients are convolutions.
        in_turn = jax.custom_vjp(_looped(of_columns))
        in_turn.defvjp(
            lambda x, gradient: (in_turn(x, gradient), (x, gradient)),
            lambda saved, slope: (
                x_gradient(saved[1], slope, saved[0].shape[1:-1]),
                convolve(saved[0], slope),
            ),
        )
        return lax.platform_dependent(x, gradient, cpu=in_turn, default=as_convolution)

    convolve = jax.custom_vjp(_batchable(moves, precision, form))
    # The rule calls what has the rule: gradients have gradients.
    convolve.defvjp(lambda x, kernel: (convolve(x, kernel), (x, kernel)), backward)
    return convolve


def _x_gradient(
    size: tuple[int, ...],
    moves: Moves,
    precision: Precision,
    form: BatchedKernels,
    gradient: Array,
    kernel: Array,
) -> Array:
    """The gradient of images of this size."""
    spread = functools.partial(_x_gradient_of_spread, size, moves, precision, form)
    if not moves.strided or set(moves.dilation) != {1}:
        return spread(gradient, kernel)

    def in_parts(gradient: Array, kernel: Array) -> Array:
        def convolve(padding: Padding, gradient: Array, parts: Array) -> Array:
            return convolution(step_by_step(padding, moves.dilation), precision, form)(
                gradient, parts
            )

        return cpu_forms.input_gradient(gradient, kernel, size, moves, convolve)

    return lax.platform_dependent(gradient, kernel, cpu=in_parts, default=spread)


def _x_gradient_of_spread(
    size: tuple[int, ...],
    moves: Moves,
    precision: Precision,
    form: BatchedKernels,
    gradient: Array,
    kernel: Array,
) -> Array:
    """The gradient of images of this size, as a convolution of the spread cotangent."""
    spread = _spread(gradient, moves.strides)
    sides = [
        ((reach - 1) * apart - before, side - spread.shape[1 + axis] + before)
        for axis, (side, reach, apart, (before, _)) in enumerate(
            zip(size, kernel.shape, moves.dilation, moves.padding, strict=False)
        )
    ]
    spread, left = _cut(spread, sides)
    flipped = jnp.flip(kernel, tuple(range(len(size)))).swapaxes(-2, -1)
    return convolution(step_by_step(left, moves.dilation), precision, form)(spread, flipped)


def _kernel_gradient(
    window: tuple[int, ...],
    moves: Moves,
    precision: Precision,
    form: BatchedKernels,
    x: Array,
    gradient: Array,
) -> Array:
    """The gradient of a kernel with this window: the cotangent is a window that sees images.

    It sees the places where the kernel stood, and moves by the pixels that the kernel sees.
    """
    sides = [
        (before, (reach - 1) * apart + (count - 1) * stride + 1 - side - before)
        for reach, apart, count, stride, side, (before, _) in zip(
            window,
            moves.dilation,
            gradient.shape[1:-1],
            moves.strides,
            x.shape[1:-1],
            moves.padding,
            strict=True,
        )
    ]
    x, left = _cut(x, sides)
    # Channels become the batch, and the batch the channels that are summed over.
    found = convolution(Moves(moves.dilation, left, moves.strides), precision, form)(
        jnp.swapaxes(x, 0, -1), jnp.moveaxis(gradient, 0, -2)
    )
    return jnp.moveaxis(found, 0, -2)


def _looped(function: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """A function of two arrays that vmap calls one pair after the other."""
    batched = jax.custom_batching.custom_vmap(function)

    @batched.def_vmap
    def _batch_rule(
        axis_size: int, in_batched: list[bool], *arguments: Array
    ) -> tuple[Array, bool]:
        pairs = tuple(
            each if batch else jnp.broadcast_to(each, (axis_size, *each.shape))
            for each, batch in zip(arguments, in_batched, strict=True)
        )
        return lax.map(lambda pair: batched(*pair), pairs), True

    return batched


def _spread(gradient: Array, strides: tuple[int, ...]) -> Array:
    """The cotangent of each place where the window stood, zeros in the places it skipped."""
    if set(strides) == {1}:
        return gradient
    inside = [(0, 0, stride - 1) for stride in strides]
    zero = jnp.zeros((), gradient.dtype)
    return lax.pad(gradient, zero, [(0, 0, 0), *inside, (0, 0, 0)])


def _cut(x: Array, padding: Sequence[tuple[int, int]]) -> tuple[Array, Padding]:
    """Images without the edges that negative padding takes, and the padding that is left."""
    if any(side < 0 for pair in padding for side in pair):
        sides = [(0, 0), *((min(low, 0), min(high, 0)) for low, high in padding), (0, 0)]
        ends = [size + high for size, (_, high) in zip(x.shape, sides, strict=True)]
        x = lax.slice(x, [-low for low, _ in sides], ends)
    return x, tuple((max(low, 0), max(high, 0)) for low, high in padding)


def xla(
    moves: Moves,
    precision: Precision,
    x: Array,
    kernel: Array,
    groups: int = 1,
    spread: tuple[int, ...] | None = None,
) -> Array:
    """XLA's own channels-last convolution."""
    space = "".join(chr(ord("0") + axis) for axis in range(x.ndim - 2))
    return lax.conv_general_dilated(
        x,
        kernel,
        moves.strides,
        moves.padding,
        spread,
        moves.dilation,
        (f"N{space}C", f"{space}IO", f"N{space}C"),
        groups,
        precision=precision,
    )


def _batchable(
    moves: Moves, precision: Precision, form: BatchedKernels
) -> Callable[[Array, Array], Array]:
    """The convolution alone, whose kernel may be batched by vmap."""
    plain = functools.partial(xla, moves, precision)

    def convolve(x: Array, kernel: Array) -> Array:
        if not cpu_forms.columns_for_value(x, kernel):
            return plain(x, kernel)
        return lax.platform_dependent(
            x,
            kernel,
            cpu=lambda x, kernel: cpu_forms.value(x, kernel, moves, precision),
            default=plain,
        )

    batched = jax.custom_batching.custom_vmap(convolve)

    def loop_over_kernels(xs: Array, kernels: Array) -> Array:
        return lax.map(lambda pair: batched(*pair), (xs, kernels))

    @batched.def_vmap
    def _batch_rule(
        axis_size: int, in_batched: list[bool], x: Array, kernel: Array
    ) -> tuple[Array, bool]:
        x_batched, kernel_batched = in_batched
        if not kernel_batched:
            merged = batched(x.reshape(-1, *x.shape[2:]), kernel)
            return merged.reshape(axis_size, -1, *merged.shape[1:]), True
        xs = x if x_batched else jnp.broadcast_to(x, (axis_size, *x.shape))
        each = {
            "grouped": plain,
            "products": lambda x, kernel: of_windows(x, kernel, moves, precision),
        }[form]
        return lax.platform_dependent(
            xs, kernel, cpu=loop_over_kernels, default=jax.vmap(each)
        ), True

    return batched


def of_windows(x: Array, kernel: Array, moves: Moves, precision: Precision) -> Array:
    """A channels-last convolution as one product of matrices: a window of an image is a row.

    Slices gather the windows: one for each place in the window, or one for each place where the
    window stands, whichever are fewer. So a kernel's gradient, whose windows are as large as the
    image and stand in few places, copies as much as the convolution.
    """
    window = kernel.shape[:-2]
    space = places(x.shape[1:-1], window, moves)
    if math.prod(window) <= math.prod(space):
        windows = jnp.stack(by_offset(x, window, moves), axis=-2)
    else:
        windows = jnp.stack(by_place(x, window, moves), axis=1)
    outputs = kernel.shape[-1]
    rows, columns = windows.reshape(-1, kernel.size // outputs), kernel.reshape(-1, outputs)
    product = lax.dot(rows, columns, precision=precision)
    return product.reshape(x.shape[0], *space, outputs)
