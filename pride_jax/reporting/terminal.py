"""What a person reads of a run that begins, and of one that has ended."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pride_jax.reporting.metrics import headline, scores

_HELD_OUT = {
    "shared": "on held-out examples",
    "personal": "of clients' own models there",
    "fine_tuned": "of the fine-tuned model there",
}
"""What is tested on the examples that clients hold out."""


def show_note(text: str) -> None:
    """One line of what is worth knowing, while a run starts."""
    # What is printed while a progress bar is there appears above it.
    print(f"note: {text}")


def show_disclosure(disclosure: dict[str, Any]) -> None:
    """Who learns what, one line a role and kind of adversary."""
    table = Table(f"protocol {disclosure['protocol']}: who", "adversary", "learns", box=None)
    for sight in disclosure["sights"]:
        table.add_row(sight["who"], sight["adversary"], sight["learns"])
    console = Console()
    console.print(table)
    console.print(disclosure["guarantee"], highlight=False, soft_wrap=True)


def show_summary(summary: dict[str, Any]) -> None:
    """One screen that says how the run went."""
    table = Table(show_header=False, box=None)
    for name, value in _summary_lines(summary):
        table.add_row(name, value)
    Console().print(table)


def show_result(summary: dict[str, Any], workdir: Path) -> None:
    """What a run came to, in the last line on the screen."""
    name, score = next(iter(scores(summary).items()))
    told = f"test {name.replace('_', ' ')} {shown(score)} after {summary['rounds']} rounds"
    if "seconds_total" in summary:
        told += f", {summary['seconds_total']:.1f} s"
    if summary["delta"] is not None:
        told += f", ε = {number(summary['epsilon'], 4)} at δ = {summary['delta']:g}"
    Console().print(f"{told}; everything is in {workdir}", highlight=False, soft_wrap=True)


def _summary_lines(summary: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for name, value in scores(summary).items():
        yield f"test {name.replace('_', ' ')}", shown(value)
    if summary.get("central") is not None:
        alone = summary["alone"]
        yield "central model", f"{summary['central']:.4f}"
        yield (
            "clients alone",
            (f"{statistics.mean(alone):.4f} (from {min(alone):.4f} to {max(alone):.4f})"),
        )
    score, held_out = headline(summary), summary.get("held_out") or {}
    for whose, spread in {
        f"{score} on clients' own examples": summary.get(f"{score}_over_clients"),
        f"{score} by who made test examples": summary[f"{score}_over_groups"],
        **{f"{score} {_HELD_OUT[name]}": spread for name, spread in held_out.items()},
    }.items():
        if spread is not None:
            yield whose, _spread(score, spread)
    if summary["rounds_to_target"] is not None:
        yield "rounds to target", f"{summary['rounds_to_target']:.1f}"
    if "seconds_total" in summary:
        yield from _costs(summary)
    else:
        yield "rounds", f"{summary['rounds']}; what ε does not cover is in private/"
    yield "differential privacy", _privacy(summary)
    for note in summary.get("data_notes", ()):
        yield "of the data", note


def _costs(summary: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What rounds took, and what became of updates."""
    yield (
        "rounds",
        (
            f"{summary['rounds']}, {summary['seconds_per_round']:.3g} s each, "
            f"{summary['seconds_total']:.1f} s in all"
        ),
    )
    if summary["seconds_by_stage"]:
        yield (
            "seconds a round",
            ", ".join(
                f"{stage} {seconds:.3g}" for stage, seconds in summary["seconds_by_stage"].items()
            ),
        )
    yield "a client sends", f"{summary['bytes_per_client_round']:,} bytes a round"
    yield "clients", f"{summary['clients']}, of which {summary['empty_clients']} hold no example"
    for name in (
        "unused_examples",
        "lost_messages",
        "nonfinite_updates",
        "clipped_updates",
        "fitted_updates",
        "unopened_sums",
    ):
        if summary[name]:
            yield name.replace("_", " "), f"{summary[name]:,}"


def _spread(score: str, spread: dict[str, float]) -> str:
    """The middle and the worst of a spread: an accuracy is worst where low, a loss where high."""
    tenth, worst = ("tenth_percentile", "minimum")
    if score != "accuracy":
        tenth, worst = ("ninetieth_percentile", "maximum")
    return (
        f"median {spread['median']:.4f}, worst tenth {spread[tenth]:.4f}, worst {spread[worst]:.4f}"
    )


def _privacy(summary: dict[str, Any]) -> str:
    if summary["delta"] is None:
        return "none"
    told = f"ε = {number(summary['epsilon'], 4)} at δ = {summary['delta']:g}, client level"
    if summary["distance"] is None:
        told += ", no stated distance"
    return f"{told}; who knows the cohorts: {number(summary['epsilon_known_cohort'], 4)}"


def shown(score: float | None) -> str:
    """A score, which parties may not have told."""
    return "–" if score is None else f"{score:.4f}"


def number(epsilon: float | None, digits: int) -> str:
    """An ε, which may not be finite."""
    return "not finite" if epsilon is None else f"{epsilon:.{digits}g}"
