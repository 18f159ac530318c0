"""Writing files so that a crash leaves the old one or the new one, never half of one."""

import contextlib
import fcntl
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pride_jax.errors import RunError


@contextlib.contextmanager
def explained(action: str, path: Path) -> Iterator[None]:
    """Turns the system's refusal to read or write into one line that says what to do.

    Raises:
      RunError: for any `OSError` within.
    """
    try:
        yield
    except OSError as error:
        raise RunError(
            f"Cannot {action} {path}: {error.strerror or error}. Check its permissions and the "
            "space left, or choose another --workdir; what is there is complete and can be resumed"
        ) from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replaces a file in one step.

    Raises:
      RunError: it cannot be written; the old content stays.
    """
    with explained("write", path):
        descriptor, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        temporary = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            temporary.chmod(0o644)
            temporary.replace(path)
            _sync_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise


def _sync_folder(folder: Path) -> None:
    """Waits until the names in a folder are on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def claimed(folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Keeps other processes out of a folder that exists.

    Args:
      folder: it.
      wait: until another process, which has it, is done.

    Raises:
      RunError: another process has it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    except BlockingIOError:
        raise RunError(
            f"{folder} is in use by another process: wait for its end, or choose another --workdir"
        ) from None
    finally:
        os.close(descriptor)


def write_json(path: Path, content: Any) -> None:
    """Replaces a JSON file in one step; raises `RunError` as `write_atomically` does."""
    write_atomically(path, json.dumps(content, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
      RunError: it cannot be read or is not JSON.
    """
    with explained("read", path):
        try:
            return json.loads(path.read_text())
        except (ValueError, RecursionError) as error:
            raise RunError(f"{path} is not JSON: {error}; restore it or start anew") from None
