"""Several processes that train one model together: process 0 leads and keeps all files.

Every process builds the same functions from the same settings and holds the examples of its own
clients. Process 0 tells the others what to do next, so that it alone reads the run's folder,
decides and writes. With one process, nothing here does anything.

The processes of a run trust one another and their network: the key of noise and cohorts travels.
"""

import contextlib
import json
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Array, PyTree, Shaped, UInt32

from pride_jax.errors import ConfigError, PrideError, RunError
from pride_jax.settings import own

Tree = TypeVar("Tree", bound=PyTree[Array])
_PATIENCE = 60.0
"""Seconds for which processes wait for one another at the start."""
_ANSWER_SECONDS = 2.0
_NUMBER_BYTES = 8
_COME_IN = b"come in"


NO_WORDS = (0,) * 8
"""In the place of a key's 256 bits where there is none."""


class Action(IntEnum):
    """What a process may be told to do."""

    STOP = 0
    BEGIN = 1
    TRAIN = 2
    REVIEW = 3
    SAVE = 4


class Order(NamedTuple):
    """What process 0 tells the others to do next.

    Attributes:
      action: what.
      round: from which a run goes on, for ``BEGIN``; until which to train, for ``TRAIN``.
      words: the key of noise and cohorts, for ``BEGIN``; a secret.
    """

    action: Action
    round: int = 0
    words: tuple[int, ...] = NO_WORDS

    def __repr__(self) -> str:
        return f"Order({self.action.name}, round={self.round})"


@contextlib.contextmanager
def joined(coordinator: str, processes: int, process: int) -> Iterator[None]:
    """Makes this process one of several, until the block ends; begin it before JAX computes.

    Args:
      coordinator: ``address:port`` of process 0, at which it will listen.
      processes: how many there are.
      process: this one's number, from 0.

    Raises:
      ConfigError: the numbers or the address are impossible.
      RunError: somebody did not come within a minute, see `meet`.
    """
    if not 0 <= process < processes:
        raise ConfigError(
            f"process={process} of processes={processes}: expected 0 to {processes - 1}"
        )
    if not coordinator.rpartition(":")[2].isdecimal() or ":" not in coordinator:
        raise ConfigError(
            f"coordinator={coordinator!r}: expected ADDRESS:PORT of process 0, such as "
            "192.0.2.1:9876"
        )
    with meet(coordinator, processes, process) as others:
        # Otherwise the survivors of a lost process are killed before they can say so.
        jax.config.update("jax_enable_recoverability", True)
        try:
            jax.distributed.initialize(coordinator, processes, process)
        except (RuntimeError, ValueError) as error:
            raise RunError(
                f"Process {process} of {processes} could not join the others at {coordinator} "
                f"({_first_line(error)}): start all of them anew"
            ) from error
        try:
            yield
        except KeyboardInterrupt:
            # They may be waiting for this process: its loss tells them.
            others.clear()
            raise
        finally:
            if process == 0:
                # Whoever is still connected when process 0 leaves is killed by JAX.
                _wait_for_ends(others)
            jax.distributed.shutdown()


@contextlib.contextmanager
def meet(
    coordinator: str, processes: int, process: int, patience: float = _PATIENCE
) -> Iterator[list[socket.socket]]:
    """Waits until all processes are there: JAX itself would kill a process whose others are late.

    Args:
      coordinator: see `joined`.
      processes: see `joined`.
      process: see `joined`.
      patience: seconds to wait.

    Returns:
      Connections, open until the block ends: process 0's to all others, theirs to process 0.

    Raises:
      RunError: somebody is missing, or two processes have the same number.
    """
    address, _, port = coordinator.rpartition(":")
    deadline = time.monotonic() + patience
    late = (
        f"within {patience:g} s: start all of them, with the same --coordinator and --processes "
        "and each with its own --process"
    )
    with contextlib.ExitStack() as stack:
        if process == 0:
            came = _gather(int(port), processes, deadline, stack)
            if missing := sorted(set(range(1, processes)) - came.keys()):
                raise RunError(f"Of {processes} processes, {missing} did not come {late}")
            for caller in came.values():
                caller.sendall(_COME_IN)
            yield list(came.values())
            return
        caller = _let_in((address, int(port)), process, deadline)
        if caller is None:
            raise RunError(f"Process {process} was not let in at {coordinator} {late}")
        yield [stack.enter_context(caller)]


def _gather(
    port: int, processes: int, deadline: float, stack: contextlib.ExitStack
) -> dict[int, socket.socket]:
    """Process 0's part of `meet`: who came, each number once."""
    came: dict[int, socket.socket] = {}
    try:
        with socket.create_server(("", port)) as listener:
            while len(came) < processes - 1 and (left := deadline - time.monotonic()) > 0:
                listener.settimeout(left)
                with contextlib.suppress(TimeoutError):
                    caller = stack.enter_context(listener.accept()[0])
                    caller.settimeout(_ANSWER_SECONDS)
                    number = caller.recv(_NUMBER_BYTES).strip()
                    if number.isdigit() and 0 < int(number) < processes:
                        came.setdefault(int(number), caller)
    except OSError as error:
        raise RunError(
            f"Process 0 cannot listen on port {port}: {error.strerror or error}; choose another"
        ) from error
    return came


def _let_in(address: tuple[str, int], process: int, deadline: float) -> socket.socket | None:
    """The other processes' part of `meet`: the connection to process 0."""
    while (left := deadline - time.monotonic()) > 0:
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            caller = stack.enter_context(socket.create_connection(address, left))
            caller.sendall(f"{process}".rjust(_NUMBER_BYTES).encode())
            caller.settimeout(max(0.1, deadline - time.monotonic()))
            if caller.recv(len(_COME_IN)) != _COME_IN:
                return None
            stack.pop_all()
            return caller
        time.sleep(0.2)
    return None


def _wait_for_ends(others: Sequence[socket.socket]) -> None:
    """Waits until the other processes have closed their connections, or are gone."""
    for other in others:
        other.settimeout(_PATIENCE)
        with contextlib.suppress(OSError):
            other.recv(1)


def tell(order: Order) -> None:
    """Process 0 tells all others what to do next; they `hear` it."""
    _broadcast(np.array([order.action, order.round, *order.words], np.uint32))


def hear() -> Order:
    """What process 0 tells this one to do next.

    Raises:
      RunError: process 0 was lost.
    """
    nothing = np.zeros(2 + len(NO_WORDS), np.uint32)
    action, round_, *words = _broadcast(nothing).tolist()
    return Order(Action(action), round_, tuple(words))


def dismiss() -> None:
    """Process 0 lets all others end, as far as they are still there."""
    with contextlib.suppress(RunError):
        tell(Order(Action.STOP))


@contextlib.contextmanager
def dismissing() -> Iterator[None]:
    """Lets the others end if process 0 cannot go on."""
    try:
        yield
    except PrideError:
        dismiss()
        raise


def share(tree: Tree) -> Tree:
    """Process 0's arrays, in every process; each gives a tree of the same shapes."""
    if jax.process_count() == 1:
        return tree
    with unbroken():
        return multihost_utils.broadcast_one_to_all(tree)


def add_up(counts: Shaped[np.ndarray, "..."]) -> Shaped[np.ndarray, "..."]:
    """The sum over processes, in each of them."""
    if jax.process_count() == 1:
        return counts
    # As words, since JAX would make 32 bits of numbers of 64.
    words = np.ascontiguousarray(counts).view(np.uint32)
    with unbroken():
        gathered = np.asarray(multihost_utils.process_allgather(words))
    return gathered.view(counts.dtype).sum(axis=0)


def check_code(code: own.Code) -> None:
    """Refuses, in every process, that one of them has other code of the user's own.

    Args:
      code: this process's.

    Raises:
      ConfigError: a file or module differs between processes.
      RunError: another process was lost.
    """
    if jax.process_count() > 1:
        check_alike([json.loads(each) for each in _gather_texts(json.dumps(dict(code.digests)))])


def check_alike(digests: Sequence[Mapping[str, str]]) -> None:
    """Refuses processes whose own code is not that of process 0.

    Args:
      digests: of each process, by file or module.

    Raises:
      ConfigError: a file or module differs; the message has its name and both digests.
    """
    for process, found in enumerate(digests):
        own.compare(digests[0], found, f"process {process}", "in process 0")


def _gather_texts(text: str) -> list[str]:
    """Every process's text, in each of them."""
    content = np.frombuffer(text.encode(), np.uint8)
    with unbroken():
        lengths = np.ravel(multihost_utils.process_allgather(np.array([len(content)], np.uint32)))
        padded = np.zeros(lengths.max(), np.uint8)
        padded[: len(content)] = content
        rows = np.asarray(multihost_utils.process_allgather(padded))
    return [bytes(row[:length]).decode() for row, length in zip(rows, lengths, strict=True)]


@contextlib.contextmanager
def unbroken() -> Iterator[None]:
    """Says what it means when devices of several processes cannot go on together.

    Raises:
      RunError: another process was lost.
    """
    try:
        yield
    except PrideError:
        raise
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        if jax.process_count() == 1:
            raise
        raise RunError(
            f"Process {jax.process_index()} lost the others ({_first_line(error)}): see what they "
            "say, then start all of them again with --resume; their number may change"
        ) from error


def _broadcast(words: UInt32[np.ndarray, "words"]) -> UInt32[np.ndarray, "words"]:
    return np.asarray(share(words))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:200]
