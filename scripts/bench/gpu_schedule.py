"""What a GPU would run in a round, and how fast it could be at best: no GPU is needed.

XLA compiles for a card that a file describes, on any machine (``pip install 'pride-jax[cuda]'``).
One case differs from the common one, a hundred clients of McMahan's 2NN in one chunk, in one
thing. Of each is told what one SGD step of its chunk costs. Nothing is tuned without a card, so
that the tiles of a product may be others on one; loops, precisions and bytes are not.
"""

import os
import re
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.experimental import topologies
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from rich.console import Console
from rich.table import Table

from bench.common import gpu_text
from pride_jax.data.federated import FederatedData, data_specs
from pride_jax.engine.cohort import clients_mesh
from pride_jax.engine.contribution import decoder, encoder
from pride_jax.engine.federation import Federation, states_in, work_of
from pride_jax.engine.on_device import round_with, rounds_with
from pride_jax.errors import ConfigError
from pride_jax.federated import halves_of
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import LocalTraining, uniform
from pride_jax.models.convolutions import BatchedKernels, with_batched_kernels
from pride_jax.models.modules import num_parameters
from pride_jax.models.networks import cnn, resnet, two_nn
from pride_jax.models.precision import Precision, with_precision
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.randomness import study_key
from pride_jax.privacy.sampling import FixedSize, Full, fixed_size, full
from pride_jax.privacy.values import DeviceIntegers, FixedPoint, Integers
from pride_jax.runs.devices import GRAPHS
from pride_jax.runs.lines import as_line
from pride_jax.task import classification
from pride_jax.types import Model

_CLASSES, _CLIENTS, _NORM = 10, 10_000, 0.5
_EXAMPLES = {
    "2nn": (600, (28, 28, 1), 10),
    "cnn": (600, (28, 28, 1), 10),
    "resnet": (500, (32, 32, 3), 50),
}
"""Of a client, their shape, and how many a step takes."""

Sum = Literal["floats", "gaussian", "skellam", "integers"]
"""What a device adds or, of the last two, hands on as rows: shares of noise or, for ``lattice`` and
every other secure sum, plain integers; a client's half of ``lattice`` is a program of its own, see
results/encryption."""


@dataclass(frozen=True)
class Setting:
    """What is compiled.

    Attributes:
      card: file that describes the card, as a ``GpuTargetConfigProto`` in text form.
      flops: of the card in a second by precision: float32, tf32, bfloat16.
      only: the cases of one network; all if empty.
    """

    card: Path = Path(__file__).parent / "common" / "h100.txtpb"
    flops: tuple[float, float, float] = (66.9e12, 494e12, 989e12)
    only: Literal["", "2nn", "cnn", "resnet"] = ""


class Case(NamedTuple):
    """One program.

    Attributes:
      network: what clients train.
      chunk: clients vmapped together; the cohort is as large, on each card.
      precision: of local training.
      sum: what is added.
      kernels: what a batch of convolutions becomes.
      graphs: whether loops are part of CUDA graphs.
      cards: over which the clients are divided.
    """

    network: Literal["2nn", "cnn", "resnet"] = "2nn"
    chunk: int = 100
    precision: Precision = "float32"
    sum: Sum = "floats"
    kernels: BatchedKernels = "grouped"
    graphs: bool = True
    cards: int = 1


class Row(NamedTuple):
    """What was compiled of a case.

    Attributes:
      network, chunk, precision, sum, kernels, graphs, cards: see `Case`.
      launches: kernels and copies of a step.
      host_waits: how often a step waits for the host.
      bytes_per_step: read and written.
      flop_per_step: of the gradients, as the compiler counts them.
      temporary_bytes: of the whole program.
      bytes_per_client: of these, for each client of a chunk.
      products: how many the program has in each precision, as JAX names them.
      bound_ms: the longer of what the step's bytes and operations take at the card's rates.
      bound_by: which of the two.
    """

    network: str
    chunk: int
    precision: str
    sum: str
    kernels: str
    graphs: bool
    cards: int
    launches: int
    host_waits: int
    bytes_per_step: int
    flop_per_step: float
    temporary_bytes: int
    bytes_per_client: float
    products: dict[str, int]
    bound_ms: float
    bound_by: str


def cases() -> list[Case]:
    """Everything that is compiled: the common case of each network, and one factor at a time."""
    return [
        *(Case(chunk=chunk) for chunk in (1, 10, 100)),
        Case(precision="tf32"),
        Case(precision="bfloat16"),
        Case(sum="gaussian"),
        Case(sum="skellam"),
        Case(sum="integers"),
        Case(graphs=False),
        Case(cards=8),
        *(Case("cnn", chunk=chunk) for chunk in (1, 10, 100)),
        Case("cnn", kernels="products"),
        Case("cnn", precision="bfloat16"),
        Case("cnn", graphs=False),
        Case("resnet"),
        Case("resnet", kernels="products"),
        Case("resnet", chunk=1),
    ]


def build_model(case: Case) -> Model:
    """The model that a case trains."""
    make = {"2nn": two_nn, "cnn": cnn, "resnet": resnet}[case.network]
    model = make(_EXAMPLES[case.network][1], _CLASSES)
    return with_precision(with_batched_kernels(model, case.kernels), case.precision)


def lowered(case: Case, mesh: Mesh) -> Any:
    """A case's round, or rounds, for devices that need not be there."""
    examples, _, batch = _EXAMPLES[case.network]
    model = build_model(case)
    cohort = case.chunk * case.cards
    # Everybody, where no bound is known for cohorts.
    sampler = full(cohort) if case.sum == "skellam" else fixed_size(_CLIENTS, cohort)
    sizes = np.full(sampler.num_clients, examples, np.int32)
    method = fedavg(
        classification(model, _CLASSES),
        optax.sgd(0.05),
        weighting=uniform,
        training=LocalTraining(batch_size=batch),
    )
    server, clients = halves_of(method, sizes, _sampler_or_plan(case, sampler, model))
    federation = Federation(server, clients, _examples(case, mesh, len(sizes)))
    state = jax.eval_shape(lambda: server.init(jax.random.key(0), study_key(0), 0, {}))
    state = _on(mesh, state, jax.tree.map(lambda _: PartitionSpec(), state))
    here = clients_mesh(jax.devices("cpu")[:1])
    if case.sum in ("floats", "gaussian"):
        added = server.plan.on_device(server.length)
        work_with = work_of(federation, encoder(added), mesh, "sum")
        decode = decoder(added, server.update)
        of_round = round_with(federation, work_with, decode, states_in(federation, here))
        until = _on(mesh, jnp.int32(0), PartitionSpec())
        return jax.jit(rounds_with(of_round)(case.chunk)).lower(federation.data, state, until)
    added = server.plan.in_secure_sum(FixedPoint(server.length, 16, _NORM))
    work = work_of(federation, encoder(added), mesh, "rows")(case.chunk)
    states = states_in(federation, here)

    def train(data: FederatedData, state: Any) -> Any:
        cohort = server.draw(state)
        return work(data, state, cohort, *states.lend(state.clients, cohort))

    return jax.jit(train).lower(federation.data, state)


def _sampler_or_plan(case: Case, sampler: Full | FixedSize, model: Model) -> Any:
    length = num_parameters(model)
    mechanisms = {
        "gaussian": Gaussian(1.0, DeviceIntegers(length)),
        "skellam": Skellam(1.0, Integers(length), colluders=1),
    }
    if case.sum not in mechanisms:
        return sampler
    mechanism = mechanisms[case.sum]
    return Plan(sampler=sampler, clipping=Flat(_NORM), mechanism=mechanism, rounds=1000, delta=1e-6)


def _examples(case: Case, mesh: Mesh, count: int) -> FederatedData:
    """Shapes of the clients' examples, which nothing is read of."""
    examples, shape, _ = _EXAMPLES[case.network]
    total = 100 * examples
    shapes = jax.eval_shape(
        lambda: FederatedData(
            inputs=jnp.zeros((total, *shape), jnp.uint8),
            targets=jnp.zeros(total, jnp.int32),
            shift=jnp.zeros(()),
            scale=jnp.ones(()),
            index=jnp.zeros(total, jnp.int32),
            offsets=jnp.zeros(count, jnp.int32),
            sizes=jnp.zeros(count, jnp.int32),
        )
    )
    return _on(mesh, shapes, data_specs())


def _on(mesh: Mesh, tree: Any, specs: Any) -> Any:
    return jax.tree.map(
        lambda leaf, spec: jax.ShapeDtypeStruct(
            leaf.shape, leaf.dtype, sharding=NamedSharding(mesh, spec)
        ),
        tree,
        specs,
    )


def compiled(case: Case, setting: Setting) -> Row:
    """Compiles a case, in a process that has compiled nothing yet.

    Raises:
      ConfigError: JAX cannot compile for such a card here.
    """
    with tempfile.TemporaryDirectory() as folder:
        flags = [f"--xla_dump_to={folder}", "--xla_dump_hlo_as_text"]
        os.environ["XLA_FLAGS"] = " ".join([*flags, *([GRAPHS] if case.graphs else [])])
        # Otherwise the plugin asks for a driver.
        os.environ["JAX_SKIP_CUDA_CONSTRAINTS_CHECK"] = "1"
        jax.config.update("jax_default_device", jax.devices("cpu")[0])
        try:
            topology = topologies.get_topology_desc(
                topology_name="",
                platform="cuda",
                topology=f"1x1x{case.cards}",
                target_config=setting.card.read_text(),
            )
        except Exception as error:
            raise ConfigError(
                f"JAX cannot compile for {setting.card} ({str(error).splitlines()[0]}): expected "
                "its CUDA plugin, pip install 'pride-jax[cuda]', and a description of a card"
            ) from None
        program = lowered(case, clients_mesh(topology.devices))
        products = Counter(_precisions(program.as_text()))
        executable = program.compile()
        (thunks,) = [
            path.read_text()
            for path in Path(folder).glob("*thunk_sequence_after_thunk_passes.txt")
            if re.search(r"jit_(many_rounds|train)\.", path.name)
        ]
        step = gpu_text.step(executable.as_text(), thunks)
        temporary = executable.memory_analysis().temp_size_in_bytes
    flop = _flop(case) * case.chunk
    rate = setting.flops[("float32", "tf32", "bfloat16").index(case.precision)]
    by_bytes, by_flop = step.bytes / _bandwidth(setting.card), flop / rate
    return Row(
        *case,
        launches=step.kernels,
        host_waits=step.host_waits,
        bytes_per_step=step.bytes,
        flop_per_step=flop,
        temporary_bytes=temporary,
        bytes_per_client=temporary / case.chunk,
        products=dict(products),
        bound_ms=1e3 * max(by_bytes, by_flop),
        bound_by="bytes" if by_bytes > by_flop else "operations",
    )


def _precisions(program: str) -> list[str]:
    """Of each product of a lowered program, as JAX wrote it there."""
    lines = re.findall(r"stablehlo\.(?:dot_general|convolution)[^\n]*", program)
    found = [
        re.search(r"precision(?:_config)? = \[(?:#stablehlo<precision )?(\w+)", line)
        for line in lines
    ]
    return [each[1] if each else "DEFAULT" for each in found]


def _flop(case: Case) -> float:
    """Of the gradient of one client's batch, as the compiler counts them on a CPU."""
    _, shape, batch = _EXAMPLES[case.network]
    model = build_model(case)

    def loss(params: Any, images: Any) -> Any:
        return jnp.sum(model.apply(params, images))

    params = jax.eval_shape(model.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((batch, *shape), jnp.float32)
    counted: Any = jax.jit(jax.grad(loss)).lower(params, images).cost_analysis()
    return counted["flops"]


def _bandwidth(card: Path) -> float:
    """Bytes in a second of the card's memory."""
    return float(re.findall(r"memory_bandwidth: (\d+)", card.read_text())[0])


class Report(NamedTuple):
    """What was compiled, and what XLA ended its process over.

    Attributes:
      rows: of the programs.
      left_out: cases without one.
    """

    rows: list[Row]
    left_out: list[Case]


def measure(setting: Setting) -> Report:
    """Compiles every case, each in a process of its own.

    Raises:
      ConfigError: JAX cannot compile for the card here.
    """
    if not setting.card.is_file():
        raise ConfigError(f"card={setting.card}: there is no such file")
    chosen = [case for case in cases() if setting.only in ("", case.network)]
    spawn = get_context("spawn")
    report = Report([], [])
    for case in chosen:
        try:
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                report.rows.append(pool.submit(compiled, case, setting).result())
        except BrokenProcessPool:
            print(f"left out: XLA ended the process over {case}", flush=True)
            report.left_out.append(case)
    return report


def as_json(setting: Setting, report: Report) -> str:
    """The rows, the setting and what compiled them, in one line."""
    return as_line(report._asdict(), replace(setting, card=Path(setting.card.name)))


def show(report: Report) -> None:
    """The rows as a table."""
    table = Table("network", "chunk", "precision", "sum", "kernels", "graphs", "cards")
    for heading in ("launches", "waits", "MB/step", "MB/client", "ms/step ≥", "by", "products"):
        table.add_column(heading)
    for row in report.rows:
        table.add_row(
            *(str(value) for value in row[:7]),
            str(row.launches),
            str(row.host_waits),
            f"{row.bytes_per_step / 1e6:,.1f}",
            f"{row.bytes_per_client / 1e6:,.1f}",
            f"{row.bound_ms:.3g}",
            row.bound_by,
            " ".join(f"{name} {count}" for name, count in row.products.items()),
        )
    Console(width=max(Console().width, 150)).print(table)
