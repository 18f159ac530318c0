"""Natural clients: MNIST by the people who wrote it, by algorithm."""

import statistics
from pathlib import Path

from matplotlib.figure import Figure

from pride_jax.files import read_json
from pride_jax.reporting.markdown import mean_and_deviation, table
from pride_jax.reporting.metrics import Row
from results.provenance import made_by
from results.redo import steps_table

_ALGORITHMS = {
    "fedavg": "FedAvg",
    "fedprox": "FedProx",
    "fedavgm": "FedAvgM",
    "fedadam": "FedAdam",
}


def _runs(results: Path, name: str) -> list[Row]:
    return read_json(results / "writers" / name / "sweep.json")["runs"]


def accuracies(results: Path) -> str:
    """Accuracy on digits held out, over all of them and over writers; means over seeds."""
    rows = []
    for name, algorithm in _ALGORITHMS.items():
        runs = _runs(results, name)
        measured = [run["test_accuracy"] for run in runs]
        spreads = [run["accuracy_over_groups"] for run in runs]
        rows.append(
            [
                algorithm,
                str(len(runs)),
                mean_and_deviation(statistics.fmean(measured), statistics.stdev(measured), 4),
                *(
                    f"{statistics.fmean(each[field] for each in spreads):.4f}"
                    for field in ("mean", "median", "tenth_percentile", "minimum")
                ),
            ]
        )
    header = ["algorithm", "seeds", "digits", "mean over writers", "median writer"]
    header += ["worst tenth of writers below", "worst writer"]
    return table(header, rows)


def spread_over_writers(results: Path) -> Figure:
    """From the worst writer to the best: where the mean, the median and the worst tenth lie."""
    figure = Figure(figsize=(6.4, 3.2), layout="constrained")
    axes = figure.subplots()
    for place, name in enumerate(_ALGORITHMS):
        spreads = [run["accuracy_over_groups"] for run in _runs(results, name)]
        at = {field: statistics.fmean(each[field] for each in spreads) for field in spreads[0]}
        axes.plot([at["minimum"], at["maximum"]], [place] * 2, color="0.7", linewidth=2, zorder=1)
        for number, (field, marker) in enumerate(
            {"minimum": "|", "tenth_percentile": "s", "mean": "o", "median": "D"}.items()
        ):
            label = field.replace("_", " ") if place == 0 else None
            axes.plot(at[field], place, marker, color=f"C{number}", markersize=7, label=label)
    axes.set_yticks(range(len(_ALGORITHMS)), list(_ALGORITHMS.values()))
    axes.invert_yaxis()
    axes.set_xlabel("accuracy on a writer's held-out digits, means over seeds")
    axes.grid(alpha=0.3, axis="x")
    axes.legend(frameon=False, fontsize=8, ncols=4, loc="upper center", bbox_to_anchor=(0.5, 1.18))
    return figure


PICTURES = {"spread.png": spread_over_writers}
TABLES = {"accuracies": accuracies, "steps": steps_table("writers"), "made by": made_by("writers")}
