"""Parties of very different sizes: who gains by joining, from a run with comparison."""

from pathlib import Path

from matplotlib.figure import Figure

from pride_jax.files import read_json
from pride_jax.reporting import plots
from pride_jax.reporting.markdown import table
from results.provenance import made_by

_RUN = "mnist_six_party"
_ORIGINAL = {
    "original work: logistic models, averaged once": 0.93,
    "original work: central": 0.9175,
}


def accuracies(results: Path) -> str:
    """Test accuracy of the federated and the central model, and of each party alone."""
    folder = results / _RUN
    summary = read_json(folder / "summary.json")
    sizes = read_json(folder / "config.json")["partition"]["sizes"]
    federated = summary["test_accuracy"]
    rows = [
        ["federated", f"{sum(sizes):,}", f"**{federated:.2%}**", ""],
        ["central", f"{sum(sizes):,}", f"{summary['central']:.2%}", ""],
    ]
    for what, published in _ORIGINAL.items():
        rows.append([what, f"{sum(sizes):,}", f"{published:.2%}", ""])
    for number, (size, alone) in enumerate(zip(sizes, summary["alone"], strict=True)):
        gain = f"{100 * (federated - alone):+.2f} points"
        rows.append([f"party {number} alone", f"{size:,}", f"{alone:.2%}", gain])
    return table(["model", "digits", "test accuracy", "what joining gives"], rows)


def confusion_matrices(results: Path) -> Figure:
    """Of the federated model, the central one, and each party's own."""
    return plots.confusion_matrices(
        plots.confusions(read_json(results / _RUN / "summary.json")), ()
    )


PICTURES = {"plots/confusion_matrix.png": confusion_matrices}
TABLES = {"accuracies": accuracies, "made by": made_by("mnist_six_party")}
