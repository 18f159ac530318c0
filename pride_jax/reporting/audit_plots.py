"""Pictures of what released models give away: ROC curves, and audits against their claims."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pride_jax.files import explained, read_json, write_json
from pride_jax.reporting.plots import save

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

    A claim above the bound of perfect guesses could not have been refuted.

    Args:
      reports: as ``scripts/audit.py --json`` prints each.
    """
    figure = Figure(figsize=(1.4 + 1.5 * len(reports), 4.0), layout="constrained")
    axes = figure.subplots()
    claims = [report["claimed"] for report in reports]
    places = range(len(reports))
    left, right = ([place + side for place in places] for side in (-0.35, 0.35))
    axes.hlines(claims, left, right, "0.2", label="claimed: no bound may be above")
    largest = [report["largest"] for report in reports]
    axes.hlines(largest, left, right, "C0", "dotted", label="bound of perfect guesses")
    for name, label, marker, color in (
        ("estimate", "estimate, no bound", "x", "C1"),
        ("bound", "lower bound", "^", "C0"),
    ):
        points = [
            (place, row[name])
            for place, report in zip(places, reports, strict=True)
            for row in report["rows"]
        ]
        axes.plot(*zip(*points, strict=True), marker, color=color, alpha=0.4, label=label)
    labels = [
        f"{report['config']}\nε = {report['claimed']:.3g}, δ = {report['delta']:g}"
        for report in reports
    ]
    axes.set_xticks(places, labels, fontsize=8)
    axes.set(ylabel="ε", xlim=(-0.6, len(reports) - 0.4), ylim=(-0.2, None))
    axes.legend(frameon=False, fontsize=8, loc="upper left")
    return figure


def join(report: dict[str, Any], folder: Path) -> None:
    """Adds a report to the folder's ``audit.json``, or replaces that of the same claim, and draws.

    Args:
      report: as ``scripts/audit.py --json`` prints it.
      folder: made if there is none.

    Raises:
      RunError: the files cannot be read or written.
    """
    with explained("write to", folder):
        folder.mkdir(parents=True, exist_ok=True)
    path = folder / "audit.json"
    saved = read_json(path)["audits"] if path.exists() else []
    others = [each for each in saved if _claim(each) != _claim(report)]
    reports = sorted([*others, report], key=lambda each: each["claimed"])
    write_json(path, {"audits": reports})
    save(audits(reports), folder / "audit.png")


def _claim(report: dict[str, Any]) -> tuple[Any, ...]:
    # Another number of canaries is another sum of as many terms.
    claimed = round(report["claimed"], 6)
    return report["config"], report["privacy"]["mechanism"], claimed, report["delta"]
