"""Work on big numbers on several cores: processes for Python's own loops, threads for GMP's."""

import functools
import itertools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_processes(
    compute: Callable[[Sequence[_Item]], list[_Result]],
    items: Sequence[_Item],
    workers: int,
    parts: int,
) -> list[_Result]:
    """``compute`` on all items, ``parts`` equal parts of them, in ``workers`` processes.

    The processes are spawned at first use, shared by all who ask for as many, and end with the
    program.
    """
    return _concatenate(_processes(workers).map(compute, _chunks(items, parts)))


def in_threads(
    compute: Callable[[Sequence[_Item]], list[_Result]], items: Sequence[_Item], workers: int
) -> list[_Result]:
    """``compute`` on all items, an equal part of them in each of ``workers`` threads.

    GMP's list powers do not hold the interpreter's lock.
    """
    if workers == 1:
        return compute(items)
    with ThreadPoolExecutor(workers) as threads:
        return _concatenate(threads.map(compute, _chunks(items, workers)))


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


def _chunks(items: Sequence[_Item], parts: int) -> list[Sequence[_Item]]:
    size = -(-len(items) // parts)
    return [items[at : at + size] for at in range(0, len(items), size)]


def _concatenate(parts: Iterable[list[_Result]]) -> list[_Result]:
    return list(itertools.chain.from_iterable(parts))
