"""Whole rounds of masking among many clients: processor seconds of every step, of all clients.

One process plays everybody, on one core. ``before``, a checkout of an earlier commit (d4c1d8d),
plays a round of the same clients in turn with this one. Of a round too large to be played, one
client is: it writes its letter to helpers that are there, and reads letters that others sealed.
"""

import dataclasses
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from bench.common.masked_round import one_client, played
from bench.common.masking_pieces import Piece, pieces
from pride_jax.aggregation.neighbours import ServerModel, neighbourhood
from pride_jax.errors import ConfigError, PrideError
from pride_jax.runs.lines import as_line

_BEFORE = Path(__file__).parent / "common" / "masked_round_before.py"
_THIRD, _TENTH = 1 / 3, 1 / 10


@dataclass(frozen=True)
class Setting:
    """What is timed.

    Attributes:
      clients: of rounds that are played from first to last, everybody present.
      drop_outs: clients of the two rounds in which some fall silent: a tenth with an active server,
        a third with a curious one.
      one_of: clients of rounds of which one client's part is played.
      params: length of the vectors.
      bits: of a value.
      repetitions: of each round; figures are medians.
      before: a checkout of an earlier commit whose round of the first of ``clients`` is played.
    """

    clients: tuple[int, ...] = (300, 1000)
    drop_outs: int = 300
    one_of: tuple[int, ...] = (10_000,)
    params: int = 199_210
    bits: int = 12
    repetitions: int = 3
    before: Path | None = None

    def __post_init__(self) -> None:
        """Refuses what there is nothing to time for.

        Raises:
          ConfigError: a number that is too small.
        """
        if min((*self.clients, *self.one_of, self.drop_outs)) < 2 or self.repetitions < 1:
            raise ConfigError(
                f"clients={self.clients}, one_of={self.one_of}, drop_outs={self.drop_outs}, "
                f"repetitions={self.repetitions}: expected at least 2 clients, and 1 repetition"
            )


class Row(NamedTuple):
    """Medians of one kind of round.

    Attributes:
      code: ``here``, or ``before``.
      server: whom the protocol protects against.
      clients: called.
      silent: of them, after their letters.
      degree: helpers that a client draws.
      threshold: of them open its secrets.
      seconds: of a processor, of everybody together.
      wall_seconds: of the same.
      steps: processor seconds of each step.
      bytes: a client sends, on average.
      repetitions: of the round.
    """

    code: str
    server: str
    clients: int
    silent: int
    degree: int
    threshold: int
    seconds: float
    wall_seconds: float
    steps: dict[str, float]
    bytes: float
    repetitions: int


class OneClient(NamedTuple):
    """One client's part of a large round.

    Attributes:
      clients: called.
      degree: helpers that it draws.
      threshold: of them open its secrets.
      letters: that it reads: of those whom it helps.
      seconds: of a processor.
      steps: processor seconds of each step.
      bytes: that it sends.
    """

    clients: int
    degree: int
    threshold: int
    letters: int
    seconds: float
    steps: dict[str, float]
    bytes: int


class Report(NamedTuple):
    """Everything that was timed."""

    rows: list[Row]
    ones: list[OneClient]
    pieces: list[Piece]


def measure(setting: Setting) -> Report:
    """Everything, one after another; rounds of the same clients in turn."""
    first, *others = setting.clients
    kinds: list[tuple[str, ServerModel, float, int, int]] = [("here", "active", _TENTH, first, 0)]
    if setting.before is not None:
        kinds.append(("before", "active", _TENTH, first, 0))
    rows = _in_turn(setting, kinds)
    for clients in others:
        rows += _in_turn(setting, [("here", "active", _TENTH, clients, 0)])
    left: tuple[tuple[ServerModel, float], ...] = (("active", _TENTH), ("curious", _THIRD))
    rows += _in_turn(
        dataclasses.replace(setting, repetitions=1),
        [
            ("here", server, silent, setting.drop_outs, int(silent * setting.drop_outs))
            for server, silent in left
        ],
    )
    ones = [_one(setting, clients) for clients in setting.one_of]
    return Report(rows, ones, pieces(first, setting.params, setting.bits, setting.repetitions))


def _in_turn(setting: Setting, kinds: list[tuple[str, ServerModel, float, int, int]]) -> list[Row]:
    laps: dict[int, list[Row]] = {place: [] for place in range(len(kinds))}
    for _ in range(setting.repetitions):
        for place, kind in enumerate(kinds):
            laps[place].append(_round(setting, *kind))
    return [_median(rows) for rows in laps.values()]


def _round(
    setting: Setting, code: str, server: ServerModel, silent: float, clients: int, gone: int
) -> Row:
    if code == "before":
        return _round_before(setting, clients)
    hood = neighbourhood(server, _THIRD, silent, clients)
    start = time.perf_counter()
    steps, sent = played(server, silent, clients, gone, setting.params, setting.bits)
    wall = time.perf_counter() - start
    total = sum(steps.values())
    degrees = hood.degree, hood.threshold
    return Row(code, server, clients, gone, *degrees, total, wall, steps, sent / clients, 1)


def _round_before(setting: Setting, clients: int) -> Row:
    """A round of the other checkout, which imports nothing of this one."""
    asked = [str(each) for each in (clients, setting.params, setting.bits)]
    ran = subprocess.run(
        [sys.executable, str(_BEFORE), *asked],
        env=os.environ | {"PYTHONPATH": str(setting.before)},
        capture_output=True,
        text=True,
    )
    if ran.returncode:
        raise PrideError(f"{setting.before} has not played its round: {ran.stderr[-500:]}")
    seconds, wall, sent = map(float, ran.stdout.split())
    needed = clients // 2 + 1
    return Row(
        "before", "curious", clients, 0, clients - 1, needed, seconds, wall, {}, sent / clients, 1
    )


def _median(rows: list[Row]) -> Row:
    def middle(of: Callable[[Row], float]) -> float:
        return statistics.median(map(of, rows))

    steps = {name: middle(lambda row, name=name: row.steps[name]) for name in rows[0].steps}
    return rows[0]._replace(
        seconds=middle(lambda row: row.seconds),
        wall_seconds=middle(lambda row: row.wall_seconds),
        steps=steps,
        repetitions=len(rows),
    )


def _one(setting: Setting, clients: int) -> OneClient:
    hood = neighbourhood("active", _THIRD, _TENTH, clients)
    steps, sent, letters = one_client(clients, setting.params, setting.bits)
    return OneClient(
        clients, hood.degree, hood.threshold, letters, sum(steps.values()), steps, sent
    )


def as_json(setting: Setting, report: Report) -> str:
    """The report, the setting and what it ran on, in one line."""
    told = dataclasses.replace(setting, before=None)
    return as_line(report._asdict(), told)


def show(report: Report) -> None:
    """The report as tables."""
    console = Console()
    rounds = [
        {name: value for name, value in row._asdict().items() if name != "steps"} | row.steps
        for row in report.rows
    ]
    _print(console, "Whole rounds: processor seconds of everybody", _across(rounds))
    ones = [one._asdict() | one.steps for one in report.ones]
    _print(console, "One client of a large round: processor seconds", _across(ones))
    lines = [["", "µs", "times in a round", "seconds"]]
    lines += [
        [each.name, _cell(each.us), _cell(each.count), _cell(each.us * each.count / 1e6)]
        for each in report.pieces
    ]
    _print(console, "Pieces of a round of the first size", lines)


def _across(columns: list[dict[str, Any]]) -> list[list[str]]:
    """A line a figure."""
    names = [name for name in columns[0] if name != "steps"]
    return [["", *("" for _ in columns)]] + [
        [name, *(_cell(column.get(name, "")) for column in columns)] for name in names
    ]


def _cell(value: str | int | float) -> str:
    return f"{value:,.3g}" if isinstance(value, float) else str(value)


def _print(console: Console, title: str, lines: list[list[str]]) -> None:
    header, *rest = lines
    table = Table(*header, title=title)
    for line in rest:
        table.add_row(*line)
    console.print(table)
