"""Real parties beside the simulation: the same bits, and where a round's seconds go."""

import statistics
from pathlib import Path

from pride_jax.files import read_json
from pride_jax.reporting import metrics
from pride_jax.reporting.markdown import table
from results.provenance import made_by

_RUNS = {"iris": "Iris, two parties", "six_party": "MNIST, six parties"}


def rounds(results: Path) -> str:
    """A round of real parties and of the per-client simulation: parameters, seconds, bytes."""
    rows = []
    for name, what in _RUNS.items():
        folder = results / "deploy" / name
        here = read_json(folder / "deployed" / "summary.json")
        there = read_json(folder / "simulated" / "summary.json")
        same = here["parameters_sha256"] == there["parameters_sha256"]
        stages = here["seconds_by_stage"]
        rows.append(
            [
                what,
                str(here["rounds"]),
                "the same, bit for bit" if same else "**not the same**",
                f"{here['seconds_per_round']:.1f}",
                f"{stages['train']:.1f} and {stages['open']:.1f}",
                f"{there['seconds_per_round']:.2f}",
                f"{here['bytes_per_client_round']:,}",
                f"{there['bytes_per_client_round']:,}",
            ]
        )
    header = ["run, 3072-bit Paillier over TLS", "rounds", "parameters"]
    header += ["seconds a round", "of which training and opening", "simulated, seconds a round"]
    header += ["bytes a party and round", "simulated"]
    return table(header, rows)


def messages(results: Path) -> str:
    """What a request and its answer take: until it is there, and of a processor at one node.

    Replies told the latter when this was measured; nodes have kept it to themselves since.
    """
    rows = []
    for name, what in _RUNS.items():
        answers = metrics.read(results / "deploy" / name / "deployed" / "exchanges.jsonl")
        for kind in dict.fromkeys(row["kind"] for row in answers):
            alike = [row for row in answers if row["kind"] == kind]
            seconds = [row["seconds"] for row in alike]
            worked = statistics.median(row["processor_seconds"] for row in alike)
            rows.append(
                [
                    what,
                    f"`{kind}`",
                    str(len(alike)),
                    f"{statistics.median(seconds):.1f} ({min(seconds):.1f}–{max(seconds):.1f})",
                    f"{worked:.1f}",
                    f"{statistics.median(seconds) - worked:.1f}",
                ]
            )
    header = ["run", "request", "answers", "seconds until the answer, median (range)"]
    header += ["processor seconds at the node", "the rest"]
    return table(header, rows)


def rehearsed(results: Path) -> str:
    """What went wrong between machines, and what became of the run."""
    rows = [
        [
            each["what"],
            "the simulation's, bit for bit" if each["same"] else "**another**",
            f"{each['seconds']:.0f}",
            str(each["lost"]),
            each["said"],
        ]
        for each in read_json(results / "deploy" / "rehearsal.json")["rehearsed"]
    ]
    header = ["what went wrong", "everybody's model", "seconds of the run"]
    header += ["messages not in a sum", "what was said"]
    return table(header, rows)


PICTURES = {}
TABLES = {
    "rounds": rounds,
    "messages": messages,
    "rehearsed": rehearsed,
    "made by": made_by("deploy"),
}
