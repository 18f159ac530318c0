"""What a value costs each role, beside an earlier commit's code: processor time of one core.

``before`` is a checkout of that commit (d4c1d8d). Processes with its code and with this one's take
turns, and everything is timed through the seam with signed messages:

- encrypt: ``prepare``, ``protect`` and signature, proofs included;
- add: ``combine`` with all checks, proofs included, of each message;
- share: a key holder's work, which checks and adds all messages, too;
- open: what the aggregator makes of it.

What blinds, proofs and their checks are of this is told apart, of this code alone.
"""

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from bench.common.paillier_parts import MICRO, Proofs, time_proofs
from pride_jax.aggregation.paillier_keys import generate
from pride_jax.errors import ConfigError, PrideError
from pride_jax.runs.lines import as_line

_HERE = Path(__file__).resolve().parents[2]
_COSTS = Path(__file__).parent / "common" / "seam_costs.py"


@dataclass(frozen=True)
class Setting:
    """What is timed.

    Attributes:
      before: a checkout of the earlier commit.
      protocols: any with one key holder or none, by the names of their files.
      params: lengths of the vectors.
      key_bits: of Paillier.
      clients: in the round.
      turns: of both checkouts.
      repetitions: of everything, in each turn.
    """

    before: Path
    protocols: tuple[str, ...] = ("plain", "two_servers", "paillier", "bfv")
    params: tuple[int, ...] = (12_288, 199_210)
    key_bits: int = 3072
    clients: int = 10
    turns: int = 3
    repetitions: int = 3

    def __post_init__(self) -> None:
        """Refuses what there is nothing to time for.

        Raises:
          ConfigError: a number that is too small.
        """
        if self.clients < 2 or min(self.turns, self.repetitions, *self.params) < 1:
            raise ConfigError(
                f"clients={self.clients}, params={self.params}, turns={self.turns}, "
                f"repetitions={self.repetitions}: expected at least 2 clients and 1 of the others"
            )


class Row(NamedTuple):
    """Medians of one protocol: microseconds and bytes a value.

    Attributes:
      protocol: its name.
      code: ``here`` or ``before``.
      params: length of the vector.
      encrypt_us: one client's work.
      add_us: the aggregator's work for one message.
      share_us: the key holder's work.
      open_us: the aggregator's work to open.
      bytes: sent by one client.
    """

    protocol: str
    code: str
    params: int
    encrypt_us: float
    add_us: float
    share_us: float
    open_us: float
    bytes: float


class Report(NamedTuple):
    """All that was timed."""

    rows: list[Row]
    proofs: list[Proofs]


def measure(setting: Setting) -> Report:
    """Everything, the checkouts in turn."""
    rows = []
    for params in setting.params:
        for protocol in setting.protocols:
            codes = {"here": _HERE}
            if protocol != "two_servers":
                codes["before"] = setting.before
            found: dict[str, list[dict]] = {code: [] for code in codes}
            for _ in range(setting.turns):
                for code, folder in codes.items():
                    found[code].append(_laps(setting, folder, protocol, params))
            rows += [_row(setting, protocol, code, params, found[code]) for code in codes]
    public = generate(os.urandom, setting.key_bits).public
    proofs = [
        time_proofs(public, "default", 16, params, 128, setting.turns * setting.repetitions)
        for params in setting.params
    ]
    return Report(rows, proofs)


def _laps(setting: Setting, folder: Path, protocol: str, params: int) -> dict:
    asked = (setting.key_bits, params, setting.clients, setting.repetitions)
    ran = subprocess.run(
        [sys.executable, str(_COSTS), protocol, *map(str, asked)],
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
    )
    if ran.returncode:
        raise PrideError(f"{protocol} in {folder}: {ran.stderr[-500:]}")
    return json.loads(ran.stdout)


def _row(setting: Setting, protocol: str, code: str, params: int, turns: list[dict]) -> Row:
    def median(step: str) -> float:
        return statistics.median(lap for turn in turns for lap in turn[step]) / params * MICRO

    return Row(
        protocol,
        code,
        params,
        median("encrypt"),
        median("add") / setting.clients,
        median("share"),
        median("open"),
        turns[0]["bytes"] / params,
    )


def as_json(setting: Setting, report: Report) -> str:
    """The report, the setting and what it ran on, in one line."""
    return as_line(report._asdict(), replace(setting, before=Path(setting.before.name)))


def show(report: Report) -> None:
    """The report as tables."""
    console = Console()
    for title, rows in (
        ("µs and bytes a value, one core", report.rows),
        ("Blinds and proofs against encrypting, µs a value", report.proofs),
    ):
        table = Table(*(name.replace("_", " ") for name in rows[0]._fields), title=title)
        for row in rows:
            table.add_row(
                *(f"{cell:,.3g}" if isinstance(cell, float) else str(cell) for cell in row)
            )
        console.print(table)
