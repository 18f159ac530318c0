"""A very long run of a tiny model: does memory grow, and how large does its folder become?

``train.py`` runs in a process of its own, which is looked at from outside.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from pride_jax.errors import ConfigError, RunError
from pride_jax.reporting.metrics import latest
from pride_jax.runs.lines import as_line

_SCRIPT = Path(__file__).parents[1] / "train.py"
_LOOKS = 20


@dataclass(frozen=True)
class Setting:
    """What runs, and for how long.

    Attributes:
      config: of the run; its sums are in the clear.
      rounds: of the run.
      every: rounds between evaluations.
    """

    config: str = "configs/iris_two_party.py"
    rounds: int = 100_000
    every: int = 1000


class Look(NamedTuple):
    """What was seen of the run at a time.

    Attributes:
      round: the last that was evaluated.
      seconds: since the start.
      memory_bytes: resident, of the process.
    """

    round: int
    seconds: float
    memory_bytes: int


class Report(NamedTuple):
    """What was seen of the run.

    Attributes:
      looks: in order, at evenly spread rounds.
      files: bytes of each file and folder that the run left, by its name.
    """

    looks: list[Look]
    files: dict[str, int]


def measure(setting: Setting) -> Report:
    """Runs, and looks.

    Raises:
      ConfigError: the system does not tell a process's memory.
      RunError: the run fails.
    """
    if not Path("/proc/self/status").exists():
        raise ConfigError("This system has no /proc: use Linux")
    with tempfile.TemporaryDirectory() as folder:
        workdir, said = Path(folder) / "run", Path(folder) / "said.txt"
        command = [sys.executable, str(_SCRIPT), "--config", setting.config]
        command += ["--rounds", str(setting.rounds), "--evaluation.every", str(setting.every)]
        command += ["--aggregation.protocol", "none", "--workdir", str(workdir)]
        start = time.perf_counter()
        with said.open("w") as file:
            process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        seen: dict[int, Look] = {}
        while process.poll() is None:
            row, memory = latest(workdir / "metrics.jsonl"), _memory(process.pid)
            if row and memory and row["round"] not in seen:
                look = Look(row["round"], time.perf_counter() - start, memory)
                seen[look.round] = look
            time.sleep(0.2)
        if process.returncode:
            raise RunError(f"{' '.join(command)} failed: {said.read_text().strip()[-500:]}")
        files = {path.name: _size(path) for path in sorted(workdir.iterdir())}
    step = max(1, setting.rounds // _LOOKS)
    chosen = {number // step: look for number, look in sorted(seen.items(), reverse=True)}
    return Report([chosen[number] for number in sorted(chosen)], files)


def _memory(pid: int) -> int:
    """Resident bytes; zero once it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmRSS")), 0)


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def as_json(setting: Setting, report: Report) -> str:
    """The looks, the sizes, the setting and what it ran on, in one line."""
    told: dict[str, Any] = report._asdict()
    return as_line(told, setting)


def show(report: Report) -> None:
    """Memory by round, and what lies in the folder."""
    table = Table("round", "seconds", "MB of memory")
    for look in report.looks:
        table.add_row(str(look.round), f"{look.seconds:.0f}", f"{look.memory_bytes / 1e6:.0f}")
    Console().print(table)
    for name, size in report.files.items():
        print(f"{name}: {size / 1e3:.1f} kB")
