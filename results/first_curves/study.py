"""First curves of a regression, a text by speaker and photographs: how far some rounds go."""

from pathlib import Path

from pride_jax.files import read_json
from pride_jax.reporting import metrics
from pride_jax.reporting.markdown import rounded, table
from results.provenance import made_by
from results.redo import steps_table

_STUDY = "first_curves"
_WHOSE = ("groups", "clients")


def curves(results: Path) -> str:
    """Each run's first and last score on test examples, its spread, and its time."""
    rows = []
    for path in sorted((results / _STUDY).glob("*/summary.json")):
        summary = read_json(path)
        first, *_ = metrics.read(path.parent / "metrics.jsonl")
        score = metrics.headline(summary)
        spread = next(
            each for whose in _WHOSE if (each := summary[f"{score}_over_{whose}"]) is not None
        )
        low, high = ("minimum", "maximum") if score == "accuracy" else ("maximum", "minimum")
        rows.append(
            [
                f"`{path.parent.name}`",
                score.replace("_", " "),
                str(summary["rounds"]),
                f"{first[f'test_{score}']:.3f}",
                f"**{summary[f'test_{score}']:.3f}**",
                f"{spread[low]:.3f} / {spread['median']:.3f} / {spread[high]:.3f}",
                rounded(summary["seconds_per_round"]),
                f"{summary['seconds_total']:.0f}",
            ]
        )
    header = ["config", "score", "rounds", "at the start", "at the end"]
    header += ["worst / median / best client", "s a round", "s in all"]
    return table(header, rows)


PICTURES = {}
TABLES = {"curves": curves, "steps": steps_table(_STUDY), "made by": made_by(_STUDY)}
