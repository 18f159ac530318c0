"""Every benchmark's JSON tells its figures, its setting and what it ran on in the same way."""

import json
import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest

from bench import encryption, engine, privacy, process, scale
from pride_jax.attacks import run_audit as audit
from pride_jax.attacks import run_inversion as inversion
from pride_jax.attacks import run_membership as membership
from pride_jax.runs.environment import environment
from pride_jax.runs.lines import as_line
from pride_jax.settings.experiment import Experiment


class Row(NamedTuple):
    seconds: float


@dataclass(frozen=True)
class Setting:
    repetitions: int = 3


def test_one_line_of_figures_setting_and_what_it_ran_on():
    line = as_line({"rows": [Row(0.5)], "claimed": 8.0}, Setting())
    assert "\n" not in line
    told = json.loads(line)
    assert told["rows"] == [{"seconds": 0.5}] and told["claimed"] == 8.0
    assert told["setting"] == {"repetitions": 3}
    ran_on = environment()
    for name in ("git_commit", "git_changes", "processor", "device", "versions"):
        assert told["environment"][name] == ran_on[name]
    assert told["environment"]["cores"] == len(os.sched_getaffinity(0))


EMPTY = {
    "audit": lambda: audit.as_json(
        "digits_dp",
        Experiment(),
        audit.Setting(),
        audit.Report(8.0, 1e-3, 40, 1100, 100, 9.0, 0, 9, "pass", 1.0, []),
    ),
    "encryption": lambda: encryption.as_json(
        encryption.Setting(), encryption.Report([], [], [], [], [])
    ),
    "engine": lambda: engine.as_json(engine.Setting(), engine.Report([], [])),
    "inversion": lambda: inversion.as_json(
        inversion.Setting(), inversion.Report([], np.zeros((0, 28, 28)), [], {})
    ),
    "membership": lambda: membership.as_json(membership.Setting(), membership.Report([])),
    "privacy": lambda: privacy.as_json(privacy.Setting(), privacy.Report([], [])),
    "process": lambda: process.as_json(process.Setting(), process.Report(9.0, [5.0], 0.97)),
    "scale": lambda: scale.as_json(scale.Setting(), []),
}


@pytest.mark.parametrize("name", EMPTY)
def test_every_benchmark_tells_commit_and_processor(name):
    told = json.loads(EMPTY[name]())
    assert told["setting"]
    assert {"git_commit", "processor", "versions", "cores"} <= set(told["environment"])
