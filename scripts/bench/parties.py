"""Where a round of real parties spends its time: an app that does nothing, and then the real one.

Every role in processes of its own on this machine. The floor is a round of an app that answers at
once: what Flower takes to carry the same number of messages one after another. Then a config runs,
and each message's way is timed where it passes.
"""

import statistics
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from pride_jax.deploy.agreement import ROSTER
from pride_jax.deploy.conduct import follow, superlink
from pride_jax.deploy.local import enrol_all, supernodes
from pride_jax.deploy.processes import ended, free_ports, register, start_run
from pride_jax.deploy.roster import load_roster
from pride_jax.deploy.server import SERVER
from pride_jax.files import read_json, write_json
from pride_jax.reporting import metrics
from pride_jax.runs.lines import as_line
from pride_jax.settings.command_line import override
from pride_jax.settings.files import load_config

_APP = Path(__file__).parent / "common" / "parties_app"
_CLOCK, _NULL = "clock.jsonl", "null.json"
_STEPS = {
    "until its process starts": ("sent", "started"),
    "start Python": ("started", "loaded"),
    "import the app": ("loaded", "imported"),
    "until the app is asked": ("imported", "asked"),
    "answer": ("asked", "answered"),
}


@dataclass(frozen=True)
class Setting:
    """What is timed.

    Attributes:
      config: of the run; its parties and key holders are the nodes.
      overrides: of its settings.
      rounds: of each.
      messages: that a round of nothing sends to every node, one after another.
      bytes: of each of these.
    """

    config: str = "configs/iris_two_party.py"
    overrides: tuple[str, ...] = ("--evaluation.no-comparison", "--evaluation.every", "1")
    rounds: int = 10
    messages: int = 2
    bytes: int = 2_500


class Report(NamedTuple):
    """Seconds.

    Attributes:
      floor: of each round of nothing.
      first: of the first round of the config.
      run: of each round after it.
      steps: kind of message -> step -> seconds of each, and what its process took of a processor.
      parties: part of a party's answer -> seconds of each; ``first`` in a part's name: of the first
        round, which imports JAX and reads or compiles programs.
    """

    floor: list[float]
    first: float
    run: list[float]
    steps: dict[str, dict[str, list[float]]]
    parties: dict[str, list[float]]


def measure(setting: Setting) -> Report:
    """Runs both.

    Raises:
      PrideError: a run fails.
    """
    # Flower is an extra.
    from pride_jax.deploy.grid import POLL_SECONDS

    config = override(
        load_config(Path(setting.config)),
        [*setting.overrides, "--rounds", str(setting.rounds)],
        prog="benchmark.py parties",
    )
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        roles, run = Path(name) / "roles", Path(name) / "run"
        enrol_all(config, roles)
        run.mkdir()
        server = roles / "server"
        roster = load_roster(server / ROSTER)
        (port,) = free_ports(1)
        address = stack.enter_context(superlink(server, port, _APP))
        register(server, roster)
        stack.enter_context(supernodes(roles, roster, address, _APP))
        null = {"nodes": len(roster.parties) + len(roster.key_holders)}
        null |= {"poll": POLL_SECONDS}
        null |= {name: getattr(setting, name) for name in ("rounds", "messages", "bytes")}
        write_json(server / _NULL, null)
        start_run(server, server, _APP)
        while not ended(server):
            time.sleep(0.2)
        floor = [row["passed"][-1] - row["start"] for row in read_json(server / "null.rows.json")]
        (server / _NULL).unlink()
        write_json(server / SERVER, {"workdir": str(run.resolve()), "timeout": 600.0})
        start_run(server, server, _APP)
        follow(server, run)
        rows = metrics.read(run / "metrics.jsonl")[1:]
        rounds = [row["seconds_per_round"] for row in rows]
        clocks = [row for file in roles.rglob(_CLOCK) for row in metrics.read(file)]
        own = [row for file in roles.glob("party-*/metrics.jsonl") for row in metrics.read(file)]
    # The first of each finds processes that have yet to start, and programs to compile.
    parties = {
        f"{first}{part}": [
            row[f"seconds_{part}"] for row in own if (row["round"] == 0) == bool(first)
        ]
        for first in ("first ", "")
        for part in ("train", "protect")
    }
    return Report(floor[1:], rounds[0], rounds[1:], _steps(clocks), parties)


def _steps(clocks: list[dict[str, Any]]) -> dict[str, dict[str, list[float]]]:
    kinds = dict.fromkeys(row["kind"] for row in clocks)
    return {
        kind: {
            name: [row[end] - row[begin] for row in clocks if row["kind"] == kind]
            for name, (begin, end) in _STEPS.items()
        }
        | {"processor": [row["processor"] for row in clocks if row["kind"] == kind]}
        for kind in kinds
    }


def show(report: Report) -> None:
    """Prints the rounds, and a table of a message's way."""
    console = Console()
    floor, run = map(statistics.median, (report.floor, report.run))
    console.print(f"a round of nothing: {floor:.2f} s ({_range(report.floor)})")
    console.print(f"a round: {run:.2f} s ({_range(report.run)}), the first {report.first:.2f} s")
    table = Table("median seconds", *report.steps)
    for step in (*_STEPS, "processor"):
        table.add_row(
            step, *(f"{statistics.median(each[step]):.3f}" for each in report.steps.values())
        )
    console.print(table)
    parts = Table("of a party's answer", "median seconds")
    for part, seconds in report.parties.items():
        parts.add_row(part, f"{statistics.median(seconds):.3f}")
    console.print(parts)


def _range(seconds: list[float]) -> str:
    return f"{min(seconds):.2f}–{max(seconds):.2f}"


def as_json(setting: Setting, report: Report) -> str:
    """The report on one line."""
    return as_line(report._asdict(), setting)
