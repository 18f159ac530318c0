"""Pictures of how a round grows, from the scale benchmark's JSON."""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pride_jax.files import read_json
from pride_jax.reporting.metrics import Row

_COMMON = {"how": "engine", "chunk": None, "precision": "float32"}


def growth(results: Path) -> Figure:
    """Seconds a round against the cohort, and time and memory against the number of clients."""
    rows = [row for row in _rows(results) if _has(row, devices=1, **_COMMON)]
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    cohorts, clients, memory = figure.subplots(1, 3)
    for model in dict.fromkeys(row["model"] for row in rows):
        most = _most_common(row["clients"] for row in rows if row["model"] == model)
        own = [row for row in rows if _has(row, model=model, clients=most)]
        _line(cohorts, own, "cohort", "seconds_per_round", model)
    cohorts.set(xlabel="cohort", ylabel="seconds a round", ylim=(None, None))
    cohorts.legend(frameon=False)
    model = rows[0]["model"]
    cohort = _most_common(row["cohort"] for row in rows if row["model"] == model)
    own = [row for row in rows if _has(row, model=model, cohort=cohort)]
    label = f"{model}, cohort of {cohort}"
    _line(clients, own, "clients", "seconds_per_round", label)
    _line(memory, own, "clients", "peak_bytes", label, 1e-6)
    slowest = max(row["seconds_per_round"] for row in own)
    largest = max(row["peak_bytes"] for row in own)
    clients.set(
        xlabel="clients", ylabel="seconds a round", yscale="linear", ylim=(0, 1.3 * slowest)
    )
    memory.set(xlabel="clients", ylabel="peak MB", yscale="linear", ylim=(0, 1.3e-6 * largest))
    for axes in (clients, memory):
        axes.legend(frameon=False, loc="lower left")
    return figure


def ways(results: Path) -> Figure:
    """Seconds a round of each way to compute the same cohort."""
    rows = _rows(results)
    models = list(dict.fromkeys(row["model"] for row in rows))
    figure = Figure(figsize=(4.8 * len(models), 3.6), layout="constrained")
    for axes, model in zip(figure.subplots(1, len(models), squeeze=False)[0], models, strict=True):
        own = [row for row in rows if row["model"] == model]
        base = next(row for row in own if _has(row, devices=1, **_COMMON))
        size = {"cohort": _most_common(row["cohort"] for row in own)}
        size["clients"] = _most_common(row["clients"] for row in own if _has(row, **size))
        own = [row for row in own if _has(row, **size)]
        names = [_name(row) for row in own]
        axes.barh(names, [row["seconds_per_round"] for row in own], color="C0")
        axes.invert_yaxis()
        axes.set(
            xlabel="seconds a round",
            title=f"{model}, cohort of {size['cohort']}, {base['backend']}",
        )
    return figure


def _rows(results: Path) -> list[Row]:
    return read_json(results / "benchmarks" / "scale.json")["rows"]


def _has(row: dict[str, Any], **values: Any) -> bool:
    return all(row[name] == value for name, value in values.items())


def _most_common(values: Any) -> Any:
    listed = list(values)
    return max(dict.fromkeys(listed), key=listed.count)


def _line(
    axes: Axes, rows: list[dict[str, Any]], x: str, y: str, label: str, scale: float = 1.0
) -> None:
    ordered = sorted(rows, key=lambda row: row[x])
    axes.plot([row[x] for row in ordered], [scale * row[y] for row in ordered], "o-", label=label)
    axes.set(xscale="log", yscale="log")
    axes.grid(alpha=0.3)


def _name(row: dict[str, Any]) -> str:
    differs = []
    if row["how"] != "engine":
        differs.append({"matmul": "convolutions as products"}.get(row["how"], row["how"]))
    if row["devices"] != 1:
        differs.append(f"{row['devices']} devices")
    if row["chunk"] is not None:
        differs.append(f"chunk of {row['chunk']}")
    if row["precision"] != "float32":
        differs.append(row["precision"])
    return ", ".join(differs) or "as by default"
