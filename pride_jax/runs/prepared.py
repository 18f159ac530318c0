"""Everything a run is made of, built from its settings."""

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from pride_jax.aggregation.refusals import BurntError, MessageError
from pride_jax.data.datasets import Dataset
from pride_jax.data.federated import FederatedData, federate_each, host_of
from pride_jax.data.partition import Partition, most_holders
from pride_jax.engine.cohort import clients_mesh
from pride_jax.engine.evaluation import (
    Metrics,
    client_totals,
    evaluator,
    headline_of,
    scorer,
)
from pride_jax.engine.federation import Adder
from pride_jax.engine.on_device import on_device
from pride_jax.engine.personal import fine_tuned_totals, has_own_models, personal_totals
from pride_jax.engine.rounds import Algorithm, ServerState
from pride_jax.engine.secure import SecureAggregation
from pride_jax.engine.server import keeps_state, sent_numbers, sent_parts
from pride_jax.engine.simulated import one_by_one, simulated
from pride_jax.errors import ConfigError
from pride_jax.federated import federated
from pride_jax.methods.method import Hyper, Method
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.plan import Plan
from pride_jax.progress import Tell, silent, uncounted
from pride_jax.reporting.watching import need_extras
from pride_jax.runs import hosts
from pride_jax.runs.budget import affordable
from pride_jax.runs.figures import own_folder
from pride_jax.runs.models import Seen, seen_in
from pride_jax.runs.refusals import note_refusal
from pride_jax.runs.secrets import key_holder_keys
from pride_jax.settings import build, learning
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.protocols import build_key_files, build_secure_sum, with_key_apart
from pride_jax.task import Task
from pride_jax.types import Params

Totals = Float[np.ndarray, "clients 2"]
"""Each client's sum of the headline score, and its weight; see `evaluation.client_totals`."""


class Simulated(NamedTuple):
    """What only a simulation has: every client's examples.

    Attributes:
      dataset: its training inputs are empty where several processes hold their clients' ones.
      partition: whose each example is that clients train on.
      held: whose each example is that clients hold out.
      data: the training examples of this process's clients.
      review: state -> `Totals` by what is tested on what, see `review_of`; with several
        processes, each must call it.
    """

    dataset: Dataset
    partition: Partition
    held: Partition
    data: FederatedData
    review: Callable[[ServerState], dict[str, Totals]]


class RealParties(NamedTuple):
    """In the place of `Simulated` where clients are real: nobody has what is theirs."""


class Prepared(NamedTuple):
    """Everything a run is made of.

    Attributes:
      config: the settings.
      task: what is learned.
      length: how many numbers a client sends.
      parts: the names of what they are.
      secure: how updates are added unseen; of a real server, without the key holder's secret.
      plan: who takes part, and what is private, or that nothing is.
      algorithm: the rounds, wherever clients train.
      evaluate: tests parameters, after so many rounds, on the test examples.
      sizes: each client's number of examples.
      holders: the most clients that hold one same example; 1 where clients are real, and nobody
        compares what they hold.
      test_examples: how many those are.
      seen: what a model takes and gives.
      inputs: -> digest of what else the released models depend on.
      hyper: settings that the algorithm takes as arguments.
      simulated: what only a simulation has, or that clients are real.
      tell: told of progress; nothing that ε does not cover, where a run hides that.
    """

    config: Experiment
    task: Task
    length: int
    parts: tuple[str, ...]
    secure: SecureAggregation | None
    plan: Plan | NoPlan
    algorithm: Algorithm
    evaluate: Callable[[Params, int], Metrics]
    sizes: Int[np.ndarray, "clients"]
    holders: int
    test_examples: int
    seen: Seen
    inputs: Callable[[], str]
    hyper: Hyper
    simulated: Simulated | RealParties
    tell: Tell = silent


def prepare(
    config: Experiment,
    secrets: Path,
    hyper: Mapping[str, float] | None = None,
    begin: learning.Begin = learning.from_scratch,
    tell: Tell = silent,
) -> Prepared:
    """Loads the data and builds the functions that the settings name; writes nothing.

    Args:
      config: the settings.
      secrets: folder in which the key holder's key is looked for; a new one is made if it has none.
      hyper: settings that the algorithm is to take as arguments; of `learning.NUMBERS`.
      begin: gives the task the parameters that training starts from.
      tell: told of progress. Of a run that hides what ε does not cover, numbers and what goes on
        within a round, which tell how many clients were called, are told to nobody.

    Raises:
      PrideError: the data cannot be had, settings contradict it or each other, or an extra that
        they need is missing.
    """
    need_extras(config.watch)
    host, count = jax.process_index(), jax.process_count()
    if count > 1 and config.evaluation.comparison:
        raise ConfigError(
            f"evaluation.comparison=True with {count} processes: expected False, since a central "
            "model needs all examples in one place"
        )
    within_rounds = silent if config.privacy.hides else tell
    tell = uncounted(tell) if config.privacy.hides else tell
    dataset = build.build_dataset(config, tell)
    seen = seen_in(dataset)
    partition, held = build.build_partitions(config, dataset)
    data, held_out = _divided(dataset, partition, held)
    examples = learning.Shape(dataset.train_inputs.shape[1:], dataset.outputs)
    task = begin(learning.build_task(config, examples))
    _check_target(config, headline_of(task, data))
    if count > 1:
        dataset = dataset._replace(train_inputs=dataset.train_inputs[:0].copy())
    numbers = {name: jnp.float32(value) for name, value in (hyper or {}).items()}
    method = learning.method_of_numbers(config, examples, begin)(numbers)
    length = sent_numbers(method)
    if config.privacy.is_private:
        tell("making the privacy plan", 0, 0)
    plan = build.build_plan(config, data.num_clients, length, keeps_state(method))
    if isinstance(plan, Plan):
        affordable(config.privacy, plan)
    mesh = build.build_mesh(config.engine)
    if config.aggregation.protocol != "none":
        tell("making keys", 0, 0)
    secure = _secure_aggregation(config, secrets, length, within_rounds)
    algorithm = build_algorithm(config, examples, data, mesh, plan, secure, numbers, begin)
    here = clients_mesh([device for device in mesh.devices.flat if device.process_index == host])
    test = evaluator(task, dataset, here)
    review = _review_of(config, task, method, algorithm, data, held_out, here)
    return Prepared(
        config=config,
        task=task,
        length=length,
        parts=sent_parts(method),
        secure=secure,
        plan=plan,
        algorithm=algorithm,
        evaluate=lambda params, _: test(jax.device_get(params)),
        sizes=partition.sizes,
        holders=most_holders(partition),
        test_examples=len(dataset.test_targets),
        seen=seen,
        inputs=lambda: f"{_digest(data)} {config.engine.chunk}",
        hyper=numbers,
        simulated=Simulated(dataset, partition, held, data, review),
        tell=tell,
    )


def simulated_of(prepared: Prepared) -> Simulated:
    """What only a simulation has.

    Raises:
      ConfigError: clients are real.
    """
    if isinstance(prepared.simulated, RealParties):
        raise ConfigError("real parties' examples: expected a simulation, which has every client's")
    return prepared.simulated


def _divided(
    dataset: Dataset, partition: Partition, held: Partition
) -> tuple[FederatedData, FederatedData]:
    """The examples of this process's clients, to train on and, if any are, held out."""
    host, count = jax.process_index(), jax.process_count()
    if held.sizes.sum():
        data, held_out = federate_each(dataset, (partition, held), host, count)
        return data, held_out
    (data,) = federate_each(dataset, (partition,), host, count)
    return data, data._replace(sizes=jnp.zeros_like(data.sizes))


def build_algorithm(
    config: Experiment,
    examples: learning.Shape,
    data: FederatedData,
    mesh: Mesh,
    plan: Plan | NoPlan,
    secure: SecureAggregation | None,
    hyper: Hyper,
    begin: learning.Begin = learning.from_scratch,
) -> Algorithm:
    """Federated training as the settings name it."""
    return federated(
        learning.method_of_numbers(config, examples, begin),
        data,
        plan,
        adder_of(config, mesh, secure),
        hyper=hyper,
    )


def adder_of(config: Experiment, mesh: Mesh, secure: SecureAggregation | None) -> Adder:
    """How the settings have updates added."""
    if secure is None:
        return on_device(mesh, config.engine.chunk)
    if config.engine.per_client:
        return one_by_one(secure, mesh)
    return simulated(secure, mesh, config.engine.chunk)


def _secure_aggregation(
    config: Experiment, secrets: Path, length: int, tell: Tell
) -> SecureAggregation | None:
    """How updates are added up, with the key holder's keys in ``secrets``, or new ones."""
    if config.aggregation.protocol == "none":
        return None
    inner = build_secure_sum(config.aggregation, tell)
    protocol = with_key_apart(config.aggregation, inner, length)
    files = build_key_files(config.aggregation)
    keys = key_holder_keys(secrets, protocol, files, os.urandom)
    secure = build.build_secure_aggregation(config, protocol, keys)
    workdir = secrets.parent

    def note(round_: int, refusal: MessageError | BurntError) -> None:
        note_refusal(own_folder(workdir, config.privacy.hides), round_, refusal)

    return secure._replace(note=note, tell=tell)


def _check_target(config: Experiment, score: str) -> None:
    """Refuses a target that the task cannot reach.

    Raises:
      ConfigError: as above.
    """
    if config.evaluation.target_accuracy is not None and score != "accuracy":
        raise ConfigError(
            f"evaluation.target_accuracy={config.evaluation.target_accuracy} with "
            f"task.name={config.task.name!r}: expected none, since the task has no accuracy"
        )


def _review_of(
    config: Experiment,
    task: Task,
    method: Method,
    algorithm: Algorithm,
    data: FederatedData,
    held_out: FederatedData,
    mesh: Mesh,
) -> Callable[[ServerState], dict[str, Totals]]:
    """Makes the function that tests what each client has on its own examples.

    ``training``: the shared model on the examples that clients trained on. Where clients hold
    examples out, on those: ``shared``, the shared model; ``personal``, each client's own, if
    the method has such; ``fine_tuned``, the shared model after a client trained it for itself.
    """
    host, count = jax.process_index(), jax.process_count()
    answer = scorer(task, mesh)
    holds_out = bool(np.asarray(held_out.sizes).any())
    epochs = config.evaluation.fine_tuning
    here = host_of(np.arange(data.num_clients), count) == host
    tested = held_out._replace(sizes=jnp.where(here, held_out.sizes, 0))
    personal = personal_totals(task, method, tested)
    alone = learning.clients_alone(config, task, np.asarray(data.sizes), max(1, epochs))
    fine_tuned = fine_tuned_totals(task, alone, data, tested)

    def review(state: ServerState) -> dict[str, Totals]:
        params = jax.device_get(algorithm.params(state))
        scores = jax.device_get(answer(params, data.inputs, data.targets, data.shift, data.scale))
        totals = {"training": client_totals(scores, data, host, count)}
        if holds_out:
            totals["shared"] = client_totals(scores, held_out, host, count)
            sent = jax.device_get(method.send(state.own))
            states = algorithm.states.save(state.clients)
            if has_own_models(method, sent, states):
                totals["personal"] = personal(sent, states)
            if epochs:
                totals["fine_tuned"] = fine_tuned(jax.random.key(config.seed), params)
        return {name: hosts.add_up(each) for name, each in totals.items()}

    return review


def _digest(data: FederatedData) -> str:
    """Equal for equal examples of equal clients."""
    digest = hashlib.sha256()
    for leaf in data:
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()
