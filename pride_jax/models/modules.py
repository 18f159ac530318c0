"""From a Flax module to the pair of pure functions that training sees of it."""

from collections.abc import Callable

import jax
from flax import nnx
from jaxtyping import Array, Float

from pride_jax.errors import ConfigError
from pride_jax.types import Key, Model, Params


def from_module(make: Callable[[nnx.Rngs], nnx.Module]) -> Model:
    """The two pure functions of a Flax NNX module.

    Args:
      make: builds the module from a stream of keys, e.g. ``lambda rngs: MLP((4, 3), nnx.relu,
        rngs=rngs)``. Called with inputs ``[batch, *features]`` the module returns logits.

    Raises:
      ConfigError: the module holds state besides its parameters. Batch statistics would be averages
        over one client's data, which neither clipping nor noise covers; dropout would make the
        model more than a function of its parameters.
    """
    graph, parameters, rest = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))), nnx.Param, ...)
    if kinds := sorted({type(leaf).__name__ for _, leaf in nnx.to_flat_state(rest)}):
        raise ConfigError(
            f"The model holds {', '.join(kinds)} besides its parameters, expected parameters only: "
            "replace BatchNorm by GroupNorm or LayerNorm (batch statistics of one client escape "
            "clipping and noise) and leave dropout out"
        )
    if not nnx.to_flat_state(parameters):
        raise ConfigError("The model has no parameters, expected at least one nnx.Param")

    def init(key: Key) -> Params:
        return nnx.to_pure_dict(nnx.state(make(nnx.Rngs(key)), nnx.Param))

    def apply(params: Params, inputs: Float[Array, "batch ..."]) -> Float[Array, "batch classes"]:
        return nnx.merge(graph, nnx.State(params))(inputs)

    def train(
        params: Params, inputs: Float[Array, "batch ..."], key: Key
    ) -> Float[Array, "batch classes"]:
        del key
        return apply(params, inputs)

    return Model(init, apply, train)


def num_parameters(model: Model) -> int:
    """How many numbers a client sends, without making any."""
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))
