"""A run's figures, one JSON object a line."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pride_jax.errors import RunError
from pride_jax.files import explained, write_atomically

Row = dict[str, Any]
OWN = "private"
"""The folder, in that of a private run, of what only the run's owner may read."""
_LONGEST_ROW = 2**16
"""Bytes; beyond any row that is written."""
_TEST = "test_"
_NO_SCORE = "test_examples"


def scores(row: Row) -> dict[str, float | None]:
    """A task's scores on the test examples, by name, of a row or a summary.

    They are None where parties test, and have not told. The score that stands for the task comes
    first: its accuracy, or its loss if it has none.
    """
    found = {
        name.removeprefix(_TEST): value
        for name, value in row.items()
        if name.startswith(_TEST) and name != _NO_SCORE
    }
    first = [name for name in ("accuracy", "loss") if name in found]
    return {name: found[name] for name in dict.fromkeys([*first, *found])}


def tested(rows: Iterable[Row]) -> list[Row]:
    """The rows that have scores."""
    return [row for row in rows if None not in scores(row).values()]


def headline(row: Row) -> str:
    """The score that stands for the task of a row or a summary."""
    return next(iter(scores(row)))


def flat(nested: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """What nested objects hold, by names with dots between."""
    for name, value in nested.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def figures(row: Row) -> dict[str, float]:
    """The numbers of a row by name, its round aside; what was not measured has none."""
    return {name: value for name, value in flat(row) if name != "round" and value is not None}


def append(path: Path, row: Row) -> None:
    """Adds a row and waits until it is on disk.

    Raises:
      RunError: it cannot be written.
    """
    with explained("write", path), path.open("a") as file:
        file.write(json.dumps(row, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())


def read(path: Path) -> list[Row]:
    """The complete rows of a file; a last line that a crash cut short is not one.

    Raises:
      RunError: it cannot be read, or another line is not JSON.
    """
    with explained("read", path):
        lines = path.read_text().split("\n")
    rows = []
    for number, line in enumerate(lines[:-1], start=1):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError as error:
            raise RunError(
                f"{path}, line {number} is not JSON: {error}; restore the file or start anew"
            ) from None
    return rows


def read_so_far(path: Path) -> list[Row]:
    """As `read`, of a file that may not be there yet.

    Raises:
      RunError: it cannot be read, or a line is not JSON.
    """
    return read(path) if path.exists() else []


def latest(path: Path) -> Row | None:
    """The last complete row of a file that may be growing; None where there is none yet.

    Raises:
      RunError: it cannot be read.
    """
    if not path.exists():
        return None
    with explained("read", path), path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _LONGEST_ROW * 2))
        *_, last, _ = [b"", *file.read().split(b"\n")]
    return json.loads(last) if last else None


def keep_until(
    path: Path, round_: int, write: Callable[[Path, bytes], None] = write_atomically
) -> list[Row]:
    """Drops the rows of rounds after ``round_``, which will be written again; returns the others.

    A file that is missing is made.

    Args:
      path: the file.
      round_: the last to be kept.
      write: makes a file of bytes, all of it or nothing.
    """
    rows = [row for row in read(path) if row["round"] <= round_] if path.exists() else []
    write(path, as_lines(rows).encode())
    return rows


def as_lines(rows: Iterable[Row]) -> str:
    """What a file of these rows holds."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def rounds_to(rows: Sequence[Row], target: float | None) -> float | None:
    """Rounds until test accuracy reaches ``target``, as McMahan et al. (2016) count them.

    The curve is made monotone, the best value so far, and interpolated linearly.

    Returns:
      A fraction of rounds, or None without a target or where it is not reached.
    """
    if target is None:
        return None
    rows = tested(rows)
    best = np.maximum.accumulate([row["test_accuracy"] for row in rows])
    reached = int(np.searchsorted(best, target))
    if reached == len(rows):
        return None
    if reached == 0:
        return float(rows[0]["round"])
    (before, after), (low, high) = (
        (rows[reached - 1]["round"], rows[reached]["round"]),
        best[reached - 1 : reached + 1],
    )
    return float(before + (target - low) / (high - low) * (after - before))
