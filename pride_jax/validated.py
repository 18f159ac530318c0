"""Frozen settings that check themselves when they are made, and arguments of public functions."""

import math
import numbers
import typing
from collections.abc import Iterable

import typeguard

from pride_jax.errors import ConfigError

_ALL = typeguard.CollectionCheckStrategy.ALL_ITEMS


def expect(name: str, value: object, kind: type | tuple[type, ...], expected: str) -> None:
    """Refuses an argument of another kind.

    Args:
        name: of the argument.
        value: the argument; only its type is told.
        kind: as for `isinstance`.
        expected: the kind, in the caller's words.

    Raises:
        ConfigError: as above.
    """
    if not isinstance(value, kind):
        raise ConfigError(f"{name} is of type {type(value).__name__}: expected {expected}")


def expect_whole(name: str, value: object, least: int = 1) -> None:
    """Refuses an argument that is no whole number, or is too small.

    Raises:
        ConfigError: as above.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or int(value) < least:
        raise ConfigError(f"{name}={value!r}: expected a whole number of at least {least}")


def expect_one_of(name: str, value: object, choices: Iterable[str]) -> None:
    """Refuses an argument that is none of the names that there are.

    Raises:
      ConfigError: as above.
    """
    choices = tuple(choices)
    if value not in choices:
        raise ConfigError(f"{name}={value!r}: expected one of {', '.join(choices)}")


def expect_number(name: str, value: object, expected: str) -> None:
    """Refuses an argument that is no finite number above 0.

    Args:
      name: of the argument.
      value: the argument.
      expected: the number, in the caller's words.

    Raises:
      ConfigError: as above.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, numbers.Real)
        or not 0 < float(value) < math.inf
    ):
        raise ConfigError(f"{name}={value!r}: expected {expected}")


class Validated:
    """Checks types, finiteness and the section's own conditions when it is made."""

    def __post_init__(self) -> None:
        for name, hint in typing.get_type_hints(type(self)).items():
            value = getattr(self, name)
            try:
                typeguard.check_type(value, hint, collection_check_strategy=_ALL)
            except typeguard.TypeCheckError as error:
                raise ConfigError(f"{self._section()}{name}={value!r}: {error}") from None
            self._check_magnitude(name, value)
        self._check()

    def _check(self) -> None:
        """Refuses impossible values."""

    def _check_magnitude(self, name: str, value: object) -> None:
        if isinstance(value, int) and abs(value) >= 2**31:
            self._refuse(name, "a whole number below 2^31")
        if isinstance(value, float) and not math.isfinite(value):
            self._refuse(name, "a finite number")
        if isinstance(value, float) and value and not 1e-30 <= abs(value) <= 1e30:
            self._refuse(name, "0 or a magnitude from 1e-30 to 1e30, which float32 can hold")

    def _at_least(self, bound: float, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and value < bound:
                self._refuse(name, f"at least {bound}")

    def _above_zero(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and not value > 0:
                self._refuse(name, "more than 0")

    def _below_one(self, *names: str) -> None:
        for name in names:
            if not 0 <= getattr(self, name) < 1:
                self._refuse(name, "at least 0 and below 1")

    def _refuse(self, name: str, expected: str) -> typing.NoReturn:
        value = getattr(self, name)
        raise ConfigError(f"{self._section()}{name}={value!r}: expected {expected}")

    def _section(self) -> str:
        return f"{type(self).__name__.lower()}."
