"""Many runs of one config with some settings varied, and their results in one table."""

import contextlib
import itertools
import re
import shlex
import statistics
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pride_jax.errors import ConfigError, PrideError
from pride_jax.files import claimed, explained, read_json, write_json
from pride_jax.reporting.metrics import Row, headline, scores
from pride_jax.reporting.sweep_terminal import Going
from pride_jax.reporting.watching import need_extras
from pride_jax.runs.folders import folder_name
from pride_jax.runs.resuming import same_run
from pride_jax.settings import command_line
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import to_dict

_NUMBER = r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?"
_RANGE = re.compile(
    rf"(?P<first>{_NUMBER})\.\.(?P<last>{_NUMBER})(?::(?P<count>\d+)(?P<log>log)?)?"
)
_TUPLE = re.compile(r"\([^()]*\)")
_PART = re.compile(r"(?:\([^()]*\)|[^,])+")
_REPORTED = (
    "central",
    "rounds_to_target",
    "seconds_total",
    "seconds_per_round",
    "bytes_per_client_round",
)
_REPORTED_ONCE = (
    "alone",
    "held_out",
    "seconds_by_stage",
    "parameters_sha256",
    "epsilon",
    "epsilon_known_cohort",
    "holders_of_example",
    "epsilon_of_example",
    "delta",
    "noise_multiplier",
)


class Planned(NamedTuple):
    """A run of a sweep.

    Attributes:
      settings: those that are varied, as on a command line.
      config: with these settings.
      folder: of the run.
    """

    settings: dict[str, str]
    config: Experiment
    folder: Path

    @property
    def name(self) -> str:
        """The settings in a word."""
        return ",".join(f"{name}={value}" for name, value in self.settings.items())


Watch = Callable[[Sequence[Going], int], None]
"""Told now and then of the runs that go on, and how many wait."""

Ended = Generator[tuple[Planned, str | None], None, None]
"""Gives each run when it ends, with what went wrong, if anything."""

Execute = Callable[[Sequence[Planned]], Ended]
"""Carries out runs, or refuses to before it writes anything."""


def parse_over(text: str) -> tuple[str, list[str]]:
    """A setting and its values, or several settings that vary together.

    - ``name=1,2,4``: the values.
    - ``name=0..19``: whole numbers, the last included.
    - ``name=0.1..0.5:5``: so many numbers at equal distances, both ends included.
    - ``name=0.001..1:4log``: so many at equal ratios.
    - ``name=(16),(64,32)``: tuples; ``16,64 32`` are the same.
    - ``name,other=10,0.1;20,0.2``: two settings, whose values go together.

    Raises:
      ConfigError: anything else.
    """
    name, equals, values = text.partition("=")
    if not (name and equals and values):
        raise ConfigError(
            f"--over {text}: expected setting=value,value,…, first..last, first..last:count, "
            "first..last:countlog, or setting,setting=value,value;value,value"
        )
    if "," in name:
        listed = [each.strip() for each in values.split(";")]
        settings = name.split(",")
        if not all(settings) or len(set(settings)) < len(settings):
            raise ConfigError(f"--over {text}: expected different settings before the =")
        for each in listed:
            if len(_split(each)) != len(settings):
                raise ConfigError(
                    f"--over {text}: {each!r} are {len(_split(each))} values for {len(settings)} "
                    "settings; expected a value each, and ; between combinations"
                )
    elif ".." in values and (spread := _RANGE.fullmatch(values)):
        listed = _range(text, **spread.groupdict())
    else:
        listed = _split(values)
    if not listed or len(set(listed)) < len(listed):
        raise ConfigError(f"--over {text}: expected at least one value, and each only once")
    return name, listed


def _split(values: str) -> list[str]:
    """Values between commas; a tuple in parentheses is one, with blanks in it."""
    parts = _PART.findall(values)
    return [
        " ".join(each[1:-1].replace(",", " ").split()) if _TUPLE.fullmatch(each) else each
        for each in parts
    ]


def _range(text: str, first: str, last: str, count: str | None, log: str | None) -> list[str]:
    if count is None:
        if not (first.isdecimal() and last.isdecimal()):
            raise ConfigError(
                f"--over {text}: expected how many values there are between numbers that are not "
                f"whole, as {first}..{last}:5 at equal distances, or {first}..{last}:5log"
            )
        return [str(value) for value in range(int(first), int(last) + 1)]
    low, high, number = float(first), float(last), int(count)
    if number < 2 or not low < high or (log and low <= 0):
        positive = " above 0" if log else ""
        raise ConfigError(
            f"--over {text}: expected numbers{positive}, the first below the last, and at least 2"
        )
    steps = [step / (number - 1) for step in range(number)]
    if log:
        return [f"{low * (high / low) ** step:.6g}" for step in steps]
    return [f"{low + (high - low) * step:.6g}" for step in steps]


def override(config: Experiment, settings: dict[str, str]) -> Experiment:
    """The config with settings replaced, as ``train.py`` would on its command line.

    A value with blanks is a tuple, ``64 32``, unless they are within quotes.

    Raises:
      ConfigError, SystemExit: as `command_line.override`.
    """
    arguments = itertools.chain.from_iterable(
        (f"--{name}", *_words(name, value)) for name, value in settings.items()
    )
    # Of a setting that is true or false, a sweep has the value, where a command line has a flag.
    return command_line.override(config, list(arguments), flags=False)


def _words(name: str, value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError as error:
        raise ConfigError(f"--over {name}={value}: {error}; expected quotes in pairs") from None


def grid(over: Sequence[tuple[str, list[str]]]) -> Iterator[dict[str, str]]:
    """Every combination of values, the last setting fastest.

    Raises:
      ConfigError: a setting is given twice.
    """
    names = [setting for name, _ in over for setting in name.split(",")]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"--over {name}=… is given twice: list its values in one --over")
    for values in itertools.product(*(values for _, values in over)):
        parts = [
            _split(value) if "," in name else [value]
            for (name, _), value in zip(over, values, strict=True)
        ]
        yield dict(zip(names, itertools.chain.from_iterable(parts), strict=True))


def plan(config: Experiment, over: Sequence[tuple[str, list[str]]], workdir: Path) -> list[Planned]:
    """A run for every combination, each with a folder of its own.

    Raises:
      ConfigError: as `grid`.
      SystemExit: as `override`.
    """
    planned = [Planned(settings, override(config, settings), workdir) for settings in grid(over)]
    return [run._replace(folder=workdir / folder_name(run.name)) for run in planned]


def sweep(
    config: Experiment,
    over: Sequence[tuple[str, list[str]]],
    workdir: Path,
    execute: Execute,
    report: Callable[[Row], None],
) -> dict[str, Any]:
    """Runs every combination, one folder each, and gathers their summaries.

    Finished runs are not repeated and unfinished ones continue; one that fails is listed and does
    not stop the others.

    Args:
      config: what all runs share.
      over: settings and their values, see `parse_over`.
      workdir: holds the runs' folders, ``sweep.json``, which is rewritten after every run,
        the pictures ``scores.png`` and ``curves.png``, and the page ``report.html``.
      execute: carries out what is not finished, e.g. ``one_after_another(watch)``.
      report: called with each run's settings and figures.

    Returns:
      What ``sweep.json`` holds: the config, the versions, commits and devices that the runs had, a
      row a run, and over the runs the mean, standard deviation and range of each figure.

    Raises:
      PrideError: its folder is in use or cannot be written.
      ConfigError, SystemExit: as `plan`, or for an extra that is missing, before anything is run
        or written.
    """
    runs = plan(config, over, workdir)
    for each in runs:
        need_extras(each.config.watch)
    rows = {run.name: _row(run) for run in runs if is_finished(run)}
    missing = [run for run in runs if run.name not in rows]
    for row in rows.values():
        report(row)

    def gather() -> dict[str, Any]:
        ordered = [rows[run.name] for run in runs if run.name in rows]
        return {
            "config": to_dict(config),
            "environments": _environments(runs),
            "runs": ordered,
            "over_runs": _over_runs(ordered),
        }

    with contextlib.ExitStack() as stack:
        ended = stack.enter_context(contextlib.closing(execute(missing))) if missing else ()
        with explained("write to", workdir):
            workdir.mkdir(parents=True, exist_ok=True)
        stack.enter_context(claimed(workdir))
        for run, error in ended:
            rows[run.name] = _row(run, error)
            write_json(workdir / "sweep.json", gather())
            report(rows[run.name])
        result = gather()
        saved = workdir / "sweep.json"
        if missing or not saved.exists() or read_json(saved) != result:
            write_json(saved, result)
            _draw(result, workdir)
    return result


def one_after_another(watch: Watch) -> Execute:
    """Carries out runs in this process."""

    def execute(runs: Sequence[Planned]) -> Ended:
        # A sweep that launches processes, or is finished, does without JAX.
        from pride_jax.runs.experiment import run

        def carry_out(planned: Planned, waiting: int) -> str | None:
            going = Going(planned.name, planned.config.rounds, None)

            def show(**new: Any) -> None:
                nonlocal going
                going = going._replace(**new)
                watch([going], waiting)

            def tell(stage: str, done: int, of: int) -> None:
                show(doing=f"{stage} {done:,} of {of:,}" if of else stage)

            show()
            try:
                run(
                    planned.config,
                    planned.folder,
                    resume=planned.folder.exists(),
                    report=lambda row: show(row=row, doing=""),
                    tell=tell,
                )
            except PrideError as error:
                return str(error)
            return None

        for number, planned in enumerate(runs, start=1):
            yield planned, carry_out(planned, len(runs) - number)

    return execute


def is_finished(run: Planned) -> bool:
    """Whether the run's folder holds its summary; that of other settings is not its own."""
    saved, summary = run.folder / "config.json", run.folder / "summary.json"
    return summary.exists() and saved.exists() and same_run(read_json(saved), run.config)


def _row(run: Planned, error: str | None = None) -> Row:
    """What is listed of a run: its figures, or why it has none."""
    row: Row = {"settings": run.settings, "folder": run.folder.name}
    if not is_finished(run):
        return row | {"error": error or f"{run.folder} holds no summary: run it again"}
    summary = read_json(run.folder / "summary.json")
    spreads = (f"{headline(summary)}_over_{whom}" for whom in ("clients", "groups"))
    told = (*_scores(summary), *_REPORTED, *spreads, *_REPORTED_ONCE)
    # A private run's summary has no more than ε covers.
    return row | {name: summary[name] for name in told if name in summary}


def _scores(row: Row) -> list[str]:
    """The names that a task's scores have in a row or a summary."""
    return [f"test_{name}" for name in scores(row)]


def _environments(runs: Sequence[Planned]) -> list[dict[str, Any]]:
    """What the finished runs ran on, each only once."""
    distinct = []
    for run in filter(is_finished, runs):
        for start in read_json(run.folder / "env.json"):
            same = {name: value for name, value in start.items() if name != "started"}
            if same not in distinct:
                distinct.append(same)
    return distinct


def _draw(result: dict[str, Any], workdir: Path) -> None:
    if any("error" not in row for row in result["runs"]):
        # Slow imports that a sweep needs at its end only.
        from pride_jax.reporting.sweep_plots import save_sweep

        save_sweep(result, workdir)


def _over_runs(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    gathered = {}
    tested = dict.fromkeys(itertools.chain.from_iterable(map(_scores, rows)))
    for name in (*tested, *_REPORTED):
        values = [row[name] for row in rows if row.get(name) is not None]
        if values:
            gathered[name] = {
                "mean": statistics.fmean(values),
                "sd": statistics.stdev(values) if len(values) > 1 else 0.0,
                "min": min(values),
                "median": statistics.median(values),
                "max": max(values),
            }
    return gathered
