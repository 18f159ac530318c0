"""What a private sweep tells: its promise before it begins, and its result."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from pride_jax.privacy.accounting import epsilon
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.tuning import PublicScore, Tuning, tuning_epsilon
from pride_jax.reporting.disclosure import NEIGHBOUR
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import to_dict
from pride_jax.sweeps.family import Asked, Choice


class Best(NamedTuple):
    """The best run so far.

    Attributes:
      folder: its name.
      place: its settings' in the family.
      score: by which it is the best.
      tested: scores of its model on the test examples, by name.
    """

    folder: str
    place: int
    score: float
    tested: dict[str, float]


def asked_for(asked: Asked) -> dict[str, Any]:
    """What a private sweep is asked for, as JSON has it."""
    return {
        "config": to_dict(asked.config),
        "over": {name: list(values) for name, values in asked.over},
        "runs": asked.runs.describe(),
        "score": asked.score.describe(),
        "released": asked.released,
    }


def promise(asked: Asked, tuning: Tuning) -> dict[str, Any]:
    """What is known, and may be told, before anything is carried out."""
    told = {
        "asked": asked_for(asked),
        "settings_that_may_be_drawn": len(tuning.plans),
        "epsilon": tuning_epsilon(tuning),
        "epsilon_of_all_released": tuning_epsilon(tuning, asked.released),
        "epsilon_of_one_run": max(epsilon(plan) for plan in tuning.plans),
        "delta": tuning.delta,
    }
    return told | {"guarantee": _guarantee(asked, tuning.plans[0], told)}


def result_of(
    told: dict[str, Any], choices: Sequence[Choice], best: Sequence[Best]
) -> dict[str, Any]:
    """The promise, and what is released: no run at all if every one diverged."""
    released = [
        {
            "settings": choices[each.place].settings,
            "score": each.score,
            **{f"test_{name}": value for name, value in each.tested.items()},
        }
        for each in best
    ]
    return told | {"best": released}


def disclosure_of(result: dict[str, Any], plan: Plan, config: Experiment) -> dict[str, Any]:
    """What the folder says of itself, beside what each of the runs would.

    Args:
      result: as `result_of` gave it.
      plan: of the run that is released.
      config: its settings.
    """
    statements = [
        "Nothing else is released: no other run, no figure computed from clients' data, not the "
        "number of runs, nor when they began. Runs were removed, not overwritten on the disk.",
        "Who watches the machine, its processes or how long they take, aggregator, key holders and "
        "clients see runs that are not released: ε does not hold against them.",
        "An owner who looks at unreleased runs and then repeats or ends the sweep voids ε.",
        plan.mechanism.caveat(),
    ]
    if result["asked"]["score"] == PublicScore().describe() and not config.data.validation_examples:
        statements.append(
            "The run was chosen by the examples that it is tested on, which flatters its scores; "
            "data.validation_examples keeps them apart."
        )
    if config.partition.copies > 1:
        statements.append(
            f"Every example is held by {config.partition.copies} clients: ε covers a client, not "
            "an example."
        )
    return {"guarantee": result["guarantee"], "statements": statements}


def _guarantee(asked: Asked, plan: Plan, told: dict[str, Any]) -> str:
    """One paragraph that a reviewer can check."""
    sentences = [
        f"Client-level differential privacy: ε = {told['epsilon']:.4g} at δ = {told['delta']:g} "
        "for everything: all runs, their scores and the choice of the best, which alone is "
        f"released; where {NEIGHBOUR[plan.sampler.adjacency]}, and the number of clients, "
        f"{plan.sampler.num_clients}, is public.",
        f"The number of runs is secret, {asked.runs.describe()}; each run's settings are drawn "
        f"anew, uniformly from {told['settings_that_may_be_drawn']}; runs are compared "
        f"{asked.score.describe()}. Accounted as if every run had the dearest settings, by Rényi "
        "divergences (Papernot & Steinke 2022) or by privacy profiles (Koskela, Redberg & Wang "
        "2024), whichever bound is smaller.",
        "It holds against who sees what is released. A single run alone would cost "
        f"ε = {told['epsilon_of_one_run']:.4g}.",
    ]
    if asked.released > 1:
        sentences.append(
            f"{asked.released} such sweeps of these clients, each releasing its best run, cost "
            f"ε = {told['epsilon_of_all_released']:.4g} together."
        )
    return " ".join(sentences)
