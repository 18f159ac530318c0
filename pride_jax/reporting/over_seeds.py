"""Runs of a sweep that differ in their seeds only, and which of them are the best."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from pride_jax.reporting.metrics import Row, headline

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


def best_of(rows: Sequence[Row]) -> Alike:
    """The finished runs whose mean score is the best; of equal ones the first."""
    score = headline(rows[0])
    sign = -1 if score == "loss" else 1

    def mean(group: Alike) -> float:
        return sign * statistics.fmean(row[f"test_{score}"] for row in group.runs)

    return max(over_seeds(rows), key=mean)


def outcome(rows: Sequence[Row]) -> str:
    """What finished runs came to: their score over seeds, or that of the best settings."""
    best, score = best_of(rows), headline(rows[0])
    told = f"test {score} {mean_and_deviation([row[f'test_{score}'] for row in best.runs])}"
    if len(best.runs) > 1:
        told += f", mean and standard deviation of {len(best.runs)} seeds"
    settings = len(over_seeds(rows))
    if settings == 1:
        return told
    return f"best of {settings} settings on the test examples: {named(best.settings)}, {told}"


def mean_and_deviation(values: Sequence[float]) -> str:
    """As ``0.9644 ± 0.0050``; of one value, it alone."""
    mean = f"{statistics.fmean(values):.4f}"
    return f"{mean} ± {statistics.stdev(values):.4f}" if len(values) > 1 else mean


def named(settings: Mapping[str, str], between: str = " ") -> str:
    """Settings in a line, a tuple of nothing as ``()``."""
    return between.join(f"{name}={value or '()'}" for name, value in settings.items())


def short_names(settings: Iterable[str]) -> dict[str, str]:
    """Settings' names without their sections, where these are not needed to tell them apart."""
    names = list(settings)
    last = [name.rpartition(".")[2] for name in names]
    return {
        name: short if last.count(short) == 1 else name
        for name, short in zip(names, last, strict=True)
    }
