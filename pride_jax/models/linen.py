"""From a flax.linen module to the pure functions that training sees of it."""

from collections.abc import Mapping, Sequence
from typing import Any

import flax.errors
import jax
import jax.numpy as jnp
from flax import linen
from flax.traverse_util import flatten_dict
from jaxtyping import Array, DTypeLike, Float, Shaped

from pride_jax.errors import ConfigError
from pride_jax.models.calls import FLAGS, check_parameters, checked, modes, modes_of_call
from pride_jax.models.replacing import with_own_gradients
from pride_jax.types import Key, Model, Params


def from_linen(
    module: linen.Module, features: Sequence[int], dtype: DTypeLike = jnp.float32
) -> Model:
    """The pure functions of a flax.linen module.

    - The module is told whether it trains by the arguments of its ``__call__``, or by its own
      fields, that are named as one of `calls.FLAGS` (``train``, ``deterministic``, …).
      `Model.train` gives its key to the stream ``dropout``.
    - Convolutions and max-pooling are replaced by ones that train fast, see `replacing`.
    - Outputs are float32.

    Args:
      module: called with inputs ``[batch, *features]`` it returns floats ``[batch, ...]``.
      features: shape of one input.
      dtype: of the inputs, e.g. ``jnp.int32`` for tokens.

    Raises:
      ConfigError: `module` is no linen module; it holds no parameters, or other than float32 ones,
        or collections besides ``params`` (batch statistics are averages over one client's data,
        which neither clipping nor noise covers); it draws random numbers in evaluation, or in
        training from another stream than ``dropout``; it writes a variable; or it returns something
        else than floats ``[batch, ...]``.
    """
    if not isinstance(module, linen.Module):
        raise ConfigError(
            f"Expected a flax.linen module, got {type(module).__name__}: what makes a "
            "flax.nnx module goes to from_module"
        )
    of_call = modes_of_call(type(module).__call__)
    of_fields = modes(set(FLAGS) & set(vars(type(module)).get("__dataclass_fields__", ())))
    training_module = module.clone(**of_fields.training)
    evaluated_module = module.clone(**of_fields.evaluation)

    def run(params: Params, inputs: Array, rngs: dict[str, Key]) -> Array:
        # Of a module that trains, the stream says so.
        called, flags = (
            (training_module, of_call.training) if rngs else (evaluated_module, of_call.evaluation)
        )
        return checked(called.apply({"params": params}, inputs, rngs=rngs, **flags), inputs)

    run = with_own_gradients(run)

    def variables(key: Key) -> Mapping[str, Any]:
        example = jnp.zeros((1, *features), dtype)
        return evaluated_module.init({"params": key}, example, **of_call.evaluation)

    def init(key: Key) -> Params:
        return variables(key)["params"]

    def apply(params: Params, inputs: Shaped[Array, "batch ..."]) -> Float[Array, "batch ..."]:
        return run(params, inputs, {})

    def train(
        params: Params, inputs: Shaped[Array, "batch ..."], key: Key
    ) -> Float[Array, "batch ..."]:
        return run(params, inputs, {"dropout": key})

    model = Model(init, apply, train)
    key = jax.eval_shape(lambda: jax.random.key(0))
    shapes = _traced("evaluation", variables, key)
    _check_collections(shapes)
    example = jax.ShapeDtypeStruct((1, *features), jnp.dtype(dtype))
    _traced("evaluation", apply, shapes["params"], example)
    _traced("training", train, shapes["params"], example, key)
    return model


def _check_collections(shapes: Mapping[str, Any]) -> None:
    check_parameters(flatten_dict(shapes.get("params", {}), sep="."))
    others = {name: each for name, each in shapes.items() if name != "params"}
    if not others:
        return
    if "batch_stats" in others:
        raise ConfigError(
            f"The model keeps batch statistics in {', '.join(flatten_dict(others, sep='.'))}: they "
            "are averages over one client's data, which neither clipping nor noise covers; replace "
            "BatchNorm by GroupNorm or LayerNorm"
        )
    raise ConfigError(
        f"The model holds the collections {', '.join(others)} besides its parameters, expected "
        "params only: make constants in __call__"
    )


def _traced(mode: str, function: Any, *arguments: Any) -> Any:
    """The shapes of what a function gives, Flax's refusals in the words of the caller."""
    try:
        return jax.eval_shape(function, *arguments)
    except flax.errors.InvalidRngError as error:
        remedy = {
            "evaluation": "let __call__ or the module's fields take `train` or `deterministic`, "
            "and let dropout follow it",
            "training": "draw from the stream `dropout`",
        }
        raise ConfigError(
            f"The model draws random numbers in {mode} that it cannot be given ({error}): "
            f"{remedy[mode]}"
        ) from error
    except flax.errors.ModifyScopeVariableError as error:
        raise ConfigError(
            f"The model writes a variable when it is called ({error}), expected a function of "
            "inputs and parameters"
        ) from error
