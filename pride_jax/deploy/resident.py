"""A role's own process: ``python -m pride_jax.deploy.resident FOLDER``.

It alone has the role's keys and examples, and keeps what it has imported, read and compiled from
one message to the next. Flower starts a process for every message, which asks this one, see `wire`.
What the role must remember when this process dies is on disk before it answers, see `memory`.
"""

import contextlib
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from pride_jax.deploy.agreement import Record
from pride_jax.deploy.roles import awake
from pride_jax.deploy.wire import check_peer, listening, receive, send
from pride_jax.errors import PrideError, ProtocolError
from pride_jax.reporting import metrics

ANSWERS = "answers.jsonl"
"""In a role's own folder: what each of its answers took of a processor."""
_LONGEST_KIND = 20
_PATIENCE_SECONDS, _LOOK_SECONDS = 60.0, 1.0

Respond = Callable[[Record], Record]


def serve(folder: Path, respond: Respond) -> None:
    """Answers one request after another, until the process that started this one is gone.

    Args:
      folder: the role's own.
      respond: request -> reply; it raises `PrideError` where it refuses. Whatever else it raises
        ends this process: what it keeps may be half changed.

    Raises:
      RunError: another process answers for this role.
      ProtocolError: others can enter the socket's folder.
    """
    parent = os.getppid()
    with listening(folder) as listener:
        listener.settimeout(_LOOK_SECONDS)
        while os.getppid() == parent:
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                with connection:
                    _answer(folder, respond, connection)


def _answer(folder: Path, respond: Respond, connection: socket.socket) -> None:
    """Answers one connection; a refusal is a reply, too."""
    connection.settimeout(_PATIENCE_SECONDS)
    with contextlib.suppress(OSError):
        try:
            check_peer(connection)
        except ProtocolError as error:
            print(error, file=sys.stderr)
            return
        kind, start = "", _processor()
        try:
            request = receive(connection)
            kind = str(request.get("kind"))[:_LONGEST_KIND]
            reply = respond(request)
        except PrideError as error:
            reply = {"refused": str(error)}
        # For the role's owner: whoever asked could learn something of a secret from it.
        row = {"kind": kind, "processor_seconds": _processor() - start}
        metrics.append(folder / ANSWERS, row)
        send(connection, reply)


def _processor() -> float:
    return sum(os.times()[:4])


def remembering(folder: Path) -> Respond:
    """What a role answers; it is read when it is first asked, and again until that succeeds."""
    found: list[Respond] = []

    def respond(request: Record) -> Record:
        if not found:
            found.append(awake(folder))
        return found[0](request)

    return respond


def main(folder: Path) -> None:
    """Is the process of a role."""
    respond = remembering(folder)
    serve(folder, respond)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
