"""A study's numbers, anew: ``python -m results.redo STUDY [STEP …]``, in a checkout of no changes.

A study that can be redone has a ``steps.py`` with ``STEPS``. Commands write into folders of their
own, so that each of them runs from the clean commit; what they made is copied at the end. After a
crash the same call goes on: finished steps of this commit are not repeated.
"""

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from pride_jax.errors import PrideError, RunError
from pride_jax.files import read_json, write_json
from pride_jax.reporting.markdown import rounded, table
from pride_jax.reporting.metrics import Row
from pride_jax.runs.environment import environment

RESULTS = Path(__file__).parent
OUT = "OUT"
"""Stands in a command for the folder that it writes into."""
QUICK = 10.0
"""Minutes; steps below are marked."""


class Step(NamedTuple):
    """What is redone at a time.

    Attributes:
      commands: one after another, as in a shell, after ``python``.
      makes: files in the study's folder.
    """

    commands: tuple[str, ...]
    makes: tuple[str, ...]


def steps_of(study: str) -> Mapping[str, Step]:
    """The study's steps by name.

    Raises:
      RunError: it says of none.
    """
    if not (RESULTS / study / "steps.py").is_file():
        raise RunError(f"{study!r} cannot be redone: expected a folder of results/ with a steps.py")
    return import_module(f"results.{study}.steps").STEPS


def redo(study: str, names: Sequence[str]) -> None:
    """Carries out steps, and puts what they made, and what they took, into the study's folder.

    Args:
      study: a folder of ``results/``.
      names: of its steps; all if empty.

    Raises:
      RunError: a step is not known, a command fails, or the checkout has changes: numbers would not
        be those of the commit that they name.
    """
    steps = steps_of(study)
    if unknown := [name for name in names if name not in steps]:
        raise RunError(f"{study} has no step {unknown[0]!r}: expected {', '.join(steps)}")
    here = environment()
    if here["git_commit"] is None or here["git_changes"]:
        raise RunError(
            "The checkout has changes: expected a commit of them before numbers are made"
        )
    out = RESULTS.parent / "runs" / "redo" / here["git_commit"][:10] / study
    took = {
        name: {
            "seconds": _carried_out(steps[name], out / name),
            "cores": here["cores"],
            "git_commit": here["git_commit"],
        }
        for name in names or steps
    }
    for name in took:
        for made in steps[name].makes:
            (RESULTS / study / made).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(out / name / made, RESULTS / study / made)
    path = RESULTS / study / "steps.json"
    told = (read_json(path)["steps"] if path.exists() else {}) | took
    write_json(path, {"steps": {name: told[name] for name in steps if name in told}})


def _carried_out(step: Step, out: Path) -> float:
    """Seconds that the step takes, or took.

    Raises:
      RunError: a command fails. An audit without power exits with 3, which is an answer.
    """
    finished = out / "seconds.json"
    if finished.exists():
        return read_json(finished)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    start = time.perf_counter()
    for command in step.commands:
        words = [word.replace(OUT, str(out)) for word in shlex.split(command)]
        print("python", *words, flush=True)
        status = subprocess.run([sys.executable, *words], cwd=RESULTS.parent).returncode
        if status not in (0, 3):
            raise RunError(f"python {command} ended with {status}")
    seconds = time.perf_counter() - start
    write_json(finished, seconds)
    return seconds


def steps_table(study: str) -> Callable[[Path], str]:
    """The table of a study's steps: how long each took, on a machine that others used too."""

    def told(results: Path) -> str:
        took = read_json(results / study / "steps.json")["steps"]
        lines = [
            [
                f"`{name}`",
                *_told(took.get(name)),
                "<br>".join(f"`{each}`" for each in step.commands),
            ]
            for name, step in steps_of(study).items()
        ]
        return table(["step", "minutes, at most", "cores", "its commands, after `python`"], lines)

    return told


def _told(took: Row | None) -> list[str]:
    """Minutes and cores of a step; none where its numbers were made before there were steps."""
    if took is None:
        return ["not recorded", ""]
    minutes = took["seconds"] / 60
    return [f"{rounded(minutes)}{' ✓' if minutes < QUICK else ''}", f"{took['cores']}"]


def main() -> int:
    """Reads the command line, and returns the exit status."""
    if not sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 2
    study, *names = sys.argv[1:]
    try:
        redo(study, names)
    except PrideError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
