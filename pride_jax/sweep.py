"""Many runs of one config with some settings varied, and their results in one table."""

import itertools
import re
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import tyro

from pride_jax.config import Experiment, to_dict
from pride_jax.errors import ConfigError, PrideError
from pride_jax.experiment import run
from pride_jax.reporting.metrics import Row
from pride_jax.runs.files import write_json

_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_REPORTED = (
    "test_accuracy",
    "test_loss",
    "central",
    "rounds_to_target",
    "seconds_total",
    "seconds_per_round",
    "bytes_per_client_round",
)
_REPORTED_ONCE = (
    "seconds_by_stage",
    "parameters_sha256",
    "epsilon",
    "epsilon_known_cohort",
    "epsilon_with_tuning",
    "delta",
    "noise_multiplier",
)


def parse_over(text: str) -> tuple[str, list[str]]:
    """``name=1,2,4`` or ``name=0..19``, the last included, as a setting and its values.

    Raises:
      ConfigError: anything else.
    """
    name, equals, values = text.partition("=")
    if not (name and equals and values):
        raise ConfigError(f"--over {text}: expected setting=value,value,… or setting=first..last")
    if spread := _RANGE.fullmatch(values):
        first, last = map(int, spread.groups())
        return name, [str(value) for value in range(first, last + 1)]
    return name, values.split(",")


def override(config: Experiment, settings: dict[str, str]) -> Experiment:
    """The config with settings replaced, as ``train.py`` would on its command line.

    Raises:
      SystemExit: a setting is unknown or impossible; what is wrong is on stderr.
    """
    arguments = itertools.chain.from_iterable(
        (f"--{name}", value) for name, value in settings.items()
    )
    return tyro.cli(Experiment, default=config, args=list(arguments), use_underscores=True)


def grid(over: Sequence[tuple[str, list[str]]]) -> Iterator[dict[str, str]]:
    """Every combination of values, the last setting fastest."""
    names = [name for name, _ in over]
    for values in itertools.product(*(values for _, values in over)):
        yield dict(zip(names, values, strict=True))


def sweep(
    config: Experiment,
    over: Sequence[tuple[str, list[str]]],
    workdir: Path,
    report: Callable[[Row], None],
) -> dict[str, Any]:
    """Runs every combination, one folder each, and gathers their summaries.

    Finished runs are not repeated and unfinished ones continue; one that fails is listed and does
    not stop the others.

    Args:
      config: what all runs share.
      over: settings and their values, see `parse_over`.
      workdir: holds the runs' folders and ``sweep.json``, which is rewritten after every run.
      report: called with each run's settings and figures.

    Returns:
      What ``sweep.json`` holds: the config, a row a run, and over the runs the mean, standard
      deviation and range of each figure.
    """
    configs = [(settings, override(config, settings)) for settings in grid(over)]
    rows: list[Row] = []
    for settings, varied in configs:
        folder = workdir / (",".join(f"{name}={value}" for name, value in settings.items()))
        row: Row = {"settings": settings}
        try:
            summary = run(varied, folder, resume=folder.exists())
            row |= {name: summary[name] for name in (*_REPORTED, *_REPORTED_ONCE)}
        except PrideError as error:
            row["error"] = str(error)
        rows.append(row)
        report(row)
        result = {"config": to_dict(config), "runs": rows, "over_runs": _over_runs(rows)}
        write_json(workdir / "sweep.json", result)
    return result


def _over_runs(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    gathered = {}
    for name in _REPORTED:
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
