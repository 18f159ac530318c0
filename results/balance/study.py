"""Privacy, accuracy and time in one matrix: how updates are added against what noise they carry."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from pride_jax.files import read_json
from pride_jax.reporting.markdown import mean_and_deviation, table
from pride_jax.reporting.metrics import Row
from results.provenance import made_by
from results.rows import only

_PROTOCOLS = {
    "none": "floats in the clear",
    "masking": "masking",
    "bfv": "BFV",
    "paillier": "Paillier",
    "threshold": "threshold Paillier",
}
_NOISES = {"none": "no noise", "gaussian": "Gaussian", "skellam": "Skellam shares"}
_TIMED = {"none": "none", "gaussian": "none", "skellam": "skellam"}
"""Mechanism -> that of the rounds that were timed: Gaussian noise is one vector, added to a sum."""
_STAGES = ("train", "protect", "combine", "open")
_CLEAR = "clipped to 0.1"
_HIDDEN = {
    "masking": "masked integers",
    "bfv": "ciphertext, BFV",
    "paillier": "ciphertext, Paillier 3072",
    "threshold": "ciphertext, Paillier 3072",
}
"""View of `attack.py inversion` that is what an aggregator receives of a client; with `threshold`,
too, it is a ciphertext of Paillier's."""


class Column(NamedTuple):
    """What noise the sum carries.

    Attributes:
      mechanism: ``none``, ``gaussian`` or ``skellam``.
      epsilon: of the whole run; None without noise.
      accuracies: of each seed.
      noise_multiplier: of the plan; 0 without noise.
      audited: the median lower bound on ε of its audits; None without noise.
    """

    mechanism: str
    epsilon: float | None
    accuracies: list[float]
    noise_multiplier: float
    audited: float | None


class Cost(NamedTuple):
    """What a round of a protocol costs, with one mechanism.

    Attributes:
      protocol: as in a config.
      mechanism: ``none``, ``gaussian`` or ``skellam``.
      seconds: of each stage; ``train`` alone where the device adds floats.
      bytes: a client sends.
    """

    protocol: str
    mechanism: str
    seconds: dict[str, float]
    bytes: float

    @property
    def total(self) -> float:
        """Seconds of a round."""
        return sum(self.seconds.values())


def columns(results: Path) -> Iterator[Column]:
    """From no noise to the most."""
    audits = read_json(results / "balance" / "audit.json")["audits"]
    for mechanism in _NOISES:
        runs = read_json(results / "balance" / "accuracy" / mechanism / "sweep.json")["runs"]
        for target in dict.fromkeys(map(_target, runs)):
            alike = [run for run in runs if _target(run) == target]
            first = alike[0]
            bounds = [
                statistics.median(row["bound"] for row in audit["rows"])
                for audit in audits
                if _claimed(audit) == (mechanism, target)
            ]
            yield Column(
                mechanism,
                first["epsilon"],
                [run["test_accuracy"] for run in alike],
                first["noise_multiplier"] or 0.0,
                bounds[0] if bounds else None,
            )


def _claimed(audit: Row) -> tuple[str, float | None]:
    return audit["privacy"]["mechanism"], audit["privacy"]["epsilon"]


def _target(run: Row) -> float | None:
    """ε that was asked for."""
    target = run["settings"]["privacy.epsilon"]
    return None if target == "None" else float(target)


def costs(results: Path) -> list[Cost]:
    """Of every protocol and mechanism that were run."""
    found = []
    for mechanism, timed in _TIMED.items():
        runs = read_json(results / "balance" / "stages" / timed / "sweep.json")["runs"]
        for run in runs:
            stages = run["seconds_by_stage"] or {"train": run["seconds_per_round"]}
            # Quantising waits for the device, which trains meanwhile.
            seconds = {name: stages.get(name, 0.0) for name in _STAGES}
            protocol = run["settings"]["aggregation.protocol"]
            found.append(Cost(protocol, mechanism, seconds, run["bytes_per_client_round"]))
    return found


def decibels(results: Path) -> dict[tuple[str, str], float]:
    """(protocol, mechanism) -> PSNR of a digit that the aggregator reconstructs from a message."""
    rows = read_json(results / "attacks" / "inversion.json")["rows"]
    seen: dict[str, float] = {}
    for row in rows:
        if row["model"] == "2nn" and row["attack"] == "all units":
            seen[row["view"]] = row["psnr_median"]
    found = {("none", name): seen[_CLEAR] for name in ("none", "gaussian")}
    for protocol, view in _HIDDEN.items():
        found |= {(protocol, name): seen[view] for name in _NOISES}
    return found


def setting(results: Path) -> str:
    """The sentence on the federation, and on what audits and decibels are measured with."""
    sweep = read_json(results / "balance" / "accuracy" / "none" / "sweep.json")
    config, sent = sweep["config"], costs(results)[0].bytes
    ((canaries, confidence),) = {
        (audit["setting"]["canaries"], audit["setting"]["confidence"])
        for audit in read_json(results / "balance" / "audit.json")["audits"]
    }
    rows = read_json(results / "attacks" / "inversion.json")["rows"]
    guess = only(rows, model="2nn", attack="all units", view=_CLEAR)["psnr_of_mean_image"]
    return (
        f"{config['partition']['clients']:,} clients of two classes each, "
        f"{config['cohort']['size']} a round, {sent // 4:,.0f} parameters, "
        f"{config['aggregation']['bits']}-bit integers, δ = {config['privacy']['delta']:g}, "
        f"{config['rounds']} rounds. Audits have {canaries:,} canaries and {confidence:.0%} "
        f"confidence. Guessing the mean image has {guess:.1f} dB.\n"
    )


def matrix(results: Path) -> str:
    """Every protocol with every noise: accuracy, ε, audit, time, bytes, what a message shows."""
    known, shown = {(each.protocol, each.mechanism): each for each in costs(results)}, []
    seen = decibels(results)
    for column in columns(results):
        for protocol, name in _PROTOCOLS.items():
            cost = known.get((protocol, column.mechanism))
            if cost is None:
                continue
            shown.append(
                [
                    _named(column),
                    name,
                    _accuracy(column),
                    "–" if column.audited is None else f"{column.audited:.2f}",
                    *(f"{cost.seconds[stage]:.2f}" for stage in _STAGES),
                    f"**{cost.total:.2f}**",
                    f"{cost.bytes:,.0f}",
                    f"{seen[protocol, column.mechanism]:.1f}",
                ]
            )
    header = ["noise, ε", "protocol", "test accuracy", "ε by audit, at least"]
    header += [*_STAGES, "seconds a round", "bytes a client", "dB from a message"]
    return table(header, shown)


def in_short(results: Path) -> str:
    """A line for every noise: accuracy, audit, and the seconds of a round of each protocol."""
    known = {(each.protocol, each.mechanism): each for each in costs(results)}
    rows = []
    for column in columns(results):
        of_protocols = (known.get((name, column.mechanism)) for name in _PROTOCOLS)
        rows.append(
            [
                _named(column),
                _accuracy(column),
                "–" if column.audited is None else f"{column.audited:.2f}",
                *("–" if cost is None else f"{cost.total:.2f}" for cost in of_protocols),
            ]
        )
    header = ["noise, ε", "test accuracy", "ε by audit, at least"]
    return table([*header, *(f"{name}, s a round" for name in _PROTOCOLS.values())], rows)


def _named(column: Column) -> str:
    epsilon = "∞" if column.epsilon is None else f"{column.epsilon:.3g}"
    return f"{_NOISES[column.mechanism]}, {epsilon}"


def _accuracy(column: Column) -> str:
    values = column.accuracies
    return mean_and_deviation(statistics.fmean(values), statistics.stdev(values), 4)


def trade_offs(results: Path) -> Figure:
    """Accuracy against ε, and against the seconds and bytes that hiding costs."""
    figure = Figure(figsize=(11.5, 4.4), layout="constrained")
    privacy, time, size = figure.subplots(1, 3, sharey=True)
    made, known = list(columns(results)), costs(results)
    for number, mechanism in enumerate(("gaussian", "skellam")):
        alike = [column for column in made if column.mechanism == mechanism]
        privacy.plot(
            [column.epsilon for column in alike],
            [statistics.fmean(column.accuracies) for column in alike],
            "o-" if mechanism == "gaussian" else "s--",
            color=f"C{number}",
            label=_NOISES[mechanism],
        )
    (without,) = (column for column in made if column.mechanism == "none")
    level = statistics.fmean(without.accuracies)
    privacy.axhline(level, color="0.4", linestyle=":", label="no noise")
    privacy.set(xscale="log", xlabel="ε of the run (client level)", ylabel="test accuracy")
    ticks = sorted({round(column.epsilon) for column in made if column.epsilon is not None})
    privacy.set_xticks(ticks, [str(tick) for tick in ticks])
    privacy.minorticks_off()
    privacy.legend(frameon=False, fontsize=8, loc="lower right")
    shades = {column[:2]: f"C{number}" for number, column in enumerate(made)}
    for column in made:
        for cost in known:
            if cost.mechanism == column.mechanism:
                style = {
                    "marker": _MARKERS[cost.protocol],
                    "color": shades[column[:2]],
                    # Hollow where the aggregator reads each client's update.
                    "fillstyle": "none" if cost.protocol == "none" else "full",
                    "linestyle": "",
                }
                height = statistics.fmean(column.accuracies)
                time.plot(cost.total, height, **style)
                size.plot(cost.bytes, height, **style)
    time.set(xscale="log", xlabel="seconds a round, two cores")
    time.set_xticks([0.3, 1, 3, 10, 30], ["0.3", "1", "3", "10", "30"])
    time.minorticks_off()
    size.set(xscale="log", xlabel="kilobytes a client and round")
    size.set_xticks([20_000, 50_000, 100_000, 200_000], ["20", "50", "100", "200"])
    size.minorticks_off()
    for column in made:
        time.plot([], [], "_", color=shades[column[:2]], markeredgewidth=3, label=_named(column))
    for protocol, name in _PROTOCOLS.items():
        time.plot([], [], _MARKERS[protocol], color="0.4", label=name)
    for axes in (privacy, time, size):
        axes.grid(alpha=0.3)
    figure.legend(
        *time.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=6,
        fontsize=8,
        frameon=False,
    )
    return figure


_MARKERS = {"none": "o", "masking": "D", "bfv": "P", "paillier": "s", "threshold": "^"}


PICTURES = {"trade_offs.png": trade_offs}
TABLES = {
    "setting": setting,
    "matrix": matrix,
    "in short": in_short,
    "made by": made_by("balance"),
}
