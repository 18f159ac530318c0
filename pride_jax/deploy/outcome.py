"""How a run of real parties ended, in the server's folder, even where its disk is full.

The room for it is taken on the disk when the server starts.
"""

import json
import os
import shutil
from pathlib import Path

from pride_jax.files import explained, read_json

OUTCOME = "outcome.json"
_ROOM = "outcome.tmp"
_ROOM_BYTES, _LONGEST = 2**14, 2000
_FULL_BYTES = 2**16
"""With so little left, nothing that a round needs can be written."""


def take_room(folder: Path) -> None:
    """Takes the room of the outcome.

    Raises:
      RunError: there is none.
    """
    with explained("write", folder / _ROOM):
        _put(folder / _ROOM, b"")


def conclude(folder: Path, error: str | None) -> None:
    """Says how a run ended: no new room is needed.

    Args:
      folder: the server's, in which `take_room` was called.
      error: if it did not end well; cut if it is long.

    Raises:
      RunError: the folder is gone.
    """
    cut = None if error is None else error[:_LONGEST]
    with explained("write", folder / OUTCOME):
        _put(folder / _ROOM, json.dumps({"error": cut}).encode())
        (folder / _ROOM).replace(folder / OUTCOME)


def _put(path: Path, content: bytes) -> None:
    """Overwrites the room; blanks after JSON are JSON."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.ljust(_ROOM_BYTES))
        file.flush()
        os.fsync(file.fileno())


def has_ended(folder: Path) -> bool:
    """Whether there is an outcome."""
    return (folder / OUTCOME).exists()


def error_of(folder: Path) -> str | None:
    """What a run ended with; None where it ended well."""
    return read_json(folder / OUTCOME)["error"]


def full_disk(*folders: Path) -> str:
    """What to add to an error where folders have no room left; empty where all have some."""
    full = [str(each) for each in folders if shutil.disk_usage(each).free < _FULL_BYTES]
    return f"; the disk of {' and of '.join(full)} is full: make room first" if full else ""
