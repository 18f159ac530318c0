"""What each protection costs: accuracy under every noise, seconds and bytes through every protocol.

What a protocol adds is the same integers, so that accuracy depends on the noise alone; seconds and
bytes depend on the protocol, and on whether clients' integers carry shares of noise, not on ε.
"""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from pride_jax.files import read_json
from pride_jax.reporting.markdown import mean_and_deviation, rounded, table
from pride_jax.reporting.metrics import Row
from results.provenance import made_by, sources
from results.redo import steps_table
from results.rows import only

PROTOCOLS = {
    "none": "floats in the clear",
    "two_servers": "two servers",
    "lattice(two_servers)": "two servers, keys apart",
    "masking-active": "masking",
    "lattice(masking-active)": "masking, keys apart",
    "bfv-4096": "BFV",
    "paillier-3072": "Paillier",
    "lattice(paillier-3072)": "Paillier, keys apart",
    "threshold-3072": "threshold Paillier",
}
"""By their names in ``rounds.json``, from the fewest roles that must be trusted with everything."""
NOISES = {"none": "no noise", "gaussian": "Gaussian", "skellam": "Skellam shares"}
_TIMED = {"none": "none", "gaussian": "none", "skellam": "skellam"}
"""Mechanism -> that of the rounds that were timed: Gaussian noise is one vector, added to a sum."""


class Noise(NamedTuple):
    """What noise the sum carries.

    Attributes:
      mechanism: ``none``, ``gaussian`` or ``skellam``.
      epsilon: that was asked for, of the whole run; None without noise.
      spent: of that; None without noise.
      accuracies: of each seed.
      audited: the median lower bound on ε of its audits; None without noise.
    """

    mechanism: str
    epsilon: float | None
    spent: float | None
    accuracies: list[float]
    audited: float | None

    @property
    def accuracy(self) -> float:
        """The mean over seeds."""
        return statistics.fmean(self.accuracies)


class Cost(NamedTuple):
    """What a round of a protocol costs.

    Attributes:
      seconds: of a processor, of everybody: medians.
      bytes: that a client sends.
    """

    seconds: float
    bytes: float


Kind = Literal["nothing", "noise", "hiding", "both"]


class Protection(NamedTuple):
    """A row of the picture."""

    name: str
    kind: Kind
    accuracy: float
    cost: Cost


def noises(results: Path) -> Iterator[Noise]:
    """From no noise to the most, by mechanism."""
    audits = read_json(results / "balance" / "audit.json")["audits"]
    for mechanism in NOISES:
        runs = read_json(results / "balance" / "accuracy" / mechanism / "sweep.json")["runs"]
        for target in dict.fromkeys(map(_target, runs)):
            alike = [run for run in runs if _target(run) == target]
            bounds = [
                statistics.median(row["bound"] for row in audit["rows"])
                for audit in audits
                if _claimed(audit) == (mechanism, target)
            ]
            accuracies = [run["test_accuracy"] for run in alike]
            audited = bounds[0] if bounds else None
            yield Noise(mechanism, target, alike[0].get("epsilon"), accuracies, audited)


def _claimed(audit: Row) -> tuple[str, float | None]:
    return audit["privacy"]["mechanism"], audit["privacy"]["epsilon"]


def _target(run: Row) -> float | None:
    """ε that was asked for."""
    target = run["settings"]["privacy.epsilon"]
    return None if target == "None" else float(target)


def cost(results: Path, protocol: str, mechanism: str) -> Cost:
    """Of a round through that protocol, whose sum carries that noise.

    Training is timed with a sum in the clear, the place of which the protocol's sum takes.
    """
    rows, timed = read_json(results / "balance" / "rounds.json")["rows"], _TIMED[mechanism]
    row = only(rows, protocol=protocol, mechanism=timed)
    seconds = statistics.median(row["train"]) + _median(row, "seconds")
    if protocol != "none":
        seconds -= _median(only(rows, protocol="plain", mechanism=timed), "seconds")
    return Cost(seconds, _median(row, "bytes"))


def _is_timed(results: Path) -> bool:
    """Whether sums with shares of noise were."""
    rows = read_json(results / "balance" / "rounds.json")["rows"]
    return any(row["mechanism"] == "skellam" for row in rows)


def _median(row: Row, name: str) -> float:
    return statistics.median(each[name] for each in row["sums"])


def protections(results: Path) -> Iterator[Protection]:
    """The rows of the picture: nothing, noise, hiding, and both."""
    made = list(noises(results))
    (without,) = (noise for noise in made if noise.mechanism == "none")
    clear = cost(results, "none", "none")
    yield Protection("nothing", "nothing", without.accuracy, clear)
    for noise in made:
        if noise.mechanism == "gaussian":
            yield Protection(f"noise, ε = {noise.epsilon:g}", "noise", noise.accuracy, clear)
    for protocol, name in PROTOCOLS.items():
        if protocol != "none":
            yield Protection(name, "hiding", without.accuracy, cost(results, protocol, "none"))
    for noise in made:
        if noise.mechanism == "skellam" and noise.epsilon == _BOTH_AT and _is_timed(results):
            for protocol in ("two_servers", "threshold-3072"):
                name = f"{PROTOCOLS[protocol]}, ε = {noise.epsilon:g}"
                yield Protection(name, "both", noise.accuracy, cost(results, protocol, "skellam"))


_BOTH_AT = 3.0
"""ε of the rows that show noise in hidden updates."""


def setting(results: Path) -> str:
    """The sentence on the federation, the rounds that were timed, and the audits."""
    config = read_json(results / "balance" / "accuracy" / "none" / "sweep.json")["config"]
    measured = read_json(results / "balance" / "rounds.json")
    clear = only(measured["rows"], protocol="none")
    turns = min(len(row["sums"]) for row in measured["rows"] if row is not clear)
    ((canaries, confidence),) = {
        (audit["setting"]["canaries"], audit["setting"]["confidence"])
        for audit in read_json(results / "balance" / "audit.json")["audits"]
    }
    return (
        f"{config['partition']['clients']:,} clients of two classes each, "
        f"{config['cohort']['size']} a round, {clear['sums'][0]['bytes'] / 4:,.0f} parameters, "
        f"{config['aggregation']['bits']}-bit integers, δ = {config['privacy']['delta']:g}, "
        f"{config['rounds']} rounds. Costs are medians of {turns} sums of each protocol, on "
        f"{measured['environment']['cores']} core. Audits have {canaries:,} canaries and "
        f"{confidence:.0%} confidence.\n"
    )


def accuracy(results: Path) -> str:
    """A line for every noise."""
    made = list(noises(results))
    lines = [
        [
            NOISES[noise.mechanism],
            "∞" if noise.epsilon is None else f"{noise.epsilon:g}",
            "–" if noise.spent is None else f"{noise.spent:.3g}",
            mean_and_deviation(noise.accuracy, statistics.stdev(noise.accuracies), 4),
            f"{100 * (noise.accuracy - made[0].accuracy):+.2f}" if noise.epsilon else "",
            "–" if noise.audited is None else f"{noise.audited:.2f}",
        ]
        for noise in made
    ]
    header = ["noise", "ε asked for", "spent", "test accuracy", "points", "ε by audit, at least"]
    return table(header, lines)


def protocols(results: Path) -> str:
    """A line for every protocol: without shares of noise, and with them."""
    clear, lines = cost(results, "none", "none"), []
    for protocol, name in PROTOCOLS.items():
        without = cost(results, protocol, "none")
        line = [
            name,
            f"`{protocol}`",
            rounded(without.seconds),
            f"{rounded(without.seconds / clear.seconds)} ×",
            f"{without.bytes / 1000:.1f}",
        ]
        if protocol == "none" or not _is_timed(results):
            lines.append([*line, "–", "–"])
            continue
        shared = cost(results, protocol, "skellam")
        lines.append([*line, rounded(shared.seconds), f"{shared.bytes / 1000:.1f}"])
    header = ["hidden by", "", "processor seconds a round", "", "kB a client and round"]
    return table([*header, "seconds with Skellam shares", "kB"], lines)


def in_short(results: Path) -> str:
    """The picture's rows."""
    lines = [
        [
            each.name,
            f"{each.accuracy:.2%}",
            rounded(each.cost.seconds),
            f"{each.cost.bytes / 1000:.0f}",
        ]
        for each in protections(results)
    ]
    return table(
        ["protection", "test accuracy", "processor seconds a round", "kB a client and round"], lines
    )


COLOURS: dict[Kind, str] = {
    "nothing": "0.35",
    "noise": "#c4560f",
    "hiding": "#1f6fb4",
    "both": "#7b3294",
}
_HEADS: dict[Kind, str] = {
    "nothing": "",
    "noise": "Noise: the models tell less",
    "hiding": "Hiding: updates are added unread",
    "both": "Both",
}
_GAP = 1.35
"""Rows that a heading takes, with the space above it."""


def costs(results: Path) -> Figure:
    """What each protection costs in accuracy, seconds and bytes, a row each."""
    rows = list(protections(results))
    heights, heads = _places(rows)
    figure = Figure(figsize=(10, 6.2), layout="constrained")
    panels = figure.subplots(1, 3, sharey=True, width_ratios=(1, 1.15, 1.15))
    values = (
        [100 * row.accuracy for row in rows],
        [row.cost.seconds for row in rows],
        [row.cost.bytes / 1000 for row in rows],
    )
    titles = ("Test accuracy, %", "Processor seconds a round", "kB a client and round")
    told = ("{:.1f}".format, rounded, rounded)
    for axes, title, numbers, say in zip(panels, titles, values, told, strict=True):
        _panel(axes, rows, heights, numbers, say)
        axes.set_title(title, fontsize=11, loc="left")
    accuracy_, *logarithmic = panels
    lowest, highest = min(values[0]), max(values[0])
    room = highest - lowest
    accuracy_.set_xlim(lowest - 0.35 * room, highest + 0.45 * room)
    for axes, numbers in zip(logarithmic, values[1:], strict=True):
        axes.set_xscale("log")
        axes.set_xlim(min(numbers) / 2, max(numbers) * 6)
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.minorticks_off()
    accuracy_.set_yticks(heights, [row.name for row in rows], fontsize=10)
    for label, row in zip(accuracy_.get_yticklabels(), rows, strict=True):
        label.set_color(COLOURS[row.kind])
    for kind, height in heads.items():
        accuracy_.annotate(
            _HEADS[kind],
            (0, height),
            xytext=(-6, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=10,
            fontweight="bold",
            color=COLOURS[kind],
        )
    accuracy_.set_ylim(heights[-1] - 0.6, heights[0] + 0.6)
    return figure


def _places(rows: list[Protection]) -> tuple[list[float], dict[Kind, float]]:
    """Where each row and each heading is, downwards."""
    heights: list[float] = []
    heads: dict[Kind, float] = {}
    below = 0.0
    for row in rows:
        if row.kind not in heads and _HEADS[row.kind]:
            below -= _GAP
            heads[row.kind] = below + 1
        heights.append(below)
        below -= 1
    return heights, heads


def _panel(
    axes: Axes, rows: list[Protection], heights: list[float], numbers: list[float], say
) -> None:
    """A dot a row, on a line from what nothing costs."""
    nothing = numbers[0]
    axes.axvline(nothing, color="0.8", linewidth=1, zorder=0)
    for row, height, number in zip(rows, heights, numbers, strict=True):
        colour = COLOURS[row.kind]
        axes.plot([nothing, number], [height, height], color=colour, linewidth=2, zorder=1)
        axes.plot(number, height, "o", color=colour, markersize=6, zorder=2)
        # A fall is told on the left of its dot, so that no line runs through the number.
        left = number < nothing
        axes.annotate(
            say(number),
            (number, height),
            xytext=(-7 if left else 7, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=9,
            # What costs nothing is told faintly.
            color=colour if number != nothing or row.kind == "nothing" else "0.6",
        )
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=9)


PICTURES = {"costs.png": costs}
TABLES = {
    "setting": setting,
    "accuracy": accuracy,
    "protocols": protocols,
    "in short": in_short,
    "steps": steps_table("balance"),
    "sources": sources("balance/rounds.json", "balance/audit.json"),
    "made by": made_by("balance/accuracy"),
}
