"""New examples from a file, as a trained model takes them."""

from pathlib import Path

import numpy as np
from jaxtyping import Int32, Shaped

from pride_jax.data import columns
from pride_jax.data.images import ARCHIVES, SUFFIXES, read_images
from pride_jax.data.npz import read_arrays
from pride_jax.data.text import CHARACTERS, encode, read_lines
from pride_jax.errors import DataError
from pride_jax.runs.models import Seen

TEXT = ".txt"

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
            f"{path}: expected a table (.csv, .parquet), images, a text (.txt), or arrays (.npy, "
            ".npz)"
        )
    return _arrays_in(path)


def read_prompts(
    path: Path, seen: Seen
) -> tuple[Int32[np.ndarray, "lines length"], Int32[np.ndarray, "lines"]]:
    """The lines of a text, of each the last characters that the model takes.

    Args:
      path: the file, in UTF-8; empty lines are no prompts.
      seen: what the model takes.

    Returns:
      The tokens, and where each line's last one is. What stands behind it is no part of the line,
      and no model of next tokens looks there.

    Raises:
      DataError: the file cannot be read, has no line, or the run was not trained on a text.
    """
    if seen.class_names != CHARACTERS or len(seen.features) != 1:
        raise DataError(
            f"{path}: the run was not trained on a text; expected inputs of "
            f"{['examples', *seen.features]}"
        )
    lines = [line for line in read_lines(path) if line]
    if not lines:
        raise DataError(f"{path} is empty: expected a line for each text that is to go on")
    (length,) = seen.features
    prompts, ends = np.zeros((len(lines), length), np.int32), np.zeros(len(lines), np.int32)
    for number, line in enumerate(lines):
        tokens = encode(line[-length:])
        prompts[number, : len(tokens)], ends[number] = tokens, len(tokens) - 1
    return prompts, ends


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
