"""What the benchmark of peers asks of a driver, and how a driver answers.

A driver is a program for the interpreter of one framework: NumPy is all that they have in common.
It is given the path of a task, as JSON, and answers each line of standard input by a line of JSON.
"""

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CLASSES = 10
_END_WITH_PARENT = 1
"""Linux's ``PR_SET_PDEATHSIG``."""


class Task(NamedTuple):
    """What is to be done, the same for every framework.

    Attributes:
      network: its name: ``2nn``, ``cnn``, ``lenet`` or ``two_convolutions``.
      cohort: clients a round.
      epochs: that a client trains.
      batch_size: examples of a step; it divides a client's examples.
      rate: of plain SGD.
      shift: a network sees ``(bytes - shift) * scale``.
      scale: see there.
      protection: ``none``, ``gaussian``, or the name of a sum that hides updates.
      norm: to which updates are clipped under ``gaussian``.
      noise_multiplier: standard deviation of the noise on their sum, over ``norm``.
      cores: numbers of the cores that the process may use.
      rounds: how many will be asked for.
      arrays: path of an ``.npz``, see `Arrays`.
    """

    network: str
    cohort: int
    epochs: int
    batch_size: int
    rate: float
    shift: float
    scale: float
    protection: str
    norm: float
    noise_multiplier: float
    cores: list[int]
    rounds: int
    arrays: str


class Arrays(NamedTuple):
    """Examples, whose they are, and where training starts.

    Attributes:
      images: uint8 ``[n, height, width, channels]``; `seen` makes of them what networks see.
      labels: int32 ``[n]``.
      index: int64 ``[clients, examples]``, which of these each client holds.
      test_images: as ``images``.
      test_labels: as ``labels``.
      weights: of each layer: ``[inputs, outputs]``, or ``[height, width, inputs, outputs]`` of a
        convolution. Biases start from zeros.
    """

    images: np.ndarray
    labels: np.ndarray
    index: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    weights: list[np.ndarray]


_answers = sys.stdout


def read_task() -> Task:
    """The task, whose cores this process and all that it starts have from now on.

    What a framework prints goes to standard error. The process ends with the one that started it.
    """
    global _answers
    _answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    ctypes.CDLL(None).prctl(_END_WITH_PARENT, signal.SIGKILL)
    task = Task(**json.loads(Path(sys.argv[1]).read_text()))
    os.sched_setaffinity(0, task.cores)
    return task


def read_arrays(task: Task) -> Arrays:
    """The arrays of a task."""
    with np.load(task.arrays) as file:
        weights = sorted(name for name in file.files if name.startswith("weights_"))
        return Arrays(
            file["images"],
            file["labels"],
            file["index"],
            file["test_images"],
            file["test_labels"],
            [file[name] for name in weights],
        )


def seen(task: Task, images: np.ndarray) -> np.ndarray:
    """Bytes as a network sees them, float32."""
    return (images.astype(np.float32) - np.float32(task.shift)) * np.float32(task.scale)


def rounds(accuracy: Callable[[], float], parameters: int, *packages: str) -> Iterator[None]:
    """One step of the iteration for each round that is asked for: the loop's body is timed.

    Args:
      accuracy: on the test examples; asked for between rounds, or at the end.
      parameters: how many numbers are trained.
      packages: of which the versions are told.
    """
    versions = {"Python": ".".join(map(str, sys.version_info[:3]))}
    _say(parameters=parameters, versions=versions | {name: version(name) for name in packages})
    for line in sys.stdin:
        if line.strip() == "accuracy":
            _say(accuracy=accuracy())
            continue
        start = time.perf_counter()
        yield
        _say(seconds=time.perf_counter() - start)


def _say(**told: Any) -> None:
    print(json.dumps(told), file=_answers, flush=True)
