"""Max-pooling whose gradient is fast on CPUs.

XLA's CPU backend scatters the gradient of ``lax.reduce_window`` window by window. There, slices
that are compared take less time, forward and backward (``scripts/benchmark.py convolutions`` tells
how much less). Other devices have XLA's own.
"""

import functools
import math
from typing import Any

import jax.numpy as jnp
from jax.extend import core
from jax.extend.core import primitives
from jaxtyping import Array

from pride_jax.models.by_platform import on_cpu
from pride_jax.models.windows import Moves, by_offset

_MANY = 64
"""Pixels of a window beyond which so many slices are no longer worth their compilation."""


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
    moves = Moves(params["window_strides"], params["padding"], params["window_dilation"])

    def first_largest(x: Array) -> Array:
        # All axes are space: those of images, wherever they are, and the others, not pooled.
        seen = by_offset(x[None, ..., None], params["window_dimensions"], moves, -jnp.inf)
        return functools.reduce(lambda one, two: jnp.where(one >= two, one, two), seen)[0, ..., 0]

    return on_cpu(first_largest, functools.partial(primitives.reduce_window_max_p.bind, **params))(
        x
    )
