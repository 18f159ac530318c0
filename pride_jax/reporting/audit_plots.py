"""Pictures of what released models give away: ROC curves, and audits against their claims."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

_LOWEST = 1e-3


def roc_curves(report: dict[str, Any]) -> Figure:
    """Membership's ROC curves at each ε, with their ceilings dashed and 1% false alarms marked.

    Args:
      report: as ``scripts/attack.py membership --json`` prints it.
    """
    figure = Figure(figsize=(8.6, 4.0), layout="constrained")
    panels = figure.subplots(1, 2)
    for axes in panels:
        for number, row in enumerate(report["rows"]):
            name = "no DP" if row["epsilon"] is None else f"ε = {row['epsilon']:g}"
            label = f"{name}: AUC {row['auc']:.3f}"
            if row["auc_ceiling"] is not None:
                label += f", at most {row['auc_ceiling']:.3f}"
                axes.plot(row["fpr"], row["tpr_ceiling"], "--", color=f"C{number}", linewidth=1)
            axes.plot(row["fpr"], row["tpr"], color=f"C{number}", label=label)
            axes.plot(0.01, row["tpr_at_1_percent"], "o", color=f"C{number}", markersize=5)
        axes.plot([_LOWEST, 1], [_LOWEST, 1], ":", color="0.6", label="guessing")
        axes.set(xlabel="false positive rate")
        axes.grid(alpha=0.3)
    panels[0].set(ylabel="true positive rate", title="dashed: the ceiling under Gaussian DP")
    panels[1].set(
        xscale="log",
        yscale="log",
        xlim=(_LOWEST, 1),
        ylim=(_LOWEST, 1.1),
        title="dots: at 1% false positives",
    )
    panels[0].legend(fontsize=8, frameon=False, loc="lower right")
    return figure


def audits(reports: Sequence[dict[str, Any]]) -> Figure:
    """Lower bounds and estimates of audits against the ε that their plans claim.

    Args:
      reports: as ``scripts/audit.py --json`` prints each.
    """
    figure = Figure(figsize=(5.5, 4.2), layout="constrained")
    axes = figure.subplots()
    claims = [report["claimed"] for report in reports]
    top = 1.1 * max(claims)
    axes.plot([0, top], [0, top], "--", color="0.4", label="claimed ε: no bound may be above")
    for report in reports:
        first = report is reports[0]
        for name, marker, color in (("estimate", "x", "C1"), ("bound", "^", "C0")):
            values = np.array([row[name] for row in report["rows"]])
            label = {"estimate": "estimate (no bound)", "bound": "lower bound"}[name]
            places = np.full(len(values), report["claimed"])
            axes.plot(
                places, values, marker, color=color, alpha=0.5, label=label if first else None
            )
        axes.annotate(
            report["config"],
            (report["claimed"], 0),
            (0, 4),
            textcoords="offset points",
            fontsize=8,
            rotation=90,
            ha="right",
        )
    axes.set(xlabel="claimed ε", ylabel="ε from the audit", xlim=(0, top), ylim=(0, None))
    axes.legend(frameon=False, fontsize=8)
    return figure
