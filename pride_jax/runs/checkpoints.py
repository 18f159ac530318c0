"""Saving what a run carries from round to round, and getting it back bit for bit."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
from jaxtyping import Array, PyTree

from pride_jax.errors import RunError
from pride_jax.runs.files import explained


class Checkpoints(NamedTuple):
    """A folder of checkpoints; one that was not finished is as if it had never been begun.

    Attributes:
      save: round, tree -> None; the two latest are kept.
      latest: the newest round saved, or None.
      restore: round, a tree of the same structure -> the tree that was saved.
      close: releases the folder.
    """

    save: Callable[[int, PyTree[Array]], None]
    latest: Callable[[], int | None]
    restore: Callable[[int, PyTree[Array]], PyTree[Array]]
    close: Callable[[], None]


def checkpoints(folder: Path) -> Checkpoints:
    """Opens a folder of checkpoints (Orbax), making it if needed.

    Whatever is given is saved: leave keys and other secrets out.

    Raises (all functions):
      RunError: the folder cannot be written, or holds something else than was asked for.
    """
    import orbax.checkpoint as ocp

    options = ocp.CheckpointManagerOptions(max_to_keep=2, enable_async_checkpointing=False)
    with explained("open checkpoints in", folder):
        manager = ocp.CheckpointManager(folder.absolute(), options=options)

    def save(round_: int, tree: PyTree[Array]) -> None:
        # Orbax reports a full disk as a ValueError.
        with explained("save a checkpoint in", folder, ValueError):
            manager.save(round_, args=ocp.args.StandardSave(_named_leaves(tree)), force=True)

    def restore(round_: int, like: PyTree[Array]) -> PyTree[Array]:
        try:
            saved = manager.restore(round_, args=ocp.args.StandardRestore(_named_leaves(like)))
        except (ValueError, OSError) as error:
            raise RunError(
                f"The checkpoint of round {round_} in {folder} cannot be restored: {error}. "
                "Remove its folder to resume from the one before it"
            ) from error
        return jax.tree.unflatten(jax.tree.structure(like), list(saved.values()))

    return Checkpoints(save, manager.latest_step, restore, manager.close)


def _named_leaves(tree: PyTree[Array]) -> dict[str, Array]:
    leaves = jax.tree.leaves(tree)
    return {f"{number:06d}": leaf for number, leaf in enumerate(leaves)}
