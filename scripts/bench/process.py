"""A whole run as a person starts it: seconds from the command to its end."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from pride_jax.errors import RunError
from pride_jax.files import read_json
from pride_jax.runs.lines import as_line

_SCRIPT = Path(__file__).parents[1] / "train.py"


@dataclass(frozen=True)
class Setting:
    """What is timed.

    Attributes:
      config: of the run.
      starts: after the first, which finds nothing that was compiled or kept before.
    """

    config: str = "configs/iris_two_party.py"
    starts: int = 5


class Report(NamedTuple):
    """Seconds of whole processes.

    Attributes:
      first: seconds of the first start.
      later: of each start after it.
      accuracy: that each of them ended with.
    """

    first: float
    later: list[float]
    accuracy: float

    @property
    def median(self) -> float:
        """Of the later starts."""
        return statistics.median(self.later)


def measure(setting: Setting) -> Report:
    """Starts ``train.py`` with a config again and again, each time in a folder of its own.

    Raises:
      RunError: a run fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        kept = {
            "JAX_COMPILATION_CACHE_DIR": f"{folder}/programs",
            "PRIDE_CACHE_DIR": f"{folder}/datasets",
        }
        seconds, summary = [], {}
        for number in range(1 + setting.starts):
            workdir = Path(folder) / str(number)
            command = [sys.executable, str(_SCRIPT), "--config", setting.config]
            start = time.perf_counter()
            answer = subprocess.run(
                [*command, "--workdir", str(workdir)],
                env=os.environ | kept,
                capture_output=True,
                text=True,
            )
            seconds.append(time.perf_counter() - start)
            if answer.returncode:
                raise RunError(f"{' '.join(command)} failed: {answer.stderr.strip()[-500:]}")
            summary = read_json(workdir / "summary.json")
    return Report(seconds[0], seconds[1:], summary["test_accuracy"])


def as_json(setting: Setting, report: Report) -> str:
    """The report, the setting and what it ran on, in one line."""
    return as_line(report._asdict(), setting)


def show(report: Report) -> None:
    """The first start, and the later ones' median and range."""
    table = Table("first start, s", "later starts, s: median", "lowest", "highest", "accuracy")
    figures = (report.first, report.median, min(report.later), max(report.later))
    table.add_row(*(f"{each:.1f}" for each in figures), f"{report.accuracy:.4f}")
    Console().print(table)
