"""Tables of what each role reconstructs of a client's digit."""

from pathlib import Path
from typing import Any

from pride_jax.files import read_json
from pride_jax.reporting.markdown import rounded, table
from pride_jax.reporting.metrics import Row
from results.rows import only


def _report(results: Path) -> dict[str, Any]:
    return read_json(results / "attacks" / "inversion.json")


def _pointed(row: Row) -> str:
    return f"{row['identified'] * row['digits']:.0f} of {row['digits']}"


_ASKED = (
    "clear update",
    "clear update, trained model",
    "clipped to 0.1",
    "sum over 2",
    "sum over 10",
    "sum over 100",
    "two released models, with and without one of 100",
    "ε = 10000, others known",
    "ε = 8, others known",
    "integers with own share of noise, ε = 8",
)
"""Views that each answer a question, in that order."""
_UNREAD = (
    "ciphertext, Paillier 3072",
    "ciphertext, threshold Paillier 3072",
    "ciphertext, BFV",
    "masked integers",
    "under a one-time key",
)
"""Views of whoever adds updates without a key: of these, the most that an attack got."""


def digits(results: Path) -> str:
    """What the attacks get of a digit, a line a question."""
    report = _report(results)
    lines = [_line(report["rows"], view) for view in _ASKED]
    unread = [_line(report["rows"], view) for view in _UNREAD]
    best = [max((line[at] for line in unread), key=_first) for at in range(2, 7)]
    lines.append([f"the best of {len(unread)} kinds of hidden update", "aggregator", *best])
    header = ["what is held", "by whom", "2NN: PSNR", "told the best unit", "its digit"]
    return table([*header, "CNN: PSNR (worst to best)", "its digit"], lines)


def _line(rows: list[Row], view: str) -> list[str]:
    of_view = [row for row in rows if row["view"] == view]
    attacks = {row["attack"]: row for row in of_view}
    matched = ["–", "–"]
    if (row := attacks.get("matching")) is not None:
        spread = f"{min(row['psnrs']):.1f} to {max(row['psnrs']):.1f}"
        matched = [f"{row['psnr_median']:.1f} ({spread})", _pointed(row)]
    return [
        view,
        of_view[0]["holder"],
        f"{attacks['all units']['psnr_median']:.1f}",
        f"{attacks['best unit']['psnr_median']:.1f}",
        _pointed(attacks["all units"]),
        *matched,
    ]


def _first(cell: str) -> float:
    """The number that a cell begins with; none is the least."""
    return -1.0 if cell == "–" else float(cell.split()[0])


def setting(results: Path) -> str:
    """The sentence on what is attacked, and on what a guess and chance reach."""
    report = _report(results)
    asked, rows = report["setting"], report["rows"]
    digits, clients = asked["digits"], asked["clients"]
    guess = only(rows, model="2nn", attack="all units", view="clear update")["psnr_of_mean_image"]
    luck = 1 - (1 - 1 / clients) ** digits - digits / clients * (1 - 1 / clients) ** (digits - 1)
    return (
        f"{digits} digits of {clients} clients; trained models have seen {asked['pretraining']:,} "
        f"digits of others, once; gradients are matched in {asked['iterations']} iterations. "
        f"**Guessing the mean training image has {guess:.1f} dB.** By chance an attack points to "
        f"{digits / clients:g} of {digits} digits, and to two or more in {luck:.1%} of rows.\n"
    )


def noise_multipliers(results: Path) -> str:
    """Of a round at each ε."""
    found = _report(results)["noise_multipliers"]
    header = ["ε of a round", *(f"{float(epsilon):,g}" for epsilon in found)]
    return table(header, [["noise multiplier", *(rounded(each, 3) for each in found.values())]])
