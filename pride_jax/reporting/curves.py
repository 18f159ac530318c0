"""Learning curves: of a run, and of runs that differ in their seeds as a band."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pride_jax.reporting import colours
from pride_jax.reporting.metrics import Row, headline

CENTRAL, ALONE = "central", "alone (mean)"
_COLOURS = {CENTRAL: colours.CENTRAL, ALONE: colours.ALONE}
_MANY = 60
"""Evaluations from which on their marks are small."""
_START = 10
"""At most the first of so many parts of a curve, or one point, may be left out of the picture."""
_FEWEST = 4
"""Points of a curve from which on that may be."""
_MOST_LINES = 8
_FEW_LINES = 3
"""Lines whose names find room beside the curves."""

Curves = Mapping[str, Sequence[Sequence[Row]]]
"""Name of a setting -> the rows of each of its runs."""


def learning_curve(rows: Sequence[Row], baselines: Mapping[str, float]) -> Figure:
    """The score that stands for the task against rounds and, below an accuracy, the loss.

    Args:
      rows: of the metrics file, at least one.
      baselines: scores to compare with, such as a central model's, by name.
    """
    score = headline(rows[0])
    names = [score] if score == "loss" else [score, "loss"]
    figure, panels = _panels(names)
    rounds = [row["round"] for row in rows]
    for axes, name in zip(panels, names, strict=True):
        values = [row[f"test_{name}"] for row in rows]
        axes.plot(rounds, values, label="federated", color=colours.FEDERATED, **_marks(rounds))
        compared = baselines if name == score else {}
        for whose, value in compared.items():
            axes.axhline(value, label=whose, color=_COLOURS[whose], linestyle="--", linewidth=1.3)
        _show_range(axes, rounds, values, list(compared.values()))
    if baselines:
        panels[0].legend(loc="best", frameon=False, fontsize=9)
    _show_rounds(panels[-1], rounds)
    return figure


def curves_over_seeds(curves: Curves) -> Figure:
    """The score against rounds of settings: the median over seeds, and a band from worst to best.

    Of more settings than can be told apart, those with the best ends stand out in colour.

    Args:
      curves: at least one setting, of at least one run with a row.
    """
    score = headline(next(iter(curves.values()))[0][0])
    sign = 1 if score == "loss" else -1
    bands = {name: _band(runs, f"test_{score}") for name, runs in curves.items()}
    ranked = sorted(bands, key=lambda name: sign * bands[name][-1, 2])
    figure, (axes,) = _panels([score])
    for place, name in reversed(list(enumerate(ranked))):
        rounds, low, middle, high = bands[name].T
        seeds = len(curves[name])
        told = place < _MOST_LINES
        color = colours.DISTINCT[place] if told else "0.75"
        over = f"{seeds} seeds" if seeds > 1 else ""
        label = ", ".join(filter(None, (name, over)))
        if not told:
            label = "others" if place == _MOST_LINES else None
        axes.plot(rounds, middle, color=color, label=label, **_marks(rounds))
        if seeds > 1:
            axes.fill_between(rounds, low, high, color=color, alpha=0.2, linewidth=0)
    every = np.concatenate(list(bands.values()))
    _show_range(axes, every[:, 0], every[:, 1:], [])
    _show_rounds(axes, every[:, 0])
    if any(len(runs) > 1 for runs in curves.values()):
        axes.set_title("line: median over seeds; band: from worst to best", fontsize=9)
    _name_lines(axes, figure)
    return figure


def _name_lines(axes: Axes, figure: Figure) -> None:
    """Names the lines, the best first; below the picture where names would hide curves."""
    lines, names = axes.get_legend_handles_labels()
    if not names:
        return
    told = {"handles": lines[::-1], "labels": names[::-1], "frameon": False, "fontsize": 8}
    if len(names) <= _FEW_LINES:
        legend = axes.legend(loc="best", **told)
    else:
        legend = figure.legend(loc="outside lower center", **told)
        figure.set_figheight(figure.get_figheight() + 0.18 * len(names))
    for text in legend.get_texts():
        text.set_parse_math(False)


def _panels(names: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """A panel for each score, one below the other, over the same rounds."""
    height = 3.8 if len(names) == 1 else 5.0
    figure = Figure(figsize=(6.0, height), layout="constrained")
    ratios = [3, 2][: len(names)]
    panels = figure.subplots(len(names), 1, sharex=True, squeeze=False, height_ratios=ratios)
    for axes, name in zip(panels.ravel(), names, strict=True):
        axes.set_ylabel("test loss (nats)" if len(names) > 1 and name == "loss" else f"test {name}")
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return figure, list(panels.ravel())


def _marks(rounds: Sequence[int] | Float[np.ndarray, "rounds"]) -> dict[str, Any]:
    return {"marker": "o", "markersize": 4 if len(rounds) <= _MANY else 1.8, "linewidth": 1.5}


def _show_rounds(axes: Axes, rounds: Sequence[int] | Float[np.ndarray, "rounds"]) -> None:
    first, last = min(rounds), max(rounds)
    margin = max(0.5, 0.02 * (last - first))
    axes.set_xlim(first - margin, last + margin)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=9, integer=True, min_n_ticks=1))
    axes.set_xlabel("round")


def _show_range(
    axes: Axes,
    rounds: Sequence[int] | Float[np.ndarray, "points"],
    values: Sequence[float] | Float[np.ndarray, "points ..."],
    others: Sequence[float],
) -> None:
    """Sets limits that hold the interesting part of a curve, and says what is outside of them."""
    points = np.asarray(values, np.float64).reshape(len(rounds), -1)
    order = np.argsort(rounds, kind="stable")
    points, at = points[order], np.asarray(rounds)[order]
    skip = _uninteresting(at, points)
    shown = [*points[at >= at[skip]].ravel(), *others]
    low, high = min(shown), max(shown)
    margin = 0.06 * (high - low) or 0.05 * abs(high) or 0.5
    axes.set_ylim(low - margin, high + margin)
    outside = points[at < at[skip]]
    if outside.size:
        middle = float(np.median(outside[at[: len(outside)] == at[0]]))
        below = middle < low
        # Where a curve that comes from there is not.
        axes.annotate(
            f"round {at[0]:g}: {middle:.3g}, {'below' if below else 'above'} the picture",
            (0.02, 0.95 if below else 0.05),
            xycoords="axes fraction",
            va="top" if below else "bottom",
            fontsize=8,
            color="0.35",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )


def _uninteresting(
    rounds: Float[np.ndarray, "points"], points: Float[np.ndarray, "points values"]
) -> int:
    """How many first points would take up more than half of the picture's height by themselves."""
    starts = [int(np.searchsorted(rounds, each)) for each in np.unique(rounds)]
    skip = 0
    most = max(1, len(starts) // _START) if len(starts) >= _FEWEST else 0
    for start in starts[1 : 1 + most]:
        if np.ptp(points[start:]) < 0.5 * np.ptp(points[skip:]):
            skip = start
    return skip


def _band(runs: Sequence[Sequence[Row]], name: str) -> Float[np.ndarray, "rounds 4"]:
    """Round, worst, median and best of the runs that were tested then."""
    found: dict[int, list[float]] = {}
    for row in (row for run in runs for row in run):
        if math.isfinite(row[name]):
            found.setdefault(row["round"], []).append(row[name])
    return np.array(
        [
            (round_, min(each), float(np.median(each)), max(each))
            for round_, each in sorted(found.items())
        ]
    )
