"""Help that fits a screen: a script's own options, the sections of settings, and the configs."""

import argparse
import ast
import contextlib
import copy
import dataclasses
from pathlib import Path

import tyro

from pride_jax.errors import ConfigError
from pride_jax.settings.command_line import registry
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.names import KINDS, function_of
from pride_jax.settings.options import Options, texts_of

ALL = "all"


def show_help(parser: argparse.ArgumentParser, config: Experiment, section: str) -> None:
    """Prints the help of a script that takes settings.

    Args:
      parser: of the script's own options.
      config: whose values are the defaults.
      section: nothing for a screen that lists the sections, one of them, or `ALL`.

    Raises:
      ConfigError: there is no such section.
    """
    if not section:
        print(parser.format_help().rstrip())
        print(
            f"\nsettings, as --SECTION.SETTING VALUE; --help SECTION, or --help {ALL}, tells them:"
        )
        print(f"  {'seed, rounds':<13} of the run, as --rounds 5")
        for name, text in sections().items():
            print(f"  {name:<13} {text}")
        return
    known = sections()
    if section != ALL and section not in known:
        raise ConfigError(f"--help {section}: expected {', '.join(known)} or {ALL}")
    _show_settings(_told(config), tuple(known) if section == ALL else (section,))


def sections() -> dict[str, str]:
    """The sections of an experiment with what each is about."""
    found = {}
    for field in dataclasses.fields(Experiment):
        kind = field.default_factory
        if isinstance(kind, type) and dataclasses.is_dataclass(kind) and field.name != "code":
            found[field.name] = (kind.__doc__ or "").partition("\n")[0]
    return found


def _told(config: Experiment) -> Experiment:
    """The config whose options have texts: what their functions say of them, which are imported."""
    told = copy.copy(config)
    for section in KINDS:
        part = getattr(config, section)
        if not part.options.expected:
            continue
        texts = texts_of(function_of(section, part.name, config.code))
        expected = {
            name: option._replace(text=texts.get(name, f"Of {part.name}, which does not say more."))
            for name, option in part.options.expected.items()
        }
        part = copy.copy(part)
        object.__setattr__(part, "options", Options(part.options, expected))
        object.__setattr__(told, section, part)
    return told


def _show_settings(config: Experiment, names: tuple[str, ...]) -> None:
    """Prints what can be set in some sections, with types, values and texts."""
    if set(names) == set(sections()):
        kind, default = Experiment, config
    else:
        values = {name: getattr(config, name) for name in names}
        kind = dataclasses.make_dataclass(
            "Settings", [(name, type(value)) for name, value in values.items()], frozen=True
        )
        default = kind(**values)
    with contextlib.suppress(SystemExit):
        tyro.cli(
            kind,
            default=default,
            args=["--help"],
            use_underscores=True,
            prog="train.py",
            registry=registry(),
        )


def list_configs(folder: Path) -> None:
    """Prints the configs of a folder with their first lines; runs none of them.

    Raises:
      ConfigError: there are none.
    """
    files = sorted(folder.glob("*.py"))
    if not files:
        raise ConfigError(f"{folder} holds no config: expected a folder of Python files")
    width = max(len(file.name) for file in files)
    print(f"configs in {folder}, as --config {folder.name}/NAME:")
    for file in files:
        print(f"{file.name:<{width}}  {first_line(file)}")


def first_line(file: Path) -> str:
    """The first line of a Python file's docstring; of one that has none, nothing."""
    try:
        docstring = ast.get_docstring(ast.parse(file.read_text()))
    except (SyntaxError, UnicodeDecodeError, OSError):
        return ""
    return (docstring or "").partition("\n")[0]
