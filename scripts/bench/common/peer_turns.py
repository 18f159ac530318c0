"""Contestants that do the same work in turn, each in a process of its own."""

import contextlib
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import jax

from bench.common.peer_environments import PEERS
from bench.common.peer_process import Driver, driver
from bench.common.peer_works import Work
from bench.scale import matmul
from pride_jax.errors import RunError
from pride_jax.runs.devices import use_cores

NORM, NOISE_MULTIPLIER = 5.0, 1e-3
"""So little noise that what is learned is learned all the same: accuracies can be compared."""
PATIENCE = 900.0
"""Seconds for an answer."""


class Contestant(NamedTuple):
    """Who takes its turn.

    Attributes:
      peer: its framework, by its name.
      protection: of updates, see `asked.Task`.
      cores: that its process has.
    """

    peer: str
    protection: str
    cores: int


class Taken(NamedTuple):
    """What a contestant did.

    Attributes:
      parameters: that it trained.
      versions: of its packages.
      seconds: of each round.
      accuracy: after all of them.
    """

    parameters: int
    versions: dict[str, str]
    seconds: list[float]
    accuracy: float


class Turns(NamedTuple):
    """What became of everybody.

    Attributes:
      taken: what those did who came to the end.
      failed: of the others, why.
      rate: floating-point operations a second of large products on all cores, the median of one
        product after each round.
    """

    taken: dict[Contestant, Taken]
    failed: dict[Contestant, str]
    rate: float


def take_turns(
    contestants: Sequence[Contestant],
    work: Work,
    arrays: Path,
    interpreters: Mapping[str, Path],
    cores: Sequence[int],
) -> Turns:
    """All rounds of all contestants, one of each in turn.

    Args:
      contestants: who runs.
      work: what they do.
      arrays: file of examples, see `write_arrays`.
      interpreters: of each framework.
      cores: numbers of those there are; each contestant has the first of them.
    """
    drivers: dict[Contestant, Driver] = {}
    taken: dict[Contestant, Taken] = {}
    failed: dict[Contestant, str] = {}
    rates = []

    @contextlib.contextmanager
    def turn_of(who: Contestant) -> Iterator[None]:
        try:
            yield
        except RunError as error:
            del drivers[who]
            failed[who] = str(error)
            _tell(f"{who.peer}, {who.protection}, {who.cores} cores: {error}")

    with contextlib.ExitStack() as stack:
        for who in contestants:
            task = task_of(work, arrays, who, cores)
            python = interpreters[who.peer]
            drivers[who] = stack.enter_context(driver(PEERS[who.peer], python, task, PATIENCE))
            with turn_of(who):
                ready = drivers[who].hear()
                taken[who] = Taken(ready["parameters"], ready["versions"], [], 0.0)
                _tell(f"{who.peer}, {who.protection}, {who.cores} cores: ready")
        products = stack.enter_context(_products(cores))
        for number in range(work.rounds):
            for who in list(drivers):
                with turn_of(who):
                    taken[who].seconds.append(drivers[who].ask("round")["seconds"])
            rates.append(products.submit(_rate, len(cores)).result())
            _tell(f"{number + 1} of {work.rounds} rounds")
        for who in list(drivers):
            with turn_of(who):
                accuracy = drivers[who].ask("accuracy")["accuracy"]
                taken[who] = taken[who]._replace(accuracy=accuracy)
    ended = {who: each for who, each in taken.items() if who not in failed}
    return Turns(ended, failed, statistics.median(rates))


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def task_of(work: Work, arrays: Path, who: Contestant, cores: Sequence[int]) -> dict[str, Any]:
    """What a driver is told, see `asked.Task`."""
    names = ("network", "cohort", "epochs", "batch_size", "rate", "shift", "scale", "rounds")
    return {name: getattr(work, name) for name in names} | {
        "protection": who.protection,
        "norm": NORM,
        "noise_multiplier": NOISE_MULTIPLIER,
        "cores": list(cores[: who.cores]),
        "arrays": str(arrays),
    }


@contextlib.contextmanager
def _products(cores: Sequence[int]) -> Iterator[ProcessPoolExecutor]:
    """A process on these cores that multiplies large matrices."""
    spawn = get_context("spawn")
    with ProcessPoolExecutor(1, spawn, initializer=_take, initargs=(list(cores),)) as pool:
        pool.submit(_rate, len(cores)).result()
        yield pool


def _take(cores: list[int]) -> None:
    os.sched_setaffinity(0, cores)
    jax.config.update("jax_platforms", "cpu")
    use_cores()


def _rate(devices: int) -> float:
    multiply, operations = matmul("float32", devices)
    jax.block_until_ready(multiply())
    start = time.perf_counter()
    jax.block_until_ready(multiply())
    return operations / (time.perf_counter() - start)
