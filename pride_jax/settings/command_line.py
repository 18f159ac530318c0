"""Settings replaced on a command line, those of own functions included."""

import copy
from collections.abc import Sequence

import tyro
from tyro.constructors import ConstructorRegistry, StructConstructorSpec, StructFieldSpec
from tyro.constructors import StructTypeInfo as TypeInfo

from pride_jax.settings.experiment import Experiment
from pride_jax.settings.names import KINDS, expected_options
from pride_jax.settings.options import REQUIRED, Options
from pride_jax.settings.own import Code


def override(
    config: Experiment, arguments: Sequence[str], *, prog: str | None = None, flags: bool = True
) -> Experiment:
    """The config with settings replaced: ``--model.options.width 16``.

    Where a name is replaced by another, its options begin with the other's own defaults.

    Args:
      config: the settings.
      arguments: as on a command line.
      prog: what usage messages call the program.
      flags: whether what is true or false is a flag and its opposite, or takes a value.

    Raises:
      ConfigError: a name or an own function is impossible.
      SystemExit: a setting is unknown or impossible, what is wrong is on stderr; or help was asked
        for and given.
    """
    return tyro.cli(
        Experiment,
        default=_renamed(config, arguments),
        args=list(arguments),
        use_underscores=True,
        prog=prog,
        config=() if flags else (tyro.conf.FlagConversionOff,),
        registry=registry(),
    )


def _renamed(config: Experiment, arguments: Sequence[str]) -> Experiment:
    """The config with the names that arguments give, as yet unchecked."""
    renamed = copy.copy(config)
    for section in KINDS:
        part, name = getattr(config, section), _last(f"--{section}.name", arguments)
        if name is None or name == part.name:
            continue
        expected = expected_options(section, name, config.code.covering(name))
        defaults = {
            option: spec.default
            for option, spec in expected.items()
            if spec.default is not REQUIRED
        }
        part = copy.copy(part)
        object.__setattr__(part, "name", name)
        object.__setattr__(part, "options", Options(defaults, expected))
        object.__setattr__(renamed, section, part)
    return renamed


def _last(flag: str, arguments: Sequence[str]) -> str | None:
    """The value that a flag is given last."""
    value = None
    for place, argument in enumerate(arguments):
        if argument == flag and place + 1 < len(arguments):
            value = arguments[place + 1]
        elif argument.startswith(f"{flag}="):
            value = argument.removeprefix(f"{flag}=")
    return value


def registry() -> ConstructorRegistry:
    """Options are arguments of the types that their function takes; own code is none."""
    rules = ConstructorRegistry()

    @rules.struct_rule
    def options(info: TypeInfo) -> StructConstructorSpec | None:
        if not isinstance(info.default, Options):
            return None
        fields = [
            StructFieldSpec(
                name, option.type, info.default.get(name, tyro.MISSING), helptext=option.text
            )
            for name, option in info.default.expected.items()
        ]
        return StructConstructorSpec(lambda **values: values, tuple(fields))

    @rules.struct_rule
    def code(info: TypeInfo) -> StructConstructorSpec | None:
        if not isinstance(info.default, Code):
            return None
        return StructConstructorSpec(lambda: info.default, ())

    return rules
