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


def of_2nn(results: Path) -> str:
    """Inversions of the first dense layer: each attack's PSNR, a line a view."""
    report = _report(results)
    views: dict[tuple[str, str], dict[str, Row]] = {}
    for row in report["rows"]:
        if row["model"] == "2nn":
            views.setdefault((row["view"], row["holder"]), {})[row["attack"]] = row
    lines = [
        [
            *view,
            f"{attacks['all units']['psnr_median']:.1f}",
            f"{attacks['all units']['ssim_median']:.2f}",
            f"{attacks['largest unit']['psnr_median']:.1f}",
            f"{attacks['best unit']['psnr_median']:.1f}",
            _pointed(attacks["all units"]),
        ]
        for view, attacks in views.items()
    ]
    header = ["what is held", "by whom", "all units: PSNR", "SSIM", "largest unit"]
    header += ["told the best unit", f"pointed to the right one of {report['setting']['clients']}"]
    return table(header, lines)


def of_cnn(results: Path) -> str:
    """Matched gradients, a line a view."""
    report = _report(results)
    lines = [
        [
            row["view"],
            row["holder"],
            f"{row['psnr_median']:.1f} ({min(row['psnrs']):.1f} to {max(row['psnrs']):.1f})",
            f"{row['ssim_median']:.2f}",
            f"{row['psnr_of_mean_image']:.1f}",
            _pointed(row),
        ]
        for row in report["rows"]
        if row["model"] == "cnn"
    ]
    header = ["what is held", "by whom", "PSNR, median (worst to best)", "SSIM"]
    header += ["mean image's PSNR", f"pointed to the right one of {report['setting']['clients']}"]
    return table(header, lines)


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


def every_digit(results: Path) -> str:
    """Of each digit that was found in the CNN's clear update."""
    row = next(row for row in _report(results)["rows"] if row["model"] == "cnn")
    assert row["view"] == "clear update", "it is matched first"
    pairs = zip(row["psnrs"], row["ssims"], strict=True)
    lines = [
        [str(number), f"{psnr:.1f}", f"{ssim:.3f}"]
        for number, (psnr, ssim) in enumerate(pairs, start=1)
    ]
    return table(["digit", "PSNR", "SSIM"], lines)


def noise_multipliers(results: Path) -> str:
    """Of a round at each ε."""
    found = _report(results)["noise_multipliers"]
    header = ["ε of a round", *(f"{float(epsilon):,g}" for epsilon in found)]
    return table(header, [["noise multiplier", *(rounded(each, 3) for each in found.values())]])
