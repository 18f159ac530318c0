"""Frozen values as JSON has them, each with its kind, and back."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from pride_jax.errors import ConfigError
from pride_jax.validated import expect_one_of


def to_dict(part: Any) -> Any:
    """A frozen value, with the values that it is made of."""
    if not dataclasses.is_dataclass(part) or isinstance(part, type):
        return part
    fields = {field.name: to_dict(getattr(part, field.name)) for field in dataclasses.fields(part)}
    return {"kind": type(part).__name__, **fields}


def from_dict(values: Any, kinds: Mapping[str, type]) -> Any:
    """The value that `to_dict` gave.

    Args:
      values: what it gave.
      kinds: all that the value may be made of, by name.

    Raises:
      ConfigError: the values are of no such kind, or impossible for it.
    """
    if not isinstance(values, dict):
        return values
    fields = {name: from_dict(value, kinds) for name, value in values.items() if name != "kind"}
    expect_one_of("kind", values.get("kind"), kinds)
    kind = kinds[values["kind"]]
    names = {field.name for field in dataclasses.fields(kind)}
    if names != set(fields):
        raise ConfigError(f"{kind.__name__} of {sorted(fields)}: expected {sorted(names)}")
    return kind(**fields)
