"""From a Flax NNX module to the pure functions that training sees of it."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from flax.nnx import traversals
from jax.extend import core
from jax.extend.core import primitives
from jax.interpreters import partial_eval
from jaxtyping import Array, Float, Shaped

from pride_jax.errors import ConfigError
from pride_jax.models.calls import Modes, check_parameters, checked, joined, modes_of_call
from pride_jax.models.replacing import replace_layers
from pride_jax.types import Key, Model, Params

Path = tuple[Any, ...]


class _Structure(NamedTuple):
    """A module without its arrays.

    Attributes:
      graph: of the module.
      parameters: where they are; a client trains and sends these.
      constants: variables that are never written.
      streams: keys of random draws, each of its own stream.
      counts: how often each stream was drawn from.
      flags: arguments that tell the module whether it trains.
    """

    graph: nnx.GraphDef
    parameters: dict[Path, jax.ShapeDtypeStruct]
    constants: dict[Path, jax.ShapeDtypeStruct]
    streams: dict[Path, jax.ShapeDtypeStruct]
    counts: dict[Path, jax.ShapeDtypeStruct]
    flags: Modes


def from_module(make: Callable[[nnx.Rngs], nnx.Module]) -> Model:
    """The pure functions of a Flax NNX module.

    - The module may hold dropout and recurrent cells. `Model.train` draws from its key, after
      ``module.train()``; `Model.apply` runs after ``module.eval()``. An argument of ``__call__``
      named as one of `calls.FLAGS` is passed too.
    - Variables that are no parameters are constants: their values are those of
      ``make(nnx.Rngs(0))``, whatever the key of the parameters.
    - Convolutions and max-pooling are replaced by ones that train fast, see `replacing`.
    - Outputs are float32.

    Args:
      make: builds the module from a stream of keys, e.g. ``lambda rngs: MLP((4, 3), nnx.relu,
        rngs=rngs)``. Called with inputs ``[batch, *features]`` the module returns floats
        ``[batch, ...]``.

    Raises:
      ConfigError: `make` makes no NNX module; the module holds no parameters, or other than float32
        ones; it keeps batch statistics, averages over one client's data which neither clipping nor
        noise covers. When first called: it writes a variable, draws random numbers also in
        evaluation, or returns something else than floats ``[batch, ...]``.
    """
    structure = _structure(make)
    made = _flat(_made(make, nnx.Rngs(0))) if structure.constants else {}
    constants = [made[path] for path in structure.constants]
    unused = [jax.random.key(0)] * len(structure.streams)

    def init(key: Key) -> Params:
        return nnx.to_pure_dict(nnx.state(_made(make, nnx.Rngs(key)), nnx.Param))

    def apply(params: Params, inputs: Shaped[Array, "batch ..."]) -> Float[Array, "batch ..."]:
        return _run(structure, params, constants, unused, inputs, training=False)

    def train(
        params: Params, inputs: Shaped[Array, "batch ..."], key: Key
    ) -> Float[Array, "batch ..."]:
        streams = [jax.random.fold_in(key, number) for number in range(len(structure.streams))]
        return _run(structure, params, constants, streams, inputs, training=True)

    return Model(init, apply, train)


def _made(make: Callable[[nnx.Rngs], nnx.Module], rngs: nnx.Rngs) -> nnx.Module:
    module = make(rngs)
    if not isinstance(module, nnx.Module):
        raise ConfigError(
            f"Expected a function that makes a flax.nnx.Module, it makes {type(module).__name__}: "
            "a flax.linen module goes to from_linen"
        )
    return module


def _structure(make: Callable[[nnx.Rngs], nnx.Module]) -> _Structure:
    if not callable(make) or isinstance(make, nnx.Module):
        raise ConfigError(
            f"Expected a function of nnx.Rngs that makes a module, got {type(make).__name__}: "
            "from_module(lambda rngs: MyModule(rngs=rngs))"
        )
    module = nnx.eval_shape(lambda: _made(make, nnx.Rngs(0)))
    kinds = (nnx.Param, nnx.BatchStat, nnx.RngKey, nnx.RngCount, ...)
    graph, *states = nnx.split(module, *kinds)
    parameters, statistics, streams, counts, constants = map(_leaves, states)
    if statistics:
        raise ConfigError(
            f"The model keeps batch statistics in {', '.join(map(joined, statistics))}: they are "
            "averages over one client's data, which neither clipping nor noise covers; replace "
            "BatchNorm by GroupNorm or LayerNorm"
        )
    check_parameters({joined(path): leaf for path, leaf in parameters.items()})
    flags = modes_of_call(type(module).__call__)
    return _Structure(graph, parameters, constants, streams, counts, flags)


def _flat(module: nnx.Module) -> dict[Path, Array]:
    return _leaves(nnx.state(module))


def _leaves(state: nnx.State) -> dict[Path, Any]:
    return dict(traversals.flatten_mapping(nnx.to_pure_dict(state)))


def _run(
    structure: _Structure,
    params: Params,
    constants: Sequence[Array],
    streams: Sequence[Key],
    inputs: Shaped[Array, "batch ..."],
    *,
    training: bool,
) -> Float[Array, "batch ..."]:
    """Calls the module, its layers replaced, and checks what it does with its variables."""
    given = dict(traversals.flatten_mapping(params))
    parameters = [given[path] for path in structure.parameters]
    arguments = [*parameters, *_as(parameters, constants), *streams, inputs]
    program = jax.make_jaxpr(functools.partial(_call, structure, training))(*arguments)
    for number, path in enumerate([*structure.parameters, *structure.constants]):
        if _source(program.jaxpr, 1 + number) is not program.jaxpr.invars[number]:
            raise ConfigError(
                f"The model writes its variable {joined(path)} when it is called, expected a "
                "function of inputs and parameters: what one client's data leaves there escapes "
                "clipping and noise"
            )
    told = [True] + [False] * (len(program.jaxpr.outvars) - 1)
    jaxpr, needed = partial_eval.dce_jaxpr(program.jaxpr, told)
    variables = len(structure.parameters) + len(structure.constants)
    if not training and any(needed[variables:-1]):
        raise ConfigError(
            "The model draws random numbers also when it is evaluated, expected only in training: "
            "let its random layers follow `deterministic`, as nnx.Dropout does"
        )
    run = core.jaxpr_as_fun(replace_layers(program.replace(jaxpr=jaxpr)))
    return run(*(each for each, used in zip(arguments, needed, strict=True) if used))[0]


def _as(parameters: Sequence[Array], constants: Sequence[Array]) -> list[Array]:
    """Constants in the precision that the parameters are given in."""
    dtype = jnp.result_type(*parameters)
    return [
        each.astype(dtype) if jnp.issubdtype(each.dtype, jnp.floating) else each
        for each in constants
    ]


def _call(structure: _Structure, training: bool, *arguments: Array) -> list[Array]:
    """The outputs of a module and, after the call, its variables.

    Args:
      structure: the module.
      training: whether it is told that it trains.
      arguments: parameters, constants, streams and, last, the inputs.
    """
    *leaves, inputs = arguments
    paths = [*structure.parameters, *structure.constants, *structure.streams]
    state = dict(zip(paths, leaves, strict=True))
    for path, shape in structure.streams.items():
        if shape.shape:
            state[path] = jax.random.split(state[path], shape.shape)
    state |= {path: jnp.zeros(each.shape, each.dtype) for path, each in structure.counts.items()}
    module = nnx.merge(structure.graph, nnx.State(traversals.unflatten_mapping(state)))
    if training:
        module.train()
    else:
        module.eval()
    flags = structure.flags.training if training else structure.flags.evaluation
    outputs = checked(module(inputs, **flags), inputs)  # pyright: ignore[reportCallIssue]
    after = _flat(module)
    if made := [joined(path) for path in after if path not in state]:
        raise ConfigError(
            f"The model makes the variables {', '.join(made)} when it is called, expected a "
            "function of inputs and parameters: leave out sow and caches"
        )
    variables = [*structure.parameters, *structure.constants]
    return [outputs, *(after[path] for path in variables)]


def _source(jaxpr: core.Jaxpr, output: int) -> object:
    """The variable that an output is, seen through functions that hand on what they are given."""
    made = {variable: eqn for eqn in jaxpr.eqns for variable in eqn.outvars}
    variable = jaxpr.outvars[output]
    while not isinstance(variable, core.Literal) and variable in made:
        eqn = made[variable]
        # JAX itself takes out of loops and conditions what they do not change.
        if eqn.primitive not in (primitives.jit_p, primitives.remat_p):
            break
        inner = eqn.params["jaxpr"]
        inner = inner.jaxpr if isinstance(inner, core.ClosedJaxpr) else inner
        source = _source(inner, eqn.outvars.index(variable))
        if source not in inner.invars:
            break
        variable = eqn.invars[inner.invars.index(source)]
    return variable


def num_parameters(model: Model) -> int:
    """How many numbers a client sends, without making any."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))
