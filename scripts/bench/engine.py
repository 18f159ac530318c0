"""The engine against two straightforward loops: the same rounds, timed in turn in one process.

McMahan et al.'s (2016) set-up: 100 clients of 600 images each, 10 clients a round, one epoch of SGD
in batches of 10, for their 2NN and their CNN. The images are not MNIST's but random ones of its
shape, seeded: what they show changes no time. The contestants are

- the engine, for several chunks and numbers of devices;
- a batch loop: client after client, one call of a jitted SGD step a batch, then the mean;
- an epoch loop: the same with one call of a jitted epoch a client;
- for the CNN also the engine and the batch loop on the same network written with ``nnx.Conv`` and
  ``nnx.max_pool``.

All draw the same cohort and the same batches from the same keys. Unless they end with the same
parameters and the same loss, nothing is reported.

Ratios are taken within one process, which may use as many cores as the engine has devices. So in
the first, everybody has one core: the engine, the threads of XLA's own and the loops' Python. In
the process of two devices the engine with one device, and the loops, may use both cores. To say
what dividing clients over devices gains, hold the two-device time against the better of the two
one-device times. The defaults take minutes, most of them for ``nnx.Conv``.
"""

import os
import statistics
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Any, Literal, NamedTuple, TypeVar

import jax
from rich.console import Console
from rich.table import Table

from bench.common.rounds import (
    CLASSES,
    FEATURES,
    OneRound,
    Work,
    batch_loop,
    check_same,
    engine,
    engine_round,
    epoch_loop,
    loop_round,
    one_device,
    plain_cnn,
    random_images,
)
from pride_jax.engine.rounds import ServerState
from pride_jax.errors import ConfigError, PrideError
from pride_jax.methods.method import LocalTraining
from pride_jax.models.networks import cnn, two_nn
from pride_jax.privacy.sampling import fixed_size
from pride_jax.runs.devices import use_cores
from pride_jax.runs.lines import as_line

ModelName = Literal["2nn", "cnn"]
_MODELS = {"2nn": two_nn, "cnn": cnn}
# Rounding errors that flip a ReLU grow with every step: perturbing the parameters by 1e-6 moved the
# outcome by 1e-5 and 0.08 of a round's change, another order of the same examples by 0.05 and 0.5.
_TOLERANCE = {"2nn": 0.01, "cnn": 0.2}
_PLAIN_CNN = "cnn with nnx.Conv"


@dataclass(frozen=True)
class Setting:
    """What is timed.

    Attributes:
      models: any of ``2nn`` and ``cnn``.
      clients: how many there are.
      examples: of each, a multiple of ``batch_size``.
      cohort: clients a round.
      batch_size: examples a step.
      chunks: clients that the engine vmaps together, tried with the 2NN on one device; 1 elsewhere.
      devices: one process for each of these numbers of devices, and of cores.
      repetitions: rounds of each contestant, after one that compiles.
      seconds: a contestant that has run for this long is not repeated further.
      seed: of images, labels and keys.
    """

    models: tuple[ModelName, ...] = ("2nn", "cnn")
    clients: int = 100
    examples: int = 600
    cohort: int = 10
    batch_size: int = 10
    chunks: tuple[int, ...] = (1, 2, 5, 10)
    devices: tuple[int, ...] = (1, 2)
    repetitions: int = 15
    seconds: float = 30.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses what the loops could not run.

        Raises:
          ConfigError: the last batch would be a short one.
        """
        if self.examples % self.batch_size:
            raise ConfigError(
                f"Expected examples={self.examples} to be a multiple of "
                f"batch_size={self.batch_size}: the loops have no short last batch"
            )


class Row(NamedTuple):
    """One contestant's time. Ratios are the other's seconds over its own, in the same process.

    Attributes:
      name: ``engine``, ``batch loop`` or ``epoch loop``.
      model: what was trained.
      chunk: clients vmapped together; None for the loops.
      devices: over which clients are divided.
      cores: that the process may use.
      seconds_per_round: median.
      ratio_to_batch_loop: above 1 is faster than the batch loop.
      ratio_to_epoch_loop: above 1 is faster than the epoch loop.
      ratio_to_plain_convolution: above 1 is faster than the engine on the ``nnx.Conv`` network.
      repetitions: how many rounds the median is of.
    """

    name: str
    model: str
    chunk: int | None
    devices: int
    cores: int
    seconds_per_round: float
    ratio_to_batch_loop: float | None
    ratio_to_epoch_loop: float | None
    ratio_to_plain_convolution: float | None
    repetitions: int


class MemoryRow(NamedTuple):
    """What a round's program needs besides parameters and data, as its compiler counts it."""

    model: str
    chunk: int
    cohort: int
    temporary_bytes: int


class Contestant(NamedTuple):
    """Who is timed; the first four columns of its `Row`."""

    name: str
    model: str
    chunk: int | None
    devices: int


_PLAIN_ENGINE = Contestant("engine", _PLAIN_CNN, 1, 1)


T = TypeVar("T")


def make_work(setting: Setting) -> Work:
    """One epoch on random images, clients drawn without replacement."""
    return Work(
        random_images(setting.clients, setting.examples, setting.seed),
        fixed_size(setting.clients, setting.cohort),
        LocalTraining(epochs=1, batch_size=setting.batch_size),
    )


def prepare(setting: Setting, model_name: ModelName) -> tuple[Work, ServerState]:
    """What everybody is given, and the state that everybody starts from."""
    work = make_work(setting)
    model = _MODELS[model_name](FEATURES, CLASSES)
    return work, engine(work, model, 1, one_device()).init(jax.random.key(setting.seed))


def contestants(
    setting: Setting, work: Work, state: ServerState, model_name: ModelName, devices: int
) -> dict[Contestant, OneRound]:
    """Everybody who is timed on one model in a process of ``devices`` devices."""
    model = _MODELS[model_name](FEATURES, CLASSES)
    alone = devices == 1
    rounds = {
        Contestant("engine", model_name, chunk, number): engine_round(
            work, state, model, chunk, number
        )
        for number in sorted({1, devices})
        for chunk in (setting.chunks if alone and model_name == "2nn" else (1,))
    }
    for name, loop in {"batch loop": batch_loop, "epoch loop": epoch_loop}.items():
        rounds[Contestant(name, model_name, None, 1)] = loop_round(work, state, loop(work, model))
    if alone and model_name == "cnn":
        plain = plain_cnn()
        rounds[_PLAIN_ENGINE] = engine_round(work, state, plain, 1, 1)
        rounds[Contestant("batch loop", _PLAIN_CNN, None, 1)] = loop_round(
            work, state, batch_loop(work, plain)
        )
    return rounds


def interleave(
    functions: Mapping[T, Callable[[], Any]], repetitions: int, seconds: float
) -> dict[T, list[float]]:
    """Times every function in turn, again and again, so that a noisy moment hits all alike.

    Args:
      functions: what is timed, warm.
      repetitions: at most this often each.
      seconds: a function that has taken this long in all is not repeated.
    """
    times: dict[T, list[float]] = {name: [] for name in functions}
    for _ in range(repetitions):
        for name, function in functions.items():
            if sum(times[name]) < seconds:
                begin = time.perf_counter()
                jax.block_until_ready(function())
                times[name].append(time.perf_counter() - begin)
    return times


def compare(setting: Setting, model_name: ModelName, devices: int) -> list[Row]:
    """Times one model's contestants in this process.

    Raises:
      PrideError: they did not do the same work.
    """
    work, state = prepare(setting, model_name)
    rounds = contestants(setting, work, state, model_name, devices)
    outcomes = {who: run() for who, run in rounds.items()}
    check_same(outcomes, state.own.params, _TOLERANCE[model_name])
    times = interleave(rounds, setting.repetitions, setting.seconds)
    medians = {who: statistics.median(taken) for who, taken in times.items()}

    def ratio(other: Contestant, own: float) -> float | None:
        return medians[other] / own if other in medians else None

    return [
        Row(
            **who._asdict(),
            cores=devices,
            seconds_per_round=own,
            ratio_to_batch_loop=ratio(Contestant("batch loop", model_name, None, 1), own),
            ratio_to_epoch_loop=ratio(Contestant("epoch loop", model_name, None, 1), own),
            ratio_to_plain_convolution=ratio(_PLAIN_ENGINE, own),
            repetitions=len(times[who]),
        )
        for who, own in medians.items()
    ]


def memory(setting: Setting, model_name: ModelName, chunk: int = 1) -> list[MemoryRow]:
    """What a round needs for cohorts of a tenth, half and all of the clients."""
    model = _MODELS[model_name](FEATURES, CLASSES)

    def row(cohort: int) -> MemoryRow:
        work, start = prepare(replace(setting, cohort=cohort), model_name)
        algorithm = engine(work, model, chunk, one_device())
        analysis = jax.jit(algorithm.round).lower(start).compile().memory_analysis()
        if analysis is None:
            raise PrideError("The compiler does not say what memory it needs: leave `memory` out")
        return MemoryRow(model_name, chunk, cohort, analysis.temp_size_in_bytes)

    return [row(max(1, setting.clients // part)) for part in (10, 2, 1)]


class Report(NamedTuple):
    """What one process, or all of them, measured."""

    rows: list[Row]
    memory: list[MemoryRow]


def measure_here(setting: Setting, devices: int) -> Report:
    """Everything that is measured with ``devices`` devices, in this process.

    Raises:
      PrideError: the contestants did not do the same work.
    """
    rows = [row for name in setting.models for row in compare(setting, name, devices)]
    sizes = [row for name in setting.models for row in memory(setting, name)] * (devices == 1)
    return Report(rows, sizes)


def measure(setting: Setting) -> Report:
    """Everything, in one process for each number of devices.

    Raises:
      ConfigError: there are more devices than cores, or cores cannot be chosen here.
      PrideError: the contestants did not do the same work.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError("A process cannot be given its cores on this system: use Linux")
    cores = sorted(os.sched_getaffinity(0))
    if max(setting.devices) > len(cores):
        raise ConfigError(
            f"Expected a core for each of devices={max(setting.devices)}, there are {len(cores)}: "
            "ask for fewer devices"
        )
    reports = [_in_process(setting, cores[:devices]) for devices in setting.devices]
    return Report(
        [row for report in reports for row in report.rows],
        [row for report in reports for row in report.memory],
    )


def _in_process(setting: Setting, cores: list[int]) -> Report:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure_on, setting, cores).result()


def _measure_on(setting: Setting, cores: list[int]) -> Report:
    """Takes the cores before JAX starts, which then makes a device of each."""
    os.sched_setaffinity(0, cores)
    jax.config.update("jax_platforms", "cpu")
    use_cores()
    return measure_here(setting, len(cores))


def as_json(setting: Setting, report: Report) -> str:
    """The report, the setting and what it ran on, in one line."""
    return as_line(report._asdict(), setting)


def show(report: Report) -> None:
    """The report as tables."""
    console = Console()
    times = Table("", "model", "chunk", "devices", "cores", "s/round", title="ratios: others / own")
    for heading in ("batch", "epoch", "nnx.Conv", "n"):
        times.add_column(heading)
    for row in report.rows:
        times.add_row(*(_cell(value) for value in row))
    console.print(times)
    if report.memory:
        memory = Table("model", "chunk", "cohort", "MB besides data and parameters")
        for row in report.memory:
            memory.add_row(
                row.model, str(row.chunk), str(row.cohort), f"{row.temporary_bytes / 1e6:.2f}"
            )
        console.print(memory)


def _cell(value: str | float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
