"""A model's parameters by name, to and from safetensors files."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from pride_jax.errors import DataError
from pride_jax.files import write_atomically
from pride_jax.types import Model, Params
from pride_jax.validated import expect

_WRITTEN = "biufV"
"""Kinds of numbers; ``V`` is NumPy's for bfloat16."""


def write_parameters(
    path: Path, params: Params, metadata: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Writes parameters as a ``.safetensors`` file, which any framework reads.

    Args:
      path: of the file, which is replaced in one step.
      params: each leaf is named by its place in the tree, e.g. ``layers.0.kernel``.
      metadata: texts by name, for `read_metadata`.

    Raises:
      ConfigError: the path is none.
      DataError: the parameters are no arrays of numbers.
      RunError: the file cannot be written.
    """
    expect("path", path, Path, "a pathlib.Path: the .safetensors file to write")
    arrays = [np.asarray(leaf) for leaf in jax.tree.leaves(params)]
    if not arrays or any(leaf.dtype.kind not in _WRITTEN for leaf in arrays):
        raise DataError(
            f"params of type {type(params).__name__} are no tree of arrays of numbers: expected a "
            "model's parameters, such as algorithm.params(state)"
        )
    write_atomically(path, safetensors.numpy.save(named_arrays(params), dict(metadata) or None))


def read_metadata(path: Path) -> dict[str, str]:
    """The texts that a ``.safetensors`` file holds beside its arrays.

    Raises:
      DataError: the file is absent or no safetensors file.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            return file.metadata() or {}
    except (OSError, safetensors.SafetensorError) as error:
        raise DataError(f"{path} cannot be read as a safetensors file: {error}") from error


def named_arrays(params: Params) -> dict[str, np.ndarray]:
    """Parameters as plain arrays by name, e.g. ``layers.0.kernel``."""
    # The safetensors library writes the memory of an array, whatever its order.
    return {name: np.asarray(leaf, order="C") for name, leaf in _named(params).items()}


def read_parameters(path: Path, model: Model) -> Params:
    """Reads the parameters of a model from a ``.safetensors`` file.

    Args:
      path: of the file, whoever wrote it. Its names are those of `write_parameters`; ``/`` may
        stand for ``.`` between the parts.
      model: whose parameters they are.

    Raises:
      ConfigError: the path or the model is none.
      DataError: the file is absent or no safetensors file, its names, shapes or types are not
        those of the model, or a value is not finite; all that is wrong is listed.
    """
    expect("path", path, Path, "a pathlib.Path: the .safetensors file to read")
    expect("model", model, Model, "a Model, such as logistic((4,), 3)")
    return read_like(path, jax.eval_shape(model.init, jax.random.key(0)))


def read_like(path: Path, shapes: Params) -> Params:
    """As `read_parameters`, of a model whose parameters have such shapes and types."""
    try:
        tensors = safetensors.numpy.load_file(path)
    except (OSError, safetensors.SafetensorError) as error:
        raise DataError(f"{path} cannot be read as a safetensors file: {error}") from error
    found = {name.replace("/", "."): tensor for name, tensor in tensors.items()}
    expected = _named(shapes)
    wrong = [f"{name} is missing" for name in expected if name not in found]
    wrong += [f"{name} is unknown" for name in found if name not in expected]
    dotted = [name.replace("/", ".") for name in tensors]
    wrong += [f"{name} is there twice" for name in found if dotted.count(name) > 1]
    wrong += [
        f"{name} is {found[name].dtype}{list(found[name].shape)}, "
        f"expected {leaf.dtype}{list(leaf.shape)}"
        for name, leaf in expected.items()
        if name in found and (found[name].shape, found[name].dtype) != (leaf.shape, leaf.dtype)
    ]
    wrong += [
        f"{name} holds values that are not finite"
        for name in expected
        if name in found and not np.isfinite(found[name].astype(np.float32)).all()
    ]
    if wrong:
        raise DataError(f"{path} does not hold the parameters of this model: {'; '.join(wrong)}")
    leaves = [jnp.asarray(found[name]) for name in expected]
    return jax.tree.unflatten(jax.tree.structure(shapes), leaves)


def _named(params: Params) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
