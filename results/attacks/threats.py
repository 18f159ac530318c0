"""The table of T1 to T13: what each attack got without its remedy, and what it gets."""

from pathlib import Path

from pride_jax.files import read_json
from pride_jax.reporting.markdown import table
from pride_jax.reporting.metrics import Row


def before_and_after(results: Path) -> str:
    """A line an attack."""
    lines = [
        [
            row["threat"],
            row["who"],
            row["after"],
            f"{row['before']['part']:.0%}",
            _now(row),
            _linked(row["test"]),
        ]
        for row in read_json(results / "attacks" / "threats.json")["rows"]
    ]
    header = ["", "who attacks", "what it is after", "without the remedy", "now", "mounted by"]
    return table(header, lines)


def _now(row: Row) -> str:
    part = f"{row['now']['part']:.0%}"
    return f"{part}, refused" if row["now"]["refused"] else f"**{part}**" if _stays(row) else part


def _stays(row: Row) -> bool:
    """Whether nothing stops it."""
    return row["now"]["part"] == row["before"]["part"]


def _linked(test: str) -> str:
    path, _, name = test.partition("::")
    return f"[`{name}`](../../tests/{path})"
