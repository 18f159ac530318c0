"""Attack what roles hold: ``python scripts/attack.py inversion|membership``."""

import sys
from json import loads
from pathlib import Path

import checkout  # noqa: F401, since importing it finds the package

# isort: split
import tyro

from pride_jax.attacks import run_inversion as inversion
from pride_jax.attacks import run_membership as membership
from pride_jax.errors import PrideError
from pride_jax.files import write_atomically
from pride_jax.reporting.attack_plots import reconstructions
from pride_jax.reporting.audit_plots import roc_curves
from pride_jax.reporting.plots import save

app = tyro.extras.SubcommandApp()


@app.command(name="inversion")
def invert(
    setting: tyro.conf.OmitArgPrefixes[inversion.Setting],
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Reconstructs clients' digits from what each role holds of their updates.

    Args:
      setting: what is attacked.
      json: print one JSON object as the last line.
      out: folder for ``inversion.json`` and the pictures, one a model, of the telling views.
    """
    report = inversion.measure(setting)
    inversion.show(report)
    line = inversion.as_json(setting, report)
    if out is not None:
        for model, columns in (("2nn", min(setting.digits, 8)), ("cnn", setting.matched)):
            views = [
                (picture.view, picture.images[:columns], picture.psnr_median)
                for picture in report.pictures
                if picture.model == model and picture.view in inversion.TELLING
            ]
            if views:
                figure = reconstructions(report.originals[:columns], views)
                save(figure, out / f"inversion_{model}.png")
        write_atomically(out / "inversion.json", (line + "\n"))
    if json:
        print(line)


@app.command(name="membership")
def find_members(
    setting: tyro.conf.OmitArgPrefixes[membership.Setting],
    json: bool = False,
    out: Path | None = None,
) -> None:
    """Asks of the released models whether a client took part.

    Args:
      setting: what is attacked.
      json: print one JSON object as the last line.
      out: folder for ``membership.json`` and ``membership.png``.
    """
    report = membership.measure(setting)
    membership.show(report)
    line = membership.as_json(setting, report)
    if out is not None:
        save(roc_curves(loads(line)), out / "membership.png")
        write_atomically(out / "membership.json", line + "\n")
    if json:
        print(line)


def main() -> int:
    """Reads the command line, attacks, and returns the exit status."""
    try:
        app.cli(description=__doc__)
    except PrideError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
