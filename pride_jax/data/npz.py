"""Arrays in an `.npz` file: MedMNIST's layout, or one's own names."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pride_jax.data.arrays import Own, published_arrays
from pride_jax.data.columns import Columns
from pride_jax.data.examples import PublishedSet
from pride_jax.data.medmnist import KEYS, medmnist
from pride_jax.errors import DataError


def load_npz(path: Path, columns: Columns) -> PublishedSet:
    """Load arrays of any shape, with the rules of `Dataset.from_arrays`.

    Unless the file is laid out as MedMNIST's, it holds `inputs` `[n, *features]` and `targets`, or
    arrays that `columns` names. Where it also holds `test_inputs` and `test_targets` (or `test_`
    before the names), these are the test examples. Arrays `shift`, `scale` and `class_names` are
    public, and used if they are there.

    Args:
        path: the file.
        columns: `inputs`, `target`, `group`, `quantity` and `test` count.

    Returns:
        The set, named after the file.

    Raises:
        DataError: the file cannot be read, lacks an array, or an array is refused.
    """
    arrays = read_arrays(path)
    if not (columns.inputs or columns.target) and set(KEYS) & arrays.keys():
        return medmnist(path, arrays)
    inputs, target = columns.inputs or "inputs", columns.target or "targets"
    train = _own(path, arrays, inputs, target, columns.group)
    tested = f"test_{inputs}", f"test_{target}", columns.group and f"test_{columns.group}"
    test = None
    if columns.test is not None:
        test = _own(columns.test, read_arrays(columns.test), inputs, target, columns.group)
    elif set(tested[:2]) & arrays.keys():
        test = _own(path, arrays, *tested)
    return published_arrays(
        path.stem,
        train,
        test,
        class_names=[str(name) for name in arrays.get("class_names", ())],
        quantity=columns.quantity,
        shift=arrays.get("shift", 0.0),
        scale=arrays.get("scale"),
    )


def _own(path: Path, arrays: Mapping[str, np.ndarray], *names: str) -> Own:
    missing = [name for name in names if name and name not in arrays]
    if missing:
        raise DataError(
            f"{path}: no {', '.join(missing)}, only {', '.join(arrays)}; expected inputs and "
            f"targets, the arrays that data.inputs, data.target and data.group name, or MedMNIST's "
            f"layout: {', '.join(KEYS)}"
        )
    return Own(*(arrays[name] if name else None for name in names))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an `.npz` file, by their names.

    Raises:
        DataError: the file cannot be read, or holds no such arrays.
    """
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise zipfile.BadZipFile("not a zip file, or cut short")
            file.seek(0)
            with np.load(file) as stored:
                return dict(stored)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); check the path") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        raise DataError(f"{path}: no .npz file of arrays ({error}); get it anew") from error
