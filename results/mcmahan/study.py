"""McMahan et al. (2016), table 2, beside ours: rounds to the target in every cell."""

import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from pride_jax.files import read_json
from pride_jax.reporting.markdown import table
from results.provenance import made_by, sources
from results.redo import steps_table

_CLIENTS = 100
_FRACTIONS = {1: "one client", 10: "0.1", 20: "0.2", 50: "0.5", 100: "1"}
_COLUMNS = [("iid", None), ("iid", 10), ("shards", None), ("shards", 10)]
_NAMES = {"iid": "IID", "shards": "two classes a client"}

_2NN = {
    ("iid", None): {1: 1455, 10: 1474, 20: 1658},
    ("iid", 10): {1: 316, 10: 87, 20: 77, 50: 75, 100: 70},
    ("shards", None): {1: 4278, 10: 1796, 20: 1528},
    ("shards", 10): {1: 3275, 10: 664, 20: 619, 50: 443, 100: 380},
}
"""Rounds to 97% of the 2NN, E = 1, by partition and batch size, then clients a round; no entry
where theirs did not get there."""
_CNN = {"iid": 20, "shards": 229}
"""Rounds to 99% of the CNN, E = 5, B = 10, ten clients a round: their table 4."""


class Cell(NamedTuple):
    """Runs of one partition, batch size and cohort.

    Attributes:
      partition: ``iid`` or ``shards``.
      batch_size: None is all of a client's examples.
      cohort: clients a round.
      learning_rate: of the clients.
      rounds: to the target, of each seed; None where a run did not get there.
      longest: rounds after which a run was given up.
      best: the highest accuracy at the end of any run.
    """

    partition: str
    batch_size: int | None
    cohort: int
    learning_rate: float
    rounds: tuple[float | None, ...]
    longest: int
    best: float

    @property
    def median(self) -> float | None:
        """Over seeds; None where half of them or more did not get there."""
        ordered = sorted(self.rounds, key=lambda value: (value is None, value))
        middle = ordered[(len(ordered) - 1) // 2 : len(ordered) // 2 + 1]
        return None if None in middle else statistics.mean(value or 0 for value in middle)


def cells(folder: Path) -> Iterator[Cell]:
    """The cells of all sweeps in a folder, seeds of one cell and learning rate together."""
    gathered: dict[tuple, list[tuple[float | None, float]]] = {}
    for path in sorted(folder.rglob("sweep.json")):
        sweep = read_json(path)
        for row in sweep["runs"]:
            config, settings = sweep["config"], row["settings"]

            def value(section: str, name: str, config=config, settings=settings) -> str:
                return settings.get(f"{section}.{name}", str(config[section][name]))

            batch = value("client", "batch_size")
            key = (
                value("partition", "kind"),
                None if batch == "None" else int(batch),
                int(value("cohort", "size")),
                float(value("client", "learning_rate")),
                int(settings.get("rounds", config["rounds"])),
            )
            gathered.setdefault(key, []).append((row["rounds_to_target"], row["test_accuracy"]))
    for (partition, batch, cohort, rate, longest), runs in gathered.items():
        rounds, accuracies = zip(*runs, strict=True)
        yield Cell(partition, batch, cohort, rate, rounds, longest, max(accuracies))


def _best(found: list[Cell], partition: str, batch_size: int | None, cohort: int) -> Cell | None:
    """The cell at the learning rate with which it was tried most often, then the fastest."""
    tried = [cell for cell in found if cell[:3] == (partition, batch_size, cohort)]
    if not tried:
        return None
    return max(tried, key=lambda cell: (len(cell.rounds), -(cell.median or cell.longest)))


def rounds_of_2nn(results: Path) -> str:
    """Rounds to 97% of the 2NN: published -> the median over seeds here."""
    found = list(cells(results / "mcmahan" / "2nn"))
    header = ["rounds to 97%, by clients a round"]
    header += [f"{_NAMES[name]}, B = {batch or '∞'}" for name, batch in _COLUMNS]
    rows = []
    for cohort, fraction in _FRACTIONS.items():
        line = [fraction]
        for partition, batch_size in _COLUMNS:
            published = _2NN[partition, batch_size].get(cohort)
            cell = _best(found, partition, batch_size, cohort)
            line.append(f"{published or '–'} → {'not run' if cell is None else _rounds(cell)}")
        rows.append(line)
    return table(header, rows)


def _rounds(cell: Cell) -> str:
    if cell.median is None:
        return f"not in {cell.longest} ({cell.best:.2%})"
    reached = [value for value in cell.rounds if value is not None]
    spread = f" ({min(reached):.0f}–{max(reached):.0f})" if len(cell.rounds) > 1 else ""
    return f"**{cell.median:.0f}**{spread}"


def published_of_2nn(partition: str) -> int:
    """Published rounds of the 2NN with ten clients a round and B = 10."""
    return _2NN[partition, 10][10]


def cnn_iid(results: Path) -> tuple[int, str]:
    """Published rounds of the CNN on IID clients, and the median here."""
    (cell,) = cells(results / "mcmahan" / "cnn_iid")
    return _CNN["iid"], "not reached" if cell.median is None else f"{cell.median:.1f}"


def rates_of_2nn(results: Path) -> str:
    """The learning rates tried on validation digits, and the rounds that each took."""
    found = sorted(
        cells(results / "mcmahan" / "rates"),
        key=lambda cell: (cell.partition, cell.batch_size or 0, cell.cohort, cell.learning_rate),
    )
    rows = [
        [
            _NAMES[cell.partition],
            str(cell.batch_size or "∞"),
            _FRACTIONS[cell.cohort],
            f"{cell.learning_rate:g}",
            _rounds(cell),
        ]
        for cell in found
    ]
    return table(["partition", "B", "clients a round", "learning rate", "rounds"], rows)


def peers(results: Path) -> str:
    """Rounds to 97% of the 2NN in other frameworks, at our learning rates."""
    report = read_json(results / "mcmahan" / "targets.json")
    header = ["framework", "partition", "learning rate", "published", "rounds to 97%, by seed"]
    rows = [
        [
            row["peer"],
            _NAMES[row["partition"]],
            f"{row['rate']:g}",
            str(published_of_2nn(row["partition"])),
            ", ".join("not" if each is None else f"{each:.0f}" for each in row["rounds"]),
        ]
        for row in report["rows"]
    ]
    return table(header, rows)


def rounds_of_cnn(results: Path) -> str:
    """Rounds to 99% of the CNN; on shards as far as it was trained."""
    (iid,) = cells(results / "mcmahan" / "cnn_iid")
    run = read_json(results / "mnist_cnn_shards" / "summary.json")
    accuracy = run["test_accuracy"]
    shards = iid._replace(
        partition="shards", rounds=(run["rounds_to_target"],), longest=run["rounds"], best=accuracy
    )
    rows = [
        [
            _NAMES[cell.partition],
            str(len(cell.rounds)),
            str(_CNN[cell.partition]),
            _rounds(cell),
            f"{cell.best:.2%}",
        ]
        for cell in (iid, shards)
    ]
    header = ["partition", "seeds", "published", "rounds to 99%, median (range)", "best accuracy"]
    return table(header, rows)


def rounds_against_cohort(results: Path) -> Figure:
    """Rounds to 97% of the 2NN against clients a round, beside those published."""
    found = list(cells(results / "mcmahan" / "2nn"))
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    for number, (partition, batch_size) in enumerate(_COLUMNS):
        here = [_best(found, partition, batch_size, cohort) for cohort in _FRACTIONS]
        reached = {cell.cohort: cell.median for cell in here if cell and cell.median is not None}
        color, label = f"C{number}", f"{_NAMES[partition]}, B = {batch_size or '∞'}"
        axes.plot(
            list(reached),
            list(reached.values()),
            "o-",
            color=color,
            label=label,
        )
        theirs = _2NN[partition, batch_size]
        axes.plot(list(theirs), list(theirs.values()), "x--", color=color, alpha=0.6, linewidth=1)
    axes.plot([], [], "x--", color="0.4", label="McMahan et al. (2016)")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel=f"clients a round, of {_CLIENTS}",
        ylabel="rounds to 97% test accuracy",
    )
    axes.set_xticks(list(_FRACTIONS), [str(cohort) for cohort in _FRACTIONS])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=8)
    return figure


PICTURES = {"rounds.png": rounds_against_cohort}
TABLES = {
    "rounds of the 2NN": rounds_of_2nn,
    "peers at our rates": peers,
    "rounds of the CNN": rounds_of_cnn,
    "learning rates": rates_of_2nn,
    "steps": steps_table("mcmahan"),
    "2NN made by": made_by("mcmahan/2nn"),
    "peers made by": sources("mcmahan/targets.json"),
    "CNN made by": made_by("mcmahan/cnn_iid"),
    "learning rates made by": made_by("mcmahan/rates"),
}
