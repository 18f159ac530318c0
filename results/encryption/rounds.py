"""Tables of what each role takes beside earlier code, of rounds of masking, and of damage."""

from pathlib import Path

from pride_jax.files import read_json
from pride_jax.reporting.markdown import rounded, table
from pride_jax.reporting.metrics import Row

_STEPS = {
    "keys": "keys, signed",
    "letters": "letters: keys agreed on, secrets shared out, boxes",
    "collecting": "letters collected",
    "reading": "letters read",
    "masks": "masks: keys agreed on, streams",
    "messages": "vectors, signed",
    "combining": "vectors added",
    "consents": "consents",
    "shares": "shares",
    "opening": "opening",
}
_CODES = {"here": "now", "before": "d4c1d8d"}


def _read(results: Path, name: str) -> dict[str, list[Row]]:
    return read_json(results / "encryption" / f"{name}.json")


def beside(results: Path) -> str:
    """Microseconds and bytes a value of each role, beside an earlier commit."""
    lines = [
        [
            f"`{row['protocol']}`",
            f"{row['params']:,}",
            _CODES[row["code"]],
            *(rounded(row[f"{step}_us"]) for step in ("encrypt", "add", "share", "open")),
            rounded(row["bytes"], 4),
        ]
        for row in _read(results, "beside")["rows"]
    ]
    header = ["", "values", "code", "encrypt", "add a message", "a holder's share", "open"]
    return table([*header, "bytes a value"], lines)


def proofs(results: Path) -> str:
    """What blinds and proofs are of encrypting."""
    lines = []
    for row in _read(results, "beside")["proofs"]:
        whole = row["encrypt_us"]
        lines.append(
            [
                f"{row['params']:,}",
                rounded(whole),
                *(
                    f"{rounded(row[f'{step}_us'])} ({row[f'{step}_us'] / whole:.1%})"
                    for step in ("blind", "prove", "check")
                ),
            ]
        )
    return table(["values", "encrypt", "of which blinds", "prove", "check"], lines)


def masked_rounds(results: Path) -> str:
    """A column a kind of round: processor seconds of everybody together."""
    rows = _read(results, "masking")["rows"]
    header = [
        f"{row['clients']:,} clients, {_CODES[row['code']]}"
        + (f", {row['silent']} silent, {row['server']} server" if row["silent"] else "")
        for row in rows
    ]
    lines = [
        ["helpers, and how many open", *(f"{row['degree']}, {row['threshold']}" for row in rows)],
        ["processor seconds", *(rounded(row["seconds"], 3) for row in rows)],
    ]
    for step, name in _STEPS.items():
        cells = (
            f"{rounded(row['steps'][step])} ({row['steps'][step] / row['seconds']:.0%})"
            if row["steps"]
            else ""
            for row in rows
        )
        lines.append([name, *cells])
    lines.append(["bytes a client", *(f"{row['bytes']:,.0f}" for row in rows)])
    return table(["", *header], lines)


def pieces(results: Path) -> str:
    """What the time goes to."""
    found = _read(results, "masking")["pieces"]
    lines = [
        [
            each["name"],
            rounded(each["us"]),
            f"{each['count']:,}",
            rounded(each["us"] * each["count"] / 1e6),
        ]
        for each in found
    ]
    return table(["", "µs", "times in a round", "seconds"], lines)


def one_client(results: Path) -> str:
    """One client's part of a round too large to be played."""
    lines = []
    for one in _read(results, "masking")["ones"]:
        steps = ", ".join(f"{step} {rounded(seconds)}" for step, seconds in one["steps"].items())
        lines.append(
            [
                f"{one['clients']:,}",
                f"{one['degree']}, {one['threshold']}",
                str(one["letters"]),
                f"{rounded(one['seconds'])} ({steps})",
                f"{one['bytes']:,}",
            ]
        )
    header = ["clients", "helpers, and how many open", "letters read", "processor seconds"]
    return table([*header, "bytes"], lines)


def damaged(results: Path) -> str:
    """What became of damaged messages, by protocol and kind."""
    rows = _read(results, "corruption")["rows"]
    lines = [
        [f"`{row['protocol']}`", row["kind"], f"{row['tries']:,}", f"{row['accepted']:,}"]
        for row in rows
    ]
    return table(["protocol", "kind of message", "damaged", "accepted"], lines)
