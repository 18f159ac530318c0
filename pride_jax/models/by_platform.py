"""A function of arrays with a form of its own for CPUs, in which its gradient is traced too."""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jaxtyping import Array


def on_cpu(form: Callable[..., Array], default: Callable[..., Array]) -> Callable[..., Array]:
    """The function that is ``form`` where a program is compiled for a CPU, else ``default``.

    Backward, each platform runs its own form's gradient. A switch that JAX differentiates would
    keep what both forms need.

    Args:
      form: a function of arrays.
      default: the same function up to float rounding.
    """

    @jax.custom_vjp
    def function(*arguments: Array) -> Array:
        return lax.platform_dependent(*arguments, cpu=form, default=default)

    def pull(one: Callable[..., Array]) -> Callable[..., Any]:
        return lambda slope, *arguments: jax.vjp(one, *arguments)[1](slope)

    def backward(arguments: tuple[Array, ...], slope: Array) -> Any:
        return lax.platform_dependent(slope, *arguments, cpu=pull(form), default=pull(default))

    function.defvjp(lambda *arguments: (function(*arguments), arguments), backward)
    return function
