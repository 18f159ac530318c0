"""Populations in which clients are there by the toss of a coin, and canaries among clients.

Who is there is a leaf of the parameters, ``present``, which the model reads and nothing moves: one
compiled algorithm so runs many tosses at once, vmapped over the key of its initial parameters. An
absent client keeps its place and its number of examples, but they teach nothing: it adds exact
zeros, which is what zero-out adjacency means.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, Shaped

from pride_jax.data.federated import FederatedData, normalize
from pride_jax.errors import ConfigError
from pride_jax.types import Key, Model, Params

_SLOPE = 1e4
"""Of a canary's loss: its update is far longer than any clipping norm in use."""


class Population(NamedTuple):
    """Clients, and what they train.

    Attributes:
      model: its parameters are ``{"model": …, "canaries": [canaries], "present": [tossed]}``: the
        given model's, one for each canary, and 1 or 0 for each client that is tossed.
      data: of all clients, tossed ones last.
    """

    model: Model
    data: FederatedData


def tossed(model: Model, data: FederatedData) -> Population:
    """Every client is there with probability ½.

    Args:
      model: that the clients train.
      data: theirs. An example of several clients is copied.
    """
    owners = np.repeat(np.arange(data.num_clients), np.asarray(data.sizes))
    examples = normalize(data.inputs[data.index], data.shift, data.scale)
    seated = data._replace(
        inputs=_seated(examples, owners + 1),
        targets=data.targets[data.index],
        shift=jnp.zeros(()),
        scale=jnp.ones(()),
        index=jnp.arange(len(owners), dtype=jnp.int32),
    )
    return Population(_model(model, examples.shape[1:], data.num_clients, 0), seated)


def with_canaries(
    model: Model, data: FederatedData, canaries: int, examples: int = 1
) -> Population:
    """The clients of ``data``, and canaries that are there with probability ½ each.

    A canary is an ordinary client with ordinary examples, of a kind whose loss has a steep slope in
    the canary's own parameter and none in any other (the Dirac canaries of Steinke, Nasr &
    Jagielski 2023, section 6): its update is clipped to the clipping norm, and nobody else's
    touches that parameter. That is the worst case, an observer who knows all other updates.

    Args:
      model: of the real clients.
      data: theirs.
      canaries: clients to add.
      examples: of each canary, all alike.

    Raises:
      ConfigError: there are no canaries, or they have no examples.
    """
    if canaries < 1 or examples < 1:
        raise ConfigError(f"canaries={canaries}, examples={examples}: expected at least 1 of each")
    real = normalize(data.inputs, data.shift, data.scale)
    rows = len(real) + np.arange(canaries)
    seats = np.concatenate([np.zeros(len(real), np.int32), 1 + np.arange(canaries)])
    padded = jnp.pad(real, ((0, canaries), *((0, 0) for _ in real.shape[1:])))
    sizes = np.concatenate([np.asarray(data.sizes), np.full(canaries, examples)]).astype(np.int32)
    index = np.concatenate([np.asarray(data.index), np.repeat(rows, examples)]).astype(np.int32)
    seated = FederatedData(
        inputs=_seated(padded, seats),
        targets=jnp.pad(data.targets, (0, canaries)),
        shift=jnp.zeros(()),
        scale=jnp.ones(()),
        index=jnp.asarray(index),
        offsets=jnp.asarray((np.cumsum(sizes) - sizes).astype(np.int32)),
        sizes=jnp.asarray(sizes),
    )
    return Population(_model(model, real.shape[1:], canaries, canaries), seated)


def keep_present(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """A server optimizer that leaves ``present`` as it is, whatever noise the sum has."""

    def frozen(updates: Params, params: Params | None) -> Params:
        del params
        return updates | {"present": jnp.zeros_like(updates["present"])}

    return optax.chain(optimizer, optax.stateless(frozen))


def _seated(
    examples: Float[Array, "examples ..."], seats: Int[np.ndarray, "examples"]
) -> Shaped[Array, "examples columns"]:
    """Flattened examples, and in a last column whose they are: 0, or a tossed client's number."""
    column = jnp.asarray(seats, jnp.float32)[:, None]
    return jnp.concatenate([examples.reshape(len(examples), -1), column], axis=1)


def _model(model: Model, features: tuple[int, ...], coins: int, canaries: int) -> Model:
    def init(key: Key) -> Params:
        model_key, coins_key = jax.random.split(key)
        return {
            "model": model.init(model_key),
            "canaries": jnp.zeros(canaries),
            "present": jax.random.bernoulli(coins_key, shape=(coins,)).astype(jnp.float32),
        }

    def apply(params: Params, inputs: Float[Array, "batch ..."]) -> Float[Array, "batch classes"]:
        seats = inputs[:, -1].astype(jnp.int32)
        logits = model.apply(params["model"], inputs[:, :-1].reshape(-1, *features))
        if canaries:
            own = params["canaries"]
            # Its height is 0 wherever training has moved it, so that its slope never flattens.
            heights = _SLOPE * (own - jax.lax.stop_gradient(own))
            pushed = heights[jnp.maximum(seats - 1, 0)][:, None]
            logits = jnp.where(seats[:, None] == 0, logits, jnp.eye(1, logits.shape[1]) * pushed)
        there = jnp.concatenate([jnp.ones(1), jax.lax.stop_gradient(params["present"])])[seats]
        return jnp.where(there[:, None] > 0, logits, 0.0)

    return Model(init, apply, lambda params, inputs, key: apply(params, inputs))
