"""A run's pictures, drawn when it ends."""

from pathlib import Path

from pride_jax.data.partition import label_counts
from pride_jax.reporting import metrics
from pride_jax.runs.prepared import Prepared, Simulated
from pride_jax.runs.summary import Summary


def draw(prepared: Prepared, summary: Summary, rows: list[metrics.Row], folder: Path) -> None:
    """The run's pictures, in ``plots`` of a folder."""
    draw_released(summary, rows, folder / "plots")
    if summary["confusion"] and isinstance(prepared.simulated, Simulated):
        from pride_jax.reporting import plots

        dataset, partition, *_ = prepared.simulated
        counts = label_counts(partition, dataset.train_targets, dataset.outputs)
        plots.save(plots.label_map(counts), folder / "plots" / "client_labels.png")


def draw_released(summary: Summary, rows: list[metrics.Row], folder: Path) -> None:
    """Pictures of what test examples tell."""
    # Half a second of imports that a run needs at its end only.
    from pride_jax.reporting import plots

    curve = plots.learning_curve(rows, plots.baselines(summary))
    plots.save(curve, folder / "learning_curve.png")
    if summary["trade_off"] is not None:
        plots.save(plots.trade_off(summary["trade_off"]), folder / "trade_off.png")
    if summary["confusion"]:
        matrices = plots.confusion_matrices(plots.confusions(summary))
        plots.save(matrices, folder / "confusion_matrix.png")
