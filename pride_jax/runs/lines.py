"""A benchmark's figures as one line of JSON: with its setting, and what it ran on."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from pride_jax.runs.environment import environment


def as_line(measured: Mapping[str, Any], setting: Any) -> str:
    """What was measured, the setting and what it ran on, in one line of JSON.

    Args:
      measured: figures by name; lists of NamedTuples become lists of objects.
      setting: the benchmark's dataclass.

    Returns:
      An object of ``measured``, ``setting`` and ``environment``: `environment`'s commit, versions,
      processor and device, and the number of ``cores``.
    """
    ran_on = environment() | {"cores": os.cpu_count()}
    figures = {name: _plain(value) for name, value in measured.items()}
    # A setting may hold paths.
    return json.dumps(figures | {"setting": asdict(setting), "environment": ran_on}, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value._asdict() if hasattr(value, "_asdict") else value
