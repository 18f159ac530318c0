"""Several runs of one model as one compiled program."""

import contextlib
import dataclasses
import functools
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int

from pride_jax.data.federated import FederatedData
from pride_jax.engine.local import extent_of, numbers_read
from pride_jax.engine.memory import default_chunk, within_memory
from pride_jax.engine.rounds import RoundInfo, ServerState
from pride_jax.errors import ConfigError, PrideError
from pride_jax.methods.method import WHOLE
from pride_jax.reporting.metrics import Row
from pride_jax.reporting.sweep_terminal import Going
from pride_jax.runs.experiment import Asked, Trained, run_in_steps
from pride_jax.runs.interrupts import interruptible
from pride_jax.runs.prepared import Prepared, build_algorithm, prepare, simulated_of
from pride_jax.runs.resuming import is_finished, may_change
from pride_jax.settings import build
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import differences, to_dict
from pride_jax.settings.learning import NUMBERS, Shape
from pride_jax.sweeps.sweep import Ended, Execute, Planned, Watch

VARYING = (*NUMBERS, "privacy.clipping_norm")
"""Settings that may vary besides seed, ``data`` and ``partition``; the norm is part of a state."""

_VMAPPED = 2**18
"""Parameters of a model up to which runs are vmapped, larger ones one after another in a scan.

Measured with ten runs on two CPU cores, a vmap takes between a quarter and half of a scan's seconds
for Iris (259 parameters), and about as many from 4,810 to 199,210 parameters, where a scan needs
less memory.
"""


def together(watch: Watch) -> Execute:
    """Carries out runs as one program, each with the results that it has by itself.

    Their splits, partitions, initial parameters and keys are stacked; every run still writes its
    own folder, which `experiment.run` could have left, pictures aside, and could continue. The
    seconds of a round are a run's share of all runs' seconds; those in all are everybody's.

    Raises (when runs are given):
      ConfigError: a setting that varies is part of the program, its arrays have other shapes, or
        updates are not added as floats on the device without noise.
    """

    def execute(runs: Sequence[Planned]) -> Ended:
        check(runs)
        names = _varying(runs)
        found = []
        for run in runs:
            waiting = len(runs) - len(found) - 1
            watch([Going(run.name, run.config.rounds, None, "making it ready")], waiting)
            found.append((run, _prepared(run, names)))
        refused = [(run, why) for run, why in found if isinstance(why, str)]
        ready = [(run, prepared) for run, prepared in found if isinstance(prepared, Prepared)]
        if not ready:
            return (each for each in refused)
        return _carry_out(refused, ready, _program(ready), watch)

    return execute


def check(runs: Sequence[Planned]) -> None:
    """Refuses runs that cannot be one program.

    Raises:
      ConfigError: see `together`.
    """
    first = runs[0].config
    if first.aggregation.protocol != "none":
        raise ConfigError(
            f"aggregation.protocol={first.aggregation.protocol!r} in runs that are trained "
            "together: expected 'none', since other sums are made on the host, run by run"
        )
    if first.privacy.mechanism != "none":
        raise ConfigError(
            f"privacy.mechanism={first.privacy.mechanism!r} in runs that are trained together: "
            "expected 'none', since every run keeps its own ledger, which it writes before it "
            "releases anything"
        )
    for run in runs[1:]:
        for change in differences(to_dict(first), to_dict(run.config)):
            name = change.partition(":")[0]
            if name not in ("seed", *VARYING) and name.split(".")[0] not in ("data", "partition"):
                raise ConfigError(
                    f"{change}: runs that are trained together are one program, in which only "
                    f"seed, data, partition, {', '.join(VARYING)} may vary; let this one vary "
                    "without --together"
                )


def _prepared(run: Planned, names: Sequence[str]) -> Prepared | str:
    """What a run is made of, or why it cannot begin.

    Args:
      run: the run.
      names: settings that the runs' program takes as arguments.
    """
    try:
        is_finished(run.config, run.folder, run.folder.exists(), may_change(run.config))
        numbers = {name: value_of(run.config, name) for name in names}
        return prepare(run.config, run.folder / "secrets", numbers)
    except PrideError as error:
        return str(error)


def _varying(runs: Sequence[Planned]) -> list[str]:
    """Those of `NUMBERS` that are not the same in all runs."""
    values = {name: [value_of(run.config, name) for run in runs] for name in NUMBERS}
    return [name for name, each in values.items() if any(value != each[0] for value in each)]


def value_of(config: Experiment, name: str) -> Any:
    """The value of a prepared; None for an option that the config's function has not."""
    section, field, *option = name.split(".")
    value = getattr(getattr(config, section), field)
    return value.get(*option) if option else value


Train = Callable[
    [Sequence[int], Sequence[ServerState], int], Sequence[tuple[ServerState, RoundInfo]]
]
"""``(which runs, their states, until) -> what each of them gave``."""


def _program(runs: Sequence[tuple[Planned, Prepared]]) -> Train:
    """Makes the function that trains some of the runs, compiled once for however many.

    Raises:
      ConfigError: the runs' data are not of the same shapes.
    """
    _check_shapes(runs)
    ready = [prepared for _, prepared in runs]
    first = ready[0]
    shared, varied = _divided([simulated_of(prepared).data for prepared in ready])
    mesh = build.build_mesh(first.config.engine)
    shapes = _shapes_only(ready)
    extent = extent_of(np.asarray(shapes.sizes), first.config.client.batch_size or WHOLE)
    read = numbers_read(shapes, extent)
    chunk = first.config.engine.chunk or default_chunk(first.length, read, mesh)
    compiled = within_memory(functools.partial(_trainer, first, shapes, mesh), chunk)

    def train(
        which: Sequence[int], states: Sequence[ServerState], until: int
    ) -> Sequence[tuple[ServerState, RoundInfo]]:
        # Runs that are missing are made up by others: another number would be another program.
        filled = [*range(len(which)), *[0] * (len(ready) - len(which))]
        chosen = jnp.asarray([which[place] for place in filled])
        their_states = tuple(states[place] for place in filled)
        return compiled(shared, varied, chosen, their_states, jnp.int32(until))()[: len(which)]

    return train


def _shapes_only(ready: Sequence[Prepared]) -> FederatedData:
    """All that a program needs to know of its data beforehand: shapes, and how long clients are."""
    data = simulated_of(ready[0]).data
    sizes = np.stack([prepared.sizes for prepared in ready])
    longest = sizes.max(axis=0)
    if (sizes != sizes[0]).any():
        # Clients that take as many steps in every run are not to be told from others by the
        # largest of each: one that is short says that some are.
        longest = np.where(np.arange(len(longest)) == np.argmax(longest), longest.max(), 1)
    return data._replace(
        inputs=np.asarray(data.inputs[:0]),
        targets=np.asarray(data.targets[:0]),
        index=np.asarray(data.index[:0]),
        sizes=longest.astype(np.int32),
    )


def _trainer(
    first: Prepared, shapes: FederatedData, mesh: Mesh, chunk: int
) -> Callable[..., list[tuple[ServerState, RoundInfo]]]:
    """The pure function of the data that all share, what varies, which runs, their states, until.

    Args:
      first: what one run is made of; the others differ in what the function is given.
      shapes: what is known of all runs' data.
      mesh: devices, over which the clients of every run are sharded.
      chunk: most clients of a run vmapped together.
    """
    engine = dataclasses.replace(first.config.engine, chunk=chunk)
    config = dataclasses.replace(first.config, engine=engine)
    dataset = simulated_of(first).dataset
    examples = Shape(dataset.train_inputs.shape[1:], dataset.outputs)
    algorithm = build_algorithm(config, examples, shapes, mesh, first.plan, None, first.hyper)

    def train_all(
        shared: FederatedData,
        varied: dict[str, Array],
        which: Int[Array, "runs"],
        states: Sequence[ServerState],
        until: Int[Array, ""],
    ) -> list[tuple[ServerState, RoundInfo]]:
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        chosen = jax.tree.map(lambda leaf: leaf[which], varied)

        def one(each: tuple[dict[str, Array], ServerState]) -> tuple[ServerState, RoundInfo]:
            data, state = each
            # One round for all: a loop whose end differed from run to run would mask every step.
            state = state._replace(round=states[0].round)
            return algorithm.rounds_on(shared._replace(**data), state, until)

        runs = (chosen, stacked)
        small = first.length <= _VMAPPED
        results = jax.vmap(one)(runs) if small else jax.lax.map(one, runs)
        return [jax.tree.map(operator.itemgetter(place), results) for place in range(len(states))]

    return train_all


def _check_shapes(runs: Sequence[tuple[Planned, Prepared]]) -> None:
    first, one = runs[0]
    for run, other in runs[1:]:
        for name, here in _shapes(one).items():
            if here != (there := _shapes(other)[name]):
                changed = differences(to_dict(one.config), to_dict(other.config))
                raise ConfigError(
                    f"{'; '.join(changed)}: {name} is {here} in {first.name}, {there} in "
                    f"{run.name}; runs that are trained together need the same, let this vary "
                    "without --together"
                )


def _shapes(prepared: Prepared) -> dict[str, str]:
    """What must be the same in runs of one program."""
    simulated = simulated_of(prepared)
    arrays = zip(FederatedData._fields, simulated.data, strict=True)
    shapes = {name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in arrays}
    return shapes | {"classes": str(simulated.dataset.outputs)}


def _divided(datas: Sequence[FederatedData]) -> tuple[FederatedData, dict[str, Array]]:
    """The first run's data, and stacked what is not the same in all."""
    varied = {}
    for name, *leaves in zip(FederatedData._fields, *datas, strict=True):
        arrays = [np.asarray(leaf) for leaf in leaves]
        if any((array != arrays[0]).any() for array in arrays):
            varied[name] = jnp.stack(arrays)
    return datas[0], varied


def _carry_out(
    refused: Sequence[tuple[Planned, str]],
    runs: Sequence[tuple[Planned, Prepared]],
    train: Train,
    watch: Watch,
) -> Ended:
    """Lets every run go on until it asks for rounds, trains those that are behind, and so on."""
    yield from refused
    rows: dict[int, Row] = {}
    asked: dict[int, Asked] = {}
    doing = "compiling, and training the first round"
    with interruptible() as heed, contextlib.ExitStack() as stack:
        courses = []
        for number, (run, prepared) in enumerate(runs):
            report = functools.partial(rows.__setitem__, number)
            course = run_in_steps(prepared, run.folder, report, pictures=False)
            courses.append(stack.enter_context(contextlib.closing(course)))
        answers: dict[int, Trained | None] = dict.fromkeys(range(len(runs)))
        while answers:
            heed()
            for number, answer in answers.items():
                try:
                    course = courses[number]
                    asked[number] = next(course) if answer is None else course.send(answer)
                except (StopIteration, PrideError) as end:
                    asked.pop(number, None)
                    yield runs[number][0], str(end) if isinstance(end, PrideError) else None
            going = ((runs[number][0], rows.get(number)) for number in asked)
            watch([Going(run.name, run.config.rounds, row, doing) for run, row in going], 0)
            doing = "training"
            answers = _hindmost_trained(asked, train)


def _hindmost_trained(asked: Mapping[int, Asked], train: Train) -> dict[int, Trained | None]:
    """What the rounds gave that runs asked for: of those that have the fewest."""
    rounds = {number: int(each.state.round) for number, each in asked.items()}
    which = [number for number in rounds if rounds[number] == min(rounds.values())]
    if not which:
        return {}
    until = asked[which[0]].until
    start = time.perf_counter()
    results = train(which, [asked[number].state for number in which], until)
    seconds = (time.perf_counter() - start) / (until - rounds[which[0]]) / len(which)
    return {
        number: Trained(state, info, seconds)
        for number, (state, info) in zip(which, results, strict=True)
    }
