"""What a role's owner sees while the role takes part: the server, the rounds, the end."""

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pride_jax.deploy.agreement import Agreement
from pride_jax.deploy.clock import check_clock
from pride_jax.deploy.enrolment import SECRETS
from pride_jax.deploy.finishing import FINISHED, MODEL
from pride_jax.deploy.resident import ANSWERS
from pride_jax.errors import RunError
from pride_jax.files import claimed
from pride_jax.privacy.accounting import epsilon
from pride_jax.privacy.plan import Plan
from pride_jax.reporting import metrics

Say = Callable[[str], None]

_LOOK_SECONDS, _GRACE_SECONDS = 0.5, 3.0
_KNOCK_SECONDS, _KNOCK_PATIENCE = 10.0, 2.0
_METRICS = "metrics.jsonl"
_HANDED_OUT = "If the run has ended, the server's --serve with --resume hands out the model"
LOG, _NOT_LET_IN = "role.log", b"Failed to activate SuperNode"
"""Flower 1.42's words."""


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keeps a role from joining twice from one folder.

    Raises:
      RunError: it has joined already.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(claimed(folder / SECRETS))
        except RunError:
            raise RunError(
                f"{folder} has joined already: expected one --join of it at a time; end the other "
                "one first"
            ) from None
        yield


def wait_for_server(address: str, authority: Path, say: Say) -> None:
    """Waits until a server listens, however long that takes.

    Args:
      address: host:port.
      authority: the certificate by which the server is known.
      say: shows a line.

    Raises:
      RunError: the address is none, or it is another server's, or the clocks differ.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise RunError(f"{address!r}: expected the server's host:port")
    told = False
    while True:
        with contextlib.suppress(OSError):
            check_clock(host, int(port), authority)
            say(f"the server is at {address}")
            return
        if not told:
            say(f"waiting for the server at {address}; Ctrl-C ends this. {_HANDED_OUT}")
            told = True
        time.sleep(_LOOK_SECONDS)


def the_end(folder: Path) -> str:
    """What is said at the end of a run, once the model is in a role's folder."""
    return f"the run has ended; the model is {folder / MODEL}"


def take_part(
    folder: Path, agreement: Agreement, address: str, process: subprocess.Popen, say: Say
) -> int:
    """Shows each round as it comes, until the run ends or the role's process does.

    Args:
      folder: the role's own.
      agreement: what it knows.
      address: of the server, host:port.
      process: the role's.
      say: shows a line.

    Returns:
      0 once the model is there; else what the process ended with.
    """
    shown = {name: len(metrics.read_so_far(folder / name)) for name in (_METRICS, ANSWERS)}
    before, told = _turned_away(folder), False
    knocked, answers = time.monotonic(), True
    while True:
        is_over, status = (folder / FINISHED).exists(), process.poll()
        for name, telling in ((_METRICS, _of_training), (ANSWERS, _of_answers)):
            rows = metrics.read_so_far(folder / name)
            for line in telling(agreement, rows[shown[name] :]):
                say(line)
            shown[name] = len(rows)
        if not told and _turned_away(folder) > before:
            say(
                "the server does not let this role in: another --join with its keys is connected, "
                "or was until just now; it is tried again and again, Ctrl-C ends this"
            )
            told = True
        if time.monotonic() - knocked > _KNOCK_SECONDS:
            answered, answers = answers, _answers(address)
            knocked = time.monotonic()
            if answers and not answered:
                say(f"the server is at {address} again")
            if answered and not answers:
                say(f"the server at {address} does not answer, and is waited for. {_HANDED_OUT}")
        if is_over:
            # The server waits for the answer to its last message.
            time.sleep(_GRACE_SECONDS)
            say(the_end(folder))
            return 0
        if status is not None:
            return status
        time.sleep(_LOOK_SECONDS)


def _answers(address: str) -> bool:
    """Whether anybody listens there."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError):
        socket.create_connection((host, int(port)), _KNOCK_PATIENCE).close()
        return True
    return False


def _turned_away(folder: Path) -> int:
    """How often the SuperLink has not let a role's node in."""
    log = folder / LOG
    return log.read_bytes().count(_NOT_LET_IN) if log.exists() else 0


def _of_training(agreement: Agreement, rows: list[metrics.Row]) -> Iterator[str]:
    """A line a round in which the party trained: all of it is for the party alone."""
    for row in rows:
        done = row["round"] + 1
        told = f"round {done} of {agreement.config.rounds}: trained"
        if row.get("loss") is not None and row.get("examples"):
            told += f", own loss {row['loss'] / row['examples']:.4f}"
        if isinstance(agreement.plan, Plan):
            spent = epsilon(agreement.plan, min(done, agreement.plan.rounds))
            told += f"; ε of all rounds so far {spent:.3g}, of {epsilon(agreement.plan):.3g}"
        yield told


def _of_answers(_: Agreement, rows: list[metrics.Row]) -> Iterator[str]:
    """A line for each answer but those of training and of the end, which have their own."""
    for row in rows:
        if row["kind"] not in ("train", "finish"):
            yield f"answered: {row['kind']}"
