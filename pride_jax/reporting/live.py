"""What a person sees while a run goes on: the rounds that are done, and what is being done."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from pride_jax.progress import Tell
from pride_jax.reporting.metrics import Row, scores
from pride_jax.reporting.terminal import number, shown
from pride_jax.settings.experiment import Experiment

_LINES_WITHOUT_A_TERMINAL = 20
_PATIENCE = 5.0
"""Seconds of a stage after which a line tells of it where there is no terminal."""
_BAR_WIDTH = 16


class Shown(NamedTuple):
    """What a run tells of itself, on the screen.

    Attributes:
      report: a row of the metrics -> None.
      tell: see `Tell`.
    """

    report: Callable[[Row], None]
    tell: Tell


class Stage(NamedTuple):
    """A stage that goes on.

    Attributes:
      since: when it began, in seconds.
      done: how much of it is done.
      of: of how much; 0 where nobody counts.
    """

    since: float
    done: int
    of: int


Stages = Mapping[str, Stage]
"""Stages that go on, by name."""


def going_on(stages: Stages, name: str, done: int, of: int, now: float) -> dict[str, Stage]:
    """The stages that go on once one is told, see `Tell`."""
    others = {each: stage for each, stage in stages.items() if each != name and (of or stage.of)}
    if of and done >= of:
        return others
    before = stages.get(name)
    goes_on = before is not None and before.of == of > 0 and done >= before.done
    return others | {name: Stage(before.since if before and goes_on else now, done, of)}


def due(
    stages: Stages, patience: Mapping[str, float], now: float
) -> tuple[list[str], dict[str, float]]:
    """Lines on stages that have lasted long, and how long each must last until the next line.

    The time doubles with every line of a stage, however often the stage begins anew: a run has few.
    """
    lines, until = [], dict(patience)
    for name, stage in stages.items():
        lasted = now - stage.since
        if lasted >= until.get(name, _PATIENCE):
            far = f" {stage.done:,} of {stage.of:,}" if stage.of else ""
            lines.append(f"{name}{far}, {lasted:.0f} s so far")
            until[name] = 2 * lasted
    return lines, until


@contextlib.contextmanager
def progress(config: Experiment) -> Iterator[Shown]:
    """Bars, or a few lines where there is no terminal, until the block ends.

    Of a run that hides what ε does not cover, lines do not depend on how long a stage takes.
    """
    console = Console()
    if console.is_terminal:
        shown = _bars(console, config.rounds)
    elif config.privacy.hides:
        shown = contextlib.nullcontext(_once_each(console, config.rounds))
    else:
        shown = _lines(console, config.rounds)
    with shown as found:
        yield found


@contextlib.contextmanager
def _bars(console: Console, rounds: int) -> Iterator[Shown]:
    stages: dict[str, Stage] = {}
    latest: list[Row] = []
    # A secure sum's clients prepare in another thread than the one that trains.
    lock = threading.Lock()

    def report(row: Row) -> None:
        latest[:] = [row]
        with lock:
            stages.clear()

    def tell(name: str, done: int, of: int) -> None:
        with lock:
            now_on = going_on(stages, name, done, of, time.monotonic())
            stages.clear()
            stages.update(now_on)

    def seen() -> RenderableType:
        with lock:
            now_on = dict(stages)
        parts = [_round_bar(row, rounds) for row in latest]
        if now_on:
            parts.append(_stage_bars(now_on, time.monotonic()))
        return Group(*parts)

    with Live(get_renderable=seen, console=console, refresh_per_second=8):
        try:
            yield Shown(report, tell)
        finally:
            with lock:
                stages.clear()


def _round_bar(row: Row, rounds: int) -> Table:
    table = Table.grid(padding=(0, 1))
    bar = ProgressBar(rounds, row["round"], width=_BAR_WIDTH)
    table.add_row(f"round {row['round']}/{rounds}", bar, describe(row, rounds))
    return table


def _stage_bars(stages: Stages, now: float) -> Table:
    table = Table.grid(padding=(0, 1))
    for name, (since, done, of) in stages.items():
        bar = ProgressBar(of or None, done, width=_BAR_WIDTH, pulse=not of)
        table.add_row(name, bar, f"{done:,}/{of:,}" if of else "", f"{now - since:.0f} s")
    return table


@contextlib.contextmanager
def _lines(console: Console, rounds: int) -> Iterator[Shown]:
    stages: dict[str, Stage] = {}
    lock, over = threading.Lock(), threading.Event()

    def watch() -> None:
        patience: dict[str, float] = {}
        while not over.wait(0.5):
            with lock:
                lines, patience = due(stages, patience, time.monotonic())
            for line in lines:
                console.print(line, highlight=False, soft_wrap=True)

    def report(row: Row) -> None:
        with lock:
            stages.clear()
        _print_some(console, row, rounds)

    def tell(name: str, done: int, of: int) -> None:
        with lock:
            now_on = going_on(stages, name, done, of, time.monotonic())
            stages.clear()
            stages.update(now_on)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield Shown(report, tell)
    finally:
        over.set()
        watcher.join()


def _once_each(console: Console, rounds: int) -> Shown:
    """A line for each stage when it begins for the first time."""
    seen: set[str] = set()

    def tell(name: str, done: int, of: int) -> None:
        del done, of
        if name not in seen:
            seen.add(name)
            console.print(f"{name} …", highlight=False, soft_wrap=True)

    return Shown(lambda row: _print_some(console, row, rounds), tell)


def _print_some(console: Console, row: Row, rounds: int) -> None:
    step = max(1, rounds // _LINES_WITHOUT_A_TERMINAL)
    if row["round"] % step == 0 or row["round"] == rounds:
        told = f"round {row['round']}/{rounds}  {describe(row, rounds)}"
        console.print(told, highlight=False, soft_wrap=True)


def describe(row: Row, rounds: int) -> str:
    """What a row tells on one line; seconds only where the row has them."""
    told = [f"{name} {shown(value)}" for name, value in scores(row).items()]
    seconds = row.get("seconds_per_round", 0.0)
    if seconds:
        told.append(f"{seconds:.3g} s/round")
    if "epsilon" in row:
        told.append(f"ε {number(row['epsilon'], 3)}")
    if seconds and row["round"] < rounds:
        told.append(f"{_duration((rounds - row['round']) * seconds)} left")
    return "  ".join(told)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes = whole // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
