"""The pictures of a run or a sweep, drawn anew from what its folder holds."""

from pathlib import Path
from typing import NamedTuple

from pride_jax.data.partition import label_counts
from pride_jax.errors import PrideError, RunError
from pride_jax.files import read_json
from pride_jax.reporting import metrics, plots
from pride_jax.reporting.sweep_plots import score_against_settings
from pride_jax.settings import build, own
from pride_jax.settings.files import read_settings, trust


class Redrawn(NamedTuple):
    """What became of a folder's pictures.

    Attributes:
      drawn: the pictures that were drawn.
      left: path of each other picture -> why it was left as it is.
    """

    drawn: list[Path]
    left: dict[Path, str]


def redraw(folder: Path, trusted: bool = False) -> Redrawn:
    """Draws the pictures of a run (``metrics.jsonl``) or a sweep (``sweep.json``) anew.

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
    path, rows = folder / "scores.png", read_json(folder / "sweep.json")["runs"]
    if all("error" in row for row in rows):
        return Redrawn([], {path: "no run of the sweep has finished"})
    plots.save(score_against_settings(rows), path)
    return Redrawn([path], {})


def _redraw_run(folder: Path, trusted: bool) -> Redrawn:
    curve, confusion, labels, trade_off = (
        folder / "plots" / f"{name}.png"
        for name in ("learning_curve", "confusion_matrix", "client_labels", "trade_off")
    )
    drawn, left, rows = [], {}, metrics.read(folder / "metrics.jsonl")
    summary = folder / "summary.json"
    ended = read_json(summary) if summary.is_file() else {}
    if rows:
        plots.save(plots.learning_curve(rows, plots.baselines(ended)), curve)
        drawn.append(curve)
    else:
        left[curve] = "the run has measured nothing yet"
    if ended.get("confusion"):
        plots.save(plots.confusion_matrices(plots.confusions(ended)), confusion)
        drawn.append(confusion)
    else:
        left[confusion] = "summary.json has none" if ended else "the run has not ended"
    if why := _redraw_labels(folder, trusted, ended, labels):
        left[labels] = why
    else:
        drawn.append(labels)
    if ended.get("trade_off"):
        plots.save(plots.trade_off(ended["trade_off"]), trade_off)
        drawn.append(trade_off)
    return Redrawn(drawn, left)


def _redraw_labels(folder: Path, trusted: bool, ended: metrics.Row, path: Path) -> str:
    """Draws who holds which labels, or says why not."""
    if ended and ended.get(f"{metrics.headline(ended)}_over_clients", ...) is None:
        return "each party alone has its examples"
    try:
        config = read_settings(folder)
        if config.privacy.hides:
            return "the run is private, and who holds what is its owner's to know"
        if trusted:
            config = trust(config, folder / own.CODE)
        dataset = build.build_dataset(config)
        partition = build.build_partition(config, dataset)
    except PrideError as error:
        return f"the examples cannot be had: {error}"
    if dataset.train_targets.ndim != 1 or dataset.train_targets.dtype.kind not in "iu":
        return "the targets are no classes"
    counts = label_counts(partition, dataset.train_targets, dataset.outputs)
    plots.save(plots.label_map(counts), path)
    return ""
