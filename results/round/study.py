"""A picture of one round: who holds what, and what travels."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.text import Text

from pride_jax.reporting.colours import PRIVACY

_INK, _FRAME = "#222222", "#6b6b6b"
_BOX = 24, 30
"""Width and height."""


def picture(results: Path) -> Figure:
    """A round with a key holder, whatever is in ``results``; what travels hidden is red."""
    del results
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-1, 101), ylim=(0, 42))
    axes.axis("off")
    for shift in (2, 1):
        _frame(axes, shift, 9 - shift)
    _role(
        axes,
        0,
        "each client",
        ["holds its own examples", "and the public key", "", "trains, clips,", "rounds, encrypts"],
        "sees the models",
    )
    _role(
        axes,
        38,
        "server",
        [
            "holds the model",
            "",
            "adds updates unread,",
            "adds noise if private,",
            "steps the model",
        ],
        "sees the sum of the updates",
    )
    _role(
        axes,
        76,
        "key holder",
        ["holds the secret key", "", "checks who sent what,", "opens one blinded sum"],
        "sees no update and no sum",
    )
    _arrow(axes, (38, 29), (26, 29), "1  model", _INK)
    _arrow(axes, (26, 15), (38, 15), "2  encrypted\nupdate", PRIVACY)
    _arrow(axes, (62, 29), (76, 29), "3  encrypted\nupdates", PRIVACY)
    _arrow(axes, (76, 15), (62, 15), "4  blinded\nsum", PRIVACY)
    return figure


def _frame(axes: Axes, x: float, y: float) -> None:
    frame = FancyBboxPatch((x, y), *_BOX, boxstyle="round,pad=0,rounding_size=1.2")
    frame.set(facecolor="white", edgecolor=_FRAME, linewidth=2)
    axes.add_patch(frame)


def _role(axes: Axes, x: float, name: str, lines: list[str], sees: str) -> None:
    """A box: the name, what the role holds and does, and below the box what the role sees."""
    _frame(axes, x, 9)
    middle = x + _BOX[0] / 2
    _write(axes, middle, 35.5, name, 14).set(weight="bold")
    for row, line in enumerate(lines):
        _write(axes, middle, 29.5 - 3.8 * row, line)
    _write(axes, middle, 3.5, sees).set(style="italic")


def _write(axes: Axes, x: float, y: float, text: str, size: float = 12) -> Text:
    return axes.text(x, y, text, ha="center", va="center", color=_INK, fontsize=size)


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], text: str, colour: str
) -> None:
    """What travels, written above its way."""
    arrow = FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=18, linewidth=2)
    arrow.set_color(colour)
    axes.add_patch(arrow)
    middle = (start[0] + end[0]) / 2
    axes.text(middle, start[1] + 1, text, ha="center", va="bottom", color=colour, fontsize=12)


PICTURES = {"round.png": picture}
TABLES = {}
