"""A run, from settings to results: train, evaluate, save, resume."""

import contextlib
import os
import time
from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from pride_jax.data.described import described
from pride_jax.engine.rounds import RoundInfo, ServerState
from pride_jax.errors import RunError
from pride_jax.files import claimed, explained, read_json, write_json
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.randomness import secret_key
from pride_jax.progress import Tell, silent
from pride_jax.reporting import metrics
from pride_jax.reporting.disclosure import disclosure
from pride_jax.reporting.watching import watching
from pride_jax.runs import hosts
from pride_jax.runs.budget import LEDGER, UNLIMITED, Budget, open_budget
from pride_jax.runs.callbacks import blamed
from pride_jax.runs.checkpoints import checkpoints
from pride_jax.runs.client_states import client_states
from pride_jax.runs.environment import environment
from pride_jax.runs.figures import METRICS, OWN, figures
from pride_jax.runs.folders import leaving_nothing
from pride_jax.runs.hosts import NO_WORDS, Action, Order
from pride_jax.runs.interrupts import interruptible
from pride_jax.runs.longer import told_of_more_rounds
from pride_jax.runs.models import Best, keep_best, read_best, write_model
from pride_jax.runs.overwriting import set_aside, told_of_overwriting
from pride_jax.runs.pictures import leave_pictures
from pride_jax.runs.prepared import (
    Prepared,
    RealParties,
    Simulated,
    prepare,
    simulated_of,
)
from pride_jax.runs.refusals import REFUSALS, refuse_more
from pride_jax.runs.resuming import CONFIG, START, SUMMARY, is_finished, may_change
from pride_jax.runs.secrets import keep, private_seed, save_seed
from pride_jax.runs.start import (
    begin_from,
    check_start,
    drop_start,
    keep_start,
    sentence,
    started_from,
)
from pride_jax.runs.summary import Summary, row_of, summarize
from pride_jax.settings import learning, own
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import to_dict
from pride_jax.settings.protocols import build_key_files
from pride_jax.validated import expect


def run(
    config: Experiment,
    workdir: Path,
    *,
    resume: bool = False,
    overwrite: bool = False,
    start_from: Path | None = None,
    report: Callable[[metrics.Row], None] | None = None,
    note: Callable[[str], None] = lambda text: None,
    tell: Tell = silent,
) -> Summary:
    """Trains a federated model and leaves everything about it in a folder.

    The folder holds ``config.json``, ``disclosure.json``, ``env.json`` (one entry a start),
    ``metrics.jsonl`` (one row an evaluation), ``best.safetensors`` (the model of the best of them),
    ``checkpoints/``, ``secrets/`` where there are any, ``ledger.jsonl`` of a private run (what was
    released), and at the end ``model.safetensors`` with ``model.json``, ``summary.json``,
    ``plots/`` and ``report.html``; `load` reads the models. What ε does not cover of a private run
    is in ``private/``, which nobody but its owner can enter, and nowhere else; see `figures`. A run
    that dies at any moment continues with ``resume``; on the same machine and versions it ends with
    the same bits,
    timings aside. Of a private run, rounds that cannot be done again to the same bits get other
    cohorts and noise, and are charged again.

    Args:
      config: the settings.
      workdir: the run's folder: new or empty, or, to resume, the one it was left in.
      resume: continue from the latest checkpoint. A finished run is left as it is, unless there
        are to be more rounds; other settings may only change where results do not, see
        `resuming.may_change`.
      overwrite: make room for the run in the place of another, which is gone once this one can
        start, with its secrets; what a private run's releases have cost stays beside the folder,
        see `set_aside`.
      start_from: the folder of a run whose last parameters this one starts from.
      report: called with each new row of the metrics, once the row is on disk; of a private run,
        with what of it may be told.
      note: called, before training, with each thing worth knowing: of the data, first what was read
        and of a private run nothing that counts clients' examples; of more rounds; and of an ε that
        is to be added. Before anything is moved, of what an overwritten run has released.
      tell: called with what is being done, see `Tell`; of a private run, between rounds only.

    Returns:
      What ``summary.json`` holds.

    Raises:
      PrideError: the run cannot start, resume or go on; what was written stays usable.
      RunError: ``report``, ``note`` or ``tell`` raised an error; the message says which.
      KeyboardInterrupt: as it came; the latest evaluation is saved.
    """
    report, note = blamed("report", report), blamed("note", note)
    tell = blamed("tell", tell)
    expect("config", config, Experiment, "an Experiment, such as load_config reads")
    expect("workdir", workdir, Path, "a pathlib.Path: the folder of the run")
    hosts.check_code(config.code)
    with hosts.dismissing():
        check_start(workdir, resume, overwrite, start_from)
        finished = not overwrite and _is_finished(config, workdir, resume)
    if finished:
        hosts.dismiss()
        return read_json(workdir / SUMMARY)
    source = (workdir / START) if resume else start_from
    begin = begin_from(source) if source is not None and source.is_dir() else learning.from_scratch
    for text in told_of_overwriting(workdir) if overwrite else ():
        note(text)
    with set_aside(workdir) if overwrite else contextlib.nullcontext():
        prepared = prepare(config, workdir / "secrets", begin=begin, tell=tell)
    dataset, clients = simulated_of(prepared).dataset, len(prepared.sizes)
    notes = described(dataset, clients, config.privacy.hides)
    for text in (*notes, *told_of_more_rounds(workdir, config, prepared.plan)):
        note(text)
    if not resume:
        drop_start(workdir)
    if start_from is not None:
        keep_start(start_from, workdir)
    return run_in(prepared, workdir, report)


def _is_finished(config: Experiment, workdir: Path, resume: bool) -> bool:
    """As `is_finished`; what else is wrong with the settings is told before a folder in use is."""
    try:
        return is_finished(config, workdir, resume, may_change(config))
    except RunError:
        if not resume and jax.process_count() == 1:
            prepare(config, workdir / "no secrets")
        raise


def run_in(
    prepared: Prepared, workdir: Path, report: Callable[[metrics.Row], None] | None = None
) -> Summary:
    """As `run`, for what is prepared, in a folder that `is_finished` has looked at."""
    with hosts.dismissing():
        summary = _trained(prepared, run_in_steps(prepared, workdir, report))
    hosts.dismiss()
    return summary


def assist(config: Experiment, workdir: Path) -> None:
    """Does the part of every process but the first in a `run` of several; writes nothing.

    The first order that is heard is to begin, unless the run does not go on.

    Args:
      config: the same settings.
      workdir: the run's folder, which need not exist here.

    Raises:
      PrideError: the run cannot start, or another process was lost or has other code.
    """
    hosts.check_code(config.code)
    prepared = prepare(config, workdir / "secrets")
    if (order := hosts.hear()).action == Action.STOP:
        return
    state = _initial(prepared, order.round, order.words)
    state = _shared(prepared, state, _carried(state), _saved(prepared, state))
    while (order := hosts.hear()).action != Action.STOP:
        if order.action == Action.TRAIN:
            state, _ = _advance(prepared, state, order.round)
        if order.action == Action.REVIEW:
            simulated_of(prepared).review(state)
        if order.action == Action.SAVE:
            prepared.algorithm.states.save(state.clients)


class Asked(NamedTuple):
    """Rounds that a run needs: from a state until that many are done."""

    state: ServerState
    until: int


class Trained(NamedTuple):
    """What they gave, their infos added up, and the seconds of one."""

    state: ServerState
    info: RoundInfo
    seconds: float


Course = Generator[Asked, Trained, Summary]
"""A run that asks for its rounds, so that several can be trained as one program."""


def run_in_steps(
    prepared: Prepared,
    workdir: Path,
    report: Callable[[metrics.Row], None] | None,
    pictures: bool = True,
) -> Course:
    """Everything of a `run` but training, for a folder that `is_finished` has let pass.

    Args:
      prepared: what the run is made of.
      workdir: its folder.
      report: called with each new row of the metrics.
      pictures: whether to draw them and to write the report.

    Raises:
      PrideError: as `run`.
    """
    with explained("write to", workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        with claimed(workdir), leaving_nothing(workdir):
            return (yield from _run(prepared, workdir, report, pictures))


def _trained(prepared: Prepared, course: Course) -> Summary:
    """The summary of a run whose rounds are trained, in every process, as it asks for them."""
    doing = "compiling, and training the first round"
    with interruptible() as heed, contextlib.closing(course):
        try:
            state, until = next(course)
            while True:
                heed()
                start, round_ = time.perf_counter(), int(state.round)
                prepared.tell(doing, 0, 0)
                doing = "training"
                hosts.tell(Order(Action.TRAIN, until))
                state, info = _advance(prepared, state, until)
                seconds = (time.perf_counter() - start) / (until - round_)
                state, until = course.send(Trained(state, info, seconds))
        except StopIteration as end:
            return end.value


def _run(
    prepared: Prepared,
    workdir: Path,
    report: Callable[[metrics.Row], None] | None,
    pictures: bool,
) -> Course:
    config, real = prepared.config, isinstance(prepared.simulated, RealParties)
    # Of a run that is made longer: until its end it has no summary.
    for folder in (workdir, workdir / OWN):
        (folder / SUMMARY).unlink(missing_ok=True)
    write_json(workdir / CONFIG, to_dict(config))
    own.keep(config.code, workdir)
    seed = _claim_secrets(prepared, workdir)
    known = len(prepared.sizes), prepared.holders, real
    disclosed = disclosure(config, prepared.secure, prepared.plan, None, *known)
    write_json(workdir / "disclosure.json", disclosed)
    starts = read_json(workdir / "env.json") if (workdir / "env.json").exists() else []
    write_json(workdir / "env.json", [*starts, environment()])
    with contextlib.ExitStack() as watchers:
        state, rows, budget = yield from _train(prepared, workdir, seed, report, watchers)
    cost = budget.cost()
    started = started_from(workdir, config, prepared.plan, cost)
    prepared.tell("testing on clients' examples", 0, 0)
    summary = summarize(prepared, state, rows) | cost | started
    write_model(workdir, prepared.algorithm.params(state), prepared.seen)
    disclosed = disclosure(config, prepared.secure, prepared.plan, cost["releases"], *known)
    disclosed["guarantee"] += sentence(started)
    write_json(workdir / "disclosure.json", disclosed)
    if pictures:
        prepared.tell("drawing pictures", 0, 0)
        leave_pictures(prepared, summary, rows, workdir)
    return figures(workdir, config.privacy.hides).conclude(summary)


def _claim_secrets(prepared: Prepared, workdir: Path) -> bytes | None:
    """Keeps the run's secrets; returns the seed of noise and cohorts if the system gave it.

    Raises:
      PrideError: secrets that a run to be resumed has used are missing or open to others.
    """
    config, folder = prepared.config, workdir / "secrets"
    savers, seed = [], None
    files = build_key_files(config.aggregation)
    if (
        files is not None
        and prepared.secure is not None
        and isinstance(prepared.simulated, Simulated)
    ):
        secret = prepared.secure.key_holder[0]
        savers.append(lambda folder: files.save(folder, secret))
    if isinstance(prepared.plan, Plan) and config.privacy.seed is None:
        if not folder.exists() and (workdir / LEDGER).exists():
            raise RunError(
                f"{folder} is missing, and {workdir / LEDGER} lists what was released with it: "
                "restore it, or start anew in another --workdir"
            )
        seed = private_seed(folder, os.urandom)
        savers.append(partial(save_seed, seed=seed))
    keep(folder, savers)
    return seed


def _train(
    prepared: Prepared,
    workdir: Path,
    seed: bytes | None,
    report: Callable[[metrics.Row], None] | None,
    watchers: contextlib.ExitStack,
) -> Generator[Asked, Trained, tuple[ServerState, list[metrics.Row], Budget]]:
    config = prepared.config
    measured, folder = figures(workdir, config.privacy.hides), checkpoints(workdir / "checkpoints")
    clients = client_states(workdir / "clients")
    latest = folder.latest()
    budget = _budget(prepared, workdir, seed, latest or 0)
    rows = measured.keep_until(-1 if latest is None else latest)
    if latest is not None and (not rows or rows[-1]["round"] != latest):
        raise RunError(
            f"{measured.folder / METRICS} lacks the row of round {latest}, of which there is a "
            "checkpoint: restore the file, or start anew in another --workdir"
        )
    log = watchers.enter_context(watching(config, workdir, workdir / METRICS))
    state = _initial(prepared, latest or 0, budget.words.value)
    hosts.tell(Order(Action.BEGIN, latest or 0, budget.words.value))
    carried, kept = _carried(state), _saved(prepared, state)
    if latest is not None:
        carried, kept = folder.restore(latest, carried), clients.restore(latest, kept)
    state = _shared(prepared, state, carried, kept)
    best = read_best(workdir, latest)
    began = time.perf_counter() - (rows[-1]["seconds_elapsed"] if rows else 0.0)

    def keep_this() -> None:
        """Keeps the model if it is the best; after its checkpoint, so that no crash loses it."""
        nonlocal best
        name, score = next(iter(metrics.scores(rows[-1]).items()))
        if score is None:
            # Parties have not told how good it is.
            return
        now = Best(rows[-1]["round"], score if name == "accuracy" else -score)
        best = keep_best(workdir, best, now, prepared.algorithm.params(state))

    def record(info: RoundInfo | None, seconds: float) -> None:
        prepared.tell("testing", 0, 0)
        row = row_of(prepared, state, info) | budget.spent()
        row |= {"seconds_per_round": seconds, "seconds_elapsed": time.perf_counter() - began}
        # Other processes take part in this, so that a row is written once none of them is lost.
        hosts.tell(Order(Action.SAVE))
        kept = _saved(prepared, state)
        shown = measured.append(row)
        rows.append(row)
        # Before the server's own part: a checkpoint that is there is whole.
        clients.save(row["round"], kept)
        folder.save(row["round"], _carried(state))
        keep_this()
        log(shown)
        if report:
            report(shown)

    if latest is None:
        record(None, 0.0)
    else:
        keep_this()
    every = config.evaluation.every
    while (round_ := int(state.round)) < config.rounds and not _is_there(config, rows[-1]):
        until = min((round_ // every + 1) * every, config.rounds)
        until = budget.release(round_, until)
        if until == round_:
            break
        state, info, seconds = yield Asked(state, until)
        record(info, seconds)
        refuse_more(config, rows, measured.folder / REFUSALS)
    if len(rows) == 1:
        raise RunError(
            f"{workdir}: releases that were lost, and cannot be done again to the same bits, have "
            "used up ε: start anew in another --workdir, and count what both cost"
        )
    return state, rows, budget


def _is_there(config: Experiment, row: metrics.Row) -> bool:
    """Whether the run ends because the accuracy that was wanted is reached."""
    wanted = config.evaluation.target_accuracy
    if wanted is None or not metrics.tested([row]):
        return False
    there = row["test_accuracy"] >= wanted
    return config.evaluation.stop_at_target and there and row["round"] > 0


def _carried(state: ServerState) -> dict[str, Any]:
    """What a checkpoint holds: keys, and past noise, are made again from seeds."""
    return {"round": state.round, "own": state.own, "norm": state.privacy.norm}


def _saved(prepared: Prepared, state: ServerState) -> Any:
    """What clients keep, as NumPy arrays in every process."""
    return prepared.algorithm.states.save(state.clients)


def _budget(prepared: Prepared, workdir: Path, seed: bytes | None, round_: int) -> Budget:
    """What the run may release from a round on."""
    privacy, plan = prepared.config.privacy, prepared.plan
    if isinstance(plan, NoPlan):
        return UNLIMITED
    made_of = prepared.inputs(), prepared.holders
    return open_budget(privacy, plan, workdir, seed, round_, *made_of)


def _initial(prepared: Prepared, round_: int, words: tuple[int, ...]) -> ServerState:
    """The state before a round; ``words`` are of the key of noise and cohorts, see `Budget`."""
    key = jax.random.key(prepared.config.seed)
    private = {}
    if words != NO_WORDS:
        private = {"private": secret_key(np.array(words, np.uint32).tobytes())}
    return prepared.algorithm.init(key, round_=round_, hyper=prepared.hyper, **private)


def _shared(
    prepared: Prepared, state: ServerState, carried: dict[str, Any], kept: Any
) -> ServerState:
    """The state with what process 0 carries, and what its run's clients keep, put in."""
    given, kept = hosts.share((carried, kept))
    given = jax.tree.map(lambda new, old: jax.device_put(new, old.sharding), given, _carried(state))
    return state._replace(
        round=given["round"],
        own=given["own"],
        privacy=state.privacy._replace(norm=given["norm"]),
        clients=prepared.algorithm.states.load(kept),
    )


def _advance(prepared: Prepared, state: ServerState, until: int) -> tuple[ServerState, RoundInfo]:
    """Trains until the round ``until``, together with the other processes.

    Raises:
      RunError: one of them was lost.
    """
    with hosts.unbroken():
        return jax.block_until_ready(prepared.algorithm.rounds(state, until))
