"""What a round of the balance costs through every protocol, with and without Skellam shares.

``python -m results.balance.rounds [FILE]`` writes ``rounds.json``: processor seconds of everybody
in the round, who are all played by this process. The protocols take turns, a round each, so that
other work on the machine disturbs all alike.
"""

import functools
import hashlib
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from pride_jax.aggregation.secure_sum import Public, Role, Secret, SecureSum
from pride_jax.engine.rounds import Algorithm, ServerState
from pride_jax.files import write_json
from pride_jax.privacy.randomness import secret_key
from pride_jax.runs.devices import keep_programs, use_devices
from pride_jax.runs.environment import environment
from pride_jax.runs.prepared import build_algorithm, prepare, simulated_of
from pride_jax.settings import build, learning
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import load_config
from pride_jax.settings.protocols import build_secure_sum, with_key_apart
from pride_jax.types import Params

CONFIG = Path(__file__).parents[2] / "configs" / "mnist_balance.py"
_COHORTS = bytes(32)
"""The seed of noise and cohorts is public: all protocols are called by the same clients."""


@dataclass(frozen=True)
class Setting:
    """What is measured.

    Attributes:
      protocols: each with where its keys are; ``none`` adds floats, and carries no shares.
      mechanisms: of noise.
      rounds: of each of them; the first compiles, and counts for nothing.
    """

    protocols: tuple[tuple[str, str], ...] = (
        ("none", "never"),
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
    rounds: int = 3


class Case(NamedTuple):
    """A protocol and a mechanism, and what its rounds took so far.

    Attributes:
      row: as in the JSON.
      length: of an update.
      algorithm: its rounds.
    """

    row: dict[str, Any]
    length: int
    algorithm: Algorithm


def settings_of(config: Experiment, mechanism: str, protocol: str, apart: str) -> Experiment:
    """The config with that noise, through that protocol."""
    without = {"epsilon": None, "delta": None} if mechanism == "none" else {}
    privacy = replace(config.privacy, mechanism=mechanism, **without)
    aggregation = replace(config.aggregation, protocol=protocol, key_apart=apart)
    return replace(config, privacy=privacy, aggregation=aggregation)


def cases(config: Experiment, setting: Setting) -> list[Case]:
    """Everything that is measured, on the same examples."""
    plain = prepare(settings_of(config, "none", "none", "never"), Path(os.devnull) / "secrets")
    simulated = simulated_of(plain)
    inputs = simulated.dataset.train_inputs.shape[1:]
    examples = learning.Shape(inputs, simulated.dataset.outputs)
    mesh, made = build.build_mesh(config.engine), []

    @functools.cache
    def dealt(protocol: str, apart: str) -> tuple[SecureSum, tuple[Secret, Public]]:
        """The protocol and its key holder's keys, which need no mechanism."""
        settings = settings_of(config, "none", protocol, apart).aggregation
        chosen = with_key_apart(settings, build_secure_sum(settings), plain.length)
        return chosen, chosen.keygen(os.urandom, Role.KEY_HOLDER)

    for mechanism in setting.mechanisms:
        for protocol, apart in setting.protocols:
            if protocol == "none" and mechanism != "none":
                continue
            asked = settings_of(config, mechanism, protocol, apart)
            plan = build.build_plan(asked, simulated.data.num_clients, plain.length, False)
            name, secure = protocol, None
            if protocol != "none":
                chosen, keys = dealt(protocol, apart)
                secure = build.build_secure_aggregation(asked, chosen, keys)
                name = chosen.name
            algorithm = build_algorithm(asked, examples, simulated.data, mesh, plan, secure, {})
            row = {"mechanism": mechanism, "protocol": name, "seconds": [], "clients": []}
            made.append(Case(row | {"bytes": [], "waited": []}, plain.length, algorithm))
    return made


def begin(config: Experiment, case: Case) -> ServerState:
    """The state before the first round."""
    private = {} if case.row["mechanism"] == "none" else {"private": secret_key(_COHORTS)}
    return case.algorithm.init(jax.random.key(config.seed), **private)


def take_turn(case: Case, state: ServerState) -> ServerState:
    """Notes what a round took: processor seconds, seconds waited, clients, bytes of a client."""
    waited, start = time.perf_counter(), sum(os.times()[:4])
    state, info = jax.block_until_ready(case.algorithm.round(state))
    case.row["seconds"].append(sum(os.times()[:4]) - start)
    case.row["waited"].append(time.perf_counter() - waited)
    clients, transport = int(info.clients), info.transport
    case.row["clients"].append(clients)
    sent = 4.0 * case.length if transport is None else transport.bytes_sent / clients
    case.row["bytes"].append(sent)
    case.row["parameters_sha256"] = digest(case.algorithm.params(state))
    print(case.row, flush=True)
    return state


def digest(params: Params) -> str:
    """Equal for parameters that are equal in every bit."""
    leaves = [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(params)]
    return hashlib.sha256(b"".join(leaves)).hexdigest()


def measure(config: Experiment, setting: Setting, made: Sequence[Case]) -> None:
    """Takes turns, one mechanism after the other, and notes them in the cases' rows."""
    for mechanism in setting.mechanisms:
        alike = [case for case in made if case.row["mechanism"] == mechanism]
        states = [begin(config, case) for case in alike]
        for _ in range(setting.rounds):
            states = [take_turn(case, state) for case, state in zip(alike, states, strict=True)]


def main() -> None:
    """Writes the JSON."""
    path = Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent / "rounds.json"
    config, setting = load_config(CONFIG), Setting()
    use_devices(config.engine)
    keep_programs()
    made = cases(config, setting)
    measure(config, setting, made)
    asked = asdict(setting) | {"length": made[0].length}
    rows = [case.row for case in made]
    write_json(path, {"rows": rows, "setting": asked, "environment": environment()})


if __name__ == "__main__":
    main()
