"""Options of what a setting names: scalars and tuples, checked against what a function takes."""

import difflib
import inspect
import math
import re
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import typeguard

from pride_jax.errors import ConfigError

Value = bool | int | float | str | None | tuple["bool | int | float | str | None", ...]
"""What an option may be: whatever a command line, JSON and a config can all hold."""

REQUIRED = inspect.Parameter.empty
"""The default of an option that has none."""

_SCALARS = (bool, int, float, str, type(None))
_ALL = typeguard.CollectionCheckStrategy.ALL_ITEMS


class Option(NamedTuple):
    """One option that a function takes.

    Attributes:
      type: of its values; `Value` where the function does not say.
      default: the function's own, or `REQUIRED`.
      text: what the option is, for help.
    """

    type: Any
    default: Any = REQUIRED
    text: str = ""


class Options(Mapping[str, Any]):
    """Options by name, frozen: equal and hashed by their values.

    Attributes:
      expected: what the function takes, for command lines; not compared, nor pickled.
    """

    __slots__ = ("_values", "expected")

    def __init__(
        self, values: Mapping[str, Any], expected: Mapping[str, Option] | None = None
    ) -> None:
        self._values = dict(values)
        self.expected = dict(expected or {})

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __hash__(self) -> int:
        return hash(frozenset(self._values.items()))

    def __repr__(self) -> str:
        return repr(self._values)

    def __reduce__(self) -> tuple[Any, ...]:
        return Options, (self._values,)


def check_values(where: str, options: Mapping[str, Any]) -> None:
    """Refuses what a command line and JSON cannot hold.

    Args:
      where: the setting whose options they are, such as ``model.options``.
      options: by name.

    Raises:
      ConfigError: a value is neither a scalar nor a tuple of scalars, or is no finite number.
    """
    for name, value in options.items():
        parts = value if isinstance(value, tuple) else (value,)
        if not all(type(part) in _SCALARS for part in parts):
            raise ConfigError(
                f"{where}.{name}={value!r}: expected True or False, a number, a text, None, or a "
                "tuple of these"
            )
        if any(isinstance(part, float) and not math.isfinite(part) for part in parts):
            raise ConfigError(f"{where}.{name}={value!r}: expected finite numbers")


def complete(
    where: str, options: Mapping[str, Any], function: str, expected: Mapping[str, Option]
) -> Options:
    """Options with the function's own defaults for those that are not given.

    Args:
      where: the setting whose options they are, such as ``model.options``.
      options: by name.
      function: what takes them, as its user knows it.
      expected: what it takes.

    Raises:
      ConfigError: an option is unknown, missing or of another type.
    """
    check_values(where, options)
    for name in options:
        if name not in expected:
            raise ConfigError(f"{where}.{name}: {function} {_no_such(name, expected)}")
    values = {}
    for name, option in expected.items():
        value = options.get(name, option.default)
        if value is REQUIRED:
            raise ConfigError(f"{where}.{name}: {function} needs this option; expected a value")
        try:
            typeguard.check_type(value, option.type, collection_check_strategy=_ALL)
        except typeguard.TypeCheckError as error:
            raise ConfigError(f"{where}.{name}={value!r}: {error}, for {function}") from None
        values[name] = value
    return Options(values, expected)


def closest(name: str, names: Collection[str]) -> str:
    """A question that names what was probably meant, or nothing."""
    alike = difflib.get_close_matches(name, names)
    return f"did you mean {' or '.join(alike)}? " if alike else ""


def _no_such(name: str, expected: Mapping[str, Option]) -> str:
    if not expected:
        return "takes no options; expected none"
    return f"takes no such option; {closest(name, expected)}Expected {', '.join(expected)}"


def options_of(
    function: Callable[..., Any], given: Collection[str], name: str
) -> dict[str, Option]:
    """What a function takes beyond what it is given.

    A parameter whose default no option can be, such as a function, is left at that.

    Args:
      function: any callable with a signature.
      given: names of the parameters that it is given, where it has them.
      name: what its user calls it.

    Raises:
      ConfigError: it has no signature, or parameters without names.
    """
    found = {}
    for parameter in _signature(function, name).parameters.values():
        if parameter.kind is parameter.POSITIONAL_ONLY:
            raise ConfigError(
                f"{name}: its parameter {parameter.name} has no name for its callers; expected "
                "none before a /"
            )
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigError(
                f"{name} takes any {parameter}; expected parameters by name, for options to be "
                "checked"
            )
        if parameter.name in given:
            continue
        kind = _settable(parameter.annotation)
        if parameter.default is not REQUIRED and not _is_value(parameter.default):
            continue
        if kind is None:
            kind = Value if parameter.default is REQUIRED else _kind_of(parameter.default)
        found[parameter.name] = Option(kind, parameter.default)
    return found


def texts_of(function: Callable[..., Any]) -> dict[str, str]:
    """What a function's docstring says of its parameters, by name, under ``Args:``."""
    _, _, below = (inspect.getdoc(function) or "").partition("\nArgs:\n")
    parts = re.split(r"^ +(\w+): ", below.partition("\n\n")[0], flags=re.MULTILINE)
    entries = zip(parts[1::2], parts[2::2], strict=True)
    return {name: " ".join(text.split()) for name, text in entries}


def _signature(function: Callable[..., Any], name: str) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except NameError:
        # Names that are imported for type checkers only: what is annotated with them is unchecked.
        return inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} has no signature ({error}); expected a function") from None


def _is_value(value: Any) -> bool:
    parts = value if isinstance(value, tuple) else (value,)
    return all(type(part) in _SCALARS for part in parts)


def _kind_of(value: Any) -> Any:
    """The type of an option of which only the default is known."""
    if value is None:
        return Value
    if not isinstance(value, tuple):
        return type(value)
    kinds = {type(part) for part in value}
    return tuple[kinds.pop(), ...] if len(kinds) == 1 else tuple[Any, ...]


def _settable(annotation: Any) -> Any:
    """The part of a type that options can be; None where there is none, or no type."""
    if annotation is REQUIRED or isinstance(annotation, str):
        return None
    if annotation is None or annotation in _SCALARS:
        return annotation
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _settable(parts[0])
    if origin is typing.Literal:
        return annotation
    if origin in (typing.Union, types.UnionType):
        kept = [kind for part in parts if (kind := _settable(part)) is not None]
        return typing.Union[tuple(kept)] if kept else None  # noqa: UP007
    if origin is tuple:
        return annotation if all(part is ... or _settable(part) for part in parts) else None
    if origin in (list, Sequence) and _settable(parts[0]) is not None:
        return tuple[_settable(parts[0]), ...]
    return None
