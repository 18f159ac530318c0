"""Networks of Flax's own layers in our rounds, beside a plain PyTorch loop, on one core.

A LeNet, a ResNet-8 with group normalisation and a depthwise network, as a user writes them, on
random images of CIFAR-10's shape. The engine and PyTorch, which runs in a process of its own with
the interpreter that has it, take turns, both kept to the same core. A client's batch is all its
images, so that both take the same steps from the same parameters. Unless both end with the same
loss, nothing is reported.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from flax.nnx import traversals
from jaxtyping import Array, Float
from rich.console import Console
from rich.table import Table

from bench.common.rounds import CLASSES, one_device
from pride_jax.data.federated import FederatedData
from pride_jax.engine.on_device import on_device
from pride_jax.errors import ConfigError, PrideError
from pride_jax.federated import federated
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import WHOLE, LocalTraining
from pride_jax.models.modules import from_module
from pride_jax.models.networks import ResNet
from pride_jax.privacy.sampling import full
from pride_jax.runs.lines import as_line
from pride_jax.task import classification
from pride_jax.types import Params

_SHAPE, _RATE = (32, 32, 3), 0.01
_LOOP = Path(__file__).parent / "common" / "torch_loop.py"
_CLOSE = 1e-4

Network = Literal["lenet", "resnet", "depthwise"]


@dataclass(frozen=True)
class Setting:
    """What is timed.

    Attributes:
      torch: a Python interpreter that has PyTorch and NumPy, if not this one.
      networks: any of ``lenet``, ``resnet`` and ``depthwise``.
      images: a step.
      steps: of each client in a round.
      clients: in the round.
      turns: rounds of both.
    """

    torch: Path = Path(sys.executable)
    networks: tuple[Network, ...] = ("lenet", "resnet", "depthwise")
    images: int = 50
    steps: int = 5
    clients: int = 2
    turns: int = 11


class Row(NamedTuple):
    """One network.

    Attributes:
      network: its name.
      ours: processor seconds a step of one client, by turn, since other work shares the core.
      theirs: the same of PyTorch.
      ratio: median over turns of theirs to ours: above 1, ours is faster.
      loss: of both, their mean over the round.
    """

    network: str
    ours: list[float]
    theirs: list[float]
    ratio: float
    loss: float


class Report(NamedTuple):
    """What was measured.

    Attributes:
      rows: a network each.
      torch: its version.
    """

    rows: list[Row]
    torch: str


class LeNet(nnx.Module):
    """Two valid 5×5 convolutions, each followed by 2×2 max pooling, and three dense layers."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(3, 6, (5, 5), padding="VALID", rngs=rngs)
        self.conv2 = nnx.Conv(6, 16, (5, 5), padding="VALID", rngs=rngs)
        self.dense1 = nnx.Linear(400, 120, rngs=rngs)
        self.dense2 = nnx.Linear(120, 84, rngs=rngs)
        self.logits = nnx.Linear(84, CLASSES, rngs=rngs)

    def __call__(self, x: Float[Array, "batch 32 32 3"]) -> Float[Array, "batch classes"]:
        """Logits of images."""
        x = nnx.max_pool(nnx.relu(self.conv1(x)), (2, 2), strides=(2, 2))
        x = nnx.max_pool(nnx.relu(self.conv2(x)), (2, 2), strides=(2, 2))
        x = x.reshape(x.shape[0], -1)
        return self.logits(nnx.relu(self.dense2(nnx.relu(self.dense1(x)))))


class Depthwise(nnx.Module):
    """A 3×3 convolution, then three depthwise ones, each followed by a 1×1 convolution."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(3, 32, (3, 3), padding=1, rngs=rngs)
        widths = [(32, 64, 1), (64, 128, 2), (128, 128, 1)]
        self.depths = nnx.List(
            nnx.Conv(
                inputs, inputs, (3, 3), stride, padding=1, feature_group_count=inputs, rngs=rngs
            )
            for inputs, _, stride in widths
        )
        self.points = nnx.List(
            nnx.Conv(inputs, outputs, (1, 1), rngs=rngs) for inputs, outputs, _ in widths
        )
        self.dense = nnx.Linear(128, CLASSES, rngs=rngs)

    def __call__(self, x: Float[Array, "batch 32 32 3"]) -> Float[Array, "batch classes"]:
        """Logits of images."""
        x = nnx.relu(self.conv(x))
        for depth, point in zip(self.depths, self.points, strict=True):
            x = nnx.relu(point(nnx.relu(depth(x))))
        return self.dense(jnp.mean(x, axis=(1, 2)))


MAKE: dict[str, Callable[[nnx.Rngs], nnx.Module]] = {
    "lenet": lambda rngs: LeNet(rngs=rngs),
    "resnet": lambda rngs: ResNet(_SHAPE[-1], CLASSES, 16, 0.0, rngs=rngs),
    "depthwise": lambda rngs: Depthwise(rngs=rngs),
}


def measure(setting: Setting) -> Report:
    """Times every network.

    Raises:
      ConfigError: a process cannot be kept to a core here, or the interpreter has no PyTorch.
      PrideError: the losses differ.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError("A process cannot be given its cores on this system: use Linux")
    rows, version = [], ""
    for network in setting.networks:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            row, version = pool.submit(_measure_on, setting, network).result()
        rows.append(row)
    return Report(rows, version)


def _measure_on(setting: Setting, network: Network) -> tuple[Row, str]:
    """Takes the last core before JAX starts, whose threads then share it, and PyTorch with them."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    jax.config.update("jax_platforms", "cpu")
    draw = np.random.default_rng(0)
    images = draw.integers(256, size=(setting.clients, setting.images, *_SHAPE), dtype=np.uint8)
    targets = draw.integers(CLASSES, size=images.shape[:2], dtype=np.int32)
    params, run = _our_round(setting, network, images, targets)
    work: dict[str, Any] = {
        "network": network,
        "steps": setting.steps,
        "batch": setting.images,
        "rate": _RATE,
        "images": images,
        "targets": targets,
    } | _for_torch(params)
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "work.npz", **work)
        with _torch(setting.torch, Path(folder) / "work.npz") as (version, their_round):
            loss, their_loss = run(), their_round()[1]
            if not abs(their_loss / loss - 1) < _CLOSE:
                raise PrideError(
                    f"{network}: our loss is {loss}, PyTorch's {their_loss}: they did not do the "
                    "same work"
                )
            for _ in range(setting.turns):
                start = time.process_time()
                run()
                ours.append((time.process_time() - start) / (setting.clients * setting.steps))
                theirs.append(their_round()[0] / (setting.clients * setting.steps))
    ratio = statistics.median(their / our for our, their in zip(ours, theirs, strict=True))
    return Row(network, ours, theirs, ratio, loss), version


def _our_round(
    setting: Setting, network: Network, images: np.ndarray, targets: np.ndarray
) -> tuple[Params, Callable[[], float]]:
    """The parameters that a round starts with, and the round, which gives its mean loss."""
    total = setting.clients * setting.images
    data = FederatedData(
        inputs=jnp.asarray(images.reshape(total, *_SHAPE)),
        targets=jnp.asarray(targets.reshape(total)),
        shift=jnp.full((), 127.0),
        scale=jnp.full((), 1 / 255),
        index=jnp.arange(total, dtype=jnp.int32),
        offsets=jnp.arange(setting.clients, dtype=jnp.int32) * setting.images,
        sizes=jnp.full(setting.clients, setting.images, jnp.int32),
    )
    method = fedavg(
        classification(from_module(MAKE[network]), CLASSES),
        optax.sgd(_RATE),
        training=LocalTraining(epochs=setting.steps, batch_size=WHOLE),
    )
    algorithm = federated(method, data, full(setting.clients), on_device(one_device()))
    state = algorithm.init(jax.random.key(0))

    def run() -> float:
        _, info = algorithm.round(state)
        assert info.loss is not None, "simulated clients tell it"
        return float(info.loss) / (total * setting.steps)

    return algorithm.params(state), run


def _for_torch(params: Params) -> dict[str, np.ndarray]:
    """Parameters by PyTorch's names and in its order of axes."""
    names = {"kernel": "weight", "scale": "weight", "bias": "bias"}
    axes = {1: (0,), 2: (1, 0), 4: (3, 2, 0, 1)}
    leaves = traversals.flatten_mapping(params).items()
    return {
        "param " + ".".join([*map(str, path[:-1]), names[path[-1]]]): np.asarray(leaf).transpose(
            axes[leaf.ndim]
        )
        for path, leaf in leaves
    }


@contextmanager
def _torch(python: Path, work: Path) -> Iterator[tuple[str, Callable[[], tuple[float, float]]]]:
    """PyTorch's version, and its round, which gives seconds and the mean loss."""
    try:
        process = subprocess.Popen(
            [python, _LOOP, work], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
    except OSError as error:
        raise ConfigError(f"torch={python}: expected a Python interpreter ({error})") from None
    assert process.stdin and process.stdout
    stdin, stdout = process.stdin, process.stdout

    def their_round() -> tuple[float, float]:
        stdin.write("go\n")
        stdin.flush()
        seconds, loss = map(float, stdout.readline().split())
        return seconds, loss

    with process:
        ready = stdout.readline().split()
        if not ready:
            raise ConfigError(
                f"torch={python}: expected an interpreter with PyTorch and NumPy, see its error"
            )
        yield ready[1], their_round
        stdin.close()


def as_json(setting: Setting, report: Report) -> str:
    """The rows, the setting and what they ran on, in one line."""
    told: dict[str, Any] = report._asdict()
    return as_line(told, setting)


def show(report: Report) -> None:
    """Medians in milliseconds, and how many times as fast ours is."""
    table = Table("network", "ours, ms a step", f"PyTorch {report.torch}", "times as fast")
    for row in report.rows:
        seconds = (statistics.median(row.ours), statistics.median(row.theirs))
        table.add_row(row.network, *(f"{1000 * each:.1f}" for each in seconds), f"{row.ratio:.2f}")
    Console().print(table)
