"""The settings that a private sweep may draw, and what one of its runs costs at most."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from pride_jax.errors import ConfigError
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.number_of_runs import Runs
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.tuning import (
    HeldOutScore,
    PublicScore,
    Score,
    Tuning,
    calibrate_tuning,
)
from pride_jax.reporting.watching import logs_of
from pride_jax.settings.experiment import Experiment
from pride_jax.sweeps.sweep import grid, override

_SAME = (
    "seed",
    "data.",
    "partition.",
    "privacy.seed",
    "privacy.delta",
    "privacy.epsilon",
    "engine.",
    "evaluation.",
    "watch.",
)
"""What all runs have in common: who the clients are, what they hold, what is promised to them."""


class Choice(NamedTuple):
    """Settings that may be drawn.

    Attributes:
      settings: those that are varied, as on a command line.
      config: with these settings.
    """

    settings: dict[str, str]
    config: Experiment


class Asked(NamedTuple):
    """What a private sweep is asked for; all of it is public.

    Attributes:
      config: what all runs share.
      over: settings and their values, see `sweep.parse_over`: every combination is equally likely.
      runs: the distribution of the number of runs.
      score: how runs are compared.
      released: how many such sweeps of the same clients release their best run.
    """

    config: Experiment
    over: Sequence[tuple[str, list[str]]]
    runs: Runs
    score: Score
    released: int


def family(asked: Asked) -> list[Choice]:
    """Every combination of values: a distribution that no client's data chose.

    Raises:
      ConfigError: a setting would make the clients or the promise another, the noise has a public
        seed, the runs were to be looked on, or there is nothing to score by.
      SystemExit: as `sweep.override`.
    """
    for name in (setting for names, _ in asked.over for setting in names.split(",")):
        if name.startswith(_SAME):
            raise ConfigError(
                f"--over {name}=… in a private sweep: expected a setting of learning; seed, data, "
                "partition, δ and what is measured are the same in all its runs, since one ε is to "
                "cover the same clients"
            )
    if watched := logs_of(asked.config.watch):
        raise ConfigError(
            f"watch.{watched[0]}=True in a private sweep: expected False, since its runs leave "
            "nothing but the best one's model"
        )
    privacy = asked.config.privacy
    if privacy.seed is not None:
        raise ConfigError(
            f"privacy.seed={privacy.seed} in a private sweep: expected none, since runs with the "
            "same noise and cohorts are not independent"
        )
    if isinstance(asked.score, HeldOutScore) and not asked.config.partition.held_out:
        raise ConfigError(
            "--score held-out with partition.held_out=0: expected a share that clients hold out"
        )
    return [Choice(each, override(asked.config, each)) for each in grid(asked.over)]


def tuning_of(asked: Asked, choices: Sequence[Choice]) -> tuple[Tuning, list[Choice]]:
    """The whole procedure as the accountant sees it, and settings with the noise that it has.

    ``privacy.epsilon`` is what everything is to cost.

    Raises:
      PrideError: the data cannot be had, a setting has no noise or nothing accounts for it, or runs
        have no accuracy to be scored by.
    """
    # A sweep that is refused, or finished, does without JAX.
    from pride_jax.data.federated import federate
    from pride_jax.engine.evaluation import headline_of
    from pride_jax.engine.server import keeps_state, sent_numbers
    from pride_jax.settings import build, learning

    dataset = build.build_dataset(asked.config)
    partition, _ = build.build_partitions(asked.config, dataset)
    examples = learning.Shape(dataset.train_inputs.shape[1:], dataset.outputs)
    if isinstance(asked.score, HeldOutScore):
        data = federate(dataset, partition)
        score = headline_of(learning.build_task(asked.config, examples), data)
        if score != "accuracy":
            raise ConfigError(
                f"--score held-out with task.name={asked.config.task.name!r}: expected a task with "
                "an accuracy, which a client moves by at most 1"
            )

    def plan(config: Experiment) -> Plan:
        method = learning.build_method(config, examples, {})
        clients, length = len(partition.sizes), sent_numbers(method)
        found = build.build_plan(config, clients, length, keeps_state(method))
        if isinstance(found, NoPlan):
            raise ConfigError(
                "privacy.mechanism='none' in a private sweep: expected a mechanism, since the best "
                "of runs that protect nobody protects nobody"
            )
        return found

    plans = tuple(plan(choice.config) for choice in choices)
    tuning = Tuning(plans=plans, runs=asked.runs, score=asked.score)
    target = asked.config.privacy.epsilon
    if target is None:
        return tuning, list(choices)
    tuning = calibrate_tuning(tuning, target)
    return tuning, [
        Choice(choice.settings, _with_noise(choice.config, plan.mechanism.noise_multiplier))
        for choice, plan in zip(choices, tuning.plans, strict=True)
    ]


def _with_noise(config: Experiment, noise_multiplier: float) -> Experiment:
    privacy = replace(config.privacy, epsilon=None, noise_multiplier=noise_multiplier)
    return replace(config, privacy=privacy)


def parse_score(text: str, noise_multiplier: float | None) -> Score:
    """``test``, ``held-out`` or a data set's name, as a score.

    Raises:
      ConfigError: noise where none is needed, or none where it is.
    """
    if (text == "held-out") != (noise_multiplier is not None):
        raise ConfigError(
            f"--score {text} with --score-noise {noise_multiplier}: expected --score-noise with, "
            "and only with, --score held-out, which reads clients' data"
        )
    return PublicScore(text) if noise_multiplier is None else HeldOutScore(noise_multiplier)
