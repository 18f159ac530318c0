"""The words the code shares: parameters, models, cohorts."""

from collections.abc import Callable
from typing import NamedTuple

from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree, Shaped

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
