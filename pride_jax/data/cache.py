"""Whole data sets kept in one file each, so that a slow source is read only once."""

import os
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np

from pride_jax.data.examples import Absent, Examples, PublishedSet


def cache_folder() -> Path:
    """Where sets are kept: `PRIDE_CACHE_DIR`, or `~/.cache/pride_jax/datasets`."""
    return Path(os.environ.get("PRIDE_CACHE_DIR") or "~/.cache/pride_jax/datasets").expanduser()


def read_cache(key: str) -> PublishedSet | Absent:
    """The set kept under a key.

    Args:
        key: the set's name and version, and whatever else tells its content from another's.

    Returns:
        The set, or why it cannot be had: a damaged file counts as none, it can be made anew.
    """
    path = cache_folder() / f"{key}.npz"
    try:
        with path.open("rb") as file, np.load(file) as stored:
            arrays = dict(stored)
        return PublishedSet(
            name=str(arrays["name"]),
            train=Examples(arrays["train_inputs"], arrays["train_targets"]),
            test=Examples(arrays["test_inputs"], arrays["test_targets"])
            if "test_inputs" in arrays
            else None,
            outputs=int(arrays["outputs"]),
            shift=arrays["shift"],
            scale=arrays["scale"],
            notes=tuple(map(str, arrays["notes"])),
            # Sets that were kept before classes had names.
            class_names=tuple(map(str, arrays.get("class_names", ()))),
            input_names=tuple(map(str, arrays.get("input_names", ()))),
        )
    except FileNotFoundError:
        return Absent(f"cache: no {path}")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        return Absent(f"cache: {path} cannot be read ({error})")


def write_cache(key: str, published: PublishedSet) -> None:
    """Keep a set, whole or not at all; where that is impossible a warning says so.

    Args:
        key: as for `read_cache`.
        published: a set without groups.
    """
    arrays = {
        "name": np.array(published.name),
        "train_inputs": published.train.inputs,
        "train_targets": published.train.targets,
        "outputs": np.array(published.outputs),
        "shift": published.shift,
        "scale": published.scale,
        "notes": np.array(published.notes, np.str_),
        "class_names": np.array(published.class_names, np.str_),
        "input_names": np.array(published.input_names, np.str_),
    }
    if published.test is not None:
        arrays |= {"test_inputs": published.test.inputs, "test_targets": published.test.targets}
    folder = cache_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            unfinished = Path(scratch) / "set.npz"
            np.savez(unfinished, allow_pickle=False, **arrays)
            unfinished.replace(folder / f"{key}.npz")
    except OSError as error:
        warnings.warn(
            f"{published.name} could not be kept in {folder} ({error}), so it will be read anew "
            "next time; set PRIDE_CACHE_DIR to a folder that can be written",
            RuntimeWarning,
            stacklevel=2,
        )
