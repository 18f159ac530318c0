"""Work on big numbers on several cores: processes for Python's own loops, threads for GMP's."""

import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from pride_jax.progress import Tell, silent

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")
_AT_A_TIME = 32
"""Numbers, of some milliseconds each."""


class Work(NamedTuple):
    """How work on big numbers is divided, and who is told of it.

    Attributes:
      workers: processes, or threads; 1 stays in this thread.
      tell: told how many of the numbers are done.
    """

    workers: int = 1
    tell: Tell = silent


ALONE = Work()
"""In the caller's thread, untold."""


def in_processes(
    compute: Callable[[Sequence[_Item]], list[_Result]],
    items: Sequence[_Item],
    work: Work,
    stage: str,
    size: int,
) -> list[_Result]:
    """``compute`` on all items, at most ``size`` of them at a time, in processes.

    The processes are spawned at first use, shared by all who ask for as many, and end with the
    program.
    """
    parts = _chunks(items, size)
    if work.workers == 1:
        return _gathered(work.tell, stage, parts, map(compute, parts))
    return _gathered(work.tell, stage, parts, _processes(work.workers).map(compute, parts))


def in_threads(
    compute: Callable[[Sequence[_Item]], list[_Result]],
    items: Sequence[_Item],
    work: Work,
    stage: str,
) -> list[_Result]:
    """``compute`` on all items, some at a time, in threads.

    GMP's list powers do not hold the interpreter's lock.
    """
    parts = _chunks(items, min(_AT_A_TIME, -(-len(items) // work.workers)))
    if work.workers == 1:
        return _gathered(work.tell, stage, parts, map(compute, parts))
    with ThreadPoolExecutor(work.workers) as threads:
        return _gathered(work.tell, stage, parts, threads.map(compute, parts))


@functools.cache
def _processes(workers: int) -> ProcessPoolExecutor:
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, spawn, initializer=_end_with_the_program)


def _end_with_the_program() -> None:
    """Makes a worker leave Ctrl-C to the program, and end when the program was killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    program = multiprocessing.parent_process()
    assert program is not None

    def wait() -> None:
        program.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _chunks(items: Sequence[_Item], size: int) -> list[Sequence[_Item]]:
    return [items[at : at + size] for at in range(0, len(items), size)]


def _gathered(
    tell: Tell,
    stage: str,
    parts: Sequence[Sequence[_Item]],
    results: Iterable[list[_Result]],
) -> list[_Result]:
    """All results, in order, each part told when it is done."""
    of, found = sum(map(len, parts)), []
    tell(stage, 0, of)
    for result in results:
        found += result
        tell(stage, len(found), of)
    return found
