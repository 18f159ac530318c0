"""New examples from a file, as a trained model takes them."""

from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from pride_jax.data import columns
from pride_jax.data.images import ARCHIVES, SUFFIXES, read_images
from pride_jax.data.npz import read_arrays
from pride_jax.errors import DataError
from pride_jax.runs.models import Seen

_NAMES = ("inputs", "test_images", "x")


def read_inputs(
    path: Path, seen: Seen, columns_: columns.Columns
) -> Shaped[np.ndarray, "examples ..."]:
    """The inputs in a file, by its ending.

    - ``.csv`` and ``.parquet``: a row for each example, with the columns of the run's own table;
    - an image, or a folder or an archive of images, in the order of their paths;
    - ``.npy``, or ``.npz`` with an array ``inputs`` or a single one.

    Args:
      path: the file.
      seen: what the model takes.
      columns_: what was what in the run's own table.

    Raises:
      DataError: the file cannot be read, or not as inputs of the model.
    """
    if path.suffix in (".csv", ".parquet"):
        if not seen.input_names:
            raise DataError(
                f"{path}: the run was not trained on a table; expected arrays, .npy or .npz, of "
                f"{['examples', *seen.features]}"
            )
        return columns.read_inputs(path, columns_, seen.input_names)
    if path.is_dir() or path.name.lower().endswith((*SUFFIXES, *ARCHIVES)):
        return read_images(path)
    if path.suffix not in (".npy", ".npz"):
        raise DataError(
            f"{path}: expected a table (.csv, .parquet), images, or arrays (.npy, .npz)"
        )
    return _arrays_in(path)


def _arrays_in(path: Path) -> Shaped[np.ndarray, "examples ..."]:
    if path.suffix == ".npy":
        try:
            return np.load(path)
        except (OSError, ValueError, EOFError) as error:
            raise DataError(f"{path} cannot be read: {error}; expected an array, .npy") from None
    arrays = read_arrays(path)
    for name in _NAMES:
        if name in arrays:
            return arrays[name]
    if len(arrays) != 1:
        raise DataError(
            f"{path} holds {', '.join(arrays)}: expected an array inputs, or a single array"
        )
    (only,) = arrays.values()
    return only
