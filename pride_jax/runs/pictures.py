"""A run's pictures and its page, which are made when it ends."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Int

from pride_jax.data.partition import label_counts
from pride_jax.files import write_atomically
from pride_jax.reporting import metrics
from pride_jax.reporting.report import KEPT, OWNERS, REPORT, report, told_of
from pride_jax.runs.figures import own_folder, told
from pride_jax.runs.prepared import Prepared, Simulated
from pride_jax.runs.summary import Summary

_NOBODY = np.zeros((0, 0), np.int64)
"""Labels of clients that are nobody's to show."""


def leave_pictures(
    prepared: Prepared, summary: Summary, rows: Sequence[metrics.Row], workdir: Path
) -> None:
    """Draws a run that has ended, in ``plots``, and tells it on one page, ``report.html``.

    Of a private run, pictures and page of everything are in its owner's folder, and others show
    what anyone may know.

    Args:
      prepared: what the run was made of.
      summary: all of it.
      rows: likewise, of the evaluations.
      workdir: the run's folder, which has its settings, disclosure and environment.

    Raises:
      RunError: they cannot be written.
    """
    hides, labels = prepared.config.privacy.hides, _NOBODY
    if summary["confusion"] and isinstance(prepared.simulated, Simulated):
        dataset, partition, *_ = prepared.simulated
        labels = label_counts(partition, dataset.train_targets, dataset.outputs)
    _leave(summary, rows, labels, workdir, own_folder(workdir, hides), OWNERS if hides else "")
    if hides:
        _leave(told(summary), [told(row) for row in rows], _NOBODY, workdir, workdir, KEPT)


def _leave(
    summary: Summary,
    rows: Sequence[metrics.Row],
    labels: Int[np.ndarray, "clients classes"],
    workdir: Path,
    folder: Path,
    kept: str,
) -> None:
    # Slow imports that a run needs at its end only.
    from pride_jax.reporting import plots

    drawn = plots.pictures(summary, rows)
    if labels.size:
        drawn["client_labels"] = plots.label_map(labels, plots.class_names(summary))
    saved = {
        name: plots.save(figure, folder / "plots" / f"{name}.png") for name, figure in drawn.items()
    }
    write_atomically(folder / REPORT, report(told_of(workdir, summary, saved, kept)))
