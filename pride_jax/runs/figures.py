"""A run's figures on disk: for everybody, or, of a private run, most of them for its owner alone.

ε covers the released models and what is computed of them without the clients' data. Everything else
that a run measures is not covered: how many clients were called, with which the amplification by a
secret cohort is gone; what tells it, such as bytes and seconds; and what is computed from clients'
examples, such as training loss. What may be told is listed here, so that a new figure is hidden.
"""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pride_jax.aggregation.owner_only import write_owner_only
from pride_jax.files import write_atomically, write_json
from pride_jax.reporting import metrics
from pride_jax.reporting.metrics import OWN, Row
from pride_jax.runs.budget import NO_COST
from pride_jax.runs.resuming import SUMMARY

METRICS = "metrics.jsonl"

_TOLD = {
    *("round", "rounds", "rounds_to_target", "parameters", "parameters_sha256", "confusion"),
    *("by_class", "start", *NO_COST),
}
"""Figures of a private run that anyone may read, beside the scores on test examples: what follows
from settings and released models, and what privacy costs."""


class Figures(NamedTuple):
    """Where a run writes what it measures.

    Attributes:
      folder: of everything; of a private run its owner's.
      keep_until: round -> all that was measured until then; later rows are dropped.
      append: a row -> what of it may be told, once both are on disk.
      conclude: the summary -> what of it may be told, once both are on disk.
    """

    folder: Path
    keep_until: Callable[[int], list[Row]]
    append: Callable[[Row], Row]
    conclude: Callable[[Row], Row]


def figures(workdir: Path, hides: bool) -> Figures:
    """The figures of a run.

    Args:
      workdir: the run's folder.
      hides: whether all that ε does not cover is for the owner alone, see `Privacy.hides`.

    Raises (all functions):
      PrideError: a file cannot be read or written, or the owner's folder is open to others.
    """
    own = own_folder(workdir, hides)

    def keep_until(round_: int) -> list[Row]:
        if not hides:
            return metrics.keep_until(workdir / METRICS, round_)
        rows = metrics.keep_until(own / METRICS, round_, partial(write_owner_only, replace=True))
        write_atomically(workdir / METRICS, metrics.as_lines(map(told, rows)))
        return rows

    def append(row: Row) -> Row:
        metrics.append(own / METRICS, row)
        if not hides:
            return row
        metrics.append(workdir / METRICS, told(row))
        return told(row)

    def conclude(summary: Row) -> Row:
        shown = summary
        if hides:
            shown = told(summary)
            content = json.dumps(summary, indent=2, allow_nan=False) + "\n"
            write_owner_only(own / SUMMARY, content.encode(), replace=True)
        write_json(workdir / SUMMARY, shown)
        return shown

    return Figures(own, keep_until, append, conclude)


def own_folder(workdir: Path, hides: bool) -> Path:
    """Where a run keeps what only its owner may read: all of its folder if nothing is hidden."""
    if not hides:
        return workdir
    own = workdir / OWN
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    return own


def told(figures: Row) -> Row:
    """What anyone may read of a private run's row or summary."""
    return {
        name: value
        for name, value in figures.items()
        if name in _TOLD or name.startswith("test_") or name.endswith("_over_groups")
    }
