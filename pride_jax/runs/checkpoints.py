"""Saving what a run carries from round to round, and getting it back bit for bit."""

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, PyTree

from pride_jax.errors import RunError
from pride_jax.files import explained, write_atomically

_KEPT = 2


class Checkpoints(NamedTuple):
    """A folder of checkpoints, one NumPy ``.npz`` file a round, whole or not there.

    Attributes:
      save: round, tree -> None; the two latest are kept.
      latest: the newest round saved, or None.
      restore: round, a tree of the same structure -> the tree that was saved, as NumPy arrays.
      read: round -> the arrays that were saved, by their names in `named_leaves`.
    """

    save: Callable[[int, PyTree[Array]], None]
    latest: Callable[[], int | None]
    restore: Callable[[int, PyTree[Array]], PyTree[Array]]
    read: Callable[[int], dict[str, np.ndarray]]


def checkpoints(
    folder: Path,
    write: Callable[[Path, bytes], None] = write_atomically,
    read: Callable[[Path], bytes] = Path.read_bytes,
) -> Checkpoints:
    """Opens a folder of checkpoints, which is made with the first of them.

    Whatever is given is saved: leave keys and other secrets out. A tree without leaves is not.

    Args:
      folder: of the files.
      write: makes a file of bytes, all of it or nothing.
      read: its inverse.

    Raises (all functions):
      RunError: the folder cannot be written, or holds something else than was asked for.
    """

    def file(round_: int) -> Path:
        return folder / f"{round_}.npz"

    def rounds() -> list[int]:
        stems = (path.stem for path in folder.glob("*.npz"))
        return sorted(int(stem) for stem in stems if stem.isdecimal())

    def save(round_: int, tree: PyTree[Array]) -> None:
        if not jax.tree.leaves(tree):
            return
        content = io.BytesIO()
        arrays = {name: np.asarray(leaf) for name, leaf in named_leaves(tree).items()}
        np.savez(content, **arrays)  # pyright: ignore[reportArgumentType]
        with explained("write to", folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write(file(round_), content.getvalue())
            # What is later is of rounds that were lost, and are trained again.
            kept = [each for each in rounds() if each <= round_][-_KEPT:]
            for other in set(rounds()) - set(kept):
                file(other).unlink()

    def latest() -> int | None:
        return max(rounds(), default=None)

    def restore(round_: int, like: PyTree[Array]) -> PyTree[Array]:
        leaves = named_leaves(like)
        if not leaves:
            return like
        saved = _read(file(round_), read)
        if _shapes(saved) != _shapes(leaves):
            raise RunError(
                f"{file(round_)} holds {_shapes(saved)}, expected {_shapes(leaves)}: it is of "
                "another run; restore the run's own, or start anew"
            )
        return jax.tree.unflatten(jax.tree.structure(like), [saved[name] for name in leaves])

    return Checkpoints(save, latest, restore, lambda round_: _read(file(round_), read))


def _read(path: Path, read: Callable[[Path], bytes]) -> dict[str, np.ndarray]:
    with explained("read", path):
        try:
            with np.load(io.BytesIO(read(path))) as saved:
                return dict(saved)
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise RunError(
                f"{path} is damaged ({error}): remove it to resume from the one before it"
            ) from error


def named_leaves(tree: PyTree[Array]) -> dict[str, Array]:
    """Leaves by their path, e.g. ``params/layers/0/kernel``."""
    leaves, _ = jax.tree.flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _shapes(leaves: dict[str, np.ndarray] | dict[str, Array]) -> dict[str, str]:
    return {name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in leaves.items()}
