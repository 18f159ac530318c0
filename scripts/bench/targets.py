"""Rounds to an accuracy in other frameworks, at our settings: is it the code or the learning rate?

McMahan et al.'s (2016) 2NN, ten of 100 clients a round, one epoch in batches of ten. Published
rounds are of rates that the authors tuned; ours are of ours. Here other frameworks train at our
rates, with the same clients and first weights as ours for a seed, in environments as the benchmark
of peers makes them. Rounds are counted as by the paper, see `rounds_to`.
"""

import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rich.console import Console
from rich.table import Table

from bench.common.peer_environments import OURS, PEERS, interpreter
from bench.common.peer_process import driver
from bench.common.peer_turns import PATIENCE, Contestant, task_of
from bench.common.peer_works import WORKS, Work, write_arrays
from pride_jax.data.datasets import load_dataset
from pride_jax.errors import ConfigError
from pride_jax.reporting.metrics import rounds_to
from pride_jax.runs.lines import as_line

TARGET = 0.97

Partition = Literal["iid", "shards"]


class Way(NamedTuple):
    """Of a partition, our rate, the most rounds, and rounds between two tests."""

    rate: float
    rounds: int
    every: int


WAYS: dict[Partition, Way] = {"iid": Way(0.3, 200, 1), "shards": Way(0.2, 800, 5)}


@dataclass(frozen=True)
class Setting:
    """Who trains.

    Attributes:
      peers: frameworks by their names.
      partitions: any of ``iid`` and ``shards``.
      seeds: of clients and first weights.
      environments: folder of the frameworks' environments, see the benchmark of peers.
      pythons: interpreters to make environments with, besides this one and those on the path.
    """

    peers: tuple[str, ...] = (OURS, "FedJAX")
    partitions: tuple[Partition, ...] = ("iid", "shards")
    seeds: tuple[int, ...] = (0, 1, 2)
    environments: Path = Path.home() / ".cache" / "pride_jax" / "peers"
    pythons: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        """Refuses whom nobody knows.

        Raises:
          ConfigError: a framework is unknown.
        """
        for name in self.peers:
            if name not in PEERS:
                raise ConfigError(f"peers={name!r}: expected some of {', '.join(PEERS)}")


class Row(NamedTuple):
    """One framework on one partition.

    Attributes:
      peer: its name.
      partition: of the examples.
      rate: of its clients' SGD.
      rounds: to the target, by seed; None where the most rounds were too few.
      versions: of what ran.
    """

    peer: str
    partition: str
    rate: float
    rounds: list[float | None]
    versions: dict[str, str]


def measure(setting: Setting) -> list[Row]:
    """Trains every framework on every partition until it is there.

    Raises:
      DataError: examples cannot be had.
      RunError: an environment cannot be made, or a framework ended early.
    """
    rows = []
    for partition in setting.partitions:
        way = WAYS[partition]
        work = WORKS["2nn"]._replace(partition=partition, rate=way.rate, rounds=way.rounds)
        dataset = load_dataset(work.dataset)
        with tempfile.TemporaryDirectory() as folder:
            arrays = {seed: Path(folder) / f"{seed}.npz" for seed in setting.seeds}
            for seed, path in arrays.items():
                write_arrays(path, work, dataset, seed)
            for peer in setting.peers:
                python = interpreter(PEERS[peer], setting.environments, setting.pythons)
                told: list[float | None] = []
                versions: dict[str, str] = {}
                for seed, path in arrays.items():
                    rounds, versions = train(peer, python, work, path, way.every)
                    told.append(rounds)
                    print(
                        f"{peer}, {partition}, seed {seed}: {rounds}", file=sys.stderr, flush=True
                    )
                rows.append(Row(peer, partition, way.rate, told, versions))
    return rows


def train(
    peer: str, python: Path, work: Work, arrays: Path, every: int
) -> tuple[float | None, dict[str, str]]:
    """Rounds to the target, and what ran.

    Args:
      peer: the framework.
      python: its interpreter.
      work: what is trained, for how many rounds at most.
      arrays: file of examples, see `write_arrays`.
      every: rounds between two tests.

    Raises:
      RunError: the framework ended early.
    """
    core = max(os.sched_getaffinity(0))
    task = task_of(work, arrays, Contestant(peer, "none", 1), [core])
    with driver(PEERS[peer], python, task, PATIENCE) as trained:
        versions = trained.hear()["versions"]
        rows: list[dict[str, Any]] = []
        for number in range(work.rounds + 1):
            if number:
                trained.ask("round")
            if number % every == 0:
                rows.append({"round": number, "test_accuracy": trained.ask("accuracy")["accuracy"]})
                if rows[-1]["test_accuracy"] >= TARGET:
                    break
    return rounds_to(rows, TARGET), versions


def as_json(setting: Setting, rows: list[Row]) -> str:
    """The rows, the setting and what they ran on, in one line."""
    return as_line({"rows": rows, "target": TARGET}, setting)


def show(rows: list[Row]) -> None:
    """Rounds by seed."""
    table = Table("framework", "partition", "rate", f"rounds to {TARGET:.0%}", "median")
    for row in rows:
        there = [rounds for rounds in row.rounds if rounds is not None]
        table.add_row(
            row.peer,
            row.partition,
            f"{row.rate:g}",
            ", ".join("not" if each is None else f"{each:.0f}" for each in row.rounds),
            f"{statistics.median(there):.0f}" if len(there) == len(row.rounds) else "-",
        )
    Console().print(table)
