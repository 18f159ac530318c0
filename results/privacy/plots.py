"""Pictures of what privacy costs: accuracy against ε, from the sweeps' JSON."""

import statistics
from collections import defaultdict
from pathlib import Path

from matplotlib.figure import Figure

from results.privacy.geyer import with_noise, without_noise

PUBLISHED = {"K = 100": (8.0, 0.78), "K = 1,000": (8.0, 0.92), "K = 10,000": (8.0, 0.96)}
"""Geyer et al. (2017), table 1."""


def accuracy_against_epsilon(results: Path) -> Figure:
    """Test accuracy against ε for each number of clients, mean and range over seeds."""
    clear = without_noise(results)
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for number, (name, sweep) in enumerate(with_noise(results).items()):
        accuracies = defaultdict(list)
        for run in sweep["runs"]:
            accuracies[run["epsilon"]].append(run["test_accuracy"])
        epsilons = sorted(accuracies)
        means = [statistics.fmean(accuracies[epsilon]) for epsilon in epsilons]
        below = [
            mean - min(accuracies[epsilon]) for mean, epsilon in zip(means, epsilons, strict=True)
        ]
        above = [
            max(accuracies[epsilon]) - mean for mean, epsilon in zip(means, epsilons, strict=True)
        ]
        delta = sweep["runs"][0]["delta"]
        axes.errorbar(
            epsilons,
            means,
            (below, above),
            marker="o",
            capsize=3,
            color=f"C{number}",
            label=f"{name}, δ = {delta:g}",
        )
        ceiling = statistics.fmean(run["test_accuracy"] for run in clear[name]["runs"])
        axes.axhline(ceiling, color=f"C{number}", linestyle=":", linewidth=1)
        axes.plot(*PUBLISHED[name], "x", color=f"C{number}", markersize=8)
    axes.plot([], [], ":", color="0.4", label="without noise")
    axes.plot([], [], "x", color="0.4", label="published, no valid ε")
    axes.set(xscale="log", xlabel="ε (client level)", ylabel="test accuracy", ylim=(0.5, 1.0))
    axes.set_xticks(_TICKS, [f"{tick:g}" for tick in _TICKS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9)
    return figure


_TICKS = [0.25, 0.5, 1, 2, 3, 4, 8]
