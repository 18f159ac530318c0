"""Which figures belong to which JSON: redraws what is in ``results/`` from its numbers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from pride_jax.errors import RunError
from pride_jax.reporting import audit_plots, encryption_plots, privacy_plots, scale_plots
from pride_jax.reporting.plots import save
from pride_jax.runs.files import read_json

_FIGURES: dict[str, dict[str, Callable[[dict[str, Any]], Figure]]] = {
    "benchmarks/scale.json": {
        "growth.png": scale_plots.growth,
        "ways.png": scale_plots.ways,
    },
    "encryption/benchmark.json": {
        "client_costs.png": encryption_plots.client_costs,
        "stages.png": encryption_plots.stage_costs,
    },
    "privacy/accuracy.json": {
        "accuracy_against_epsilon.png": privacy_plots.accuracy_against_epsilon,
    },
    "attacks/membership.json": {"membership.png": audit_plots.roc_curves},
    "attacks/audit.json": {"audit.png": lambda saved: audit_plots.audits(saved["audits"])},
}


def draw(folder: Path) -> list[Path]:
    """Draws every figure whose numbers are in the folder.

    Returns:
      The pictures' paths.

    Raises:
      RunError: no file in it has figures.
    """
    drawn = []
    for name, figures in _FIGURES.items():
        source = folder.resolve().parent / name
        if source.parent == folder.resolve() and source.exists():
            report = read_json(source)
            for picture, make in figures.items():
                save(make(report), folder / picture)
                drawn.append(folder / picture)
    if not drawn:
        raise RunError(f"{folder} has no numbers to draw: expected one of {', '.join(_FIGURES)}")
    return drawn
