"""Convolutions with gradients of their own, put where any Flax module has one.

XLA's CPU backend finds no fast path for the gradients of ``lax.conv_general_dilated`` inside a loop
body (JAX issue 12868), nor for the grouped convolution into which ``vmap`` over kernels turns.
Here both gradients are ordinary channels-last convolutions. Under ``vmap``, a CPU loops over the
kernels instead of grouping them, which keeps the fast path; for other devices
`with_batched_kernels` says what a batch of kernels becomes.

`with_own_gradients` replaces the convolutions of a function, inside ``jit``, ``remat``, ``scan``,
``cond`` and ``while`` too. Any number of spatial axes, strides, padding of zero or more and any
order of axes are replaced. What stays as the function has it: grouped (depthwise) and dilated
(transposed, atrous) convolutions, negative padding, outputs of another type than the inputs, and
whatever stands inside a function with a derivative rule of its own.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any, Literal, TypeVar, get_args

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core
from jax.extend.core import primitives
from jaxtyping import Array

from pride_jax.models import cpu_forms
from pride_jax.models.cpu_forms import Precision
from pride_jax.models.windows import Padding, by_offset, by_place, places
from pride_jax.types import Key, Model, Params
from pride_jax.validated import expect, expect_one_of

Function = TypeVar("Function", bound=Callable)
BatchedKernels = Literal["grouped", "products"]
"""What a convolution with a kernel a client becomes on a GPU: one convolution of as many groups, or
products of matrices, for which every window of an image is copied to a row."""

_batched_kernels: ContextVar[BatchedKernels] = ContextVar("batched_kernels", default="grouped")

_ENTERED = {
    primitives.jit_p,
    primitives.remat_p,
    primitives.scan_p,
    primitives.cond_p,
    primitives.while_p,
}


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


def with_own_gradients(function: Function) -> Function:
    """The same function of arrays, with its convolutions replaced.

    Values agree up to float rounding, gradients of any order too; forward-mode derivatives
    (``jax.jvp``) of a replaced convolution do not exist.
    """

    @functools.wraps(function)
    def replaced(*arguments: Any) -> Any:
        program, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        outputs = core.jaxpr_as_fun(replace_convolutions(program))(*jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return replaced  # pyright: ignore[reportReturnType]


def replace_convolutions(program: core.ClosedJaxpr) -> core.ClosedJaxpr:
    """The same program with each convolution replaced that this file can replace."""
    return program.replace(jaxpr=_replace(program.jaxpr))


def _replace(jaxpr: core.Jaxpr) -> core.Jaxpr:
    return jaxpr.replace(eqns=[new for eqn in jaxpr.eqns for new in _equations(eqn)])


def _equations(eqn: core.JaxprEqn) -> list[core.JaxprEqn]:
    if eqn.primitive in _ENTERED:
        return [eqn.replace(params={name: _inside(value) for name, value in eqn.params.items()})]
    if eqn.primitive is not primitives.conv_general_dilated_p or not _replaceable(eqn):
        return [eqn]
    program = jax.make_jaxpr(functools.partial(_any_layout, eqn.params))(
        *(variable.aval for variable in eqn.invars)
    ).jaxpr
    names = dict(zip(program.invars, eqn.invars, strict=True))
    names |= dict(zip(program.outvars, eqn.outvars, strict=True))

    def named(variables: Sequence[Any]) -> list[Any]:
        return [
            variable if isinstance(variable, core.Literal) else names.get(variable, variable)
            for variable in variables
        ]

    return [
        each.replace(invars=named(each.invars), outvars=named(each.outvars))
        for each in program.eqns
    ]


def _inside(value: Any) -> Any:
    if isinstance(value, core.ClosedJaxpr):
        return replace_convolutions(value)
    if isinstance(value, core.Jaxpr):
        return _replace(value)
    return tuple(map(_inside, value)) if type(value) is tuple else value


def _replaceable(eqn: core.JaxprEqn) -> bool:
    params = eqn.params
    shapes: list[Any] = [variable.aval for variable in (*eqn.invars, *eqn.outvars)]
    x, kernel, result = shapes
    return (
        params["feature_group_count"] == params["batch_group_count"] == 1
        and set(params["lhs_dilation"]) | set(params["rhs_dilation"]) <= {1}
        and all(side >= 0 for pair in params["padding"] for side in pair)
        and all(jnp.issubdtype(each.dtype, jnp.floating) for each in (x, kernel))
        and x.dtype == kernel.dtype == result.dtype
        and x.ndim > 2
        and 0 not in (*x.shape, *kernel.shape, *result.shape)
    )


def _any_layout(params: dict[str, Any], x: Array, kernel: Array) -> Array:
    """A convolution as JAX's primitive describes it, by way of channels-last."""
    spec = params["dimension_numbers"]
    batch, channels, *space = spec.lhs_spec
    x = _transposed(x, (batch, *space, channels))
    outputs, inputs, *window = spec.rhs_spec
    kernel = _transposed(kernel, (*window, inputs, outputs))
    strides, padding, precision = (
        tuple(params["window_strides"]),
        tuple(map(tuple, params["padding"])),
        params["precision"],
    )
    if math.prod(kernel.shape[:-2]) == 1 and not any(side for pair in padding for side in pair):
        result = _product(x, kernel, strides, precision)
    else:
        result = convolution(strides, padding, precision, _batched_kernels.get())(x, kernel)
    batch, channels, *space = spec.out_spec
    places = (batch, *space, channels)
    return _transposed(result, tuple(places.index(axis) for axis in range(len(places))))


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
    strides: tuple[int, ...],
    padding: Padding,
    precision: Precision,
    form: BatchedKernels = "grouped",
) -> Callable[[Array, Array], Array]:
    """A channels-last convolution that is fast in loops and under vmap, and so are its gradients.

    Args:
      strides: of the window, one a spatial axis.
      padding: zeros before and after, for each spatial axis.
      precision: of its products and of those of its gradients, wherever these are traced.
      form: of a batch of kernels on other devices than CPUs.

    Returns:
      A function of images ``[batch, *space, inputs]`` and a kernel ``[*window, inputs, outputs]``,
      differentiable in reverse any number of times.
    """
    forward = _batchable(strides, padding, precision, form)
    ones = (1,) * len(strides)

    def backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
        x, kernel = saved
        return x_gradient(gradient, kernel, x.shape[1:-1]), kernel_gradient(x, gradient, kernel)

    def x_gradient(gradient: Array, kernel: Array, size: tuple[int, ...]) -> Array:
        spread = functools.partial(_x_gradient_of_spread, size, strides, padding, precision, form)
        if set(strides) == {1}:
            return spread(gradient, kernel)

        def in_parts(gradient: Array, kernel: Array) -> Array:
            return cpu_forms.input_gradient(
                gradient,
                kernel,
                size,
                strides,
                padding,
                lambda padding, *two: convolution(ones, padding, precision, form)(*two),
            )

        return lax.platform_dependent(gradient, kernel, cpu=in_parts, default=spread)

    def kernel_gradient(x: Array, gradient: Array, kernel: Array) -> Array:
        window = kernel.shape[:-2]
        of_spread = functools.partial(
            _kernel_gradient_of_spread, window, strides, padding, precision, form
        )
        if not cpu_forms.columns_for_kernel(x, gradient, strides):
            return of_spread(x, gradient)

        def of_columns(x: Array, gradient: Array) -> Array:
            return cpu_forms.kernel_gradient(x, gradient, window, strides, padding, precision)

        # The product of images and gradient is linear in each: its gradients are convolutions.
        on_cpu = jax.custom_vjp(_looped(of_columns))
        on_cpu.defvjp(
            lambda x, gradient: (on_cpu(x, gradient), (x, gradient)),
            lambda saved, slope: (
                x_gradient(saved[1], slope, saved[0].shape[1:-1]),
                convolve(saved[0], slope),
            ),
        )
        return lax.platform_dependent(x, gradient, cpu=on_cpu, default=of_spread)

    convolve = jax.custom_vjp(forward)
    # The rule calls what has the rule: gradients have gradients.
    convolve.defvjp(lambda x, kernel: (convolve(x, kernel), (x, kernel)), backward)
    return convolve


def _x_gradient_of_spread(
    size: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Padding,
    precision: Precision,
    form: BatchedKernels,
    gradient: Array,
    kernel: Array,
) -> Array:
    """The gradient of images of this size, as a convolution of the spread cotangent."""
    spread = _spread(gradient, strides)
    axes = range(len(size))
    sides = [
        (
            kernel.shape[axis] - 1 - padding[axis][0],
            side - spread.shape[1 + axis] + padding[axis][0],
        )
        for axis, side in enumerate(size)
    ]
    spread, left = _cut(spread, sides)
    flipped = jnp.flip(kernel, tuple(axes)).swapaxes(-2, -1)
    return convolution((1,) * len(size), left, precision, form)(spread, flipped)


def _kernel_gradient_of_spread(
    window: tuple[int, ...],
    strides: tuple[int, ...],
    padding: Padding,
    precision: Precision,
    form: BatchedKernels,
    x: Array,
    gradient: Array,
) -> Array:
    """The gradient of a kernel with this window, whose window is the spread cotangent."""
    spread = _spread(gradient, strides)
    sides = [
        (before, reach + spread.shape[1 + axis] - x.shape[1 + axis] - 1 - before)
        for axis, (reach, (before, _)) in enumerate(zip(window, padding, strict=True))
    ]
    x, left = _cut(x, sides)
    # Channels become the batch, and the batch the channels that are summed over.
    found = convolution((1,) * len(window), left, precision, form)(
        jnp.swapaxes(x, 0, -1), jnp.moveaxis(spread, 0, -2)
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


def _batchable(
    strides: tuple[int, ...], padding: Padding, precision: Precision, form: BatchedKernels
) -> Callable[[Array, Array], Array]:
    """The convolution alone, whose kernel may be batched by vmap."""
    space = "".join(chr(ord("0") + axis) for axis in range(len(strides)))
    numbers = (f"N{space}C", f"{space}IO", f"N{space}C")

    def plain(x: Array, kernel: Array) -> Array:
        return lax.conv_general_dilated(
            x, kernel, strides, padding, dimension_numbers=numbers, precision=precision
        )

    def convolve(x: Array, kernel: Array) -> Array:
        if not cpu_forms.columns_for_value(x, kernel):
            return plain(x, kernel)
        return lax.platform_dependent(
            x,
            kernel,
            cpu=lambda x, kernel: cpu_forms.value(x, kernel, strides, padding, precision),
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
            "products": lambda x, kernel: of_windows(x, kernel, strides, padding, precision),
        }[form]
        return lax.platform_dependent(
            xs, kernel, cpu=loop_over_kernels, default=jax.vmap(each)
        ), True

    return batched


def of_windows(
    x: Array, kernel: Array, strides: tuple[int, ...], padding: Padding, precision: Precision
) -> Array:
    """A channels-last convolution as one product of matrices: a window of an image is a row.

    Slices gather the windows: one for each place in the window, or one for each place where the
    window stands, whichever are fewer. So a kernel's gradient, whose windows are as large as the
    image and stand in few places, copies as much as the convolution.
    """
    window = kernel.shape[:-2]
    space = places(x.shape[1:-1], window, strides, padding)
    if math.prod(window) <= math.prod(space):
        windows = jnp.stack(by_offset(x, window, strides, padding), axis=-2)
    else:
        windows = jnp.stack(by_place(x, window, strides, padding), axis=1)
    outputs = kernel.shape[-1]
    rows, columns = windows.reshape(-1, kernel.size // outputs), kernel.reshape(-1, outputs)
    product = lax.dot(rows, columns, precision=precision)
    return product.reshape(x.shape[0], *space, outputs)
