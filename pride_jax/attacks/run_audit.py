"""An audit: whether a config's own pipeline keeps the ε that its plan claims.

Canary clients, each there by the toss of a coin, go through the real thing: cohorts, local
training, clipping, secure sum if there is one, noise, denominator, all rounds. What is released
tells which canaries were there only as well as ε allows. Only the server optimizer is left out: it
sees nothing but what is released, and would only blur it.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import jax
import numpy as np
import optax
from jaxtyping import Array, Bool, Float
from rich.console import Console
from rich.table import Table
from scipy.stats import binom

from pride_jax.attacks.audit import Design, design, guess, one_run_bound, one_shot_estimate
from pride_jax.attacks.population import Population, keep_present, with_canaries
from pride_jax.errors import ConfigError
from pride_jax.federated import federated
from pride_jax.methods.fedavg import fedavg
from pride_jax.models.modules import num_parameters
from pride_jax.privacy.accounting import epsilon
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.randomness import study_key
from pride_jax.runs.lines import as_line
from pride_jax.runs.prepared import Prepared, adder_of, prepare, simulated_of
from pride_jax.settings import build, learning
from pride_jax.settings.experiment import Experiment
from pride_jax.task import classification
from pride_jax.types import Key

OneRun = Callable[[Key], tuple[Float[Array, "canaries"], Float[Array, "canaries"]]]
"""A run's key -> which canaries were there (1 or 0), and what was released of each."""


@dataclass(frozen=True)
class Setting:
    """How to audit; the number of canaries, and of guesses on them, follows from the claim.

    Attributes:
      canaries: clients added to the real ones, at most.
      repetitions: audits, each a run of its own; one compiled program does all of them where the
        device adds floats.
      confidence: of each bound.
      seed: of coins, cohorts and noise.
    """

    canaries: int = 1000
    repetitions: int = 1
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses what nothing can be learned from.

        Raises:
          ConfigError: as above.
        """
        if self.canaries < 2 or self.repetitions < 1:
            raise ConfigError(f"{self}: expected at least one repetition and two canaries")
        if not 0 < self.confidence < 1:
            raise ConfigError(f"confidence={self.confidence}: expected a value between 0 and 1")


class Row(NamedTuple):
    """One audit.

    Attributes:
      guesses: made.
      correct: of them.
      bound: on ε, from below, with the setting's confidence (Steinke et al. 2023).
      estimate: of ε, which may exceed it (after Andrew et al. 2023).
    """

    guesses: int
    correct: int
    bound: float
    estimate: float


Verdict = Literal["pass", "FAIL", "no power"]


class Report(NamedTuple):
    """What the audits say.

    Attributes:
      claimed: ε of the plan, with the canaries among its clients.
      delta: of the plan.
      rounds: of each run.
      clients: of each run, canaries included.
      canaries: of them.
      largest: the bound that right guesses alone would have given: no audit proves more.
      violations: bounds that exceed the claim.
      allowed: the most violations that bounds of this confidence have, with that confidence: none
        of a single audit.
      verdict: ``FAIL``: more violations than allowed. ``no power``: the largest bound does not
        exceed the claim, so that nothing could fail. Else ``pass``.
      seconds: of all runs, compilation included.
      rows: one an audit.
    """

    claimed: float
    delta: float
    rounds: int
    clients: int
    canaries: int
    largest: float
    violations: int
    allowed: int
    verdict: Verdict
    seconds: float
    rows: list[Row]


def measure(config: Experiment, setting: Setting, secrets: Path) -> Report:
    """Audits a config.

    Args:
      config: with a privacy plan.
      setting: how.
      secrets: folder with the key holder's key, see `prepare`.

    Raises:
      PrideError: the config cannot be run, or has nothing to audit.
    """
    prepared = prepare(config, secrets)
    if isinstance(prepared.plan, NoPlan):
        raise ConfigError(
            "privacy.mechanism='none': expected one, since without it no ε is claimed to be audited"
        )
    if config.client.weight_decay:
        raise ConfigError(
            f"client.weight_decay={config.client.weight_decay}: expected 0 in an audit, whose "
            "absent canaries must add exact zeros"
        )
    _check_learning(config)
    simulated = simulated_of(prepared)
    data, dataset = simulated.data, simulated.dataset
    longest = int(data.sizes.max())
    examples = longest if config.weighting == "examples" else 1
    shape = learning.Shape(dataset.train_inputs.shape[1:], dataset.outputs)
    model = learning.build_model(config, shape)
    plain = prepared.plan
    chosen = design(epsilon(plain), plain.delta, setting.confidence, setting.canaries)
    added = with_canaries(model, data, chosen.canaries, examples)
    plan = enlarged(prepared.plan, added)
    one = _one_run(config, prepared, plan, added)
    keys = jax.random.split(jax.random.key(setting.seed), setting.repetitions)
    start = time.perf_counter()
    if prepared.secure is None:
        present, scores = jax.device_get(jax.jit(jax.vmap(one))(keys))
    else:
        present, scores = (np.stack(each) for each in zip(*map(one, keys), strict=True))
    seconds = time.perf_counter() - start
    runs = zip(present > 0, scores, strict=True)
    rows = [_row(*run, plan.delta, chosen, setting.confidence) for run in runs]
    claimed = epsilon(plan)
    violations = sum(row.bound > claimed for row in rows)
    # Rounding must not turn the confidence of a single audit into a permission to fail.
    allowed = int(binom.ppf(setting.confidence - 1e-9, len(rows), 1 - setting.confidence))
    verdict: Verdict = "pass" if chosen.largest > claimed else "no power"
    return Report(
        claimed=claimed,
        delta=plan.delta,
        rounds=plan.rounds,
        clients=plan.sampler.num_clients,
        canaries=chosen.canaries,
        largest=chosen.largest,
        violations=violations,
        allowed=allowed,
        verdict="FAIL" if violations > allowed else verdict,
        seconds=seconds,
        rows=rows,
    )


def _check_learning(config: Experiment) -> None:
    """Refuses a task or method whose canaries are not known.

    Raises:
      ConfigError: as above.
    """
    learned = (config.task.name, config.method.name, config.method.personal)
    if learned != ("classification", "fedavg", ()):
        raise ConfigError(
            f"task.name, method.name, method.personal = {learned} in an audit: expected "
            "'classification', 'fedavg' and none, for which canaries are known"
        )


def enlarged(plan: Plan, added: Population) -> Plan:
    """The plan with the canaries among its clients: same noise, same share of them in a round.

    Raises:
      ConfigError: the sampling allows no such number of clients.
    """
    values = plan.mechanism.values.scaled(num_parameters(added.model))
    return replace(
        plan,
        sampler=plan.sampler.scaled(added.data.num_clients),
        mechanism=replace(plan.mechanism, values=values),
    )


def _one_run(config: Experiment, prepared: Prepared, plan: Plan, added: Population) -> OneRun:
    method = fedavg(
        classification(added.model, simulated_of(prepared).dataset.outputs),
        learning.build_client_optimizer(config, {}),
        keep_present(optax.sgd(1.0)),
        weighting=learning.WEIGHTINGS[config.weighting],
        training=learning.build_training(config, {}),
    )
    mesh = build.build_mesh(config.engine)
    adder = adder_of(config, mesh, prepared.secure)
    algorithm = federated(method, added.data, plan, adder)

    def one(key: Key) -> tuple[Float[Array, "canaries"], Float[Array, "canaries"]]:
        training_key, private = jax.random.split(key)
        last, _ = algorithm.rounds(algorithm.init(training_key, study_key(private)), plan.rounds)
        params = algorithm.params(last)
        return params["present"], params["canaries"]

    return one


def _row(
    present: Bool[np.ndarray, "canaries"],
    scores: Float[np.ndarray, "canaries"],
    delta: float,
    chosen: Design,
    confidence: float,
) -> Row:
    made, correct = guess(scores, present, chosen.guesses)
    bound = one_run_bound(made, correct, len(scores), delta, confidence)
    return Row(made, correct, bound, one_shot_estimate(scores[present], scores[~present], delta))


def as_json(name: str, config: Experiment, setting: Setting, report: Report) -> str:
    """The report, what was audited, and what it ran on, in one line."""
    measured = report._asdict() | {"config": name, "privacy": asdict(config.privacy)}
    return as_line(measured, setting)


def show(report: Report, setting: Setting) -> None:
    """The audits' range as a table, and the verdict."""
    console = Console()
    made = report.rows[0].guesses
    title = f"{len(report.rows)} audits of {made} guesses on {report.canaries} canaries"
    table = Table("", "right guesses", "ε at least", "ε estimated", title=title)
    for name, share in (("lowest", 0.0), ("median", 0.5), ("highest", 1.0)):
        cells = [
            np.quantile([getattr(row, field) for row in report.rows], share)
            for field in ("correct", "bound", "estimate")
        ]
        table.add_row(name, f"{cells[0]:g}", *(f"{cell:.3f}" for cell in cells[1:]))
    console.print(table)
    console.print(
        f"claimed ε {report.claimed:.3f} at δ={report.delta:g}; {report.violations} of "
        f"{len(report.rows)} bounds of {setting.confidence:.0%} confidence exceed it, "
        f"{report.allowed} allowed, and perfect guesses prove {report.largest:.3f}: "
        f"{report.verdict}. Estimates are no bounds."
    )
    if report.verdict == "no power":
        console.print(
            f"No outcome of at most {setting.canaries} canaries could refute this claim: nothing "
            "is said of it. Audit a smaller ε or δ, with more canaries, or each round by itself "
            "with pride_jax.audit_round"
        )
