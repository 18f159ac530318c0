"""New examples from a file, as a trained model takes them."""

import zipfile
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from pride_jax.errors import DataError

_NAMES = ("inputs", "test_images", "x")


def read_inputs(path: Path) -> Shaped[np.ndarray, "examples ..."]:
    """The inputs in a file: ``.npy``, or ``.npz`` with an array ``inputs`` or a single one.

    Args:
      path: the file.

    Raises:
      DataError: the file cannot be read, or not one array of inputs.
    """
    if path.suffix not in (".npy", ".npz"):
        raise DataError(f"{path}: expected arrays, .npy or .npz")
    try:
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            arrays = {"": stored} if isinstance(stored, np.ndarray) else dict(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path} cannot be read: {error}; expected arrays, .npy or .npz") from None
    for name in _NAMES:
        if name in arrays:
            return arrays[name]
    if len(arrays) != 1:
        raise DataError(
            f"{path} holds {', '.join(arrays)}: expected an array inputs, or a single array"
        )
    (only,) = arrays.values()
    return only
