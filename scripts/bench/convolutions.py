"""A ResNet of Flax's own layers in a training loop, its convolutions replaced and left alone.

One process on one core takes SGD steps inside ``lax.fori_loop`` on random images, in turn with the
network as `from_module` makes it and with the module as Flax runs it. Unless both give the same
gradient, nothing is reported.
"""

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float
from rich.console import Console
from rich.table import Table

from pride_jax.errors import ConfigError, PrideError
from pride_jax.models.modules import from_module
from pride_jax.models.networks import ResNet
from pride_jax.runs.lines import as_line
from pride_jax.types import Params

_SHAPE, _OUTPUTS, _WIDTH = (32, 32, 3), 10, 16
_CLOSE = 1e-6


@dataclass(frozen=True)
class Setting:
    """What is timed.

    Attributes:
      images: a step.
      steps: in one loop.
      repeats: loops of each network; the median counts.
    """

    images: int = 50
    steps: int = 2
    repeats: int = 3


class Report(NamedTuple):
    """What one step takes.

    Attributes:
      replaced: seconds a step, each loop's.
      left_alone: the same with Flax's convolutions.
      difference: of the gradients, the norm of it relative to the gradient's.
    """

    replaced: list[float]
    left_alone: list[float]
    difference: float

    @property
    def ratio(self) -> float:
        """How many times as fast the replaced network is, from medians."""
        return statistics.median(self.left_alone) / statistics.median(self.replaced)


def measure(setting: Setting) -> Report:
    """Times both networks in a process of one core.

    Raises:
      ConfigError: a process cannot be kept to a core here.
      PrideError: the gradients differ.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise ConfigError("A process cannot be given its cores on this system: use Linux")
    core = min(os.sched_getaffinity(0))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure_on, core, setting).result()


def _measure_on(core: int, setting: Setting) -> Report:
    """Takes the core before JAX starts, whose threads then share it."""
    os.sched_setaffinity(0, {core})
    jax.config.update("jax_platforms", "cpu")
    draw = np.random.default_rng(0)
    images = jnp.asarray(draw.normal(size=(setting.images, *_SHAPE)), jnp.float32)
    targets = jnp.asarray(draw.integers(_OUTPUTS, size=setting.images), jnp.int32)
    model = from_module(_network)
    params = model.init(jax.random.key(0))
    losses = {
        "replaced": _loss(model.apply, images, targets),
        "left_alone": _loss(_left_alone(), images, targets),
    }
    ours, theirs = (jax.jit(jax.grad(loss))(params) for loss in losses.values())
    missed = optax.tree.norm(jax.tree.map(jnp.subtract, ours, theirs))
    difference = float(missed / optax.tree.norm(theirs))
    if difference > _CLOSE:
        raise PrideError(f"The gradients differ by {difference:.1e}, expected at most {_CLOSE}")
    loops = {name: _loop(loss, setting.steps, params) for name, loss in losses.items()}
    seconds: dict[str, list[float]] = {name: [] for name in losses}
    for _ in range(setting.repeats):
        for name, loop in loops.items():
            start = time.perf_counter()
            jax.block_until_ready(loop(params))
            seconds[name].append((time.perf_counter() - start) / setting.steps)
    return Report(seconds["replaced"], seconds["left_alone"], difference)


def _network(rngs: nnx.Rngs) -> ResNet:
    return ResNet(_SHAPE[-1], _OUTPUTS, _WIDTH, 0.0, rngs=rngs)


def _left_alone() -> Callable[[Params, Array], Float[Array, "batch outputs"]]:
    graph, _, rest = nnx.split(_network(nnx.Rngs(0)), nnx.Param, ...)

    def apply(params: Params, images: Array) -> Float[Array, "batch outputs"]:
        return nnx.merge(graph, nnx.State(params), rest)(images)

    return apply


def _loss(
    apply: Callable[[Params, Array], Float[Array, "batch outputs"]], images: Array, targets: Array
) -> Callable[[Params], Float[Array, ""]]:
    def loss(params: Params) -> Float[Array, ""]:
        logits = apply(params, images)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, targets))

    return loss


def _loop(
    loss: Callable[[Params], Float[Array, ""]], steps: int, params: Params
) -> Callable[[Params], Params]:
    def step(_: int, params: Params) -> Params:
        return jax.tree.map(lambda leaf, slope: leaf - 0.1 * slope, params, jax.grad(loss)(params))

    def loop(params: Params) -> Params:
        return jax.lax.fori_loop(0, steps, step, params)

    return jax.jit(loop).lower(params).compile()


def as_json(setting: Setting, report: Report) -> str:
    """The report, the setting and what it ran on, in one line."""
    return as_line(report._asdict() | {"ratio": report.ratio}, setting)


def show(report: Report) -> None:
    """Medians, and how many times as fast the replaced network is."""
    table = Table("", "ms a step", title=f"gradients differ by {report.difference:.1e}")
    table.add_row("replaced", f"{1000 * statistics.median(report.replaced):.0f}")
    table.add_row("left alone", f"{1000 * statistics.median(report.left_alone):.0f}")
    table.add_row("times as fast", f"{report.ratio:.1f}")
    Console().print(table)
