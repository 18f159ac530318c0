"""A private sweep: a secret number of runs with settings drawn at random, the best alone released.

As Papernot & Steinke (2022) prove it, see `privacy.tuning`. Until the end everything is in a folder
beside the sweep's own, ``<folder>.secret``, that only its owner can enter: how many runs there are,
their settings, and the runs. At the end the sweep's own folder is made at once, in one moment, of
the best run's model and settings, and the other is removed.

What nothing here hides is how long the process takes, except where a fixed number of runs is
carried out (`AtMost`).
"""

import json
import math
import os
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pride_jax.aggregation.owner_only import read_owner_only, write_owner_only
from pride_jax.errors import ConfigError, DivergedError, RunError
from pride_jax.files import claimed, explained, read_json, write_json
from pride_jax.privacy.exact import Below
from pride_jax.privacy.plan import Plan
from pride_jax.settings import own
from pride_jax.settings.files import differences, to_dict
from pride_jax.sweeps.family import Asked, Choice, family, tuning_of
from pride_jax.sweeps.private_report import Best, asked_for, disclosure_of, promise, result_of

if TYPE_CHECKING:
    from pride_jax.sweeps.scoring import Scorer

RESULT = "private_sweep.json"
MODEL = "model.safetensors"
_DRAWS = "draws"


class Draws(NamedTuple):
    """What a private sweep keeps to itself.

    Attributes:
      asked: what it was asked for.
      count: runs that may be chosen from, K.
      slots: the settings of every run, by their place in the family.
      done: runs that have ended.
      best: the best run so far; none before there is one that did not diverge.
    """

    asked: dict[str, Any]
    count: int
    slots: list[int]
    done: int
    best: list[Best]

    def __repr__(self) -> str:
        return "<hidden: the draws of a private sweep>"


def private_sweep(
    asked: Asked,
    workdir: Path,
    report: Callable[[dict[str, Any]], None],
    below: Below = secrets.randbelow,
) -> dict[str, Any]:
    """Carries a private sweep out, or goes on with it, and leaves its best run in a folder.

    The folder holds ``private_sweep.json``, ``config.json``, ``model.safetensors``,
    ``disclosure.json``, ``env.json`` and the user's own code, all written when the sweep ends. A
    sweep that dies goes on with the number of runs and the settings that were drawn; the run that
    was interrupted, of which nobody has seen anything, is carried out anew with other noise.

    Args:
      asked: for what.
      workdir: the folder; new or empty, or that of the same sweep, finished.
      report: called with what the sweep promises, before it carries anything out.
      below: where draws come from, see `privacy.exact`.

    Returns:
      What ``private_sweep.json`` holds: what was asked for, ε of everything, and under ``best`` the
      run that is released, or none if every run diverged.

    Raises:
      PrideError: it cannot be accounted, begin or go on; nothing is released.
      SystemExit: as `family`.
    """
    secret = workdir.with_name(f"{workdir.name}.secret")
    if not finished(workdir, asked):
        _carry_out(asked, workdir, secret, report, below)
    destroy(secret)
    return read_json(workdir / RESULT)


def _carry_out(
    asked: Asked,
    workdir: Path,
    secret: Path,
    report: Callable[[dict[str, Any]], None],
    below: Below,
) -> None:
    """Draws, unless it was drawn, carries out what is missing, and makes the sweep's folder."""
    tuning, choices = tuning_of(asked, family(asked))
    told = promise(asked, tuning)
    if math.isinf(told["epsilon_of_all_released"]):
        raise ConfigError(
            f"A number of runs that is {asked.runs.describe()}: expected a bound that is hardly "
            "ever exceeded, since what is drawn again costs more than a thousandth of δ"
        )
    report(told)
    # A second of imports that a sweep which is refused does without.
    from pride_jax.sweeps.scoring import scorer

    score = scorer(asked)
    with explained("write to", secret):
        secret.mkdir(mode=0o700, parents=True, exist_ok=True)
    with claimed(secret):
        draws = _drawn(secret, asked, len(choices), below)
        while draws.done < len(draws.slots):
            draws = _one_more(secret, draws, choices, score, below)
        _publish(secret, workdir, asked, choices, tuning.plans, draws.best, told)


def finished(workdir: Path, asked: Asked) -> bool:
    """Whether a folder holds the same sweep's result.

    Raises:
      RunError: it holds anything else.
    """
    if not workdir.exists() or (workdir.is_dir() and not any(workdir.iterdir())):
        return False
    if not (workdir / RESULT).exists():
        raise RunError(f"{workdir} is not empty: choose another --workdir for a private sweep")
    _refuse_others(read_json(workdir / RESULT)["asked"], asked, workdir)
    return True


def destroy(secret: Path) -> None:
    """Removes all that a private sweep kept to itself.

    Raises:
      RunError: something of it is left.
    """
    with explained("remove", secret):
        if secret.exists():
            shutil.rmtree(secret)


def _refuse_others(saved: dict[str, Any], asked: Asked, folder: Path) -> None:
    if changed := differences(saved, asked_for(asked)):
        raise RunError(
            f"{folder} was begun with other settings: {'; '.join(changed)} (saved -> now). Repeat "
            "its own command, or choose another --workdir, and count what both cost"
        )


def _drawn(secret: Path, asked: Asked, choices: int, below: Below) -> Draws:
    """The draws of the sweep in a folder, or new ones, on disk before anything is carried out.

    Raises:
      PrideError: they are another sweep's, or missing although there are runs.
    """
    file = secret / _DRAWS
    if file.exists():
        draws = Draws(**json.loads(read_owner_only(file)))
        draws = draws._replace(best=[Best(*each) for each in draws.best])
        _refuse_others(draws.asked, asked, secret)
        return draws
    if any(path.is_dir() for path in secret.iterdir()):
        raise RunError(
            f"{file} is missing, which says what was drawn: restore it, or remove {secret}, of "
            "which nothing was released, and start anew"
        )
    draws = draw(asked, choices, below)
    _save(secret, draws)
    return draws


def draw(asked: Asked, choices: int, below: Below) -> Draws:
    """How many runs there are, and each one's settings: independently, with replacement.

    Args:
      asked: for what.
      choices: settings in the family.
      below: where draws come from.
    """
    count = asked.runs.draw(below)
    slots = [below(choices) for _ in range(asked.runs.slots(count))]
    return Draws(asked_for(asked), count, slots, 0, [])


def _save(secret: Path, draws: Draws) -> None:
    write_owner_only(secret / _DRAWS, json.dumps(draws._asdict()).encode(), replace=True)


def _one_more(
    secret: Path, draws: Draws, choices: Sequence[Choice], score: "Scorer", below: Below
) -> Draws:
    """Carries out one run, and keeps it if it is the best so far.

    Of runs with the same score the first is kept: they are alike, so that chance decides.
    """
    best = draws.best
    _remove_all_but(secret, best)
    # No number, which an error would tell.
    folder = secret / secrets.token_hex(8)
    place = draws.slots[draws.done]
    try:
        value, tested = score(choices[place].config, folder / "run", folder / MODEL, below)
    except DivergedError:
        pass  # Nothing is worse.
    else:
        # No number is greater than NaN: such a run is as bad as one that diverged.
        beats = not math.isnan(value) and all(value > each.score for each in best)
        if draws.done < draws.count and beats:
            best = [Best(folder.name, place, value, tested)]
    draws = draws._replace(done=draws.done + 1, best=best)
    _save(secret, draws)
    _remove_all_but(secret, best)
    return draws


def _remove_all_but(secret: Path, best: Sequence[Best]) -> None:
    """Removes the folders of runs that are not the best, and what an interruption left."""
    kept = {each.folder for each in best}
    with explained("remove runs from", secret):
        for path in secret.iterdir():
            if path.is_dir() and path.name not in kept:
                shutil.rmtree(path)


def _publish(
    secret: Path,
    workdir: Path,
    asked: Asked,
    choices: Sequence[Choice],
    plans: Sequence[Plan],
    best: Sequence[Best],
    told: dict[str, Any],
) -> None:
    """Makes the sweep's own folder, whole and in one step, with no trace of when it began."""
    from pride_jax.runs.environment import environment

    _remove_all_but(secret, best)
    here = environment()
    config, plan = asked.config, plans[0]
    if best:
        config, plan = choices[best[0].place].config, plans[best[0].place]
    result = result_of(told, choices, best)
    folder = secret / "released"
    with explained("write to", folder):
        folder.mkdir()
        for each in best:
            shutil.copyfile(secret / each.folder / MODEL, folder / MODEL)
    write_json(folder / RESULT, result)
    write_json(folder / "config.json", to_dict(config))
    write_json(folder / "disclosure.json", disclosure_of(result, plan, config))
    write_json(folder / "env.json", [here])
    own.keep(config.code, folder)
    now = time.time()
    with explained("write to", workdir):
        for path in (*folder.rglob("*"), folder):
            os.utime(path, (now, now))
        workdir.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(workdir)
