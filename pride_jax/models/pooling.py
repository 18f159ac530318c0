"""Max-pooling whose gradient is not scattered.

XLA scatters the gradient of ``lax.reduce_window`` window by window. Where windows lie side by side,
as they mostly do, a gradient of one pass finds each window's pixel. On CPUs slices that are
compared stand for other windows, and for few channels, of which that pass makes short vectors.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend import core
from jax.extend.core import primitives
from jaxtyping import Array

from pride_jax.models.by_platform import on_cpu
from pride_jax.models.windows import Moves, by_offset

_MANY = 64
"""Pixels of a window beyond which so many slices are no longer worth their compilation."""
_FEW = 16
"""Channels below which slices are faster on a CPU."""


def replaceable(eqn: core.JaxprEqn) -> bool:
    """Whether `max_of_windows` can stand for an equation of ``reduce_window_max``."""
    params = eqn.params
    (x,) = (variable.aval for variable in eqn.invars)
    return (
        set(params["base_dilation"]) | set(params["window_dilation"]) <= {1}
        and jnp.issubdtype(x.dtype, jnp.floating)  # pyright: ignore[reportAttributeAccessIssue]
        and 1 < math.prod(params["window_dimensions"]) <= _MANY
        and math.prod(eqn.outvars[0].aval.shape) > 0  # pyright: ignore[reportAttributeAccessIssue]
    )


def max_of_windows(params: dict[str, Any], x: Array) -> Array:
    """The largest number of each window, as JAX's primitive describes it.

    Of equal finite numbers the first takes the gradient, as in XLA.
    """
    window: tuple[int, ...] = params["window_dimensions"]
    moves = Moves(params["window_strides"], params["padding"], params["window_dilation"])
    alone = moves.strides == window and not any(map(any, moves.padding))
    one_pass = _side_by_side(window, moves)

    def first_largest(x: Array) -> Array:
        # All axes are space: those of images, wherever they are, and the others, not pooled.
        seen = by_offset(x[None, ..., None], window, moves, -jnp.inf)
        return functools.reduce(lambda one, two: jnp.where(one >= two, one, two), seen)[0, ..., 0]

    own = functools.partial(primitives.reduce_window_max_p.bind, **params)
    of_slices = not alone or x.shape[-1] < _FEW
    return on_cpu(first_largest if of_slices else one_pass, one_pass if alone else own)(x)


def _side_by_side(window: Sequence[int], moves: Moves) -> Callable[[Array], Array]:
    """Max-pooling of windows that neither overlap nor leave gaps."""

    def pixels(x: Array) -> list[Array]:
        return [each[0, ..., 0] for each in by_offset(x[None, ..., None], window, moves)]

    @jax.custom_vjp
    def largest(x: Array) -> Array:
        return functools.reduce(jnp.maximum, pixels(x))

    def backward(saved: tuple[Array, Array], slope: Array) -> tuple[Array]:
        x, found = saved
        numbered = list(enumerate(pixels(x)))
        first = functools.reduce(
            lambda later, each: jnp.where(each[1] == found, each[0], later),
            reversed(numbered),
            jnp.full(found.shape, -1, jnp.int32),
        )
        between = tuple(range(1, 2 * x.ndim, 2))
        number = jnp.arange(len(numbered)).reshape([side for each in window for side in (1, each)])
        taken = jnp.where(
            jnp.expand_dims(first, between) == number, jnp.expand_dims(slope, between), 0
        )
        whole = taken.reshape([side * each for side, each in zip(found.shape, window, strict=True)])
        # Pixels beyond the last window were not seen.
        sides = [(0, side - seen, 0) for side, seen in zip(x.shape, whole.shape, strict=True)]
        return (lax.pad(whole, jnp.zeros((), slope.dtype), sides),)

    def forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
        found = largest(x)
        return found, (x, found)

    largest.defvjp(forward, backward)
    return largest
