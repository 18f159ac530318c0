"""Layers of a function, replaced by ones of the same value that train fast.

`with_own_gradients` replaces convolutions and max-pooling, inside ``jit``, ``remat``, ``scan``,
``cond`` and ``while`` too. What stands inside a function with a derivative rule of its own stays as
the function has it.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
from jax.extend import core
from jax.extend.core import primitives
from jaxtyping import Array

from pride_jax.models import convolutions, pooling

Function = TypeVar("Function", bound=Callable)


class Replacement(NamedTuple):
    """What stands for a primitive of JAX.

    Attributes:
      fits: whether it can stand for this equation.
      form: the primitive's parameters and arguments -> its value.
    """

    fits: Callable[[core.JaxprEqn], bool]
    form: Callable[..., Array]


_REPLACED = {
    primitives.conv_general_dilated_p: Replacement(
        convolutions.replaceable, convolutions.any_layout
    ),
    primitives.reduce_window_max_p: Replacement(pooling.replaceable, pooling.max_of_windows),
}

_ENTERED = {
    primitives.jit_p,
    primitives.remat_p,
    primitives.scan_p,
    primitives.cond_p,
    primitives.while_p,
}


def with_own_gradients(function: Function) -> Function:
    """The same function of arrays, with its convolutions and max-pooling replaced.

    Values agree up to float rounding, gradients of any order too; forward-mode derivatives
    (``jax.jvp``) of a replaced layer do not exist.
    """

    @functools.wraps(function)
    def replaced(*arguments: Any) -> Any:
        program, shape = jax.make_jaxpr(function, return_shape=True)(*arguments)
        outputs = core.jaxpr_as_fun(replace_layers(program))(*jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(shape), outputs)

    return replaced  # pyright: ignore[reportReturnType]


def replace_layers(program: core.ClosedJaxpr) -> core.ClosedJaxpr:
    """The same program with each convolution and pooling replaced that can be."""
    return program.replace(jaxpr=_replace(program.jaxpr))


def _replace(jaxpr: core.Jaxpr) -> core.Jaxpr:
    return jaxpr.replace(eqns=[new for eqn in jaxpr.eqns for new in _equations(eqn)])


def _equations(eqn: core.JaxprEqn) -> list[core.JaxprEqn]:
    if eqn.primitive in _ENTERED:
        return [eqn.replace(params={name: _inside(value) for name, value in eqn.params.items()})]
    if eqn.primitive not in _REPLACED or not _REPLACED[eqn.primitive].fits(eqn):
        return [eqn]
    program = jax.make_jaxpr(functools.partial(_REPLACED[eqn.primitive].form, eqn.params))(
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
        return replace_layers(value)
    if isinstance(value, core.Jaxpr):
        return _replace(value)
    return tuple(map(_inside, value)) if type(value) is tuple else value
