"""Files that only their owner can read."""

import os
import stat
import tempfile
from pathlib import Path

from pride_jax.errors import ProtocolError


def write_owner_only(path: Path, data: bytes, *, replace: bool = False) -> None:
    """Writes a file with mode 0600 in a folder with mode 0700, all of it or nothing.

    It is on disk when this returns.

    Args:
      path: the file; its folder is made if it is missing.
      data: its content.
      replace: the file may exist.

    Raises:
      ProtocolError: the file exists, or others can enter its folder.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    refuse_shared(path.parent, path.parent.stat(), "chmod 700")
    if path.exists() and not replace:
        raise ProtocolError(
            f"{path} exists and holds a secret: move it away if it is no longer needed"
        )
    # mkstemp makes its file with mode 0600.
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_owner_only(path: Path) -> bytes:
    """The content of a file that only its owner can read.

    Raises:
      ProtocolError: it is missing, a link or a folder, or open to others.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            refuse_shared(path, os.fstat(descriptor), "chmod 600")
            return file.read()
    except OSError as error:
        raise ProtocolError(
            f"{path}: cannot read the secret ({error.strerror}), expected a plain file"
        ) from None


def refuse_shared(path: Path, status: os.stat_result, remedy: str) -> None:
    """Refuses a file or folder that others than its owner can reach, or that another user owns.

    Args:
      path: names it.
      status: of it.
      remedy: the command that takes others' access away.

    Raises:
      ProtocolError: as above.
    """
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077 or status.st_uid != os.geteuid():
        raise ProtocolError(
            f"{path} has mode {mode:04o} and owner {status.st_uid}, expected nobody but user "
            f"{os.geteuid()} to have access: `{remedy} {path}`, and if others may have read it, "
            "make a new key"
        )
