"""The same rounds in pride_jax, FedJAX, pfl-research, Flower, BlazeFL and a plain PyTorch loop.

Each framework runs in an environment of its own, which is made when it is first needed, by a
program of ``drivers/`` that uses it as its guide says. All are given the same examples, clients,
batches, epochs and first weights, in float32. The processes of a comparison live side by side and
are asked for a round in turn, so that a noisy moment hits all alike. At the end each tells the
accuracy that it reached: one that trained other parameters, or whose accuracy is far from the
others', did not do the same work.

Comparisons that stand in the file ``--rows`` are not measured again: a benchmark that was
interrupted goes on where it was.
"""

import json
import os
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from bench.common.peer_environments import OURS, PEERS, command, interpreter
from bench.common.peer_turns import Contestant, Taken, Turns, take_turns
from bench.common.peer_works import WORKS, Work, num_parameters, operations, write_arrays
from pride_jax.data.datasets import load_dataset
from pride_jax.errors import ConfigError, RunError
from pride_jax.runs.lines import as_line

NONE, GAUSSIAN, SUM = "none", "gaussian", "secure sum"
_TOLERANCE = 0.05
"""Between an accuracy and the median of all of them."""


class Comparison(NamedTuple):
    """What runs in turn.

    Attributes:
      work: what everybody does, by its name in ``WORKS``.
      cores: that each process has; with several, this checkout is measured on one, too.
      peers: who takes part, by names in ``PEERS``.
      protections: of updates: each peer is measured with all of these that it has.
    """

    work: str
    cores: int
    peers: tuple[str, ...]
    protections: tuple[str, ...] = (NONE,)


_ON_TORCH = ("Flower", "BlazeFL 3", "BlazeFL 2", "PyTorch")
COMPARISONS = {
    "2nn": Comparison("2nn", 1, tuple(PEERS), (NONE, GAUSSIAN, SUM)),
    "2nn_two_cores": Comparison("2nn", 2, (OURS, "FedJAX", "PyTorch")),
    "cnn": Comparison("cnn", 1, tuple(PEERS), (NONE, GAUSSIAN, SUM)),
    "cnn_two_cores": Comparison("cnn", 2, (OURS, *_ON_TORCH)),
    "blazefl_two_cores": Comparison("blazefl", 2, (OURS, *_ON_TORCH)),
    "pfl": Comparison("pfl", 1, (OURS, "FedJAX", "pfl", "PyTorch")),
}


@dataclass(frozen=True)
class Setting:
    """What is measured, and where things are kept.

    Attributes:
      comparisons: by their names.
      environments: folder of the frameworks' environments, some gigabytes.
      pythons: interpreters to make environments with, besides this one and those on the path.
      rows: file to which each comparison is added when it is done; remove it to begin anew.
    """

    comparisons: tuple[str, ...] = tuple(COMPARISONS)
    environments: Path = Path.home() / ".cache" / "pride_jax" / "peers"
    pythons: tuple[Path, ...] = ()
    rows: Path = Path("peers.jsonl")

    def __post_init__(self) -> None:
        """Refuses what cannot be compared here.

        Raises:
          ConfigError: a comparison is unknown, or asks for more cores than there are.
        """
        available = len(os.sched_getaffinity(0))
        for name in self.comparisons:
            if name not in COMPARISONS:
                raise ConfigError(
                    f"comparisons={name!r}: expected some of {', '.join(COMPARISONS)}"
                )
            if COMPARISONS[name].cores > available:
                raise ConfigError(
                    f"comparisons={name!r} asks for {COMPARISONS[name].cores} cores, there are "
                    f"{available}: leave it out"
                )


class Row(NamedTuple):
    """One framework at one work.

    Attributes:
      comparison: its name.
      peer: the framework.
      protection: of updates: ``none``, ``gaussian``, or the name of a secure sum.
      cores: that it had.
      seconds_per_round: median of the rounds after the first; None where nothing was measured.
      first_seconds: of the first round, in which programs are compiled and processes start.
      times_ours: its seconds over those of pride_jax on as many cores, unprotected.
      over_unprotected: by what share of the framework's own unprotected round this one is longer.
      product_share: of its seconds, those that the round's products take at the rate of large ones.
      accuracy: after all rounds.
      rounds: that the median is of.
      load: processes that wanted a core in the minute before the comparison.
      versions: of what ran.
      command: that started the driver.
      why: there are no figures, or what speaks against them; empty where nothing does.
    """

    comparison: str
    peer: str
    protection: str
    cores: int
    seconds_per_round: float | None
    first_seconds: float | None
    times_ours: float | None
    over_unprotected: float | None
    product_share: float | None
    accuracy: float | None
    rounds: int
    load: float
    versions: dict[str, str]
    command: str
    why: str


def measure(setting: Setting) -> list[Row]:
    """All comparisons, each of which is printed and kept as soon as it is done.

    Raises:
      DataError: examples cannot be had.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in setting.comparisons:
            comparison = COMPARISONS[name]
            work = WORKS[comparison.work]
            key = json.loads(json.dumps([name, comparison, work]))
            found = _kept(setting.rows, key)
            if not found:
                arrays = Path(folder) / f"{comparison.work}.npz"
                if not arrays.exists():
                    write_arrays(arrays, work, load_dataset(work.dataset))
                interpreters = _interpreters(comparison.peers, setting)
                found = compare(name, comparison, work, arrays, interpreters)
                with setting.rows.open("a") as file:
                    line = {"key": key, "rows": [row._asdict() for row in found]}
                    file.write(json.dumps(line) + "\n")
                show(found)
            rows += found
    return rows


def _kept(path: Path, key: list[Any]) -> list[Row]:
    lines = path.read_text().splitlines() if path.exists() else []
    found = [line["rows"] for line in map(json.loads, lines) if line["key"] == key]
    return [Row(**row) for row in found[-1]] if found else []


def _interpreters(names: Sequence[str], setting: Setting) -> dict[str, Path | str]:
    """Of each framework its interpreter, or why it has none."""
    found: dict[str, Path | str] = {}
    for name in names:
        try:
            found[name] = interpreter(PEERS[name], setting.environments, setting.pythons)
        except RunError as error:
            found[name] = str(error)
    return found


def compare(
    name: str,
    comparison: Comparison,
    work: Work,
    arrays: Path,
    interpreters: Mapping[str, Path | str],
) -> list[Row]:
    """The rows of one comparison.

    Args:
      name: of the comparison.
      comparison: who runs, on how many cores.
      work: what they do.
      arrays: file of examples, see `write_arrays`.
      interpreters: of each framework; or why it has none.
    """
    load, _, _ = os.getloadavg()
    pythons = {peer: each for peer, each in interpreters.items() if isinstance(each, Path)}
    absent = {peer: each for peer, each in interpreters.items() if isinstance(each, str)}
    why = {
        Contestant(peer, NONE, comparison.cores): reason for peer, reason in absent.items()
    } | _lacking(comparison, pythons)
    cores = sorted(os.sched_getaffinity(0))[-comparison.cores :]
    turns = take_turns(_contestants(comparison, pythons), work, arrays, pythons, cores)
    why |= turns.failed
    rows = [
        _row(name, who, each, work, turns, load, comparison.cores)
        for who, each in turns.taken.items()
    ]
    return rows + [_without_figures(name, who, load, reason) for who, reason in why.items()]


def _names(peer: str, protection: str) -> tuple[str, ...]:
    """What the peer has of a protection."""
    if protection == SUM:
        return PEERS[peer].sums
    return (protection,) if protection == NONE or PEERS[peer].gaussian else ()


def _contestants(comparison: Comparison, peers: Mapping[str, Path]) -> list[Contestant]:
    everybody = [
        Contestant(peer, name, comparison.cores)
        for protection in comparison.protections
        for peer in peers
        for name in _names(peer, protection)
    ]
    return everybody + [Contestant(OURS, NONE, 1)] * (comparison.cores > 1)


def _lacking(comparison: Comparison, peers: Mapping[str, Path]) -> dict[Contestant, str]:
    return {
        Contestant(peer, protection, comparison.cores): f"it has no {_WORDS[protection]}"
        for protection in comparison.protections
        for peer in peers
        if not _names(peer, protection)
    }


_WORDS = {GAUSSIAN: "Gaussian noise", SUM: "sum that hides updates"}


def _row(
    name: str, who: Contestant, own: Taken, work: Work, turns: Turns, load: float, cores: int
) -> Row:
    seconds = _median(own)
    ours = turns.taken.get(Contestant(OURS, NONE, who.cores))
    bare = turns.taken.get(who._replace(protection=NONE))
    why = _differs(own, work, turns)
    return Row(
        comparison=name,
        peer=who.peer,
        protection=who.protection,
        cores=who.cores,
        seconds_per_round=seconds,
        first_seconds=own.seconds[0],
        times_ours=None if ours is None or why else seconds / _median(ours),
        over_unprotected=None
        if bare is None or who.protection == NONE
        else seconds / _median(bare) - 1,
        product_share=operations(work) / (turns.rate * who.cores / cores) / seconds,
        accuracy=own.accuracy,
        rounds=len(own.seconds) - 1,
        load=load,
        versions=own.versions,
        command=command(PEERS[who.peer]),
        why=why,
    )


def _median(taken: Taken) -> float:
    return statistics.median(taken.seconds[1:])


def _differs(own: Taken, work: Work, turns: Turns) -> str:
    """Why a contestant did not do the same work; empty if it did."""
    if own.parameters != num_parameters(work.network):
        return f"it trained {own.parameters:,} parameters: not the same work"
    middle = statistics.median(each.accuracy for each in turns.taken.values())
    if abs(own.accuracy - middle) > _TOLERANCE:
        return f"its accuracy is {own.accuracy:.3f}, others' {middle:.3f}: not the same work"
    return ""


def _without_figures(name: str, who: Contestant, load: float, why: str) -> Row:
    return Row(
        comparison=name,
        peer=who.peer,
        protection=who.protection,
        cores=who.cores,
        seconds_per_round=None,
        first_seconds=None,
        times_ours=None,
        over_unprotected=None,
        product_share=None,
        accuracy=None,
        rounds=0,
        load=load,
        versions={},
        command=command(PEERS[who.peer]),
        why=why,
    )


def as_json(setting: Setting, rows: Sequence[Row]) -> str:
    """The rows, the setting and what they ran on, in one line."""
    told = {"comparisons": setting.comparisons, "works": {k: v._asdict() for k, v in WORKS.items()}}
    return as_line({"rows": list(rows)} | told, setting)


def show(rows: Sequence[Row]) -> None:
    """The rows as a table, and below it what speaks against figures or why there are none."""
    table = Table("comparison", "peer", "protection", "cores", "s/round", "first", "/ ours")
    for heading in ("over unprotected", "of products", "accuracy", "n"):
        table.add_column(heading)
    for row in rows:
        if row.seconds_per_round is not None:
            table.add_row(
                row.comparison,
                row.peer,
                row.protection,
                str(row.cores),
                _cell(row.seconds_per_round, ".3g"),
                _cell(row.first_seconds, ".3g"),
                _cell(row.times_ours, ".2f"),
                _cell(row.over_unprotected, ".0%"),
                _cell(row.product_share, ".2f"),
                _cell(row.accuracy, ".4f"),
                str(row.rounds),
            )
    console = Console()
    console.print(table, width=max(console.width, 120))
    for row in rows:
        if row.why:
            print(f"{row.comparison}, {row.peer}, {row.protection}: {row.why}")


def _cell(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
