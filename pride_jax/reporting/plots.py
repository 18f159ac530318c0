"""Pictures of a run: confusion matrices, clients' labels and scores, the trade-off of privacy."""

import io
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import MaxNLocator

from pride_jax.files import explained, write_atomically
from pride_jax.reporting import colours
from pride_jax.reporting.curves import ALONE, CENTRAL, learning_curve
from pride_jax.reporting.metrics import Row, headline, tested

_SIZE = (6.0, 3.8)
_MOST_CLIENTS_NAMED = 12
_MOST_COLUMNS = 4
_MOST_CLASSES_WITH_COUNTS = 20
_MOST_CLASSES_NAMED = 70
_LONGEST_NAME = 18
_MOST_CLIENTS_SHOWN = 30
_WHOSE = {
    "training": ("shared model, training examples", colours.TRAINING),
    "shared": ("shared model, held-out examples", colours.FEDERATED),
    "personal": ("client's own model, held-out examples", colours.PERSONAL),
    "fine_tuned": ("after fine-tuning, held-out examples", colours.FINE_TUNED),
}
"""What clients' scores are of, in the order in which they are told."""


def pictures(summary: Row, rows: Sequence[Row]) -> dict[str, Figure]:
    """The pictures that a run's figures give, by the names of their files.

    Args:
      summary: what is known of the run's end; empty if it goes on.
      rows: its evaluations.
    """
    drawn = {}
    if told := tested(rows):
        drawn["learning_curve"] = learning_curve(told, baselines(summary))
    if summary.get("by_client"):
        drawn["clients"] = client_scores(summary["by_client"], headline(summary))
    if summary.get("confusion"):
        drawn["confusion_matrix"] = confusion_matrices(confusions(summary), class_names(summary))
    if summary.get("trade_off"):
        drawn["trade_off"] = trade_off(summary)
    return drawn


def baselines(summary: Row) -> dict[str, float]:
    """The scores that a run's summary compares with, by name; none where it has not ended."""
    if summary.get("central") is None:
        return {}
    return {CENTRAL: summary["central"], ALONE: statistics.mean(summary["alone"])}


def class_names(summary: Row) -> list[str]:
    """Of the classes of a run that has ended, by their numbers; none where it has no classes."""
    return [row["name"] for row in summary.get("by_class", [])]


def confusions(summary: Row) -> dict[str, Int[np.ndarray, "classes classes"]]:
    """The confusion matrices that a run's summary holds, by whose model it was.

    Of clients alone only where there are few enough of them to look at.
    """
    named = {"federated": summary["confusion"]}
    if summary.get("confusion_central") is not None:
        named["central"] = summary["confusion_central"]
        alone = summary["confusions_alone"]
        if len(alone) <= _MOST_CLIENTS_NAMED:
            named |= {f"client {number} alone": matrix for number, matrix in enumerate(alone)}
    return {name: np.array(matrix) for name, matrix in named.items()}


def confusion_matrices(
    named: Mapping[str, Int[np.ndarray, "classes classes"]], classes: Sequence[str]
) -> Figure:
    """Examples by true and predicted class, coloured by the share of the true class.

    Args:
      named: a panel each, under its name where there are several.
      classes: their names; none where they have numbers alone.
    """
    columns = min(len(named), _MOST_COLUMNS)
    rows = -(-len(named) // columns)
    many = len(next(iter(named.values()))) > _MOST_CLASSES_WITH_COUNTS
    side = (6.5 if many else 4.5) if len(named) == 1 else 4.3
    figure = Figure(figsize=(side * columns, 0.95 * side * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, confusion) in zip(panels, named.items(), strict=False):
        _show_confusion(axes, confusion, colours.SHARES[name.split()[-1]], classes)
        if len(named) > 1:
            axes.set_title(f"{name}: {np.trace(confusion) / confusion.sum():.2%}")
    for axes in panels[len(named) :]:
        axes.remove()
    return figure


def _show_confusion(
    axes: Axes, confusion: Int[np.ndarray, "classes classes"], colour: str, names: Sequence[str]
) -> None:
    classes = len(confusion)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap=colour, vmin=0, vmax=1, interpolation="nearest")
    if classes <= _MOST_CLASSES_WITH_COUNTS:
        for (true, predicted), count in np.ndenumerate(confusion):
            if count:
                axes.text(
                    predicted,
                    true,
                    str(count),
                    ha="center",
                    va="center",
                    fontsize=10 if classes <= 5 else 7 if classes <= 12 else 5,
                    color="white" if shares[true, predicted] > 0.5 else "black",
                )
    axes.set(xlabel="predicted class", ylabel="true class")
    _name_classes(axes.xaxis, classes, names)
    _name_classes(axes.yaxis, classes, names)


def _name_classes(axis: Axis, classes: int, names: Sequence[str]) -> None:
    """Ticks with the names of classes: short ones, turned where they need to be, or every few."""
    every = -(-classes // _MOST_CLASSES_NAMED)
    shown = [_short(names, number) for number in range(classes)]
    across = isinstance(axis, XAxis) and classes * max(map(len, shown)) > 30
    axis.set_ticks(
        range(0, classes, every),
        shown[::every],
        fontsize=9 if classes <= 12 else 7 if classes <= 26 else 5,
        rotation=90 if across else 0,
        parse_math=False,
    )


def _short(names: Sequence[str], number: int) -> str:
    """A class's name, or its number where the font has no letters for the name."""
    if not names:
        return str(number)
    known = get_font(findfont(FontProperties())).get_char_index
    if not names[number].strip() or not all(known(ord(letter)) for letter in names[number]):
        return str(number)
    name = " ".join(names[number].split())
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def label_map(counts: Int[np.ndarray, "clients classes"], classes: Sequence[str]) -> Figure:
    """How many examples of each class each client holds.

    Args:
      counts: of examples.
      classes: their names; none where they have numbers alone.
    """
    clients = len(counts)
    figure = Figure(figsize=(6.0, 4.2), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(counts, cmap=colours.COUNTS, aspect="auto", interpolation="nearest", vmin=0)
    axes.set(xlabel="class", ylabel="client")
    _name_classes(axes.xaxis, counts.shape[1], classes)
    if clients <= _MOST_CLIENTS_NAMED:
        axes.set_yticks(range(clients))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    figure.colorbar(image, label="training examples", ticks=MaxNLocator(integer=True))
    return figure


def client_scores(table: Sequence[Row], score: str) -> Figure:
    """Each client's score on its own examples: before and after fine-tuning where both are there.

    Few clients have a line each, the best served on top; of many, each curve gives the share of
    clients whose score is at most so much.

    Args:
      table: a row a client, as a summary has them under ``by_client``.
      score: its name.
    """
    tested = [name for name in _WHOSE if any(row.get(name) is not None for row in table)]
    first = "shared" if "shared" in tested else "training"
    clients = sorted(
        (row for row in table if row.get(first) is not None), key=lambda row: row[first]
    )
    few = len(clients) <= _MOST_CLIENTS_SHOWN
    height = max(2.6, 1.6 + 0.2 * len(clients)) if few else 3.8
    figure = Figure(figsize=(6.0, height), layout="constrained")
    axes = figure.subplots()
    for name in tested:
        label, colour = _WHOSE[name]
        if few:
            axes.plot([row[name] for row in clients], range(len(clients)), "o", color=colour)
        else:
            scores = np.sort([row[name] for row in clients if row[name] is not None])
            axes.ecdf(scores, color=colour)
        axes.lines[-1].set_label(label)
    if few:
        scored = [[row[name] for name in tested if row[name] is not None] for row in clients]
        axes.hlines(
            range(len(clients)),
            [min(each) for each in scored],
            [max(each) for each in scored],
            color="0.8",
            zorder=0,
        )
        names = [_short([row["name"] for row in clients], place) for place in range(len(clients))]
        axes.set_yticks(range(len(clients)), names, fontsize=8, parse_math=False)
    better = "lower is better" if score == "loss" else "higher is better"
    axes.set(xlabel=f"{score} ({better})", ylabel="client" if few else "share of clients")
    if score == "accuracy":
        axes.set_xlim(right=min(axes.get_xlim()[1], 1.01))
    axes.grid(alpha=0.25)
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8)
    return figure


def trade_off(summary: Row) -> Figure:
    """δ against ε of a run's releases, and the pair that the summary states.

    Args:
      summary: with ``trade_off``, ``epsilon`` and ``delta``.
    """
    told = summary["trade_off"]
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    epsilons, deltas = np.array(told["epsilon_delta"]).T
    axes.semilogy(epsilons, deltas, color=colours.PRIVACY)
    if summary["epsilon"] is not None:
        stated = f"stated: ε = {summary['epsilon']:.3g}, δ = {summary['delta']:g}"
        axes.plot(summary["epsilon"], summary["delta"], "o", color=colours.PRIVACY, label=stated)
        axes.legend(frameon=False, fontsize=9)
    reader = told["reader"].replace("_", " ")
    axes.set(xlabel="ε", ylabel="δ", title=f"for a reader of {reader}; lower is more private")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.25)
    return figure


def as_png(figure: Figure) -> bytes:
    """The picture as the bytes of a PNG file."""
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=150)
    return image.getvalue()


def save(figure: Figure, path: Path) -> bytes:
    """Writes a PNG in one step, and returns its bytes.

    Raises:
      RunError: it cannot be written.
    """
    with explained("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
    content = as_png(figure)
    write_atomically(path, content)
    return content
