"""How far a run of real parties has come, from the server's folder alone."""

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pride_jax.deploy.agreement import load_agreement
from pride_jax.deploy.finishing import lacking
from pride_jax.deploy.introduction import EXCHANGES, everyone
from pride_jax.deploy.outcome import OUTCOME, error_of, has_ended
from pride_jax.deploy.roster import Roster
from pride_jax.deploy.server import SERVER
from pride_jax.files import read_json
from pride_jax.reporting import metrics
from pride_jax.runs.figures import own_folder
from pride_jax.runs.refusals import REFUSALS


def status(folder: Path) -> Iterator[str]:
    """Lines on a run: how far it is, and when each role last answered what.

    Args:
      folder: the server's own.

    Raises:
      PrideError: it is none, or cannot be read.
    """
    agreement = load_agreement(folder)
    config, roster = agreement.config, agreement.roster
    yield f"roster {roster.short}: {len(roster.parties)} parties"
    if not (folder / SERVER).exists():
        yield "not served yet: deploy.py --serve"
        return
    workdir = Path(read_json(folder / SERVER)["workdir"])
    row = metrics.latest(workdir / "metrics.jsonl")
    done = row["round"] if row else 0
    yield f"round {done} of {config.rounds}; everything is in {workdir}"
    notes = own_folder(workdir, config.privacy.hides)
    last = {row["to"]: row for row in metrics.read_so_far(notes / EXCHANGES)}
    for name in everyone(roster):
        if name not in last:
            yield f"{name}: has not answered yet"
            continue
        answer = last[name]
        yield (
            f"{name}: last answered {answer['kind']} of round {answer['round']}, within "
            f"{answer['seconds']:.1f} s"
        )
    for each in metrics.read_so_far(notes / REFUSALS)[-3:]:
        yield f"of late: {_refusal(each)}"
    if has_ended(folder):
        error = error_of(folder)
        when = datetime.datetime.fromtimestamp((folder / OUTCOME).stat().st_mtime)
        yield f"ended at {when:%Y-%m-%d %H:%M}: {error or 'well'}"
        if error is None:
            yield from without_model(folder, roster)


def without_model(folder: Path, roster: Roster) -> Iterator[str]:
    """Lines on who does not have the model of a run that has ended.

    Args:
      folder: the server's own.
      roster: of the run.
    """
    for name in lacking(folder, everyone(roster)):
        yield (
            f"{name} does not have the model yet: --serve {folder} --resume hands it out to those "
            "who join again"
        )


def _refusal(row: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in row.items() if value is not None)
