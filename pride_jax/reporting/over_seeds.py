"""Runs of a sweep that differ in their seeds only."""

from collections.abc import Sequence
from typing import NamedTuple

from pride_jax.reporting.metrics import Row

_SEEDS = ("seed", "privacy.seed")


class Alike(NamedTuple):
    """Finished runs that differ in their seeds only.

    Attributes:
      settings: that are varied, seeds aside.
      runs: their rows.
    """

    settings: dict[str, str]
    runs: list[Row]


def over_seeds(rows: Sequence[Row]) -> list[Alike]:
    """Rows with the same settings, seeds aside, together; in the order in which they first come."""
    groups: list[Alike] = []
    for row in rows:
        settings = {name: value for name, value in row["settings"].items() if name not in _SEEDS}
        for group in groups:
            if group.settings == settings:
                group.runs.append(row)
                break
        else:
            groups.append(Alike(settings, [row]))
    return groups
