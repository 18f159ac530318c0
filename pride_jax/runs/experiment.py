"""A run, from settings to results: train, evaluate, save, resume."""

import contextlib
import hashlib
import os
import statistics
import time
from collections.abc import Callable, Generator, Iterable
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int

from pride_jax.data.datasets import Dataset
from pride_jax.data.federated import FederatedData, federate
from pride_jax.data.partition import Partition, label_counts, with_pooled
from pride_jax.engine.client import LocalTraining
from pride_jax.engine.cohort import clients_mesh
from pride_jax.engine.comparison import train_alone
from pride_jax.engine.evaluation import (
    Metrics,
    client_hits,
    client_spread,
    evaluator,
    group_spread,
    predict,
)
from pride_jax.errors import ConfigError, RunError
from pride_jax.federated import (
    Algorithm,
    RoundInfo,
    SecureAggregation,
    ServerState,
    federated_averaging,
    private_key,
)
from pride_jax.files import claimed, explained, read_json, write_json
from pride_jax.models.modules import num_parameters
from pride_jax.privacy.plan import PrivacyPlan
from pride_jax.reporting import metrics
from pride_jax.reporting.disclosure import disclosure
from pride_jax.runs import hosts
from pride_jax.runs.budget import LEDGER, NO_COST, Budget, affordable, open_budget
from pride_jax.runs.checkpoints import checkpoints
from pride_jax.runs.environment import environment
from pride_jax.runs.hosts import Order, Task
from pride_jax.runs.secrets import keep, key_holder_keys, private_seed, save_seed
from pride_jax.settings import build, own
from pride_jax.settings.experiment import Client as ClientSettings
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import differences, to_dict
from pride_jax.settings.protocols import build_key_files, build_secure_sum
from pride_jax.types import Key, Model, Params

Summary = dict[str, Any]
"""What ``summary.json`` holds; see `run`."""

_OWN_TIMES = ("seconds_per_round", "seconds_elapsed")
_NOT_COMPARED: Summary = {
    "central": None,
    "alone": None,
    "confusion_central": None,
    "confusions_alone": None,
}


class Simulated(NamedTuple):
    """What only a simulation has: every client's examples.

    Attributes:
      dataset: its training inputs are empty where several processes hold their clients' ones.
      partition: whose each training example is.
      data: the training examples of this process's clients.
      review: how many of its own examples each client's model classifies rightly; with several
        processes, each must call it.
    """

    dataset: Dataset
    partition: Partition
    data: FederatedData
    review: Callable[[Params], Int[np.ndarray, "clients"]]


class Setting(NamedTuple):
    """Everything a run is made of.

    Attributes:
      config: the settings.
      model: what is trained.
      secure: how updates are added unseen; of a real server, without the key holder's secret.
      plan: what is private, if anything.
      algorithm: the rounds, wherever clients train.
      evaluate: tests parameters on the test examples.
      sizes: each client's number of examples.
      test_examples: how many those are.
      inputs: -> digest of what else the released models depend on.
      simulated: None where clients are real.
    """

    config: Experiment
    model: Model
    secure: SecureAggregation | None
    plan: PrivacyPlan | None
    algorithm: Algorithm
    evaluate: Callable[[Params], Metrics]
    sizes: Int[np.ndarray, "clients"]
    test_examples: int
    inputs: Callable[[], str]
    simulated: Simulated | None


def prepare(config: Experiment, secrets: Path) -> Setting:
    """Loads the data and builds the functions that the settings name; writes nothing.

    Args:
      config: the settings.
      secrets: folder in which the key holder's key is looked for; a new one is made if it has none.

    Raises:
      PrideError: the data cannot be had, or settings contradict it or each other.
    """
    host, count = jax.process_index(), jax.process_count()
    if count > 1 and config.evaluation.comparison:
        raise ConfigError(
            f"evaluation.comparison=True with {count} processes: expected False, since a central "
            "model needs all examples in one place"
        )
    dataset = build.build_dataset(config)
    partition = build.build_partition(config, dataset)
    data = federate(dataset, partition, host, count)
    model = build.build_model(config, dataset.train_inputs.shape[1:], dataset.outputs)
    if count > 1:
        dataset = dataset._replace(train_inputs=dataset.train_inputs[:0].copy())
    plan = build.build_plan(config, data.num_clients, num_parameters(model))
    if plan is not None:
        affordable(config.privacy, plan)
    mesh = build.build_mesh(config.engine)
    secure = _secure_aggregation(config, secrets)
    algorithm = build_algorithm(config, model, data, mesh, plan, secure)
    here = clients_mesh([device for device in mesh.devices.flat if device.process_index == host])
    answer, test = predict(model, here), evaluator(model, dataset, here)

    def evaluate(params: Params) -> Metrics:
        return test(jax.device_get(params))

    def review(params: Params) -> Int[np.ndarray, "clients"]:
        kept = (data.inputs, data.targets, data.shift, data.scale)
        hits = client_hits(answer(jax.device_get(params), *kept), data, host, count)
        return hosts.add_up(hits)

    return Setting(
        config=config,
        model=model,
        secure=secure,
        plan=plan,
        algorithm=algorithm,
        evaluate=evaluate,
        sizes=partition.sizes,
        test_examples=len(dataset.test_targets),
        inputs=partial(_digest, data),
        simulated=Simulated(dataset, partition, data, review),
    )


def _secure_aggregation(config: Experiment, secrets: Path) -> SecureAggregation | None:
    """How updates are added up, with the key holder's keys in ``secrets``, or new ones."""
    if config.aggregation.protocol == "none":
        return None
    protocol = build_secure_sum(config.aggregation)
    files = build_key_files(config.aggregation)
    keys = key_holder_keys(secrets, protocol, files, os.urandom)
    return build.build_secure_aggregation(config, protocol, keys)


def build_algorithm(
    config: Experiment,
    model: Model,
    data: FederatedData,
    mesh: Mesh,
    plan: PrivacyPlan | None,
    secure: SecureAggregation | None,
) -> Algorithm:
    """Federated training as the settings name it."""
    max_norm = config.privacy.clipping_norm
    return federated_averaging(
        model,
        data,
        build.build_client_optimizer(config.client, config.rounds),
        server_optimizer=build.build_server_optimizer(config.server, config.rounds),
        training=build.build_local_training(config),
        sampler=None if plan else build.build_sampler(config.cohort, data.num_clients),
        weighting=config.cohort.weighting,
        max_norm=np.inf if plan or max_norm is None else max_norm,
        plan=plan,
        secure=secure,
        chunk=config.engine.chunk,
        per_client=config.engine.per_client,
        mesh=mesh,
    )


def run(
    config: Experiment,
    workdir: Path,
    *,
    resume: bool = False,
    report: Callable[[metrics.Row], None] | None = None,
) -> Summary:
    """Trains a federated model and leaves everything about it in a folder.

    The folder holds ``config.json``, ``disclosure.json``, ``env.json`` (one entry a start),
    ``metrics.jsonl`` (one row an evaluation), ``checkpoints/``, ``secrets/`` where there are any,
    ``ledger.jsonl`` of a private run (what was released), and at the end ``summary.json`` and
    ``plots/``. A run that dies at any moment continues with ``resume``; on the same machine and
    versions it ends with the same bits, timings aside. Of a private run, rounds that cannot be
    done again to the same bits get other cohorts and noise, and are charged again.

    Args:
      config: the settings.
      workdir: the run's folder: new or empty, or, to resume, the one it was left in.
      resume: continue from the latest checkpoint. A finished run is left as it is.
      report: called with each new row of the metrics.

    Returns:
      The summary.

    Raises:
      PrideError: the run cannot start, resume or go on; what was written stays usable.
      KeyboardInterrupt: as it came; the latest evaluation is saved.
    """
    with hosts.dismissing():
        finished = is_finished(config, workdir, resume)
    if finished:
        hosts.dismiss()
        return read_json(workdir / "summary.json")
    return run_in(prepare(config, workdir / "secrets"), workdir, report)


def run_in(
    setting: Setting, workdir: Path, report: Callable[[metrics.Row], None] | None = None
) -> Summary:
    """As `run`, for what is prepared, in a folder that `is_finished` has looked at."""
    with hosts.dismissing():
        summary = _trained(setting, run_in_steps(setting, workdir, report))
    hosts.dismiss()
    return summary


def assist(config: Experiment, workdir: Path) -> None:
    """Does the part of every process but the first in a `run` of several; writes nothing.

    Args:
      config: the same settings.
      workdir: the run's folder, which need not exist here.

    Raises:
      PrideError: the run cannot start, or another process was lost.
    """
    setting = prepare(config, workdir / "secrets")
    state = None
    while (order := hosts.hear()).task != Task.STOP:
        if order.task == Task.BEGIN:
            private = None if setting.plan is None else _private(order.words)
            state = _initial(setting, order.round, private)
            state = _shared(state, _carried(state))
        assert state is not None, "BEGIN is the first order"
        if order.task == Task.TRAIN:
            state, _ = _advance(setting, state, order.round)
        if order.task == Task.REVIEW:
            assert setting.simulated is not None, "what is prepared from a config is simulated"
            setting.simulated.review(state.params)


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
    setting: Setting,
    workdir: Path,
    report: Callable[[metrics.Row], None] | None,
    pictures: bool = True,
) -> Course:
    """Everything of a `run` but training, for a folder that `is_finished` has let pass.

    Args:
      setting: what the run is made of.
      workdir: its folder.
      report: called with each new row of the metrics.
      pictures: whether to draw them: a third of a second.

    Raises:
      PrideError: as `run`.
    """
    with explained("write to", workdir):
        workdir.mkdir(parents=True, exist_ok=True)
        with claimed(workdir):
            return (yield from _run(setting, workdir, report, pictures))


def _trained(setting: Setting, course: Course) -> Summary:
    """The summary of a run whose rounds are trained, in every process, as it asks for them."""
    with contextlib.closing(course):
        try:
            state, until = next(course)
            while True:
                start, round_ = time.perf_counter(), int(state.round)
                hosts.tell(Order(Task.TRAIN, until))
                state, info = _advance(setting, state, until)
                seconds = (time.perf_counter() - start) / (until - round_)
                state, until = course.send(Trained(state, info, seconds))
        except StopIteration as end:
            return end.value


def _run(
    setting: Setting,
    workdir: Path,
    report: Callable[[metrics.Row], None] | None,
    pictures: bool,
) -> Course:
    config, real = setting.config, setting.simulated is None
    own.keep(config.code, workdir)
    write_json(workdir / "config.json", to_dict(config))
    seed = _claim_secrets(setting, workdir)
    told = disclosure(config, setting.secure, setting.plan, None, real)
    write_json(workdir / "disclosure.json", told)
    starts = read_json(workdir / "env.json") if (workdir / "env.json").exists() else []
    write_json(workdir / "env.json", [*starts, environment()])
    state, rows, budget = yield from _train(setting, workdir, seed, report)
    cost = NO_COST if budget is None else budget.cost()
    summary = _summarize(setting, state, rows) | cost
    told = disclosure(config, setting.secure, setting.plan, cost["releases"], real)
    write_json(workdir / "disclosure.json", told)
    if pictures:
        _draw(setting, summary, rows, workdir / "plots")
    write_json(workdir / "summary.json", summary)
    return summary


def _claim_secrets(setting: Setting, workdir: Path) -> bytes | None:
    """Keeps the run's secrets; returns the seed of noise and cohorts if the system gave it.

    Raises:
      PrideError: secrets that a run to be resumed has used are missing or open to others.
    """
    config, folder = setting.config, workdir / "secrets"
    savers, seed = [], None
    files = build_key_files(config.aggregation)
    if files is not None and setting.secure is not None and setting.simulated is not None:
        secret = setting.secure.key_holder[0]
        savers.append(lambda folder: files.save(folder, secret))
    if setting.plan is not None and config.privacy.seed is None:
        if not folder.exists() and (workdir / LEDGER).exists():
            raise RunError(
                f"{folder} is missing, and {workdir / LEDGER} lists what was released with it: "
                "restore it, or start anew in another --workdir"
            )
        seed = private_seed(folder, os.urandom)
        savers.append(partial(save_seed, seed=seed))
    keep(folder, savers)
    return seed


def is_finished(config: Experiment, workdir: Path, resume: bool) -> bool:
    """Whether the run in a folder is finished.

    Raises:
      RunError: the folder is another run's, or there is none to resume.
    """
    saved = workdir / "config.json"
    if resume and not workdir.is_dir():
        raise RunError(f"There is nothing to resume in {workdir}: start without --resume")
    if resume and saved.exists():
        changed = differences(read_json(saved), to_dict(config))
        if changed:
            raise RunError(
                f"{workdir} was begun with other settings: {'; '.join(changed)} "
                "(saved -> now). Resume with the saved ones, or start in another --workdir"
            )
        return (workdir / "summary.json").exists()
    with explained("write to", workdir):
        used = workdir.exists() and any(file.suffix != ".tmp" for file in workdir.iterdir())
    if used and resume:
        raise RunError(
            f"There is no run to resume in {workdir}: it has files, but no config.json. Name the "
            "run's own folder, or start in another --workdir"
        )
    if used:
        raise RunError(
            f"{workdir} is not empty: continue its run with --resume, or choose another --workdir"
        )
    return False


def _train(
    setting: Setting,
    workdir: Path,
    seed: bytes | None,
    report: Callable[[metrics.Row], None] | None,
) -> Generator[Asked, Trained, tuple[ServerState, list[metrics.Row], Budget | None]]:
    config, plan = setting.config, setting.plan
    path, folder = workdir / "metrics.jsonl", checkpoints(workdir / "checkpoints")
    latest = folder.latest()
    budget = None
    if plan is not None:
        budget = open_budget(config.privacy, plan, workdir, seed, latest or 0, setting.inputs())
    rows = metrics.keep_until(path, -1 if latest is None else latest)
    if latest is not None and (not rows or rows[-1]["round"] != latest):
        raise RunError(
            f"{path} lacks the row of round {latest}, of which there is a checkpoint: restore the "
            "file, or start anew in another --workdir"
        )
    private = None if budget is None else budget.private
    state = _initial(setting, latest or 0, private)
    carried = _carried(state) if latest is None else folder.restore(latest, _carried(state))
    hosts.tell(Order(Task.BEGIN, latest or 0, _words(private)))
    state = _shared(state, carried)
    began = time.perf_counter() - (rows[-1]["seconds_elapsed"] if rows else 0.0)

    def record(info: RoundInfo | None, seconds: float) -> None:
        row = _row(setting, state, info) | (budget.spent() if budget else {})
        row |= {"seconds_per_round": seconds, "seconds_elapsed": time.perf_counter() - began}
        metrics.append(path, row)
        rows.append(row)
        folder.save(row["round"], _carried(state))
        if report:
            report(row)

    if latest is None:
        record(None, 0.0)
    every = config.evaluation.every
    while (round_ := int(state.round)) < config.rounds and not _is_there(config, rows[-1]):
        until = min((round_ // every + 1) * every, config.rounds)
        if budget is not None:
            until = budget.release(round_, until)
            if until == round_:
                break
        state, info, seconds = yield Asked(state, until)
        record(info, seconds)
    if len(rows) == 1:
        raise RunError(
            f"{workdir}: releases that were lost, and cannot be done again to the same bits, have "
            "used up ε: start anew in another --workdir, and count what both cost"
        )
    return state, rows, budget


def _is_there(config: Experiment, row: metrics.Row) -> bool:
    """Whether the run ends because the accuracy that was wanted is reached."""
    wanted = config.evaluation.target_accuracy
    there = wanted is not None and row["test_accuracy"] >= wanted
    return config.evaluation.stop_at_target and there and row["round"] > 0


def _row(setting: Setting, state: ServerState, info: RoundInfo | None) -> metrics.Row:
    """What is recorded of the rounds since the last evaluation.

    Raises:
      RunError: training has diverged.
    """
    measured = setting.evaluate(state.params)
    round_ = int(state.round)
    nonfinite = _count(info.nonfinite) if info else 0
    diverged = info is not None and 0 < int(info.clients) == nonfinite
    if diverged or not np.isfinite(measured.loss):
        raise RunError(
            f"Training diverged: by round {round_} the test loss is {measured.loss} and "
            f"{nonfinite or 0} updates were NaN or infinite. Lower "
            "client.learning_rate or server.learning_rate, or set privacy.clipping_norm"
        )
    row = {"round": round_, "test_accuracy": measured.accuracy, "test_loss": measured.loss}
    if info is None:
        return row
    transport = info.transport
    row |= {
        "train_loss": _mean_loss(info),
        "clients": int(info.clients),
        "empty_clients": int(info.empty),
        "nonfinite_updates": _count(info.nonfinite),
        "clipped_updates": _count(info.clipped),
        "fitted_updates": _count(info.fitted),
        "unopened_sums": int(info.unopened),
        "bytes_per_client_round": 4 * num_parameters(setting.model),
    }
    if transport is not None:
        row["bytes_per_client_round"] = transport.bytes_sent // max(1, int(info.clients))
        row["lost_messages"] = transport.lost
        row["seconds_train"] = info.train_seconds
        row |= {f"seconds_{stage}": value for stage, value in transport.seconds()}
    return row


def _mean_loss(info: RoundInfo) -> float | None:
    """Null where nobody tells, nobody trained, or a client whose update was thrown away has NaN."""
    if info.loss is None or info.examples is None or not float(info.examples):
        return None
    return float(info.loss) / float(info.examples) if np.isfinite(info.loss) else None


def _count(counted: Array | None) -> int | None:
    """What was counted; null where real clients keep it to themselves."""
    return None if counted is None else int(counted)


def _carried(state: ServerState) -> dict[str, Any]:
    """What a checkpoint holds: keys, and past noise, are made again from seeds."""
    carried = {"round": state.round, "params": state.params, "opt_state": state.opt_state}
    return carried if state.privacy is None else carried | {"norm": state.privacy.norm}


def _initial(setting: Setting, round_: int, private: Key | None) -> ServerState:
    return setting.algorithm.init(jax.random.key(setting.config.seed), private, round_)


def _shared(state: ServerState, carried: dict[str, Any]) -> ServerState:
    """The state with what process 0 carries put in."""
    given = hosts.share(carried)
    given = jax.tree.map(lambda new, old: jax.device_put(new, old.sharding), given, _carried(state))
    norm = given.pop("norm", None)
    if state.privacy is not None:
        given["privacy"] = state.privacy._replace(norm=norm)
    return state._replace(**given)


def _advance(setting: Setting, state: ServerState, until: int) -> tuple[ServerState, RoundInfo]:
    """Trains until the round ``until``, together with the other processes.

    Raises:
      RunError: one of them was lost.
    """
    with hosts.unbroken():
        return jax.block_until_ready(setting.algorithm.rounds(state, until))


def _words(private: Key | None) -> tuple[int, int]:
    """What `hosts.Order` carries of a key."""
    return (0, 0) if private is None else tuple(jax.random.key_data(private).tolist())


def _private(words: tuple[int, int]) -> Key:
    """The inverse of `_words`."""
    return private_key(np.array(words, np.uint32).tobytes())


def _summarize(setting: Setting, state: ServerState, rows: list[metrics.Row]) -> Summary:
    config, sizes = setting.config, setting.sizes
    measured = setting.evaluate(state.params)
    rounds = rows[1:]
    return {
        "test_accuracy": measured.accuracy,
        "test_loss": measured.loss,
        "rounds": rounds[-1]["round"],
        "rounds_to_target": metrics.rounds_to(rows, config.evaluation.target_accuracy),
        "seconds_total": rows[-1]["seconds_elapsed"],
        "seconds_per_round": statistics.median(row["seconds_per_round"] for row in rounds),
        "seconds_by_stage": _stages(rounds),
        "lost_messages": sum(row.get("lost_messages", 0) for row in rounds),
        "bytes_per_client_round": rounds[-1]["bytes_per_client_round"],
        "parameters": num_parameters(setting.model),
        "parameters_sha256": _fingerprint(state.params),
        "clients": len(sizes),
        "empty_clients": int(np.sum(sizes == 0)),
        "test_examples": setting.test_examples,
        **{
            name: _sum(row[name] for row in rounds)
            for name in ("nonfinite_updates", "clipped_updates", "fitted_updates", "unopened_sums")
        },
        **_examined(setting, state.params, measured),
        "confusion": measured.confusion.tolist(),
    }


def _sum(counts: Iterable[int | None]) -> int | None:
    """Null if any is."""
    told = list(counts)
    return None if None in told else sum(count or 0 for count in told)


def _examined(setting: Setting, params: Params, measured: Metrics) -> Summary:
    """What takes all clients' examples to tell, or nulls where clients are real."""
    if setting.simulated is None:
        return {
            "train_examples": int(np.sum(setting.sizes)),
            "unused_examples": 0,
            "accuracy_over_clients": None,
            "accuracy_over_groups": None,
            **_NOT_COMPARED,
        }
    dataset, partition, _, review = setting.simulated
    hosts.tell(Order(Task.REVIEW))
    spread = client_spread(review(params), partition.sizes)
    return {
        "train_examples": len(dataset.train_targets),
        "unused_examples": int(len(dataset.train_targets) - len(np.unique(partition.index))),
        "accuracy_over_clients": spread._asdict(),
        "accuracy_over_groups": None
        if dataset.test_groups is None
        else group_spread(measured.right, dataset.test_groups)._asdict(),
        **_compare(setting, setting.simulated),
    }


def _digest(data: FederatedData) -> str:
    """Equal for equal examples of equal clients."""
    digest = hashlib.sha256()
    for leaf in data:
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _fingerprint(params: Params) -> str:
    """Equal for parameters that are equal in every bit."""
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(params):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def _stages(rounds: list[metrics.Row]) -> dict[str, float]:
    """Seconds a round of each stage of the secure sum; none where the device adds floats.

    Medians over evaluations: the first round compiles.
    """
    lengths = np.diff([0, *(row["round"] for row in rounds)])
    stages = [name for name in rounds[-1] if name.startswith("seconds_") and name not in _OWN_TIMES]
    return {
        name.removeprefix("seconds_"): float(np.median([row[name] for row in rounds] / lengths))
        for name in stages
    }


def _compare(setting: Setting, simulated: Simulated) -> Summary:
    """How well a central model and each client alone do, or nulls where nobody asks."""
    config = setting.config
    if not config.evaluation.comparison:
        return _NOT_COMPARED
    init_key, key = jax.random.split(jax.random.key(config.seed))
    params = setting.model.init(init_key)

    data = federate(simulated.dataset, with_pooled(simulated.partition))
    train = _train_alone(
        setting.model,
        config.client,
        build.build_local_training(config)._replace(proximal=0.0),
        int(data.sizes.max()),
        config.rounds,
    )
    holding = jnp.asarray(np.flatnonzero(data.sizes), jnp.int32)
    *alone, central = [
        setting.evaluate(train(data, jax.random.fold_in(key, client), params, client))
        for client in holding
    ]
    return {
        "central": central.accuracy,
        "alone": [each.accuracy for each in alone],
        "confusion_central": central.confusion.tolist(),
        "confusions_alone": [each.confusion.tolist() for each in alone],
    }


@cache
def _train_alone(
    model: Model, client: ClientSettings, training: LocalTraining, longest: int, rounds: int
) -> Callable[[FederatedData, Key, Params, Int[Array, ""]], Params]:
    """Compiled once for runs that differ in their data and seed only."""
    optimizer = build.build_client_optimizer(client, rounds)
    return train_alone(model, optimizer, training, longest, rounds)


def _draw(setting: Setting, summary: Summary, rows: list[metrics.Row], folder: Path) -> None:
    """The run's pictures."""
    # Half a second of imports that a run needs at its end only.
    from pride_jax.reporting import plots

    baselines = {}
    if summary["central"] is not None:
        baselines["central"] = summary["central"]
        baselines["alone (mean)"] = statistics.mean(summary["alone"])
    plots.save(plots.learning_curve(rows, baselines), folder / "learning_curve.png")
    plots.save(plots.confusion_matrices(plots.confusions(summary)), folder / "confusion_matrix.png")
    if setting.simulated is not None:
        dataset, partition, *_ = setting.simulated
        counts = label_counts(partition, dataset.train_targets, dataset.outputs)
        plots.save(plots.label_map(counts), folder / "client_labels.png")
