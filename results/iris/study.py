"""Iris as in the original work: federated, central and alone, over seeds."""

import math
import statistics
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pride_jax.files import read_json
from pride_jax.reporting.markdown import mean_and_deviation, table
from pride_jax.reporting.over_seeds import over_seeds
from results.provenance import made_by
from results.redo import steps_table

ORIGINAL_ACCURACY, ORIGINAL_SECONDS = 0.967, 50
"""Of the original work, two parties, every weight encrypted by itself."""
_FLOWERS = 150
_PARTIES = {"two_party": "two", "three_party": "three"}


def _accuracies(sweep: dict[str, Any]) -> dict[str, list[float]]:
    """Of each run: federated, central, and the parties' mean when they train alone."""
    runs = sweep["runs"]
    return {
        "federated": [row["test_accuracy"] for row in runs],
        "central": [row["central"] for row in runs],
        "alone": [statistics.fmean(row["alone"]) for row in runs],
    }


def _sweep(results: Path, name: str) -> dict[str, Any]:
    return read_json(results / "iris" / name / "sweep.json")


def accuracies(results: Path) -> str:
    """Mean and standard deviation over seeds of each way to train, and what a run costs."""
    rows = []
    for name, parties in _PARTIES.items():
        sweep = _sweep(results, name)
        spread = sweep["over_runs"]
        rows.append(
            [
                parties,
                str(len(sweep["runs"])),
                *(
                    mean_and_deviation(statistics.fmean(each), statistics.stdev(each))
                    for each in _accuracies(sweep).values()
                ),
                f"{spread['seconds_total']['median']:.1f}",
                f"{spread['bytes_per_client_round']['median']:,.0f}",
            ]
        )
    header = ["parties", "seeds", "federated, encrypted", "central", "alone"]
    header += ["seconds of a run, median", "bytes a party and round"]
    return table(header, rows)


def setting(results: Path) -> str:
    """The sentence on what is trained on, and on the original work."""
    config = _sweep(results, "two_party")["config"]
    tested, bits = config["data"]["test_examples"], config["aggregation"]["key_bits"]
    return (
        f"{_FLOWERS - tested} flowers to train on, {tested} to test on, {bits}-bit Paillier. The "
        f"original work: {ORIGINAL_ACCURACY:.1%} in about {ORIGINAL_SECONDS} s, with two parties "
        "and each weight encrypted by itself.\n"
    )


def first_three(results: Path) -> str:
    """Three parties with settings that were not tried for them, and with those that were."""
    rows = []
    for name, chosen in (("three_party_first", "for two parties"), ("three_party", "for three")):
        sweep = _sweep(results, name)
        spread = sweep["over_runs"]["test_accuracy"]
        reached = mean_and_deviation(spread["mean"], spread["sd"])
        rows.append([chosen, str(sweep["config"]["rounds"]), str(len(sweep["runs"])), reached])
    return table(["settings were chosen", "rounds", "seeds", "test accuracy"], rows)


def scatter(results: Path) -> str:
    """Accuracy with and without borrowed scatter on seeds that chose nothing."""
    rows = []
    for settings, runs in over_seeds(_sweep(results, "scatter")["runs"]):
        values = [run["test_accuracy"] for run in runs]
        error = statistics.stdev(values) / math.sqrt(len(values))
        rows.append(
            [
                settings["client.borrowed_scatter"],
                str(len(values)),
                mean_and_deviation(statistics.fmean(values), statistics.stdev(values), 4),
                f"{error:.4f}",
            ]
        )
    header = ["`client.borrowed_scatter`", "seeds", "test accuracy", "standard error of the mean"]
    return table(header, rows)


def process(results: Path) -> str:
    """Seconds of a whole process: its first start, and later ones."""
    report = read_json(results / "iris" / "process.json")
    later = report["later"]
    return table(
        ["first start, seconds", "later starts: median", "lowest", "highest", "original"],
        [
            [
                f"{report['first']:.1f}",
                f"**{statistics.median(later):.1f}**",
                f"{min(later):.1f}",
                f"{max(later):.1f}",
                f"about {ORIGINAL_SECONDS}",
            ]
        ],
    )


def accuracies_over_seeds(results: Path) -> Figure:
    """Every seed's accuracy, federated, central and alone, and their means."""
    figure = Figure(figsize=(6.8, 3.6), layout="constrained")
    panels = figure.subplots(1, len(_PARTIES), sharey=True)
    for axes, (name, parties) in zip(panels, _PARTIES.items(), strict=True):
        ways = _accuracies(_sweep(results, name))
        for place, values in enumerate(ways.values()):
            count = len(values)
            # Side by side, as many seeds have the same accuracy.
            places = [place + 0.5 * (number / count - 0.5) for number in range(count)]
            axes.plot(places, values, ".", color=f"C{place}", alpha=0.6)
            axes.plot(
                [place - 0.35, place + 0.35],
                [statistics.fmean(values)] * 2,
                color=f"C{place}",
                linewidth=2,
            )
            axes.text(place, 1.003, f"{statistics.fmean(values):.3f}", ha="center", va="bottom")
        axes.axhline(ORIGINAL_ACCURACY, color="0.4", linestyle=":", linewidth=1)
        axes.set_xticks(range(len(ways)), list(ways))
        axes.set(title=f"{parties} parties", ylim=(None, 1.02))
    panels[0].set_ylabel("test accuracy (dotted: original work)")
    return figure


PICTURES = {"accuracies.png": accuracies_over_seeds}
TABLES = {
    "setting": setting,
    "accuracies": accuracies,
    "three parties": first_three,
    "process": process,
    "scatter": scatter,
    "steps": steps_table("iris"),
    "made by": made_by("iris"),
}
