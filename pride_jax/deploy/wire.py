"""A role's socket: Flower's process for one message asks the role's own process through it.

Only processes of the same user reach the socket: its folder has mode 0700, the socket 0600, and
both sides look up whose process the other is.
"""

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack

from pride_jax.aggregation.owner_only import refuse_shared
from pride_jax.errors import ProtocolError
from pride_jax.files import claimed

RECORD = "pride"
"""Under this name a message of Flower's has what it says."""
FOLDER = "resident"
"""The socket's folder, in a role's own."""
_SOCKET = "socket"
_LENGTH = struct.Struct(">Q")
_LARGEST_BYTES = 2**32
_ATTEMPTS, _START_SECONDS, _AGAIN_SECONDS, _LOOK_SECONDS = 2, 60.0, 1.0, 0.05


@contextlib.contextmanager
def listening(folder: Path) -> Iterator[socket.socket]:
    """The socket that the process of a role listens on.

    Args:
      folder: the role's own.

    Raises:
      RunError: another process listens for this role.
      ProtocolError: others can enter the socket's folder.
    """
    own = folder / FOLDER
    own.mkdir(mode=0o700, exist_ok=True)
    # Before anything in it is changed: the socket of a process that lives stays.
    with claimed(own), _path_in(folder) as path, socket.socket(socket.AF_UNIX) as listener:
        Path(path).unlink(missing_ok=True)
        listener.bind(path)
        Path(path).chmod(0o600)
        listener.listen()
        yield listener


def ask(folder: Path, request: dict[str, Any]) -> dict[str, Any]:
    """What the process of a role answers.

    A process that ends before it has answered is begun again, and asked once more: the same
    question gets the same answer.

    Args:
      folder: the role's own.
      request: names and their numbers, texts, bytes, or lists of such.

    Raises:
      ProtocolError: the socket is another user's, or others can enter its folder.
    """
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(OSError), _connected(folder) as connection:
            send(connection, request)
            return receive(connection)
        # What ends may take a connection for a moment still, which would count as asked.
        time.sleep(_AGAIN_SECONDS)
    return {"refused": "this role's process ends when it is asked this: its own log tells why"}


def check_peer(connection: socket.socket) -> None:
    """Refuses to speak with another user's process.

    Raises:
      ProtocolError: as above.
    """
    content = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, user, _ = struct.unpack("3i", content)
    if user != os.geteuid():
        raise ProtocolError(f"A process of user {user}: expected one of user {os.geteuid()}")


def send(connection: socket.socket, record: dict[str, Any]) -> None:
    """Sends a record; raises `OSError` where the other side is gone."""
    content: bytes = msgpack.packb(record)  # pyright: ignore[reportAssignmentType]
    connection.sendall(_LENGTH.pack(len(content)))
    connection.sendall(content)


def receive(connection: socket.socket) -> dict[str, Any]:
    """The record that the other side sends.

    Raises:
      ProtocolError: it is none.
      OSError: the other side is gone, or sends too slowly for the connection's timeout.
    """
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    if length > _LARGEST_BYTES:
        raise ProtocolError(f"A record of {length} bytes: expected at most {_LARGEST_BYTES}")
    try:
        record = msgpack.unpackb(_exactly(connection, length))
    except (ValueError, msgpack.UnpackException) as error:
        raise ProtocolError(f"A record of {length} bytes is damaged ({error})") from None
    if not isinstance(record, dict):
        raise ProtocolError(f"A {type(record).__name__}: expected a record of names and values")
    return record


def _exactly(connection: socket.socket, length: int) -> bytearray:
    content = bytearray()
    while len(content) < length:
        part = connection.recv(min(length - len(content), 2**20))
        if not part:
            raise ConnectionResetError("the other side is gone")
        content += part
    return content


@contextlib.contextmanager
def _connected(folder: Path) -> Iterator[socket.socket]:
    """A connection to a role's process, which may be about to start."""
    end = time.monotonic() + _START_SECONDS
    with contextlib.ExitStack() as stack:
        while True:
            connection = stack.enter_context(socket.socket(socket.AF_UNIX))
            try:
                with _path_in(folder) as path:
                    connection.connect(path)
                break
            except OSError:
                if time.monotonic() > end:
                    raise
            connection.close()
            time.sleep(_LOOK_SECONDS)
        check_peer(connection)
        yield connection


@contextlib.contextmanager
def _path_in(folder: Path) -> Iterator[str]:
    """A short path of the socket: a socket's may have 107 bytes, a folder's many more."""
    descriptor = os.open(folder / FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        refuse_shared(folder / FOLDER, os.fstat(descriptor), "chmod 700")
        yield f"/proc/self/fd/{descriptor}/{_SOCKET}"
    finally:
        os.close(descriptor)
