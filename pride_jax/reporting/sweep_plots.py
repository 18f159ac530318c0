"""Pictures of a sweep: the final score against the settings varied, and learning curves."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pride_jax.reporting import colours
from pride_jax.reporting.curves import curves_over_seeds
from pride_jax.reporting.metrics import Row, headline, read
from pride_jax.reporting.over_seeds import Alike, over_seeds
from pride_jax.reporting.plots import save

_MOST_NAMED = 12
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
    return figure


def save_sweep(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Saves ``scores.png`` and, where runs left their evaluations, ``curves.png``.

    Args:
      rows: of ``sweep.json``, one of them finished.
      folder: of the sweep, with a folder for each run.

    Returns:
      The pictures' paths.

    Raises:
      RunError: they cannot be written, or evaluations not be read.
    """
    drawn = {"scores": score_against_settings(rows)}
    if curves := _curves([row for row in rows if "error" not in row], folder):
        drawn["curves"] = curves_over_seeds(curves)
    for name, figure in drawn.items():
        save(figure, folder / f"{name}.png")
    return [folder / f"{name}.png" for name in drawn]


def _curves(rows: Sequence[Row], folder: Path) -> dict[str, list[list[Row]]]:
    """The evaluations of runs that differ in their seeds only, by their settings."""
    found: dict[str, list[list[Row]]] = {}
    for group in over_seeds(rows):
        # A folder's name alone: the table may come from anybody.
        files = [folder / Path(row.get("folder", "")).name / "metrics.jsonl" for row in group.runs]
        measured = [read(file) for file in files if file.is_file()]
        if any(measured):
            name = ", ".join(f"{name}={value}" for name, value in group.settings.items())
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
        rest = (f"{name}={value}" for name, value in group.settings.items() if name != along)
        lines.setdefault(", ".join(rest), []).append(group)
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
