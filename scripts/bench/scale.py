"""How a round's time, memory and compilation grow: with the cohort, the clients, the devices.

Random images of MNIST's shape, as many for every client; clients share a pool of them, so that a
million clients need no more than their offsets. One case differs from the common one in one thing:
the cohort, the number of clients, of devices, or how clients are computed (chunk, precision,
convolution). Every case has a process of its own, on as many cores as devices, and all processes
are asked for a round in turn, so that a noisy moment hits all alike; on GPUs, one after another.
"""

import contextlib
import os
import resource
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import NamedSharding, PartitionSpec
from jaxtyping import Array
from rich.console import Console
from rich.table import Table

from bench.common.rounds import CLASSES, FEATURES, Work, engine, epoch_loop, loop_round
from pride_jax.data.federated import FederatedData
from pride_jax.engine.cohort import clients_mesh
from pride_jax.errors import ConfigError, PrideError
from pride_jax.methods.method import LocalTraining
from pride_jax.models.convolutions import with_batched_kernels
from pride_jax.models.networks import cnn, two_nn
from pride_jax.models.precision import Precision, with_precision
from pride_jax.privacy.sampling import fixed_size
from pride_jax.runs.devices import keep_programs, use_devices
from pride_jax.runs.lines import as_line
from pride_jax.settings.experiment import Engine
from pride_jax.types import Model, Params

_POOL = 6_000
_BATCH = 10
_BASE_COHORT, _BASE_CLIENTS = 100, 10_000
_LARGEST_CNN_COHORT = 1_000
"""A round of ten times as many takes minutes on a core."""


@dataclass(frozen=True)
class Setting:
    """What is timed.

    Attributes:
      models: any of ``2nn`` and ``cnn``; the number of clients is varied with the first.
      cohorts: clients a round; those above 1,000 for the 2NN only.
      clients: how many there are.
      devices: over which clients are divided.
      chunks: clients vmapped together, besides the default.
      precisions: of local training, besides float32.
      examples: of each client, a divisor of 6,000.
      backend: ``cpu`` or ``gpu``; on a GPU the loop of one jitted epoch a client is timed, too.
      repetitions: rounds of each case, after one that compiles.
      seconds: a case that has run for this long is not repeated further.
      seed: of images and keys.
    """

    models: tuple[Literal["2nn", "cnn"], ...] = ("2nn", "cnn")
    cohorts: tuple[int, ...] = (10, 100, 1_000, 10_000)
    clients: tuple[int, ...] = (100, 1_000, 10_000, 100_000, 1_000_000)
    devices: tuple[int, ...] = (1, 2)
    chunks: tuple[int, ...] = (1, 10, 100)
    precisions: tuple[Precision, ...] = ("bfloat16",)
    examples: int = 60
    backend: Literal["cpu", "gpu"] = "cpu"
    repetitions: int = 7
    seconds: float = 30.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses what cannot be divided.

        Raises:
          ConfigError: as above.
        """
        if self.examples < 1 or _POOL % self.examples or self.examples % _BATCH:
            raise ConfigError(
                f"Expected examples={self.examples} to divide {_POOL} and be a multiple of {_BATCH}"
            )


class Case(NamedTuple):
    """One thing that is timed.

    Attributes:
      model: ``2nn`` or ``cnn``.
      how: ``engine``; ``products``, the engine with a GPU's convolutions as products of matrices;
        ``graphs``, with its loops in CUDA graphs; or ``epoch loop``, a call of a jitted epoch a
        client.
      cohort: clients a round.
      clients: how many there are.
      devices: over which they are divided.
      chunk: clients vmapped together; None is the engine's default.
      precision: of local training.
    """

    model: Literal["2nn", "cnn"]
    how: Literal["engine", "products", "graphs", "epoch loop"] = "engine"
    cohort: int = _BASE_COHORT
    clients: int = _BASE_CLIENTS
    devices: int = 1
    chunk: int | None = None
    precision: Precision = "float32"


class Row(NamedTuple):
    """What a case took.

    Attributes:
      model, how, cohort, clients, devices, chunk, precision: see `Case`.
      backend: ``cpu`` or ``gpu``.
      device: its name.
      seconds_per_round: median.
      peak_bytes: of the process on a CPU, compilation included; of the device's memory on a GPU.
      compile_seconds: of all that was compiled before the second round.
      matmul_share: of the devices' rate at multiplying large matrices in that precision, timed
        between the rounds.
      repetitions: how many rounds the median is of.
    """

    model: str
    how: str
    cohort: int
    clients: int
    devices: int
    chunk: int | None
    precision: str
    backend: str
    device: str
    seconds_per_round: float
    peak_bytes: int
    compile_seconds: float
    matmul_share: float
    repetitions: int


def cases(setting: Setting) -> list[Case]:
    """Everything that is timed, each once."""
    found = [
        *(
            Case(model, cohort=cohort, clients=max(cohort, _BASE_CLIENTS))
            for model in setting.models
            for cohort in setting.cohorts
            if model == "2nn" or cohort <= _LARGEST_CNN_COHORT
        ),
        *(
            Case(setting.models[0], cohort=min(_BASE_COHORT, clients), clients=clients)
            for clients in setting.clients
        ),
        *(Case(model, devices=devices) for model in setting.models for devices in setting.devices),
        *(Case(model, chunk=chunk) for model in setting.models for chunk in setting.chunks),
        *(Case(model, precision=each) for model in setting.models for each in setting.precisions),
    ]
    if setting.backend == "gpu":
        chunks = setting.chunks if "cnn" in setting.models else ()
        found += [Case("cnn", "products", chunk=chunk) for chunk in chunks]
        found += [Case(model, "graphs") for model in setting.models]
        found += [Case(model, "epoch loop") for model in setting.models]
    return list(dict.fromkeys(found))


def shared_images(clients: int, examples: int, seed: int) -> FederatedData:
    """Random images of MNIST's shape, of which each client holds a stretch that others share."""
    rng = np.random.default_rng(seed)
    return FederatedData(
        inputs=jnp.asarray(rng.integers(0, 256, (_POOL, *FEATURES), np.uint8)),
        targets=jnp.asarray(rng.integers(0, CLASSES, _POOL, np.int32)),
        shift=jnp.full((), 127.0),
        scale=jnp.full((), 1 / 255),
        index=jnp.asarray(rng.permutation(_POOL), jnp.int32),
        offsets=jnp.asarray(np.arange(clients) * examples % _POOL, jnp.int32),
        sizes=jnp.full(clients, examples, jnp.int32),
    )


def build_model(case: Case) -> Model:
    """The model that a case trains."""
    model = {"2nn": two_nn, "cnn": cnn}[case.model](FEATURES, CLASSES)
    kernels = "products" if case.how == "products" else "grouped"
    return with_precision(with_batched_kernels(model, kernels), case.precision)


def build_round(case: Case, setting: Setting) -> Callable[[], Any]:
    """The same round again and again, on this process's devices.

    Raises:
      ConfigError: there are not as many.
    """
    devices = jax.devices()
    if case.devices > len(devices):
        raise ConfigError(
            f"devices={case.devices}: there are {len(devices)} {devices[0].platform} devices; ask "
            "for fewer"
        )
    work = Work(
        shared_images(case.clients, setting.examples, setting.seed),
        fixed_size(case.clients, case.cohort),
        LocalTraining(batch_size=_BATCH),
    )
    model = build_model(case)
    algorithm = engine(work, model, case.chunk, clients_mesh(devices[: case.devices]))
    state = algorithm.init(jax.random.key(setting.seed))
    if case.how == "epoch loop":
        return loop_round(work, state, epoch_loop(work, model))
    return lambda: algorithm.round(state)


def flops_of_round(case: Case, setting: Setting) -> float:
    """Floating-point operations of a round's gradients, as the compiler counts one of them."""
    model = build_model(case)
    params = model.init(jax.random.key(0))

    def loss(params: Params, images: Array, labels: Array) -> Array:
        logits = model.apply(params, images)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

    batch = jnp.zeros((_BATCH, *FEATURES)), jnp.zeros(_BATCH, jnp.int32)
    counted: Any = jax.jit(jax.grad(loss)).lower(params, *batch).cost_analysis()
    return counted["flops"] * case.cohort * (setting.examples // _BATCH)


def matmul(precision: Precision, devices: int) -> tuple[Callable[[], Any], float]:
    """A product of large matrices on every device, and the floating-point operations of all."""
    size = 2048 if jax.default_backend() == "cpu" else 8192
    dtype = jnp.bfloat16 if precision == "bfloat16" else jnp.float32
    how = {"float32": "float32", "tf32": "tensorfloat32", "bfloat16": "bfloat16"}[precision]
    each = NamedSharding(clients_mesh(jax.devices()[:devices]), PartitionSpec("clients"))
    matrices = jax.device_put(jnp.ones((devices, size, size), dtype), each)
    multiply = jax.jit(lambda a, b: jnp.matmul(a, b, precision=how))
    return lambda: multiply(matrices, matrices), 2.0 * devices * size**3


def peak_bytes() -> int:
    """The most memory that was in use: of a GPU, else of this process."""
    stats = jax.devices()[0].memory_stats()
    if stats and "peak_bytes_in_use" in stats:
        return stats["peak_bytes_in_use"]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _time(function: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    jax.block_until_ready(function())
    return time.perf_counter() - begin


class _Ready(NamedTuple):
    """What a case's process says before its first timed round.

    Attributes:
      device: its name.
      peak_bytes: see `Row`.
      compile_seconds: see `Row`.
      work: a round's floating-point operations over those of the large products.
    """

    device: str
    peak_bytes: int
    compile_seconds: float
    work: float


class _Taken(NamedTuple):
    """Seconds of a round, and of a large product on every device after it."""

    round: float
    product: float


def _serve(case: Case, setting: Setting, cores: Sequence[int], pipe: Connection) -> None:
    """A case's process: compiles, then runs a round whenever it is asked."""
    compiled: list[float] = []

    def listen(event: str, duration_secs: float, **_: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(duration_secs)

    try:
        if setting.backend == "cpu":
            os.sched_setaffinity(0, cores)
        else:
            # Cases are many, and what a card compiles takes long.
            keep_programs()
        use_devices(Engine(platform=setting.backend, graphs=case.how == "graphs"))
        jax.monitoring.register_event_duration_secs_listener(listen)
        run = build_round(case, setting)
        _time(run)
        peak, seconds = peak_bytes(), sum(compiled)
        multiply, operations = matmul(case.precision, case.devices)
        _time(multiply)
        work = flops_of_round(case, setting) / operations
        pipe.send(_Ready(jax.devices()[0].device_kind, peak, seconds, work))
        while pipe.recv():
            pipe.send(_Taken(_time(run), _time(multiply)))
    except (PrideError, jax.errors.JaxRuntimeError) as error:
        pipe.send(PrideError(f"{case}: {error}"))


@contextlib.contextmanager
def _process(case: Case, setting: Setting, cores: Sequence[int]) -> Iterator[Connection]:
    """The case's process, gone when the block is left."""
    here, there = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_serve, args=(case, setting, cores, there))
    process.start()
    there.close()
    try:
        yield here
    finally:
        process.kill()
        process.join()


def _hear(case: Case, pipe: Connection) -> Any:
    try:
        said = pipe.recv()
    except EOFError:
        raise PrideError(f"The process of {case} died: see what it printed") from None
    if isinstance(said, PrideError):
        raise said
    return said


def measure(setting: Setting) -> list[Row]:
    """Times everything.

    Raises:
      PrideError: there are fewer devices than asked for, or a case's process died.
    """
    cores, everything = sorted(os.sched_getaffinity(0)), cases(setting)
    most = max(case.devices for case in everything)
    if setting.backend == "cpu" and most > len(cores):
        raise ConfigError(
            f"Expected a core for each of devices={most}, there are {len(cores)}: ask for fewer "
            "devices"
        )
    if setting.backend == "gpu":
        return _one_after_another(everything, setting)
    with contextlib.ExitStack() as stack:
        pipes, ready = {}, {}
        for case in everything:
            pipes[case] = stack.enter_context(_process(case, setting, cores[: case.devices]))
            ready[case] = _hear(case, pipes[case])
        times: dict[Case, list[_Taken]] = {case: [] for case in everything}
        for _ in range(setting.repetitions):
            for case, pipe in pipes.items():
                if sum(taken.round for taken in times[case]) < setting.seconds:
                    pipe.send(True)
                    times[case].append(_hear(case, pipe))
    return [_row(case, setting, ready[case], times[case]) for case in everything]


def _one_after_another(everything: Sequence[Case], setting: Setting) -> list[Row]:
    """The rows of a GPU, which one process at a time has; each is told as it comes.

    Cases for more GPUs than there are, and those that a GPU has not the memory for, are told of and
    left out.
    """
    rows = []
    for case in everything:
        with _process(case, setting, ()) as pipe:
            try:
                ready, times = _hear(case, pipe), []
                while len(times) < setting.repetitions and (
                    sum(taken.round for taken in times) < setting.seconds
                ):
                    pipe.send(True)
                    times.append(_hear(case, pipe))
            except PrideError as error:
                print(f"left out: {error}", flush=True)
                continue
        rows.append(_row(case, setting, ready, times))
        print(as_line({"row": rows[-1]}, setting), flush=True)
    return rows


def _row(case: Case, setting: Setting, ready: _Ready, times: list[_Taken]) -> Row:
    seconds = statistics.median(taken.round for taken in times)
    product = statistics.median(taken.product for taken in times)
    return Row(
        **case._asdict(),
        backend=setting.backend,
        device=ready.device,
        seconds_per_round=seconds,
        peak_bytes=ready.peak_bytes,
        compile_seconds=ready.compile_seconds,
        matmul_share=ready.work * product / seconds,
        repetitions=len(times),
    )


def as_json(setting: Setting, rows: Sequence[Row]) -> str:
    """The rows, the setting and what they ran on, in one line."""
    return as_line({"rows": rows}, setting)


def show(rows: Sequence[Row]) -> None:
    """The rows as a table."""
    table = Table("model", "how", "cohort", "clients", "devices", "chunk", "precision")
    for heading in ("s/round", "MB peak", "s compile", "of matmul", "n"):
        table.add_column(heading)
    for row in rows:
        table.add_row(
            row.model,
            row.how,
            f"{row.cohort:,}",
            f"{row.clients:,}",
            str(row.devices),
            str(row.chunk or "default"),
            row.precision,
            f"{row.seconds_per_round:.3g}",
            f"{row.peak_bytes / 1e6:.0f}",
            f"{row.compile_seconds:.1f}",
            f"{row.matmul_share:.0%}",
            str(row.repetitions),
        )
    console = Console()
    console.print(table, width=max(console.width, 120))
