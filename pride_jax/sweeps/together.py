"""Several runs of one model as one compiled program."""

import contextlib
import copy
import functools
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from pride_jax.data.federated import FederatedData
from pride_jax.engine.cohort import default_chunk
from pride_jax.errors import ConfigError, PrideError
from pride_jax.federated import RoundInfo, ServerState, within_memory
from pride_jax.models.modules import num_parameters
from pride_jax.reporting.metrics import Row
from pride_jax.reporting.sweep_terminal import Going
from pride_jax.runs.experiment import (
    Asked,
    Setting,
    Simulated,
    Trained,
    build_algorithm,
    is_finished,
    prepare,
    run_in_steps,
)
from pride_jax.settings import build
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import differences, to_dict
from pride_jax.sweeps.sweep import Ended, Execute, Planned, Watch

NUMBERS = (
    "client.learning_rate",
    "client.momentum",
    "client.weight_decay",
    "task.options.label_smoothing",
    "method.options.proximal",
    "client.borrowed_scatter",
    "server.learning_rate",
    "privacy.clipping_norm",
)
"""Settings the program takes as arguments; seed, ``data`` and ``partition`` change its data."""

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
        prepared = [(run, _prepared(run)) for run in runs]
        refused = [(run, why) for run, why in prepared if isinstance(why, str)]
        ready = [(run, setting) for run, setting in prepared if isinstance(setting, Setting)]
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
            if name not in ("seed", *NUMBERS) and name.split(".")[0] not in ("data", "partition"):
                raise ConfigError(
                    f"{change}: runs that are trained together are one program, in which only "
                    f"seed, data, partition, {', '.join(NUMBERS)} may vary; let this one vary "
                    "without --together"
                )


def _prepared(run: Planned) -> Setting | str:
    """What a run is made of, or why it cannot begin."""
    try:
        is_finished(run.config, run.folder, resume=run.folder.exists())
        return prepare(run.config, run.folder / "secrets")
    except PrideError as error:
        return str(error)


Train = Callable[
    [Sequence[int], Sequence[ServerState], int], Sequence[tuple[ServerState, RoundInfo]]
]
"""``(which runs, their states, until) -> what each of them gave``."""


class _Varied(NamedTuple):
    """What differs from run to run, apart from the state: an entry a run on the first axis."""

    data: dict[str, Array]
    numbers: dict[str, Float[Array, "runs"]]


def _program(runs: Sequence[tuple[Planned, Setting]]) -> Train:
    """Makes the function that trains some of the runs, compiled once for however many.

    Raises:
      ConfigError: the runs' data are not of the same shapes.
    """
    _check_shapes(runs)
    settings = [setting for _, setting in runs]
    first = settings[0]
    shared, varied_data = _divided([_simulated(setting).data for setting in settings])
    varied = _Varied(varied_data, _numbers([setting.config for setting in settings]))
    sizes = np.max([setting.sizes for setting in settings], axis=0)
    mesh = build.build_mesh(first.config.engine)
    chunk = first.config.engine.chunk or default_chunk(first.model, mesh)
    compiled = within_memory(functools.partial(_trainer, first, sizes, mesh), chunk)

    def train(
        which: Sequence[int], states: Sequence[ServerState], until: int
    ) -> Sequence[tuple[ServerState, RoundInfo]]:
        # Runs that are missing are made up by others: another number would be another program.
        filled = [*range(len(which)), *[0] * (len(settings) - len(which))]
        chosen = jnp.asarray([which[place] for place in filled])
        their_states = tuple(states[place] for place in filled)
        return compiled(shared, varied, chosen, their_states, jnp.int32(until))[: len(which)]

    return train


def _trainer(
    first: Setting, sizes: Int[np.ndarray, "clients"], mesh: Mesh, chunk: int
) -> Callable[..., list[tuple[ServerState, RoundInfo]]]:
    """The pure function of the data that all share, what varies, which runs, their states, until.

    Args:
      first: what one run is made of; the others differ in what the function is given.
      sizes: the most examples that a client holds in any run.
      mesh: devices, over which the clients of every run are sharded.
      chunk: most clients of a run vmapped together.
    """
    # All that a program needs to know of its data beforehand.
    data = _simulated(first).data
    shapes = data._replace(
        inputs=np.asarray(data.inputs[:0]),
        targets=np.asarray(data.targets[:0]),
        index=np.asarray(data.index[:0]),
        sizes=sizes,
    )
    small = num_parameters(first.model) <= _VMAPPED

    def train_one(
        data: FederatedData,
        numbers: dict[str, Float[Array, ""]],
        state: ServerState,
        until: Int[Array, ""],
    ) -> tuple[ServerState, RoundInfo]:
        config = _with(first.config, {**numbers, "engine.chunk": chunk})
        algorithm = build_algorithm(config, first.model, shapes, mesh, None, None)
        assert algorithm.rounds_on is not None, "check has refused other sums"
        return algorithm.rounds_on(data, state, until)

    def train_all(
        shared: FederatedData,
        varied: _Varied,
        which: Int[Array, "runs"],
        states: Sequence[ServerState],
        until: Int[Array, ""],
    ) -> list[tuple[ServerState, RoundInfo]]:
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *states)
        chosen = jax.tree.map(lambda leaf: leaf[which], varied)

        def one(each: tuple[_Varied, ServerState]) -> tuple[ServerState, RoundInfo]:
            (data, numbers), state = each
            # One round for all: a loop whose end differed from run to run would mask every step.
            state = state._replace(round=states[0].round)
            return train_one(shared._replace(**data), numbers, state, until)

        runs = (chosen, stacked)
        results = jax.vmap(one)(runs) if small else jax.lax.map(one, runs)
        return [jax.tree.map(operator.itemgetter(place), results) for place in range(len(states))]

    return train_all


def _check_shapes(runs: Sequence[tuple[Planned, Setting]]) -> None:
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


def _shapes(setting: Setting) -> dict[str, str]:
    """What must be the same in runs of one program."""
    simulated = _simulated(setting)
    arrays = zip(FederatedData._fields, simulated.data, strict=True)
    shapes = {name: f"{leaf.dtype}{list(leaf.shape)}" for name, leaf in arrays}
    return shapes | {"classes": str(simulated.dataset.outputs)}


def _simulated(setting: Setting) -> Simulated:
    assert setting.simulated is not None, "what is prepared from a config is simulated"
    return setting.simulated


def _divided(datas: Sequence[FederatedData]) -> tuple[FederatedData, dict[str, Array]]:
    """The first run's data, and stacked what is not the same in all."""
    varied = {}
    for name, *leaves in zip(FederatedData._fields, *datas, strict=True):
        arrays = [np.asarray(leaf) for leaf in leaves]
        if any((array != arrays[0]).any() for array in arrays):
            varied[name] = jnp.stack(arrays)
    return datas[0], varied


def _numbers(configs: Sequence[Experiment]) -> dict[str, Float[Array, "runs"]]:
    """Those of `NUMBERS` that vary; no clipping is infinity."""
    numbers = {}
    for name in NUMBERS:
        values = [_at(config, name) for config in configs]
        if any(value != values[0] for value in values):
            given = [np.inf if value is None else value for value in values]
            numbers[name] = jnp.asarray(given, jnp.float32)
    return numbers


def _with(config: Experiment, values: Mapping[str, Float[Array, ""] | int]) -> Experiment:
    """The config with other values, unchecked: traced numbers pass no check, what they hold has."""
    changed = copy.copy(config)
    for name, value in values.items():
        section, _, field = name.partition(".")
        part = copy.copy(getattr(changed, section))
        field, _, option = field.partition(".")
        new = {**getattr(part, field), option: value} if option else value
        object.__setattr__(part, field, new)
        object.__setattr__(changed, section, part)
    return changed


def _at(config: Experiment, name: str) -> Any:
    """The value of a setting; None for an option that the config's function has not."""
    section, field, *option = name.split(".")
    value = getattr(getattr(config, section), field)
    return value.get(*option) if option else value


def _carry_out(
    refused: Sequence[tuple[Planned, str]],
    runs: Sequence[tuple[Planned, Setting]],
    train: Train,
    watch: Watch,
) -> Ended:
    """Lets every run go on until it asks for rounds, trains those that are behind, and so on."""
    yield from refused
    rows: dict[int, Row] = {}
    asked: dict[int, Asked] = {}
    with contextlib.ExitStack() as stack:
        courses = []
        for number, (run, setting) in enumerate(runs):
            report = functools.partial(rows.__setitem__, number)
            course = run_in_steps(setting, run.folder, report, pictures=False)
            courses.append(stack.enter_context(contextlib.closing(course)))
        answers: dict[int, Trained | None] = dict.fromkeys(range(len(runs)))
        while answers:
            for number, answer in answers.items():
                try:
                    course = courses[number]
                    asked[number] = next(course) if answer is None else course.send(answer)
                except (StopIteration, PrideError) as end:
                    asked.pop(number, None)
                    yield runs[number][0], str(end) if isinstance(end, PrideError) else None
            going = ((runs[number][0], rows.get(number)) for number in asked)
            watch([Going(run.name, run.config.rounds, row) for run, row in going], 0)
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
