"""The names that settings know, without importing what they name."""

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from pride_jax.errors import ConfigError
from pride_jax.settings import own
from pride_jax.settings.options import (
    Option,
    Options,
    check_values,
    closest,
    complete,
    options_of,
)
from pride_jax.validated import Validated


class BuiltIn(NamedTuple):
    """What a name stands for.

    Attributes:
      function: as ``module:function``.
      options: what it takes; its own defaults, or those of an experiment.
    """

    function: str
    options: Mapping[str, Option]


class Kind(NamedTuple):
    """What a section names.

    Attributes:
      given: the parameters that a function of the kind is given, where it has them.
      made: what the function has to return, in words.
      built_in: the package's own, by name.
      others: whether names that are none of these have a meaning, too.
    """

    given: tuple[str, ...]
    made: str
    built_in: Mapping[str, BuiltIn]
    others: str = ""


_MODELS = "pride_jax.models.networks"
_METHODS = "pride_jax.methods"

KINDS = {
    "data": Kind((), "a Dataset", {}, others="a data set's name"),
    "model": Kind(
        ("features", "outputs"),
        "a Model; from_module makes one of a Flax module",
        {
            "logistic": BuiltIn(f"{_MODELS}:logistic", {}),
            "mlp": BuiltIn(f"{_MODELS}:mlp", {"hidden": Option(tuple[int, ...], (16,))}),
            "2nn": BuiltIn(f"{_MODELS}:two_nn", {}),
            "cnn": BuiltIn(f"{_MODELS}:cnn", {}),
            "resnet": BuiltIn(
                f"{_MODELS}:resnet", {"width": Option(int, 16), "dropout": Option(float, 0.0)}
            ),
            "char_lstm": BuiltIn(
                f"{_MODELS}:char_lstm",
                {
                    "embedding": Option(int, 32),
                    "hidden": Option(int, 128),
                    "layers": Option(int, 1),
                },
            ),
        },
    ),
    "task": Kind(
        ("model", "outputs"),
        "a Task",
        {
            "classification": BuiltIn(
                "pride_jax.task:classification", {"label_smoothing": Option(float, 0.0)}
            ),
            "regression": BuiltIn("pride_jax.task:regression", {}),
            "next_token": BuiltIn("pride_jax.task:next_token", {}),
        },
    ),
    "method": Kind(
        ("task", "client_optimizer", "client_rate", "server_optimizer", "weighting", "training"),
        "a Method",
        {
            "fedavg": BuiltIn(f"{_METHODS}.fedavg:fedavg", {}),
            "fedprox": BuiltIn(f"{_METHODS}.fedprox:fedprox", {"proximal": Option(float)}),
            "scaffold": BuiltIn(f"{_METHODS}.scaffold:scaffold", {}),
            "feddyn": BuiltIn(f"{_METHODS}.feddyn:feddyn", {"alpha": Option(float)}),
            "ditto": BuiltIn(f"{_METHODS}.ditto:ditto", {"attraction": Option(float)}),
        },
    ),
}
"""By section. A new network, task or method of the package becomes a setting by its line here."""


@dataclass(frozen=True)
class Named(Validated):
    """A section that names a function: one of the package's, or the user's own, and its options."""

    name: str
    options: Mapping[str, Any]

    @property
    def section(self) -> str:
        """Its name in an experiment."""
        return self._section().removesuffix(".")

    def _check(self) -> None:
        kind, where = KINDS[self.section], f"{self.section}.options"
        if own.is_own(self.name):
            check_values(where, self.options)
            options = self.options if isinstance(self.options, Options) else Options(self.options)
        elif self.name in kind.built_in or (kind.others and ".py" not in self.name):
            known = kind.built_in.get(self.name)
            expected = {} if known is None else known.options
            options = complete(where, self.options, self.name, expected)
        else:
            raise ConfigError(
                f"{self.section}.name={self.name!r}: {closest(self.name, kind.built_in)}Expected "
                f"{', '.join(kind.built_in) or kind.others}, or your own as file.py:function or "
                "module:function"
            )
        object.__setattr__(self, "options", options)


def expected_options(section: str, name: str, code: own.Code) -> Mapping[str, Option]:
    """The options that a name of a section takes; an own function is imported for it.

    Raises:
      ConfigError: as `own.resolve` and `options_of`.
    """
    kind = KINDS[section]
    if own.is_own(name):
        return options_of(own.resolve(f"{section}.name", name, code), kind.given, name)
    known = kind.built_in.get(name)
    return {} if known is None else known.options


def function_of(section: str, name: str, code: own.Code) -> Callable[..., Any]:
    """The function that a name of a section stands for.

    Raises:
      ConfigError: as `own.resolve`.
    """
    if own.is_own(name):
        return own.resolve(f"{section}.name", name, code)
    module, _, function = KINDS[section].built_in[name].function.partition(":")
    return getattr(importlib.import_module(module), function)


Made = TypeVar("Made")


def call(named: Named, code: own.Code, made: type[Made], **given: Any) -> Made:
    """Calls the function that a section names, with its options and what it takes of ``given``.

    Args:
      named: the section.
      code: the experiment's.
      made: what the function has to return.
      given: by name, what `KINDS` says that a function of the section is given, and options that
        take the place of the section's, such as numbers that are traced.

    Raises:
      ConfigError: as `own.resolve` and `complete`; or the function returns something else.
    """
    section = named.section
    function = function_of(section, named.name, code)
    expected = expected_options(section, named.name, code)
    options = complete(f"{section}.options", named.options, named.name, expected)
    taken = inspect.signature(function).parameters
    result = function(**{**options, **{name: given[name] for name in given if name in taken}})
    if not isinstance(result, made):
        raise ConfigError(
            f"{section}.name={named.name!r} returned {type(result).__name__}, expected "
            f"{KINDS[section].made}"
        )
    return result
