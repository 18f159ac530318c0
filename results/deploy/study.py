"""Real parties beside the simulation: the same bits, and where a round's seconds go."""

import statistics
from pathlib import Path

from pride_jax.files import read_json
from pride_jax.reporting.markdown import table
from results.provenance import made_by
from results.redo import steps_table

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
    """A message's way with a process for every message, and with a role's own that stays."""
    folder = results / "deploy" / "engine"
    before, now = (read_json(folder / f"{name}.json") for name in ("before", "resident"))
    columns = [(each, kind) for each in (before, now) for kind in ("train", "open")]
    rows = [
        [what, *(f"{statistics.median(each['steps'][kind][step]):.2f}" for each, kind in columns)]
        for step, what in _STEPS.items()
    ]
    rounds = [statistics.median(each["run"]) for each in (before, now)]
    nothing = [statistics.median(each["floor"]) for each in (before, now)]
    rows.append(["**a round of the run**", f"{rounds[0]:.1f}", "", f"{rounds[1]:.1f}", ""])
    asked = [each["setting"]["messages"] for each in (before, now)]
    if asked[0] != asked[1]:
        raise ValueError(f"rounds of {asked} messages are no comparison: measure them again")
    what = f"**a round of nothing, {asked[0]} messages to all three nodes**"
    rows.append([what, f"{nothing[0]:.1f}", "", f"{nothing[1]:.1f}", ""])
    header = ["seconds", "before, `train`", "before, `open`", "now, `train`", "now, `open`"]
    return table(header, rows)


_STEPS = {
    "until its process starts": "from the server until its process starts (looks for messages)",
    "start Python": "start of Python and Flower, and fetching the message",
    "import the app": "import of this package",
    "answer": "answer: JAX, compiled program, training, encryption; opening",
    "processor": "processor seconds of Flower's process",
}


def answers(results: Path) -> str:
    """What a party's answer to ``train`` is made of, by the party's own clock."""
    parties = read_json(results / "deploy" / "engine" / "resident.json")["parties"]
    rows = [
        [what, *(f"{statistics.median(parties[when + part]):.3f}" for when in ("first ", ""))]
        for part, what in (
            ("train", "training; in the first round also importing JAX and compiling"),
            ("protect", "encrypting and signing"),
        )
    ]
    return table(["seconds of a party's answer", "first round", "later rounds"], rows)


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
    "answers": answers,
    "rehearsed": rehearsed,
    "steps": steps_table("deploy"),
    "made by": made_by("deploy"),
}
