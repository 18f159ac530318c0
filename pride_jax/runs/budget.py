"""What a private run has cost, what it may still release, and the keys for that."""

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax

from pride_jax.errors import ConfigError, RunError
from pride_jax.files import read_json, write_json
from pride_jax.privacy.accounting import epsilon, epsilon_known_cohort, rounds_within
from pride_jax.privacy.groups import group_epsilon
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.randomness import secret_key, study_key
from pride_jax.privacy.trade_off import trade_off
from pride_jax.runs.environment import environment, jax_settings
from pride_jax.runs.hosts import NO_WORDS
from pride_jax.runs.ledger import commitment, fingerprint, open_ledger
from pride_jax.settings.experiment import Privacy
from pride_jax.settings.files import Change, changes
from pride_jax.types import Hidden

LEDGER = "ledger.jsonl"
PLAN = "plan.json"
_WORDS = "key of noise and cohorts"


class Budget(NamedTuple):
    """A private run's releases, from one start of it to the next.

    Attributes:
      words: of the key of noise and cohorts, a secret; `NO_WORDS` without a plan.
      release: first round, the round after the last -> up to which of them may be released, once
        that is on disk; the first round itself if no more is affordable.
      spent: -> releases so far and ε of them.
      cost: -> all that the summary tells of it.
    """

    words: Hidden[tuple[int, ...]]
    release: Callable[[int, int], int]
    spent: Callable[[], dict[str, Any]]
    cost: Callable[[], dict[str, Any]]


def affordable(settings: Privacy, plan: Plan) -> int:
    """How many releases a run may make, those of rounds that had to be done again included.

    Raises:
      ConfigError: not even one.
    """
    limits = [limit for limit in (settings.epsilon, settings.stop_at_epsilon) if limit is not None]
    if not limits:
        return sys.maxsize
    releases = rounds_within(plan, min(limits))
    if releases < 1:
        raise ConfigError(
            f"A single release costs more than ε={min(limits)}: raise privacy.stop_at_epsilon or "
            "the noise"
        )
    return releases


def open_budget(
    settings: Privacy,
    plan: Plan,
    workdir: Path,
    seed: bytes | None,
    round_: int,
    inputs: str,
    holders: int,
) -> Budget:
    """The budget of a run that goes on at ``round_``.

    Args:
      settings: limits, and the seed of studies.
      plan: what is accounted; written to ``plan.json`` at the first start.
      workdir: the run's folder.
      seed: that the system gave, where the settings have none.
      round_: the first round to come.
      inputs: digest of the clients' data.
      holders: the most clients that hold one same example.

    Raises:
      RunError: plan or seed are others than at the first start, or the ledger is not whole.
    """
    described = plan.to_dict()
    _keep_plan(workdir / PLAN, described)
    same, drawn_from = None, seed or str(settings.seed).encode()
    if plan.mechanism.draws_from_key:
        made_of = {"plan": described, "data": inputs, "jax": jax_settings()}
        same = fingerprint(environment(), drawn_from, **made_of)
    turns = plan.sampler.separation
    ledger = open_ledger(workdir / LEDGER, round_, same, commitment(drawn_from), turns)
    limit = affordable(settings, plan)
    key = study_key(settings.seed or 0) if seed is None else secret_key(seed)

    def release(first: int, until: int) -> int:
        while until > first and ledger.releases_with(first, until) > limit:
            until -= 1
        if until > first:
            ledger.announce(first, until)
        return until

    def spent() -> dict[str, Any]:
        releases = ledger.releases()
        return {
            "releases": releases,
            "epsilon": finite(epsilon(plan, releases)),
            "epsilon_known_cohort": finite(epsilon_known_cohort(plan, releases)),
        }

    def cost() -> dict[str, Any]:
        stated = plan.mechanism.states_distance
        return spent() | {
            "holders_of_example": holders,
            "epsilon_of_example": finite(group_epsilon(plan, holders, ledger.releases())),
            "delta": plan.delta,
            "distance": plan.distance(ledger.releases()) if stated else None,
            "noise_multiplier": plan.mechanism.noise_multiplier,
            "trade_off": _trade_off(plan, ledger.releases()),
        }

    folded = jax.random.fold_in(key, ledger.attempt)
    words = tuple(jax.random.key_data(folded).tolist())
    return Budget(Hidden(words, _WORDS), release, spent, cost)


def finite(epsilon: float) -> float | None:
    """An ε as JSON has it: null where there is none."""
    return epsilon if math.isfinite(epsilon) else None


def _trade_off(plan: Plan, releases: int) -> dict[str, Any] | None:
    """What the summary tells of all (ε, δ); None where there is no finite ε."""
    if plan.mechanism.noise_multiplier == 0 or releases == 0:
        return None
    told = trade_off(plan, releases)
    return told.to_dict() if math.isfinite(told.epsilon(plan.delta / 100)) else None


def _keep_plan(path: Path, plan: dict[str, Any]) -> None:
    if not path.exists():
        write_json(path, plan)
        return
    changed = [each for each in changes(read_json(path), plan) if not _is_longer(each)]
    if changed:
        raise RunError(
            f"{path} is another plan than the settings give now: {'; '.join(map(str, changed))} "
            "(saved -> now). Resume with the versions that the run was begun with, or start anew"
        )
    # A longer run's plan, by the same mechanism a round: `resuming.is_finished` has let it pass.
    write_json(path, plan)


def _is_longer(change: Change) -> bool:
    return change.name == "rounds" and change.after > change.before


NO_COST: dict[str, Any] = dict.fromkeys(
    (
        "releases",
        "epsilon",
        "epsilon_known_cohort",
        "holders_of_example",
        "epsilon_of_example",
        "delta",
        "distance",
        "noise_multiplier",
        "trade_off",
    )
)
"""What the summary of a run without a plan tells."""

UNLIMITED = Budget(
    words=Hidden(NO_WORDS, _WORDS),
    release=lambda first, until: until,
    spent=dict,
    cost=NO_COST.copy,
)
"""What a run without a plan may release: everything, at no cost that is counted."""
