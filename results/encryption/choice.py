"""Protocols chosen by what is trusted: whom each needs to be honest, and what that costs."""

import re
from pathlib import Path
from typing import NamedTuple

from pride_jax.files import read_json
from pride_jax.reporting.markdown import rounded, table
from results.rows import only


class Trust(NamedTuple):
    """What a protocol asks for.

    Attributes:
      hidden: updates stay hidden unless these collude.
      holds: against whom.
      spoils: who can make the sum wrong without being seen.
      absent: how many clients may leave in a round.
      messages: a client sends in a round.
    """

    hidden: str
    holds: str
    spoils: str
    absent: str
    messages: str


_RANGE = "a client, beyond its own range"
_ENOUGH = "all but the smallest cohort"
TRUST = {
    "plain": Trust("nothing is hidden", "–", _RANGE, _ENOUGH, "1"),
    "two_servers": Trust(
        "aggregator and key holder",
        "active servers, active clients",
        f"{_RANGE}; the key holder",
        _ENOUGH,
        "1",
    ),
    "paillier": Trust(
        "aggregator and key holder",
        "active servers, active clients",
        f"{_RANGE}; the key holder",
        _ENOUGH,
        "1",
    ),
    "threshold_paillier": Trust(
        "aggregator and three of four key holders (two, if they cheat), or the dealer",
        "active servers, active clients",
        _RANGE,
        _ENOUGH,
        "1",
    ),
    "masking": Trust(
        "aggregator and a third of the clients",
        "an active aggregator, active clients",
        _RANGE,
        "a tenth of the clients",
        "5: key, letter, vector, consent, share",
    ),
    "bfv": Trust(
        "aggregator and key holder; or aggregator and a client, if they cheat",
        "curious servers, honest clients",
        f"{_RANGE}; the key holder",
        _ENOUGH,
        "1",
    ),
}
TRUST |= {
    f"lattice({name})": TRUST[protocol]._replace(spoils=_RANGE)
    for name, protocol in (
        ("two_servers", "two_servers"),
        ("paillier", "paillier"),
        ("threshold", "threshold_paillier"),
        ("masking", "masking"),
    )
}
PARAMETERS = 199_210
NAMES = {"threshold_paillier": "threshold"}


def by_trust(results: Path) -> str:
    """A line a protocol; bytes and seconds of a client's part of a round of the 2NN."""
    figures = {
        each["protocol"]: (each["bytes"], each["encrypt_seconds"])
        for each in read_json(results / "encryption" / "benchmark.json")["client_rounds"]
        if (each["params"], each["workers"]) == (PARAMETERS, 1)
    }
    for each in read_json(results / "encryption" / "key_apart.json")["rows"]:
        # Without the size of its key, and whom masking is against.
        name = re.sub(r"-\w+", "", each["protocol"])
        if name.startswith("lattice") and each["params"] == PARAMETERS:
            figures[name] = each["bytes"], each["before"] + each["online"]
    lines = []
    for name, trust in TRUST.items():
        cells = ["–", "–"]
        if name in figures:
            sent, seconds = figures[name]
            cells = [f"{sent:,}", rounded(seconds)]
        lines.append([f"`{NAMES.get(name, name)}`", *trust, *cells])
    header = ["", "hidden unless these collude", "holds against", "who can spoil the sum unseen"]
    header += ["clients that may leave", "a client's messages", "a client's bytes", "seconds"]
    return table(header, lines)


def without_ckks(results: Path) -> str:
    """What CKKS cost beside BFV when both were there."""
    measured = read_json(results / "encryption" / "ckks.json")
    lines = []
    for name in ("bfv", "ckks"):
        row = only(measured["rows"], protocol=name, value_bits=16)
        whole = only(measured["client_rounds"], protocol=name, params=PARAMETERS)
        stages = (rounded(row[f"{stage}_us"]) for stage in ("encrypt", "add", "decrypt"))
        seconds = rounded(whole["encrypt_seconds"])
        lines.append([name, *stages, rounded(row["bytes"], 3), seconds])
    header = ["", "encrypt, µs a value", "add", "open", "bytes a value"]
    return table([*header, f"a client's seconds, {PARAMETERS:,} values"], lines)
