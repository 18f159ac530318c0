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
one-device times. The defaults take about ten minutes, most of them for ``nnx.Conv``.
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
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Shaped
from rich.console import Console
from rich.table import Table

from pride_jax.benchmarks.lines import as_line
from pride_jax.data.federated import FederatedData, normalize
from pride_jax.engine.client import LocalTraining, shuffle
from pride_jax.engine.cohort import clients_mesh
from pride_jax.errors import ConfigError, PrideError
from pride_jax.federated import Algorithm, ServerState, federated_averaging
from pride_jax.models.modules import from_module
from pride_jax.models.networks import cnn, two_nn
from pride_jax.privacy.sampling import Sampler, fixed_size
from pride_jax.runs.devices import use_cores
from pride_jax.types import Model, Params

ModelName = Literal["2nn", "cnn"]
_FEATURES, _CLASSES = (28, 28, 1), 10
_RATE = 0.05
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


class Outcome(NamedTuple):
    """What a round ends with: the server's parameters, the sum of losses as they were met."""

    params: Params
    loss: Float[Array, ""]


class Work(NamedTuple):
    """What every contestant is given."""

    data: FederatedData
    sampler: Sampler
    training: LocalTraining


OneRound = Callable[[], Outcome]
TrainClient = Callable[[Outcome, Int[Array, "batches batch"]], Outcome]
"""``(received, rows of its examples) -> trained``; losses are added up."""

T = TypeVar("T")


class PlainCNN(nnx.Module):
    """`pride_jax.models.CNN` as Flax's users write it; its parameters have the same names."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(1, 32, (5, 5), rngs=rngs)
        self.conv2 = nnx.Conv(32, 64, (5, 5), rngs=rngs)
        self.dense = nnx.Linear(7 * 7 * 64, 512, rngs=rngs)
        self.logits = nnx.Linear(512, _CLASSES, rngs=rngs)

    def __call__(self, x: Float[Array, "batch 28 28 1"]) -> Float[Array, "batch classes"]:
        """Logits of images."""
        x = nnx.max_pool(nnx.relu(self.conv1(x)), (2, 2), strides=(2, 2))
        x = nnx.max_pool(nnx.relu(self.conv2(x)), (2, 2), strides=(2, 2))
        x = nnx.relu(self.dense(x.reshape(x.shape[0], -1)))
        return self.logits(x)


def random_images(setting: Setting) -> FederatedData:
    """Images of MNIST's shape, the same number for every client: a pattern a class, and noise."""
    rng = np.random.default_rng(setting.seed)
    total = setting.clients * setting.examples
    labels = rng.integers(0, _CLASSES, total, np.int32)
    patterns = rng.integers(0, 128, (_CLASSES, *_FEATURES), np.uint8)
    noise = rng.integers(0, 128, (total, *_FEATURES), np.uint8)
    return FederatedData(
        inputs=jnp.asarray(patterns[labels] + noise),
        targets=jnp.asarray(labels),
        shift=jnp.full((), 127.0),
        scale=jnp.full((), 1 / 255),
        index=jnp.asarray(rng.permutation(total), jnp.int32),
        offsets=jnp.arange(setting.clients, dtype=jnp.int32) * setting.examples,
        sizes=jnp.full(setting.clients, setting.examples, jnp.int32),
    )


def make_work(setting: Setting) -> Work:
    """One epoch on random images, clients drawn without replacement."""
    return Work(
        random_images(setting),
        fixed_size(setting.clients, setting.cohort),
        LocalTraining(epochs=1, batch_size=setting.batch_size),
    )


def engine(work: Work, model: Model, chunk: int | None, mesh: Mesh) -> Algorithm:
    """FedAvg with plain SGD, as a user would write it."""
    return federated_averaging(
        model,
        work.data,
        lambda _: optax.sgd(_RATE),
        training=work.training,
        sampler=work.sampler,
        chunk=chunk,
        mesh=mesh,
    )


def engine_round(
    work: Work, state: ServerState, model: Model, chunk: int, devices: int
) -> OneRound:
    """The round that follows ``state``, as one compiled program."""
    mesh = clients_mesh(jax.devices()[:devices])
    algorithm = engine(work, model, chunk, mesh)
    start = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))

    def run() -> Outcome:
        after, info = algorithm.round(start)
        assert info.loss is not None, "simulated clients tell it"
        return Outcome(after.params, info.loss)

    return run


def _one_device() -> Mesh:
    return clients_mesh(jax.devices()[:1])


def batch_loop(work: Work, model: Model) -> TrainClient:
    """One call of a jitted SGD step a batch."""
    step = jax.jit(_sgd_step(work, model))
    inputs, labels = work.data.inputs, work.data.targets

    def train(received: Outcome, rows: Int[Array, "batches batch"]) -> Outcome:
        trained = received
        for batch in np.asarray(rows):
            trained = step(trained, inputs, labels, batch)
        return trained

    return train


def epoch_loop(work: Work, model: Model) -> TrainClient:
    """One call of a jitted epoch."""
    step = _sgd_step(work, model)

    @jax.jit
    def epoch(
        received: Outcome,
        inputs: Shaped[Array, "examples ..."],
        labels: Int[Array, "examples"],
        rows: Int[Array, "batches batch"],
    ) -> Outcome:
        return jax.lax.scan(
            lambda trained, batch: (step(trained, inputs, labels, batch), None), received, rows
        )[0]

    return lambda received, rows: epoch(received, work.data.inputs, work.data.targets, rows)


def _sgd_step(work: Work, model: Model) -> Callable[[Outcome, Array, Array, Array], Outcome]:
    def mean_loss(params: Params, inputs: Array, labels: Array) -> Float[Array, ""]:
        logits = model.apply(params, normalize(inputs, work.data.shift, work.data.scale))
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

    def step(trained: Outcome, inputs: Array, labels: Array, batch: Array) -> Outcome:
        loss, gradient = jax.value_and_grad(mean_loss)(trained.params, inputs[batch], labels[batch])
        params = jax.tree.map(lambda p, g: p - _RATE * g, trained.params, gradient)
        return Outcome(params, trained.loss + len(batch) * loss)

    return step


def loop_round(work: Work, state: ServerState, train_client: TrainClient) -> OneRound:
    """The round that follows ``state``, in Python: one client after the other, then the mean."""
    longest = int(work.data.sizes.max())

    @jax.jit
    def draw_cohort(state: ServerState) -> Int[Array, "cohort"]:
        return work.sampler(jax.random.fold_in(state.keys.sampling, state.round), state.round).ids

    @jax.jit
    def draw_rows(state: ServerState, client: Int[Array, ""]) -> Int[Array, "batches batch"]:
        round_key = jax.random.fold_in(state.keys.training, state.round)
        training_key, _ = jax.random.split(jax.random.fold_in(round_key, client))
        size, begin = work.data.sizes[client], work.data.offsets[client]
        order = shuffle(jax.random.fold_in(training_key, 0), size, longest)
        return work.data.index[begin + order].reshape(-1, work.training.batch_size or longest)

    @jax.jit
    def add(total: Params, params: Params) -> Params:
        return jax.tree.map(jnp.add, total, params)

    @jax.jit
    def divide(total: Params, number: float) -> Params:
        return jax.tree.map(lambda leaf: leaf / number, total)

    def run() -> Outcome:
        total = jax.tree.map(jnp.zeros_like, state.params)
        loss = jnp.zeros(())
        cohort = np.asarray(draw_cohort(state))
        for client in cohort:
            trained = train_client(Outcome(state.params, loss), draw_rows(state, client))
            total, loss = add(total, trained.params), trained.loss
        return Outcome(divide(total, float(len(cohort))), loss)

    return run


def prepare(setting: Setting, model_name: ModelName) -> tuple[Work, ServerState]:
    """What everybody is given, and the state that everybody starts from."""
    work = make_work(setting)
    model = _MODELS[model_name](_FEATURES, _CLASSES)
    return work, engine(work, model, 1, _one_device()).init(jax.random.key(setting.seed))


def contestants(
    setting: Setting, work: Work, state: ServerState, model_name: ModelName, devices: int
) -> dict[Contestant, OneRound]:
    """Everybody who is timed on one model in a process of ``devices`` devices."""
    model = _MODELS[model_name](_FEATURES, _CLASSES)
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
        plain = from_module(lambda rngs: PlainCNN(rngs=rngs))
        rounds[_PLAIN_ENGINE] = engine_round(work, state, plain, 1, 1)
        rounds[Contestant("batch loop", _PLAIN_CNN, None, 1)] = loop_round(
            work, state, batch_loop(work, plain)
        )
    return rounds


def check_same(outcomes: Mapping[Contestant, Outcome], start: Params, tolerance: float) -> None:
    """Everybody did the same work.

    Args:
      outcomes: what a round of each ended with; the others are held against the first.
      start: the parameters before it.
      tolerance: how far apart parameters may be, as a share of their change in the round.

    Raises:
      PrideError: they are further apart, or losses are by a thousandth.
    """
    (_, first), *others = outcomes.items()
    change = _distance(first.params, start)
    for contestant, outcome in others:
        apart = _distance(outcome.params, first.params) / change
        loss_apart = abs(float(outcome.loss) / float(first.loss) - 1)
        if not (apart < tolerance and loss_apart < 1e-3):
            raise PrideError(
                f"{contestant} ended {apart:.2g} of a round's change away from the engine and its "
                f"loss {loss_apart:.2g} of the engine's, expected less than {tolerance} and 0.001: "
                "the work is not the same, so that times mean nothing"
            )


def _distance(params: Params, other: Params) -> float:
    """L2, whatever devices the two lie on."""
    differences = jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), params, other)
    return float(optax.tree.norm(differences))


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
    check_same(outcomes, state.params, _TOLERANCE[model_name])
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
    model = _MODELS[model_name](_FEATURES, _CLASSES)

    def row(cohort: int) -> MemoryRow:
        work, start = prepare(replace(setting, cohort=cohort), model_name)
        algorithm = engine(work, model, chunk, _one_device())
        analysis = jax.jit(algorithm.round).lower(start).compile().memory_analysis()
        if analysis is None:
            raise PrideError("The compiler does not say what memory it needs: leave `memory` out")
        return MemoryRow(model_name, chunk, cohort, analysis.temp_size_in_bytes)

    return [row(max(1, setting.clients // part)) for part in (10, 2, 1)]


class Report(NamedTuple):
    """What one process, or all of them, measured."""

    rows: list[Row]
    memory: list[MemoryRow]


def measure(setting: Setting, devices: int) -> Report:
    """Everything that is measured with ``devices`` devices, in this process.

    Raises:
      PrideError: the contestants did not do the same work.
    """
    rows = [row for name in setting.models for row in compare(setting, name, devices)]
    sizes = [row for name in setting.models for row in memory(setting, name)] * (devices == 1)
    return Report(rows, sizes)


def measure_in_processes(setting: Setting) -> Report:
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
    return measure(setting, len(cores))


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
