"""The words the code shares: parameters, models, cohorts."""

from collections.abc import Callable
from typing import Generic, NamedTuple, NoReturn, SupportsIndex, TypeVar

import jax
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, Shaped

T = TypeVar("T")
Key = PRNGKeyArray
Params = PyTree[Float[Array, "..."]]
Update = PyTree[Float[Array, "..."]]
"""What a client sends: its trained parameters less the ones it was given."""

Schedule = Callable[[Int[Array, ""]], Float[Array, ""]]
"""A learning rate as a function of the round, as in Optax."""


def matters(factor: float | Float[Array, ""]) -> bool:
    """Whether a factor does anything; one that is traced may."""
    return not isinstance(factor, int | float) or factor != 0


class Model(NamedTuple):
    """A network as pure functions; nothing beyond this knows of Flax.

    Attributes:
      init: key -> parameters.
      apply: parameters, inputs ``[batch, *features]`` -> outputs ``[batch, ...]``, as when the
        network is used.
      train: parameters, inputs, key -> outputs, as when it learns: with dropout, if it has any.
    """

    init: Callable[[Key], Params]
    apply: Callable[[Params, Shaped[Array, "batch ..."]], Float[Array, "batch ..."]]
    train: Callable[[Params, Shaped[Array, "batch ..."], Key], Float[Array, "batch ..."]]


class Cohort(NamedTuple):
    """The clients of one round, in a static shape.

    Attributes:
      ids: client ids; what stands in a masked slot means nothing.
      mask: whether the slot holds a client.
    """

    ids: Int[Array, "slots"]
    mask: Bool[Array, "slots"]


@jax.tree_util.register_pytree_node_class
class Hidden(Generic[T]):
    """A secret on the device: a pytree around a value, that neither prints nor pickles.

    JAX prints the words of an array wherever it prints the array, also those of a key. A state that
    holds this instead can be printed and compared without telling them.

    Attributes:
      value: the secret, any pytree.
      kind: what it is, in public words.
    """

    __slots__ = ("kind", "value")

    def __init__(self, value: T, kind: str) -> None:
        self.value = value
        self.kind = kind

    def replace(self, value: T) -> "Hidden[T]":
        """Another secret of the same kind."""
        return Hidden(value, self.kind)

    def __repr__(self) -> str:
        return f"<hidden: {self.kind}>"

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(
            f"{self!r} is a secret: expected never to be pickled or copied; keep it in a run's "
            "secrets folder, or make it again from the run's seed"
        )

    def tree_flatten(self) -> tuple[tuple[T], str]:
        """Its parts, for JAX."""
        return (self.value,), self.kind

    @classmethod
    def tree_unflatten(cls, kind: str, children: tuple[T]) -> "Hidden[T]":
        """Itself again from its parts, for JAX."""
        return cls(children[0], kind)
