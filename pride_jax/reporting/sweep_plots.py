"""Pictures of a sweep, final scores against settings and learning curves, and their page."""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pride_jax.files import write_atomically
from pride_jax.reporting import colours
from pride_jax.reporting.curves import curves_over_seeds
from pride_jax.reporting.metrics import Row, headline, read
from pride_jax.reporting.over_seeds import Alike, named, over_seeds, short_names
from pride_jax.reporting.plots import save
from pride_jax.reporting.report import REPORT
from pride_jax.reporting.sweep_report import sweep_report

_MOST_NAMED = 12
_LEAST_HEIGHT = 0.05
"""Of a picture of accuracies."""
_LOGARITHMIC_FROM = 8.0
"""Ratio of largest to smallest value."""


def score_against_settings(rows: Sequence[Row]) -> Figure:
    """Final score of each run, and mean and range over seeds.

    The setting with the most values is the horizontal axis, logarithmic if its values are that far
    apart; each combination of the others is a line. Where seeds alone were varied, they are the
    axis.

    Args:
      rows: of ``sweep.json``; those of runs that failed are left out.
    """
    finished = [row for row in rows if "error" not in row]
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    groups, score = over_seeds(finished), headline(finished[0])
    values = {
        name: list(dict.fromkeys(group.settings[name] for group in groups))
        for name in groups[0].settings
    }
    if values:
        _lines(axes, groups, values, score)
    else:
        _seeds(axes, finished, score)
    repeated = any(len(group.runs) > 1 for group in groups) and values
    axes.set_ylabel(f"test {score}" + (" (mean and range over seeds)" if repeated else ""))
    axes.grid(alpha=0.3)
    if score == "accuracy":
        _widen(axes)
    return figure


def _widen(axes: Axes) -> None:
    """Keeps accuracies that one test example tells apart from looking far apart."""
    low, high = axes.get_ylim()
    if high - low < _LEAST_HEIGHT:
        top = min(1.0, (low + high + _LEAST_HEIGHT) / 2)
        axes.set_ylim(top - _LEAST_HEIGHT, top)


def save_sweep(result: Mapping[str, Any], folder: Path) -> list[Path]:
    """Saves ``scores.png``, where runs left their evaluations ``curves.png``, and ``report.html``.

    Args:
      result: as ``sweep.json`` has it, with a run that has finished.
      folder: of the sweep, with a folder for each run.

    Returns:
      The files' paths.

    Raises:
      RunError: they cannot be written, or evaluations not be read.
    """
    rows = result["runs"]
    drawn = {"scores": score_against_settings(rows)}
    if curves := _curves([row for row in rows if "error" not in row], folder):
        drawn["curves"] = curves_over_seeds(curves)
    saved = {name: save(figure, folder / f"{name}.png") for name, figure in drawn.items()}
    write_atomically(folder / REPORT, sweep_report(result, folder, saved))
    return [*(folder / f"{name}.png" for name in drawn), folder / REPORT]


def _curves(rows: Sequence[Row], folder: Path) -> dict[str, list[list[Row]]]:
    """The evaluations of runs that differ in their seeds only, by their settings."""
    found: dict[str, list[list[Row]]] = {}
    for group in over_seeds(rows):
        # A folder's name alone: the table may come from anybody.
        files = [folder / Path(row.get("folder", "")).name / "metrics.jsonl" for row in group.runs]
        measured = [read(file) for file in files if file.is_file()]
        if any(measured):
            name = _label(group.settings)
            found[name] = [each for each in measured if each]
    return found


def _seeds(axes: Axes, rows: Sequence[Row], score: str) -> None:
    names = list(rows[0]["settings"])
    scores = [row[f"test_{score}"] for row in rows]
    places = range(len(rows))
    mean = statistics.fmean(scores)
    axes.plot(places, scores, "o", color=colours.FEDERATED)
    axes.axhline(mean, color=colours.FEDERATED, linestyle="--", label=f"mean {mean:.4f}")
    labels = [",".join(row["settings"].values()) for row in rows]
    every = -(-len(labels) // _MOST_NAMED)
    axes.set_xticks(places[::every], labels[::every])
    axes.set_xlabel(", ".join(names))
    axes.legend(frameon=False, fontsize=9)


def _lines(axes: Axes, groups: Sequence[Alike], values: dict[str, list[str]], score: str) -> None:
    along = max(values, key=lambda name: len(values[name]))
    places = _places(values[along])
    style = "-" if _are_numbers(values[along]) else ""
    lines: dict[str, list[Alike]] = {}
    for group in groups:
        rest = {name: value for name, value in group.settings.items() if name != along}
        lines.setdefault(_label(rest), []).append(group)
    for number, (label, members) in enumerate(lines.items()):
        ordered = sorted(members, key=lambda group: places[group.settings[along]])
        ends = [places[group.settings[along]] for group in ordered]
        scores = [[row[f"test_{score}"] for row in group.runs] for group in ordered]
        means = [statistics.fmean(each) for each in scores]
        below = [mean - min(each) for mean, each in zip(means, scores, strict=True)]
        above = [max(each) - mean for mean, each in zip(means, scores, strict=True)]
        color = colours.DISTINCT[number % len(colours.DISTINCT)]
        axes.errorbar(
            ends, means, (below, above), fmt=f"o{style}", capsize=3, color=color, label=label
        )
        for place, each in zip(ends, scores, strict=True):
            axes.plot([place] * len(each), each, "_", color=color, alpha=0.5)
    axes.set_xlabel(along)
    _scale(axes, places)
    if len(lines) > 1:
        axes.legend(frameon=False, fontsize=8)


def _label(settings: Mapping[str, str]) -> str:
    short = short_names(settings)
    return named({short[name]: value for name, value in settings.items()}, ", ")


def _are_numbers(values: Sequence[str]) -> bool:
    try:
        return all(math.isfinite(float(value)) for value in values)
    except ValueError:
        return False


def _places(values: Sequence[str]) -> dict[str, float]:
    """Where each value stands: at its number or, if one is none, in the order given."""
    if _are_numbers(values):
        return {value: float(value) for value in values}
    return {value: float(place) for place, value in enumerate(values)}


def _scale(axes: Axes, places: dict[str, float]) -> None:
    low, high = min(places.values()), max(places.values())
    if low > 0 and high / low >= _LOGARITHMIC_FROM:
        axes.set_xscale("log")
        axes.minorticks_off()
    every = -(-len(places) // _MOST_NAMED)
    axes.set_xticks(list(places.values())[::every], list(places)[::every])
