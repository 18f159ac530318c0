"""What a round of the balance costs through every protocol, with and without Skellam shares.

``python -m results.balance.rounds [FILE]`` writes ``rounds.json``: processor seconds of everybody
in the round, who are all played by this process. A round is trained through ``plain``, which hides
nothing; its clients' integers are then added through each protocol. The protocols take turns, so
that other work on the machine disturbs all alike; each has to give the sum of ``plain``, and the
numbers are written after every turn.
"""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.secure_sum import Directory, Message, Prepared, Role, SecureSum
from pride_jax.aggregation.simulation import Aggregator, simulate
from pride_jax.aggregation.terms import Terms
from pride_jax.files import write_json
from pride_jax.privacy.randomness import secret_key
from pride_jax.runs.devices import keep_programs, use_devices
from pride_jax.runs.environment import environment
from pride_jax.runs.prepared import Prepared as Made
from pride_jax.runs.prepared import build_algorithm, prepare, simulated_of
from pride_jax.settings import build, learning
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import load_config
from pride_jax.settings.protocols import build_secure_sum, with_key_apart

CONFIG = Path(__file__).parents[2] / "configs" / "mnist_balance.py"
_ROUND, _MODEL, _COHORTS = 0, bytes(32), bytes(32)
"""Of the sums, which are of one round; the seed of noise and cohorts, which is public."""


@dataclass(frozen=True)
class Setting:
    """What is measured.

    Attributes:
      protocols: each with where its keys are.
      mechanisms: of noise.
      turns: of each protocol.
      trained: rounds whose training is timed, after one that compiles.
    """

    protocols: tuple[tuple[str, str], ...] = (
        ("plain", "never"),
        ("two_servers", "never"),
        ("two_servers", "always"),
        ("masking", "never"),
        ("masking", "always"),
        ("bfv", "never"),
        ("paillier", "never"),
        ("paillier", "always"),
        ("threshold", "never"),
    )
    mechanisms: tuple[str, ...] = ("none", "skellam")
    turns: int = 3
    trained: int = 3


class Round(NamedTuple):
    """A round that was trained.

    Attributes:
      seconds: of a processor, with the sum in the clear; each of the rounds that were timed.
      terms: of the sum.
      rows: each client's integers, by id.
    """

    seconds: list[float]
    terms: Terms
    rows: dict[int, np.ndarray]


def settings_of(config: Experiment, mechanism: str, protocol: str) -> Experiment:
    """The config with that noise, and its updates added so."""
    without = {"epsilon": None, "delta": None} if mechanism == "none" else {}
    privacy = replace(config.privacy, mechanism=mechanism, **without)
    return replace(
        config, privacy=privacy, aggregation=replace(config.aggregation, protocol=protocol)
    )


def processor() -> float:
    """Seconds that this process and those it waited for have computed."""
    return sum(os.times()[:4])


def trained(config: Experiment, made: Made, protocol: SecureSum, times: int) -> list[float]:
    """Processor seconds of rounds, on examples that are loaded already, after one that compiles."""
    simulated, secure = simulated_of(made), None
    examples = learning.Shape(simulated.dataset.train_inputs.shape[1:], simulated.dataset.outputs)
    plan = build.build_plan(config, simulated.data.num_clients, made.length, False)
    if config.aggregation.protocol != "none":
        keys = protocol.keygen(os.urandom, Role.KEY_HOLDER)
        secure = build.build_secure_aggregation(config, protocol, keys)
    mesh = build.build_mesh(config.engine)
    algorithm = build_algorithm(config, examples, simulated.data, mesh, plan, secure, {})
    private = {"private": secret_key(_COHORTS)} if config.privacy.is_private else {}
    state, seconds = algorithm.init(jax.random.key(config.seed), **private), []
    for _ in range(times + 1):
        start = processor()
        state, _ = jax.block_until_ready(algorithm.round(state))
        seconds.append(processor() - start)
        print("trained", seconds[-1], flush=True)
    return seconds[1:]


def in_the_clear(config: Experiment, made: Made, times: int) -> Round:
    """Rounds through ``plain``, and the integers that clients came to in the last."""
    protocol, directories, rows = plain(), [], {}

    def noted(directory: Directory, prepared: Prepared, values: np.ndarray) -> Message:
        if directory not in directories:
            directories.append(directory)
            rows.clear()
        rows[prepared.client] = np.array(values)
        return protocol.protect(directory, prepared, values)

    seconds = trained(config, made, protocol._replace(protect=noted), times)
    return Round(seconds, directories[-1].terms, rows)


def protocol_of(config: Experiment, protocol: str, apart: str, length: int) -> SecureSum:
    """The protocol, with its keys apart or not."""
    settings = replace(config.aggregation, protocol=protocol, key_apart=apart)
    return with_key_apart(settings, build_secure_sum(settings), length)


def take_turn(aggregator: Aggregator, of: Round) -> dict[str, Any]:
    """What the sum took: processor seconds, seconds waited, bytes of a client.

    Raises:
      ValueError: the sum is not that of the integers.
    """
    waited, start = time.perf_counter(), processor()
    announced = aggregator.announce(_ROUND, list(of.rows), of.terms.smallest_cohort, _MODEL)
    added = aggregator.add(announced, np.stack(list(of.rows.values())))
    took = {"seconds": processor() - start, "waited": time.perf_counter() - waited}
    if not np.array_equal(added.total, np.sum(list(of.rows.values()), axis=0, dtype=np.int64)):
        raise ValueError(f"the sum of {len(of.rows)} clients' integers is another")
    return took | {"bytes": added.transport.bytes_sent / len(of.rows)}


def measure(config: Experiment, setting: Setting, write: Callable[[Any], None]) -> None:
    """Of one mechanism after the other, trains and takes turns; writes the rows after each turn."""
    made = prepare(settings_of(config, "none", "none"), Path(os.devnull) / "secrets")
    rows: list[dict[str, Any]] = [
        {
            "mechanism": "none",
            "protocol": "none",
            "train": trained(made.config, made, plain(), setting.trained),
            "sums": [{"seconds": 0.0, "waited": 0.0, "bytes": 4.0 * made.length}],
        }
    ]
    dealt = [
        (chosen, chosen.keygen(os.urandom, Role.KEY_HOLDER))
        for chosen in (protocol_of(config, *each, made.length) for each in setting.protocols)
    ]
    for mechanism in setting.mechanisms:
        settings = settings_of(config, mechanism, "plain")
        of = in_the_clear(settings, made, setting.trained)
        turns = []
        for chosen, keys in dealt:
            row = {"mechanism": mechanism, "protocol": chosen.name, "train": of.seconds, "sums": []}
            turns.append((row, simulate(chosen, of.terms, keys, os.urandom)))
        rows += [row for row, _ in turns]
        for _ in range(setting.turns):
            for row, aggregator in turns:
                row["sums"].append(take_turn(aggregator, of))
                print(mechanism, row["protocol"], row["sums"][-1], flush=True)
            write(rows)


def main() -> None:
    """Writes the JSON."""
    path = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent / "rounds.json"
    config, setting = load_config(CONFIG), Setting()
    use_devices(config.engine)
    keep_programs()
    ran_on = environment()

    def write(rows: Any) -> None:
        write_json(path, {"rows": rows, "setting": asdict(setting), "environment": ran_on})

    measure(config, setting, write)


if __name__ == "__main__":
    main()
