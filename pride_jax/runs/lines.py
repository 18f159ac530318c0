"""A benchmark's figures as one line of JSON: with its setting, and what it ran on."""

import json
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
      An object of ``measured``, ``setting`` and ``environment``, see `environment`.
    """
    figures = {name: _plain(value) for name, value in measured.items()}
    # A setting may hold paths.
    told = figures | {"setting": asdict(setting), "environment": environment()}
    return json.dumps(told, default=str)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value._asdict() if hasattr(value, "_asdict") else value
