"""Correlated noise without amplification: banded against BLT, errors and accuracy."""

import statistics
from pathlib import Path
from typing import Any

from pride_jax.files import read_json
from pride_jax.reporting.markdown import mean_and_deviation, table
from results.provenance import made_by, sources
from results.redo import steps_table

_SERVERS = {
    "0 constant": "sums",
    "0.9 constant": "momentum",
    "0 cosine": "cosine",
    "0.9 cosine": "both",
}
"""Momentum and schedule, as ``errors.py`` names them."""
_MECHANISMS = {
    "independent": "independent",
    "banded": "banded, 10 rounds, made for sums",
    "blt": "BLT, 2 buffers, made for both",
}


def errors(results: Path) -> str:
    """The model's noise at sensitivity 1, by mechanism and by what the server does."""
    numbers = read_json(results / "correlated" / "errors.json")
    found: dict[str, dict[str, float]] = {}
    for row in numbers["rows"]:
        of_server = found.setdefault(row["setting"]["mechanism"], {})
        of_server[row["setting"]["server"]] = row["error"]
    rows = [
        [name, *(f"{of_server[server]:.3f}" for server in _SERVERS)]
        for name, of_server in found.items()
    ]
    return table(["noise", *_SERVERS.values()], rows)


def _runs(results: Path, name: str) -> list[dict[str, Any]]:
    return read_json(results / "correlated" / name / "sweep.json")["runs"]


def accuracies(results: Path) -> str:
    """Noise of a value of the model in clipping norms, and accuracy, by ε."""
    numbers = read_json(results / "correlated" / "errors.json")
    of = {
        row["setting"]["mechanism"]: row["error"]
        for row in numbers["rows"]
        if row["setting"]["server"] == "0.9 cosine"
    }
    exact = {
        "independent": of["independent"],
        "banded": of["banded, 10, made for sums"],
        "blt": of["BLT, 2 buffers"],
    }
    rows = []
    for epsilon, deviation in numbers["deviations"].items():
        for name, what in _MECHANISMS.items():
            runs = [
                run["test_accuracy"]
                for run in _runs(results, name)
                if float(run["settings"]["privacy.epsilon"]) == float(epsilon)
            ]
            reached = mean_and_deviation(statistics.fmean(runs), statistics.stdev(runs), 4)
            noise = exact[name] * deviation / 200
            rows.append([epsilon, what, f"{noise:.3f}", reached, str(len(runs))])
    return table(["ε", "noise", "deviation of a value", "test accuracy", "seeds"], rows)


PICTURES = {}
TABLES = {
    "sources": sources("correlated/errors.json"),
    "made by": made_by("correlated"),
    "steps": steps_table("correlated"),
    "errors": errors,
    "accuracies": accuracies,
}
