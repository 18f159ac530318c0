"""Pictures of a run: learning curve, confusion matrices, who holds which labels."""

import io
import statistics
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pride_jax.files import explained, write_atomically
from pride_jax.reporting.metrics import Row, headline

_SIZE = (5.5, 3.8)
_MOST_CLIENTS_NAMED = 12
_MOST_COLUMNS = 4


def baselines(summary: Row) -> dict[str, float]:
    """The scores that a run's summary compares with, by name; none where it has not ended."""
    if summary.get("central") is None:
        return {}
    return {"central": summary["central"], "alone (mean)": statistics.mean(summary["alone"])}


def learning_curve(rows: Sequence[Row], baselines: dict[str, float]) -> Figure:
    """The score that stands for the task against rounds and, beside an accuracy, the loss.

    Args:
      rows: of the metrics file.
      baselines: scores to compare with, such as a central model's, by name.
    """
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes, score = figure.subplots(), headline(rows[0])
    rounds = [row["round"] for row in rows]
    (line,) = axes.plot(
        rounds, [row[f"test_{score}"] for row in rows], label="federated", color="C0"
    )
    drawn = [line]
    for number, (name, value) in enumerate(baselines.items(), start=1):
        drawn.append(axes.axhline(value, label=name, color=f"C{number}", linestyle="--"))
    axes.set(xlabel="round", ylabel=f"test {score}")
    if score == "accuracy":
        loss = axes.twinx()
        drawn += loss.plot(
            rounds,
            [row["test_loss"] for row in rows],
            color="0.6",
            linewidth=1,
            label="loss (right)",
        )
        loss.set_ylabel("test loss (nats)", color="0.4")
        loss.set_ylim(bottom=0)
    axes.legend(handles=drawn, loc="center right")
    return figure


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


def confusion_matrices(named: dict[str, Int[np.ndarray, "classes classes"]]) -> Figure:
    """Examples by true and predicted class, coloured by the share of the true class.

    Args:
      named: a panel each, under its name where there are several.
    """
    columns = min(len(named), _MOST_COLUMNS)
    rows = -(-len(named) // columns)
    figure = Figure(figsize=(4.5 * columns, 4.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, confusion) in zip(panels, named.items(), strict=False):
        _show_confusion(axes, confusion)
        if len(named) > 1:
            axes.set_title(f"{name}: {np.trace(confusion) / confusion.sum():.2%}")
    for axes in panels[len(named) :]:
        axes.remove()
    return figure


def _show_confusion(axes: Axes, confusion: Int[np.ndarray, "classes classes"]) -> None:
    classes = len(confusion)
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (true, predicted), count in np.ndenumerate(confusion):
        if count:
            axes.text(
                predicted,
                true,
                str(count),
                ha="center",
                va="center",
                fontsize=7 if classes > 5 else 10,
                color="white" if shares[true, predicted] > 0.5 else "black",
            )
    axes.set(
        xlabel="predicted class",
        ylabel="true class",
        xticks=range(classes),
        yticks=range(classes),
    )


def label_map(counts: Int[np.ndarray, "clients classes"]) -> Figure:
    """How many examples of each class each client holds."""
    clients, classes = counts.shape
    figure = Figure(figsize=(5, 4.2), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(counts, cmap="viridis", aspect="auto", interpolation="nearest", vmin=0)
    axes.set(xlabel="class", ylabel="client", xticks=range(classes))
    if clients <= _MOST_CLIENTS_NAMED:
        axes.set_yticks(range(clients))
    figure.colorbar(image, label="training examples")
    return figure


def trade_off(told: Row) -> Figure:
    """δ against ε of a run's releases.

    Args:
      told: what the summary has under ``trade_off``.
    """
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.subplots()
    epsilons, deltas = np.array(told["epsilon_delta"]).T
    axes.semilogy(epsilons, deltas)
    axes.set(xlabel="ε", ylabel="δ", title=f"against {told['reader'].replace('_', ' ')}")
    axes.set_xlim(left=0)
    axes.grid(alpha=0.3)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Writes a PNG in one step.

    Raises:
      RunError: it cannot be written.
    """
    with explained("write", path):
        path.parent.mkdir(parents=True, exist_ok=True)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=150)
    write_atomically(path, image.getvalue())
