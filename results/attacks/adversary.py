"""What the attacks share, and where the tests are whose helpers they take.

They are the attacks of ``tests/adversary``, with their remedies switched off as there: functions of
a patch, which ends with the attack, and of whether the remedy is there. An attack gives the part
that it got of what it was after, or raises what it was refused by.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np

from pride_jax.runs.devices import use_devices
from pride_jax.settings.experiment import Engine

_TESTS = Path(__file__).parents[2] / "tests"
# Before a test's module computes: attacks on runs ask for the same devices.
use_devices(Engine())
sys.path += [str(_TESTS / name) for name in ("adversary", "aggregation", "deploy", "")]


def part(found: Any, sought: Any) -> float:
    """Which part of the values was found."""
    return float(np.mean(np.asarray(found) == np.asarray(sought)))
