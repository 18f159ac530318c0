"""How a Flax module is called: what tells it that it trains, and what it must give."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from pride_jax.errors import ConfigError

FLAGS = {"train": True, "training": True, "is_training": True, "deterministic": False}
"""Names by which modules are told that they train, and what they are told then."""


class Modes(NamedTuple):
    """Arguments of a module's call, or fields of a module, that tell whether it trains."""

    training: dict[str, Any]
    evaluation: dict[str, Any]


def modes(names: Iterable[str]) -> Modes:
    """The flags among some names."""
    training = {name: FLAGS[name] for name in names if name in FLAGS}
    return Modes(training, {name: not value for name, value in training.items()})


def modes_of_call(call: Callable) -> Modes:
    """The flags that the ``__call__`` of a module takes.

    Args:
      call: ``type(module).__call__``; the first argument is the module, the second the inputs.

    Raises:
      ConfigError: the call takes no inputs, or needs an argument besides them that is no flag.
    """
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = list(inspect.signature(call).parameters.values())[1:]
    if not parameters:
        raise ConfigError("The module's __call__ takes no argument, expected the inputs")
    rest = [parameter for parameter in parameters[1:] if parameter.kind in named]
    unknown = [
        parameter.name
        for parameter in rest
        if parameter.name not in FLAGS and parameter.default is inspect.Parameter.empty
    ]
    if unknown:
        raise ConfigError(
            f"The module's __call__ needs {', '.join(unknown)} besides its inputs, expected "
            f"arguments with a default or one of {', '.join(FLAGS)}"
        )
    return modes(parameter.name for parameter in rest)


def check_parameters(shapes: Mapping[str, Any]) -> None:
    """Refuses a module without parameters, and parameters that are not float32.

    Raises:
      ConfigError: naming them.
    """
    if not shapes:
        raise ConfigError("The model has no parameters, expected at least one")
    others = [f"{name} ({leaf.dtype})" for name, leaf in shapes.items() if leaf.dtype != "float32"]
    if others:
        raise ConfigError(
            f"The model's parameters {', '.join(others)} are not float32: make them float32 "
            "(param_dtype) and choose the precision of training apart from them"
        )


def checked(outputs: object, inputs: Array) -> Float[Array, "batch ..."]:
    """What a module gave, in float32.

    Raises:
      ConfigError: the outputs are not floats with one row an input.
    """
    batch = inputs.shape[0]
    expected = f"expected an array of floats [batch={batch}, ...] for inputs {inputs.shape}"
    if not isinstance(outputs, jax.Array):
        raise ConfigError(f"The module gives a {type(outputs).__name__}, {expected}")
    if outputs.shape[:1] != (batch,) or not jnp.issubdtype(outputs.dtype, jnp.floating):
        raise ConfigError(f"The module gives {outputs.dtype}{list(outputs.shape)}, {expected}")
    return outputs.astype(jnp.float32)


def joined(path: Iterable[Any]) -> str:
    """The name of a leaf, as error messages and files say it."""
    return ".".join(map(str, path))
