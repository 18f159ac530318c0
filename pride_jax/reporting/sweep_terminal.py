"""What a person sees of a sweep while it goes on, and when it ends."""

import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.live import Live
from rich.table import Column, Table

from pride_jax.reporting.metrics import Row, scores
from pride_jax.reporting.over_seeds import (
    mean_and_deviation,
    named,
    outcome,
    over_seeds,
    short_names,
)

_CENTRAL = {"central": "central model"}
_MEAN_ONLY = {
    "rounds_to_target": "rounds to target",
    "epsilon": "ε",
    "seconds_per_round": "s/round",
}


class Going(NamedTuple):
    """A run that goes on.

    Attributes:
      name: its settings.
      rounds: that it will have.
      row: the latest of its metrics; None before there are any.
      doing: what is being done; "" where nobody tells, as of a run in another process.
    """

    name: str
    rounds: int
    row: Row | None
    doing: str = ""


class SweepProgress(NamedTuple):
    """What a sweep tells of itself.

    Attributes:
      watch: the runs that go on, and how many wait -> None.
      ended: a run's settings with its figures or error -> None.
    """

    watch: Callable[[Sequence[Going], int], None]
    ended: Callable[[Row], None]


@contextlib.contextmanager
def sweep_progress() -> Iterator[SweepProgress]:
    """A line for every run that has ended and, on a terminal, a live table of those that go on."""
    console = Console()
    counts = {"finished": 0, "failed": 0}
    with Live(console=console, refresh_per_second=8, transient=True) as live:

        def watch(running: Sequence[Going], waiting: int) -> None:
            if console.is_terminal:
                live.update(_going_on(running, waiting, counts))

        def ended(row: Row) -> None:
            counts["failed" if "error" in row else "finished"] += 1
            console.print(_line(row), highlight=False, soft_wrap=True, markup=False)

        yield SweepProgress(watch, ended)


def _going_on(running: Sequence[Going], waiting: int, counts: dict[str, int]) -> Table:
    told = [f"{count} {name}" for name, count in counts.items()]
    title = ", ".join([*told, f"{len(running)} running", f"{waiting} waiting"])
    table = Table(Column("running", overflow="fold"), title=title, title_justify="left")
    for title in ("round", "on test examples", "s/round", "doing"):
        table.add_column(title, no_wrap=True)
    for name, rounds, row, doing in running:
        if row is None:
            table.add_row(name, "starting", "", "", doing)
        else:
            seconds = f"{row['seconds_per_round']:.3g}" if "seconds_per_round" in row else "hidden"
            table.add_row(name, f"{row['round']}/{rounds}", _score(row), seconds, doing)
    return table


def _line(row: Row) -> str:
    return f"{named(row['settings'])}  {row.get('error') or _score(row)}"


def _score(row: Row) -> str:
    """The score that stands for the task."""
    name, value = next(iter(scores(row).items()))
    return f"{name} {value:.4f}"


def show_sweep(result: dict[str, Any], workdir: Path) -> None:
    """The results over seeds, a line for every combination of the other settings, and failures.

    What the sweep came to is the last line on the screen.
    """
    console = Console()
    rows = [row for row in result["runs"] if "error" not in row]
    failed = [row for row in result["runs"] if "error" in row]
    if rows:
        console.print(_results(rows))
    for row in failed:
        console.print(f"failed: {_line(row)}", highlight=False, soft_wrap=True, markup=False)
    told = f"; {len(failed)} of {len(result['runs'])} runs failed" if failed else ""
    line = f"{outcome(rows) if rows else 'no run has a result'}{told}; everything is in {workdir}"
    console.print(line, highlight=False, soft_wrap=True, markup=False)


def show_promise(promise: dict[str, Any]) -> None:
    """What a private sweep guarantees, before it begins; and nothing more until it ends."""
    console = Console()
    console.print(promise["guarantee"], highlight=False, soft_wrap=True)
    console.print("How many runs there are is secret: nothing is shown until all have ended.")


def show_private(result: dict[str, Any], workdir: Path) -> None:
    """What a private sweep released."""
    console = Console()
    told = "Every run diverged, and no model is released: lower the learning rates"
    for best in result["best"]:
        told = f"best: {named(best['settings'])}, test {_score(best)}"
    told += f"; ε of everything = {result['epsilon']:.4g} at δ = {result['delta']:g}"
    line = f"{told}; everything is in {workdir}"
    console.print(line, highlight=False, soft_wrap=True, markup=False)


def _results(rows: Sequence[Row]) -> Table:
    tested = {f"test_{name}": f"test {name}" for row in rows for name in scores(row)}
    titles = tested | _CENTRAL | _MEAN_ONLY
    shown = [name for name in titles if any(row.get(name) is not None for row in rows)]
    groups = over_seeds(rows)
    first, *others = (group.settings for group in groups)
    varied = [name for name in first if any(first[name] != other[name] for other in others)]
    table = Table(box=None, pad_edge=False)
    for name in short_names(varied).values():
        table.add_column(name, overflow="fold")
    for title in ("runs", *(titles[name] for name in shown)):
        table.add_column(title, no_wrap=True)
    for settings, alike in groups:
        cells = (_mean(name, [row.get(name) for row in alike]) for name in shown)
        table.add_row(*(settings[name] or "()" for name in varied), str(len(alike)), *cells)
    return table


def _mean(name: str, figures: Sequence[float | None]) -> str:
    """The mean of the runs that have the figure; with its standard deviation where that is told."""
    values = [figure for figure in figures if figure is not None]
    if not values:
        return "–"
    if name in _MEAN_ONLY:
        return f"{statistics.fmean(values):.3g}"
    return mean_and_deviation(values)
