"""Tables of hiding vectors under one-time keys: seconds, security, and a GPU's schedule."""

from pathlib import Path
from typing import Any

from pride_jax.files import read_json
from pride_jax.reporting.markdown import rounded, table

_STEPS = {
    "expand": "public polynomials, once a round",
    "draw": "key and errors",
    "mask": "mask, before the update",
    "hide": "hide the update",
    "client": "**a client, in all**",
    "add": "check and add a message",
    "reveal": "read the sum",
}


def _json(results: Path, name: str) -> Any:
    return read_json(results / "encryption" / f"{name}.json")


def steps(results: Path) -> str:
    """Seconds of each step, by length, and bytes."""
    rows = _json(results, "lattice")["rows"]
    lines = [[said, *(rounded(row[step]) for row in rows)] for step, said in _STEPS.items()]
    lines.append(["bytes a value", *(rounded(row["bytes"], 3) for row in rows)])
    return table(["seconds", *(f"{row['params']:,} values" for row in rows)], lines)


def rounds(results: Path) -> str:
    """A line a protocol and length: a client, a message's addition, opening, a client's bytes."""
    lines = [
        [
            f"`{row['protocol']}`",
            f"{row['params']:,}",
            rounded(row["before"] + row["online"]),
            rounded(row["online"]),
            rounded(row["add"]),
            rounded(row["open"]),
            f"{row['bytes']:,}",
        ]
        for row in _json(results, "key_apart")["rows"]
    ]
    header = ["protocol", "values", "a client", "of which with the update at hand"]
    return table([*header, "add a message", "open", "a client's bytes"], lines)


def masks(results: Path) -> str:
    """What one client's masks take, for a vector and for its key."""
    lines = [
        [
            str(row["clients"]),
            rounded(row["of_vector"]),
            rounded(row["of_key"]),
            rounded(row["of_vector"] / row["of_key"]),
        ]
        for row in _json(results, "key_apart")["masks"]
    ]
    return table(["clients", "of a vector, s", "of its key, s", "times less"], lines)


def rings(results: Path) -> str:
    """Bits of security of each ring at its largest modulus, by the estimator's attacks."""
    found = _json(results, "lattice_security")
    attacks = list(found[0]["attacks"])
    lines = [
        [
            f"{ring['degree']:,}",
            f"{ring['log2_q']:.0f}",
            *(f"{ring['attacks'][attack]:.1f}" for attack in attacks),
        ]
        for ring in found
    ]
    return table(["N", "bits of q", *(attack.replace("_", " ") for attack in attacks)], lines)


def schedule(results: Path) -> str:
    """What a GPU would run, a program a line."""
    found = _json(results, "lattice_schedule")
    lines = []
    for name, program in found["programs"].items():
        kinds = [kernel["kind"] for kernel in program["kernels"]]
        products = kinds.count("matrix product")
        megabytes = f"{program['bytes'] / 1e6:.0f}"
        lines.append([name, len(kinds), products, megabytes, ", ".join(program["types"])])
    header = ["program", "kernels", "of which int8 matrix products", "MB moved", "types"]
    return table(header, [[str(each) for each in line] for line in lines])
