"""The pictures of a run or a sweep, drawn anew from what its folder holds."""

import os
from pathlib import Path
from typing import NamedTuple

from pride_jax.data.partition import label_counts
from pride_jax.errors import PrideError, RunError
from pride_jax.files import read_json, write_atomically
from pride_jax.reporting import metrics, plots
from pride_jax.reporting.report import KEPT, OWNERS, REPORT, report, told_of
from pride_jax.reporting.sweep_plots import save_sweep
from pride_jax.settings import build, own
from pride_jax.settings.files import read_settings, trust


class Redrawn(NamedTuple):
    """What became of a folder's pictures.

    Attributes:
      drawn: the pictures, and the page, that were made.
      left: path of each other one -> why it was left as it is.
    """

    drawn: list[Path]
    left: dict[Path, str]


def redraw(folder: Path, trusted: bool = False) -> Redrawn:
    """Draws the pictures of a run (``metrics.jsonl``) or a sweep (``sweep.json``) anew.

    So is its page, ``report.html``; of a private run that of what anyone may read and, if whoever
    asks may enter the folder ``private/``, its owner's.

    Args:
      folder: of the run or sweep.
      trusted: whether the run's own copy of its code may be executed; otherwise nothing of the
        folder is, and data that such code makes are not made again.

    Raises:
      RunError: the folder is neither, or its files cannot be read.
    """
    if (folder / "sweep.json").is_file():
        return _redraw_sweep(folder)
    if (folder / "metrics.jsonl").is_file() and (folder / "config.json").is_file():
        return _redraw_run(folder, trusted)
    raise RunError(
        f"{folder} has nothing to draw: expected the folder of a run, with config.json and "
        "metrics.jsonl, or of a sweep, with sweep.json"
    )


def _redraw_sweep(folder: Path) -> Redrawn:
    result = read_json(folder / "sweep.json")
    if all("error" in row for row in result["runs"]):
        return Redrawn([], {folder / "scores.png": "no run of the sweep has finished"})
    return Redrawn(save_sweep(result, folder), {})


def _redraw_run(folder: Path, trusted: bool) -> Redrawn:
    """Draws what anyone may read and, for a private run's owner, everything."""
    drawn = _redraw_as(folder, folder, trusted)
    own_folder = folder / metrics.OWN
    if not own_folder.is_dir():
        return drawn
    if not os.access(own_folder, os.R_OK | os.W_OK | os.X_OK):
        return drawn._replace(left=drawn.left | {own_folder: "only the run's owner may read it"})
    owners = _redraw_as(folder, own_folder, trusted)
    return Redrawn([*drawn.drawn, *owners.drawn], drawn.left | owners.left)


def _redraw_as(run: Path, folder: Path, trusted: bool) -> Redrawn:
    """Draws a run by the figures in a folder: the run's own or, of a private run, its owner's."""
    rows, summary = metrics.read(folder / "metrics.jsonl"), folder / "summary.json"
    ended = read_json(summary) if summary.is_file() else {}
    expected = {
        "learning_curve": "the run has measured nothing yet",
        "confusion_matrix": "summary.json has none" if ended else "the run has not ended",
    }
    labels, drawn = folder / "plots" / "client_labels.png", plots.pictures(ended, rows)
    saved = {folder / "plots" / f"{name}.png": figure for name, figure in drawn.items()}
    pictures = {path: plots.save(figure, path) for path, figure in saved.items()}
    left = {
        folder / "plots" / f"{name}.png": why for name, why in expected.items() if name not in drawn
    }
    if why := _redraw_labels(run, trusted, ended, labels):
        left[labels] = why
    else:
        pictures[labels] = labels.read_bytes()
    if why := _rewrite_report(run, folder, ended, pictures):
        left[folder / REPORT] = why
        return Redrawn(list(pictures), left)
    return Redrawn([*pictures, folder / REPORT], left)


def _rewrite_report(
    run: Path, folder: Path, ended: metrics.Row, pictures: dict[Path, bytes]
) -> str:
    """Writes the page of a run, or its owner's, or says why not."""
    if not ended:
        return "the run has not ended"
    for name in ("disclosure.json", "env.json"):
        if not (run / name).is_file():
            return f"the folder has no {name}"
    kept = OWNERS
    if run == folder:
        kept = KEPT if read_settings(run).privacy.hides else ""
    shown = {path.stem: content for path, content in pictures.items()}
    write_atomically(folder / REPORT, report(told_of(run, ended, shown, kept)))
    return ""


def _redraw_labels(run: Path, trusted: bool, ended: metrics.Row, path: Path) -> str:
    """Draws who holds which labels, or says why not."""
    if ended and ended.get(f"{metrics.headline(ended)}_over_clients", ...) is None:
        return "each party alone has its examples"
    try:
        config = read_settings(run)
        if config.privacy.hides and metrics.OWN not in path.relative_to(run).parts:
            return "the run is private, and who holds what is its owner's to know"
        if trusted:
            config = trust(config, run / own.CODE)
        dataset = build.build_dataset(config)
        partition = build.build_partition(config, dataset)
    except PrideError as error:
        return f"the examples cannot be had: {error}"
    if dataset.train_targets.ndim != 1 or dataset.train_targets.dtype.kind not in "iu":
        return "the targets are no classes"
    counts = label_counts(partition, dataset.train_targets, dataset.outputs)
    plots.save(plots.label_map(counts, dataset.class_names), path)
    return ""
