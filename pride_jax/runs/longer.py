"""What somebody must know who makes a run longer than it was begun."""

from pathlib import Path

from pride_jax.privacy.accounting import epsilon
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.plan import Plan
from pride_jax.runs import ledger
from pride_jax.runs.budget import LEDGER
from pride_jax.runs.resuming import CONFIG
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import read_settings


def told_of_more_rounds(workdir: Path, config: Experiment, plan: Plan | NoPlan) -> list[str]:
    """What somebody must know who makes a run longer, a sentence each; nothing of other runs.

    Args:
      workdir: the run's folder.
      config: the settings now.
      plan: what is private, with all rounds, or that nothing is.

    Raises:
      PrideError: the folder's files cannot be read.
    """
    if not (workdir / CONFIG).exists():
        return []
    before, after = read_settings(workdir).rounds, config.rounds
    if before == after:
        return []
    told = [f"the run is made longer: from {before} rounds to {after}"]
    for section in ("client", "server"):
        if getattr(config, section).schedule == "cosine":
            told.append(
                f"{section}.schedule='cosine' now falls to zero at round {after}: the rounds until "
                f"{before} had the schedule of {before} rounds, and the next ones begin where that "
                f"of {after} is after {before}. A run of {after} rounds from the start gives "
                "another model"
            )
    if isinstance(plan, Plan):
        entries, turns = ledger.read(workdir / LEDGER), plan.sampler.separation
        done = ledger.count_releases(entries, turns)
        until = max((entry.until for entry in entries), default=0)
        told.append(
            f"ε of the {done} releases so far is {epsilon(plan, done):.4g} at δ = {plan.delta:g}; "
            f"of all with {after} rounds, by the same mechanism, "
            f"{epsilon(plan, done + max(0, after - until)):.4g}"
        )
    return told
