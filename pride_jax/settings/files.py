"""Settings as files: read from a config, saved as JSON, and read from what others have saved."""

import copy
import dataclasses
import json
import runpy
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pride_jax.errors import ConfigError
from pride_jax.files import read_json
from pride_jax.settings import own
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.names import KINDS


def load_config(file: Path) -> Experiment:
    """The `config` that a Python file defines.

    The config may import modules beside it; own functions are found there, see `own`.

    Raises:
      ConfigError: the file is missing, fails to run, or defines no `config` of type `Experiment`.
    """
    if not file.is_file():
        raise ConfigError(f"There is no config file {file}: expected a Python file, see configs/")
    try:
        with own.reading(file.parent.resolve()):
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
    content = dataclasses.asdict(config) | {"code": config.code.digests}
    return json.loads(json.dumps(content, default=_plain))


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else str(value)


def from_dict(content: Any) -> Experiment:
    """The settings that `to_dict` wrote; nothing that they name is imported, nor may be.

    Raises:
      ConfigError: one is unknown, missing or impossible.
    """
    return _read(Experiment, content, "settings")


def read_settings(run: Path) -> Experiment:
    """The settings of a run, whoever made it; nothing that they name is imported, nor may be.

    Its caller may read, compare and draw. Whoever is to carry out something of the run with the
    user's own functions asks for `trust` first.

    Raises:
      PrideError: the folder has no settings, or others than this version's.
    """
    path = run / "config.json"
    try:
        return from_dict(read_json(path))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def trust(config: Experiment, folder: Path) -> Experiment:
    """The same settings, whose own functions may be imported from files in a folder.

    Args:
      config: from `read_settings` or `from_dict`.
      folder: named by the caller, such as ``run / own.CODE`` after ``--trust-code``.

    Raises:
      ConfigError: the files there are not those that the settings were made with.
    """
    names = [getattr(config, section).name for section in KINDS]
    code = own.Code(folder=folder, trusted=True).covering(*names)
    own.compare(config.code.digests, code.digests, str(folder))
    # Unchecked: a role that trains nothing imports nothing, and `names.call` checks the options.
    trusted = copy.copy(config)
    object.__setattr__(trusted, "code", code)
    return trusted


def continued(run: Path, trusted: bool) -> Experiment:
    """The settings of a run that is to go on, from its folder alone.

    Args:
      run: its folder.
      trusted: whether own code that came with it may be imported from the folder.

    Raises:
      PrideError: there is no run in the folder, or its own code is not trusted.
    """
    if not (run / "config.json").is_file():
        raise ConfigError(
            f"There is no run to resume in {run}: it has no config.json; expected a run's own "
            "folder, or name its config with --config FILE"
        )
    config = read_settings(run)
    if config.code.digests and not trusted:
        raise ConfigError(
            f"{run} comes with code of its own, {', '.join(config.code.digests)}: read it in "
            f"{run / own.CODE}, then add --trust-code; or name the run's config, --config FILE"
        )
    return trust(config, run / own.CODE)


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
    if hint is own.Code:
        _expect_names(value, name)
        return own.Code(value, trusted=False)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _read(hint, value, name)
    if typing.get_origin(hint) is Mapping:
        _expect_names(value, name)
        return {key: _value(Any, each, key) for key, each in value.items()}
    if isinstance(value, list):
        return tuple(_value(Any, each, name) for each in value)
    if isinstance(value, str) and Path in typing.get_args(hint):
        return Path(value)
    return value


def _expect_names(value: Any, where: str) -> None:
    if not isinstance(value, dict):
        raise ConfigError(f"{where}={value!r}: expected an object of names and values")


class Change(NamedTuple):
    """A setting that is not the same in two saved configs.

    Attributes:
      name: as ``section.name``.
      before: its value in the first; None where it is missing.
      after: likewise in the second.
    """

    name: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.name}: {self.before!r} -> {self.after!r}"


def changes(one: dict[str, Any], other: dict[str, Any], prefix: str = "") -> list[Change]:
    """Which settings of two saved configs differ, in alphabetical order."""
    found = []
    for name in sorted(one.keys() | other.keys()):
        here, there = one.get(name), other.get(name)
        if isinstance(here, dict) and isinstance(there, dict):
            found += changes(here, there, f"{prefix}{name}.")
        elif here != there:
            found.append(Change(f"{prefix}{name}", here, there))
    return found


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Which settings of two saved configs differ, as ``section.name: one -> other``."""
    return list(map(str, changes(one, other)))
