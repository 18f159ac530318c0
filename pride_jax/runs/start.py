"""A run that starts from another run's parameters, and what ε of both is or leaves out."""

import functools
import math
import shutil
from pathlib import Path
from typing import Any

import jax

from pride_jax.errors import RunError
from pride_jax.files import explained, read_json, write_json
from pride_jax.models.parameters import read_like
from pride_jax.privacy.accounting import epsilon
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.plan import Plan
from pride_jax.runs import ledger
from pride_jax.runs.budget import LEDGER, PLAN, finite
from pride_jax.runs.models import MODEL
from pride_jax.runs.resuming import CONFIG, START, START_COPIED
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import to_dict
from pride_jax.settings.learning import Begin
from pride_jax.task import Task

FROM = "from.json"
"""Which run that was, by its name."""
_SAME_CLIENTS = ("seed", "data", "partition", "code")
"""Settings that say who the clients are and what they hold."""


def begin_from(folder: Path) -> Begin:
    """A run's start from the parameters that another run's folder, or a `START` folder, holds.

    Raises:
      RunError: there are none, since the folder is no run's, or the run has not ended.

    Raises (when called):
      DataError: the parameters are another model's.
    """
    path = folder / MODEL
    if not path.is_file():
        raise RunError(
            f"{folder} has no {MODEL}: expected the folder of a run that has ended; continue it "
            "with --resume first"
        )

    # The same task again for the same: what was compiled of it is not compiled anew.
    @functools.cache
    def begin(task: Task) -> Task:
        params = read_like(path, jax.eval_shape(task.init, jax.random.key(0)))
        return task._replace(init=lambda key: params)

    return begin


def check_start(workdir: Path, resume: bool, overwrite: bool, source: Path | None) -> None:
    """Refuses starts that contradict themselves; ``source`` is the run to start from, if any.

    Raises:
      RunError: as above.
    """
    if resume and (overwrite or source is not None):
        raise RunError(
            f"{workdir} is to be resumed, and to be overwritten or begun from another run: "
            "expected one of them"
        )
    if source is None:
        return
    if source.resolve().is_relative_to(workdir.resolve()):
        raise RunError(f"{workdir} cannot start from itself: choose another --workdir")
    if jax.process_count() > 1:
        raise RunError("--start-from with several processes: expected one process")
    begin_from(source)


def drop_start(workdir: Path) -> None:
    """Removes what an earlier start left of what it was to start from, when it died at once.

    Raises:
      RunError: it cannot be removed.
    """
    for name in (START, START_COPIED):
        if (left := workdir / name).is_dir():
            with explained("remove", left):
                shutil.rmtree(left)


def keep_start(source: Path, workdir: Path) -> None:
    """Copies what a run starts from into its folder, which then is there as a whole or not at all.

    Args:
      source: the other run's folder.
      workdir: the run's, without a `START`.

    Raises:
      RunError: it cannot be written.
    """
    kept = workdir / START_COPIED
    with explained("write to", kept):
        kept.mkdir(parents=True)
        for name in (MODEL, CONFIG, PLAN, LEDGER):
            if (source / name).is_file():
                shutil.copyfile(source / name, kept / name)
        if (source / START).is_dir():
            shutil.copytree(source / START, kept / START)
        write_json(kept / FROM, source.name)
        kept.rename(workdir / START)


def started_from(
    workdir: Path, config: Experiment, plan: Plan | NoPlan, cost: dict[str, Any]
) -> dict[str, Any]:
    """What a run's summary tells of the run that it started from; nothing if of none.

    With two plans for the same clients, what both released is (ε₁ + ε₂, δ₁ + δ₂)-differentially
    private, by basic composition (Dwork & Roth 2014, theorem B.1): an upper bound.

    Args:
      workdir: the run's folder.
      config: its settings.
      plan: what is private in it, or that nothing is.
      cost: its own, as `Budget.cost` tells.

    Returns:
      ``{"start": {…}}``, or nothing.
    """
    kept = workdir / START
    if not kept.is_dir():
        return {}
    told: dict[str, Any] = {"run": read_json(kept / FROM)}
    before = spent_before(kept)
    told |= {"epsilon": None, "delta": None, "epsilon_of_all": None, "delta_of_all": None}
    if before is not None:
        told |= {"epsilon": finite(before[0]), "delta": before[1]}
    if isinstance(plan, NoPlan):
        return {"start": told | {"left_out": ""}}
    left_out = _left_out(kept, config, plan, told, before)
    if not left_out and before is not None:
        mine = math.inf if cost["epsilon"] is None else cost["epsilon"]
        told |= {
            "epsilon_of_all": finite(before[0] + mine),
            "delta_of_all": before[1] + plan.delta,
        }
    return {"start": told | {"left_out": left_out}}


def spent_before(kept: Path) -> tuple[float, float] | None:
    """ε and δ of all that was released by the run in a folder, such as `START`, and its own start.

    Returns:
      None where nothing bounds what some of it tells of its clients.
    """
    if not (kept / PLAN).is_file():
        return None
    plan = Plan.from_dict(read_json(kept / PLAN))
    spent = epsilon(plan, releases_in(kept)), plan.delta
    if not (kept / START).is_dir():
        return spent
    earlier = spent_before(kept / START)
    if earlier is None or _others(kept / START, read_json(kept / CONFIG), plan):
        return None
    return spent[0] + earlier[0], spent[1] + earlier[1]


def releases_in(folder: Path) -> int:
    """How many releases the accountant counts of the private run in a folder.

    Raises:
      PrideError: its plan or its ledger cannot be read.
    """
    plan = Plan.from_dict(read_json(folder / PLAN))
    return ledger.count_releases(ledger.read(folder / LEDGER), plan.sampler.separation)


def _left_out(
    kept: Path,
    config: Experiment,
    plan: Plan,
    told: dict[str, Any],
    before: tuple[float, float] | None,
) -> str:
    """What the run's ε leaves out, in a sentence; "" where ε of all covers everything."""
    if before is None:
        return (
            f"ε leaves out what the parameters of {told['run']}, from which the run started, tell "
            "of the clients that those were learned from: nothing bounds that."
        )
    if _others(kept, to_dict(config), plan):
        return (
            f"ε leaves out what {told['run']}, from which the run started, released of its own "
            f"clients: for them, ε = {before[0]:.4g} at δ = {before[1]:g}. Seed, data, partition "
            "or neighbours are others there, so that nobody is known to be a client of both."
        )
    return ""


def _others(kept: Path, settings: dict[str, Any], plan: Plan) -> bool:
    """Whether the clients of a `START` folder's run may be others, or their neighbours are."""
    theirs = read_json(kept / CONFIG)
    same = all(_where(theirs[name]) == _where(settings[name]) for name in _SAME_CLIENTS)
    other = Plan.from_dict(read_json(kept / PLAN))
    return not same or other.sampler.adjacency != plan.sampler.adjacency


def _where(section: Any) -> Any:
    """A section without where its files lie."""
    if not isinstance(section, dict):
        return section
    return {name: value for name, value in section.items() if name != "dir"}


def sentence(started: dict[str, Any]) -> str:
    """What the guarantee must say of the start; see `started_from`."""
    start = started.get("start")
    if start is None:
        return ""
    if start["left_out"]:
        return f" {start['left_out']}"
    if start["epsilon_of_all"] is None:
        return ""
    return (
        f" The run started from the parameters of {start['run']}: ε of all that both released is "
        f"at most {start['epsilon_of_all']:.4g} at δ = {start['delta_of_all']:g}."
    )
