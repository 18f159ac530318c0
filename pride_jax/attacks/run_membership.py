"""Membership of clients, attacked: many shadow runs at once, without and with privacy.

In every run each client is there by the toss of a fair coin. The attacker has a client's examples,
all released models, and shadow runs whose coins it knows, half of all runs; it is measured on the
other half.
"""

import math
import time
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float
from rich.console import Console
from rich.table import Table

from pride_jax.attacks.membership import (
    alignment,
    auc,
    auc_ceiling,
    ceiling,
    gaussian_dp,
    likelihood_ratio,
    roc,
    tpr_at,
)
from pride_jax.attacks.population import keep_present, tossed
from pride_jax.data.datasets import Dataset, load_dataset
from pride_jax.data.federated import FederatedData, federate, normalize
from pride_jax.data.partition import by_sizes
from pride_jax.engine.rounds import ServerState
from pride_jax.errors import ConfigError
from pride_jax.federated import federated
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import WHOLE, LocalTraining, Method, uniform
from pride_jax.models.networks import logistic
from pride_jax.privacy.accounting import calibrate
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.randomness import study_key
from pride_jax.privacy.sampling import full
from pride_jax.runs.lines import as_line
from pride_jax.task import classification
from pride_jax.types import Key, Model, Params

_FALSE_POSITIVES = np.geomspace(1e-4, 1, 200)


@dataclass(frozen=True)
class Setting:
    """What is attacked.

    Attributes:
      data: name of the data set, of which clients get few examples.
      clients: that are tossed in every run.
      examples: of each.
      rounds: of a run, everyone who is there in each of them.
      learning_rate: of the clients, each of which takes one step a round.
      clipping_norm: where there is privacy.
      epsilons: at which clients are protected, beside none at all.
      delta: of each.
      runs: half of them the attacker's own.
      seed: of coins, models and noise.
    """

    data: str = "digits"
    clients: int = 100
    examples: int = 3
    rounds: int = 10
    learning_rate: float = 1.0
    clipping_norm: float = 0.5
    epsilons: tuple[float, ...] = (8.0, 3.0, 1.0)
    delta: float = 1e-5
    runs: int = 400
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses what nothing can be measured on.

        Raises:
          ConfigError: too few runs for either half, or none of something else.
        """
        if self.runs < 4 or min(self.clients, self.examples, self.rounds) < 1:
            raise ConfigError(f"{self}: expected at least 4 runs and 1 of everything else")


class Row(NamedTuple):
    """An attack.

    Attributes:
      epsilon: of a run; None without privacy.
      noise_multiplier: that it takes; 0 without.
      test_accuracy: mean over the runs.
      auc: area under the ROC curve, all clients and attacked runs together.
      auc_error: its standard error were all trials independent and the scores worthless.
      tpr_at_1_percent: true positive rate at 1% false positives.
      auc_ceiling: that no attack exceeds at this ε and δ under Gaussian DP; None without privacy.
      tpr_at_1_percent_ceiling: likewise.
      fpr: of the curve.
      tpr: at each of them.
      tpr_ceiling: likewise; None without privacy.
      seconds: of all runs and their scores, compilation included.
    """

    epsilon: float | None
    noise_multiplier: float
    test_accuracy: float
    auc: float
    auc_error: float
    tpr_at_1_percent: float
    auc_ceiling: float | None
    tpr_at_1_percent_ceiling: float | None
    fpr: list[float]
    tpr: list[float]
    tpr_ceiling: list[float] | None
    seconds: float


class Report(NamedTuple):
    """Everything that was measured."""

    rows: list[Row]


class _Runs(NamedTuple):
    """What many runs left: who was there, what each client scores, how good the models are."""

    present: Float[Array, "runs clients"]
    scores: Float[Array, "runs clients"]
    accuracy: Float[Array, "runs"]


def measure(setting: Setting) -> Report:
    """The attack without privacy, and at each ε.

    Raises:
      PrideError: the data cannot be had, or hold too few examples.
    """
    dataset = load_dataset(setting.data)
    sizes = [setting.examples] * setting.clients
    rng = np.random.default_rng(setting.seed)
    data = federate(dataset, by_sizes(rng, len(dataset.train_targets), sizes))
    return Report([_attack(setting, dataset, data, each) for each in (None, *setting.epsilons)])


def _attack(setting: Setting, dataset: Dataset, data: FederatedData, epsilon: float | None) -> Row:
    plan = None if epsilon is None else _plan(setting, epsilon)
    start = time.perf_counter()
    present, scores, accuracy = jax.device_get(_run_all(setting, dataset, data, plan))
    seconds = time.perf_counter() - start
    there, shadows = present > 0, setting.runs // 2
    ratios = likelihood_ratio(scores[:shadows], there[:shadows], scores[shadows:])
    attacked = there[shadows:]
    curve = roc(ratios[attacked], ratios[~attacked])
    positives = int(attacked.sum())
    negatives = attacked.size - positives
    mu = None if epsilon is None else gaussian_dp(epsilon, setting.delta)
    return Row(
        epsilon=epsilon,
        noise_multiplier=0.0 if plan is None else plan.mechanism.noise_multiplier,
        test_accuracy=float(np.mean(accuracy)),
        auc=auc(curve),
        auc_error=math.sqrt((attacked.size + 1) / (12 * positives * negatives)),
        tpr_at_1_percent=tpr_at(curve, 0.01),
        auc_ceiling=None if mu is None else auc_ceiling(mu),
        tpr_at_1_percent_ceiling=None if mu is None else float(ceiling(mu, np.array(0.01))),
        fpr=_FALSE_POSITIVES.tolist(),
        tpr=[tpr_at(curve, fpr) for fpr in _FALSE_POSITIVES],
        tpr_ceiling=None if mu is None else ceiling(mu, _FALSE_POSITIVES).tolist(),
        seconds=seconds,
    )


def _plan(setting: Setting, epsilon: float) -> Plan:
    return calibrate(
        Gaussian,
        epsilon,
        sampler=full(setting.clients),
        clipping=Flat(setting.clipping_norm),
        rounds=setting.rounds,
        delta=setting.delta,
    )


def _run_all(setting: Setting, dataset: Dataset, data: FederatedData, plan: Plan | None) -> _Runs:
    model = logistic(dataset.train_inputs.shape[1:], dataset.outputs)
    game = tossed(model, data)

    def method(model: Model) -> Method:
        return fedavg(
            classification(model, dataset.outputs),
            optax.sgd(setting.learning_rate),
            keep_present(optax.sgd(1.0)),
            weighting=uniform,
            training=LocalTraining(epochs=1, batch_size=WHOLE),
        )

    algorithm = federated(method(game.model), game.data, plan)
    norm = math.inf if plan is None else plan.clipping.norm
    score = alignment(method(model), data, norm)
    inputs = normalize(jnp.asarray(dataset.test_inputs), data.shift, data.scale)

    def one(key: Key) -> _Runs:
        training_key, private = jax.random.split(key)
        state = algorithm.init(training_key, study_key(private))

        def advance(state: ServerState, nothing: None) -> tuple[ServerState, Params]:
            del nothing
            state, _ = algorithm.round(state)
            return state, algorithm.params(state)["model"]

        last, later = jax.lax.scan(advance, state, length=setting.rounds)
        first, present = (algorithm.params(state)[name] for name in ("model", "present"))
        released = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b]), first, later)
        accuracy = _accuracy(model, algorithm.params(last)["model"], inputs, dataset)
        return _Runs(present, score(key, released), accuracy)

    return jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(setting.seed), setting.runs))


def _accuracy(
    model: Model, params: Params, inputs: Float[Array, "test ..."], dataset: Dataset
) -> Float[Array, ""]:
    right = jnp.argmax(model.apply(params, inputs), axis=-1) == jnp.asarray(dataset.test_targets)
    return jnp.mean(right.astype(jnp.float32))


def as_json(setting: Setting, report: Report) -> str:
    """The report, the setting and what it ran on, in one line."""
    return as_line(report._asdict(), setting)


def show(report: Report) -> None:
    """The attacks as a table."""
    names = ("ε", "noise multiplier", "test accuracy", "AUC", "at most", "TPR at 1%", "at most")
    table = Table(*names, title="Did this client take part?")
    for row in report.rows:
        cells = (
            row.epsilon,
            row.noise_multiplier,
            row.test_accuracy,
            row.auc,
            row.auc_ceiling,
            row.tpr_at_1_percent,
            row.tpr_at_1_percent_ceiling,
        )
        table.add_row(*("none" if cell is None else f"{cell:.3f}" for cell in cells))
    Console().print(table)
