"""The numbers of results/, anew: ``python -m results.redo STUDY [STEP …]``, in a clean checkout.

Without a study, all studies and their steps are listed. ``STEPS`` in a study's ``steps.py`` are its
commands; a folder of one run needs none, since the config of its name is trained. Commands write
into folders of their own, so that each of them runs from the clean commit; what they made is copied
at the end. After a crash the same call goes on: finished steps of this commit are not repeated.
"""

import json
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
from pride_jax.files import read_json, write_atomically, write_json
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
      commands: one after another, as in a shell, after ``python``. Of one that ends with
        ``> OUT/FILE``, the last line that it prints is kept in that file: one JSON object.
      makes: files in the study's folder.
    """

    commands: tuple[str, ...]
    makes: tuple[str, ...]


def sweeps(commands: Mapping[str, str]) -> dict[str, Step]:
    """A step a sweep, each in a folder of the step's name.

    Args:
      commands: name of the step -> the command without its ``--workdir``.
    """
    return {
        name: Step((f"{command} --workdir {OUT}/{name}",), (f"{name}/sweep.json",))
        for name, command in commands.items()
    }


def runs(study: str, commands: Mapping[str, str]) -> dict[str, Step]:
    """A step a run, each in a folder of the step's name; of a run, what is there is made again.

    Args:
      study: a folder of ``results/``.
      commands: as of `sweeps`.
    """
    return {
        name: Step((f"{command} --workdir {OUT}/{name}",), _kept_of_run(study, name))
        for name, command in commands.items()
    }


def benchmarks(commands: Mapping[str, str]) -> dict[str, Step]:
    """A step a benchmark, each of which makes a JSON file of the step's name.

    Args:
      commands: name of the step -> the benchmark and its options.
    """
    return {
        name: Step(
            (f"scripts/benchmark.py {command} --json > {OUT}/{name}.json",), (f"{name}.json",)
        )
        for name, command in commands.items()
    }


def _kept_of_run(study: str, folder: str) -> tuple[str, ...]:
    """Settings, numbers and pictures of a run, by their paths in the study's folder."""
    run = RESULTS / study / folder
    files = [*run.glob("*.json"), *run.glob("*.jsonl"), *run.glob("plots/*.png")]
    paths = (str(file.relative_to(RESULTS / study)) for file in files)
    return tuple(sorted(path for path in paths if path != "steps.json"))


def studies() -> list[str]:
    """What can be redone, in the order of the alphabet."""
    found = [*RESULTS.glob("*/steps.py"), *RESULTS.glob("*/summary.json")]
    return sorted({path.parent.name for path in found})


def steps_of(study: str) -> Mapping[str, Step]:
    """The study's steps by name; a folder of one run has one, of the folder's name.

    Raises:
      RunError: it has neither steps nor a run.
    """
    folder = RESULTS / study
    if (folder / "steps.py").is_file():
        return import_module(f"results.{study}.steps").STEPS
    if (folder / "summary.json").is_file():
        command = f"scripts/train.py --config configs/{study}.py --workdir {OUT}"
        return {study: Step((command,), _kept_of_run(study, ""))}
    raise RunError(f"{study!r} cannot be redone: expected one of {', '.join(studies())}")


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
    told = _took(RESULTS, study) | took
    write_json(
        RESULTS / study / "steps.json",
        {"steps": {name: told[name] for name in steps if name in told}},
    )


def _took(results: Path, study: str) -> dict[str, Row]:
    """What each step that was redone took, by its name."""
    path = results / study / "steps.json"
    return read_json(path)["steps"] if path.exists() else {}


def _carried_out(step: Step, out: Path) -> float:
    """Seconds that the step takes, or took.

    Raises:
      RunError: a command fails, or something is not made.
    """
    finished = out / "seconds.json"
    if finished.exists():
        return read_json(finished)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    start = time.perf_counter()
    for command in step.commands:
        _execute(command, out)
    seconds = time.perf_counter() - start
    if missing := [made for made in step.makes if not (out / made).is_file()]:
        raise RunError(f"The commands ended without {missing[0]}: expected {', '.join(step.makes)}")
    write_json(finished, seconds)
    return seconds


def _execute(command: str, out: Path) -> None:
    """Carries out a command, and keeps its last line where it says so.

    Raises:
      RunError: it fails, or its last line is no JSON. An audit without power exits with 3, which is
        an answer.
    """
    words = [word.replace(OUT, str(out)) for word in shlex.split(command)]
    place = words.index(">") if ">" in words else len(words)
    program, kept = words[:place], words[place + 1 :]
    print("python", *words, flush=True)
    last = ""
    with subprocess.Popen(
        [sys.executable, *program],
        cwd=RESULTS.parent,
        stdout=subprocess.PIPE if kept else None,
        text=True,
    ) as process:
        for last in process.stdout or ():
            print(last, end="", flush=True)
    if process.returncode not in (0, 3):
        raise RunError(f"python {command} ended with {process.returncode}")
    for file in kept:
        _keep(last, Path(file))


def _keep(line: str, path: Path) -> None:
    """Writes down what a benchmark found.

    Raises:
      RunError: it is no JSON.
    """
    try:
        json.loads(line)
    except ValueError:
        raise RunError(f"The last line is {line!r}: expected JSON for {path.name}") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, line)


def steps_table(*names: str) -> Callable[[Path], str]:
    """The table of studies' steps: how long each took, on a machine that others used too."""

    def told(results: Path) -> str:
        lines = [
            [
                f"`{name}`",
                *_told(_took(results, study).get(name)),
                "<br>".join(f"`{each}`" for each in step.commands),
            ]
            for study in names
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
        print(__doc__)
        for study in studies():
            print(f"{study}: {', '.join(steps_of(study))}")
        return 0
    study, *names = sys.argv[1:]
    try:
        redo(study, names)
    except PrideError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
