"""What other frameworks have, as read in their released packages, and how fast a round is."""

from pathlib import Path
from typing import Any

from pride_jax.files import read_json
from pride_jax.reporting.markdown import rounded, table

_WORKS = {"2nn": "the 2NN on MNIST", "cnn": "the CNN on MNIST"}
_COLUMNS = {"BlazeFL 2": "BlazeFL"}
"""The column of a peer that is measured under another name."""


def beside_others(results: Path) -> str:
    """A column a framework: features first, then seconds a round on one core.

    "–" is what was not found in a package, an empty cell what does not apply or was not measured.
    """
    features = read_json(results / "benchmarks" / "features.json")
    peers = list(features["peers"])
    lines = [
        [row["feature"], *(row["cells"][peer]["has"] for peer in peers)] for row in features["rows"]
    ]
    measured = read_json(results / "benchmarks" / "peers.json")["rows"]
    for comparison, work in _WORKS.items():
        rows = [row for row in measured if row["comparison"] == comparison]
        for heading, protections in (
            (f"seconds a round of {work}", {"none"}),
            ("with Gaussian noise", {"gaussian"}),
            ("with a sum that hides updates", _hiding(rows)),
        ):
            cells = [_seconds(rows, peer, protections) for peer in peers]
            if any(cells):
                lines.append([f"**{heading}**", *(cell or "" for cell in cells)])
    return table(["", *peers], lines)


def _hiding(rows: list[dict[str, Any]]) -> set[str]:
    return {row["protection"] for row in rows} - {"none", "gaussian"}


def _seconds(rows: list[dict[str, Any]], peer: str, protections: set[str]) -> str:
    """Of one framework; of several protections, each with its name."""
    found = [
        row
        for row in rows
        if _COLUMNS.get(row["peer"], row["peer"]) == peer
        and row["protection"] in protections
        and row["seconds_per_round"] is not None
    ]
    seconds = [rounded(row["seconds_per_round"]) for row in found]
    if len(protections) == 1:
        return "".join(seconds)
    return ", ".join(
        f"{time} (`{row['protection']}`)" for time, row in zip(seconds, found, strict=True)
    )


def feature_sources(results: Path) -> str:
    """Where each feature was read: a path in the framework's package."""
    features = read_json(results / "benchmarks" / "features.json")
    lines = [
        [row["feature"], features["peers"][peer], f"`{cell['read_in']}`"]
        for row in features["rows"]
        for peer, cell in row["cells"].items()
        if cell["read_in"]
    ]
    return table(["feature", "package", "read in"], lines)
