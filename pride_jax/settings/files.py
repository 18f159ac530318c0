"""Reading settings from a config file, and saving them as JSON."""

import dataclasses
import json
import runpy
import typing
from pathlib import Path
from typing import Any

from pride_jax.errors import ConfigError
from pride_jax.settings.experiment import Experiment


def load_config(file: Path) -> Experiment:
    """The `config` that a Python file defines.

    Raises:
      ConfigError: the file is missing, fails to run, or defines no `config` of type `Experiment`.
    """
    if not file.is_file():
        raise ConfigError(f"There is no config file {file}: expected a Python file, see configs/")
    try:
        config = runpy.run_path(str(file)).get("config")
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None
    except Exception as error:
        raise ConfigError(f"{file} cannot be read: {type(error).__name__}: {error}") from error
    if not isinstance(config, Experiment):
        raise ConfigError(
            f"{file} defines config={config!r}, expected an Experiment: "
            "end it with `config = Experiment(…)`"
        )
    return config


def to_dict(config: Experiment) -> dict[str, Any]:
    """The settings as JSON has them: nested dicts, lists, strings, numbers, null."""
    return json.loads(json.dumps(dataclasses.asdict(config), default=str))


def from_dict(content: Any) -> Experiment:
    """The settings that `to_dict` wrote.

    Raises:
      ConfigError: one is unknown, missing or impossible.
    """
    return _read(Experiment, content, "settings")


def _read(kind: type, content: Any, where: str) -> Any:
    hints = typing.get_type_hints(kind)
    if not isinstance(content, dict):
        raise ConfigError(f"{where}={content!r}: expected an object of {', '.join(hints)}")
    if content.keys() != hints.keys():
        unknown, missing = content.keys() - hints.keys(), hints.keys() - content.keys()
        raise ConfigError(
            f"{where}: unknown {sorted(unknown)}, missing {sorted(missing)}: expected the settings "
            "of this version, all of them"
        )
    return kind(**{name: _value(hint, content[name], name) for name, hint in hints.items()})


def _value(hint: Any, value: Any, name: str) -> Any:
    """A setting, as it was before JSON, which has neither sections nor tuples nor paths."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _read(hint, value, name)
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, str) and Path in typing.get_args(hint):
        return Path(value)
    return value


def differences(one: dict[str, Any], other: dict[str, Any], prefix: str = "") -> list[str]:
    """Which settings of two saved configs differ, as ``section.name: one -> other``."""
    found = []
    for name in sorted(one.keys() | other.keys()):
        here, there = one.get(name), other.get(name)
        if isinstance(here, dict) and isinstance(there, dict):
            found += differences(here, there, f"{prefix}{name}.")
        elif here != there:
            found.append(f"{prefix}{name}: {here!r} -> {there!r}")
    return found
