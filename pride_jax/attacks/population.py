"""Populations whose clients are there by the toss of a coin, with canaries among them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from pride_jax.data.federated import FederatedData, normalize
from pride_jax.errors import ConfigError
from pride_jax.types import Key, Model, Params

_NOTHING = -1.0
"""What the column that tells canaries apart holds for an example that teaches nothing."""
_PUSH = 1e4
"""Slope of a canary's logit: its update is far longer than any clipping norm in use."""


class Population(NamedTuple):
    """Clients, and what they train.

    Attributes:
      model: the given one beside one parameter a canary: ``{"model": …, "canaries": …}``.
      num_clients: all, canaries last.
      toss: ``[clients]``, who is there -> the data. An absent client keeps its place and its number
        of examples, but they teach nothing, so that it adds exact zeros. It may be traced: many
        tosses then run in one compiled program.
    """

    model: Model
    num_clients: int
    toss: Callable[[Bool[Array, "clients"]], FederatedData]


def population(
    model: Model, data: FederatedData, canaries: int = 0, examples: int = 1
) -> Population:
    """The clients of ``data``, and canaries whose updates can be told apart in every release.

    A canary is an ordinary client with ordinary examples, of a kind whose loss has a steep slope in
    the canary's own parameter and none in others (the Dirac canaries of Steinke, Nasr & Jagielski
    2023, section 6): its update is clipped to the clipping norm, and nobody else's touches that
    parameter. That is the worst case, an observer who knows all other updates.

    Args:
      model: of the real clients.
      data: theirs.
      canaries: clients to add.
      examples: of each canary, all alike.

    Raises:
      ConfigError: the examples of no canary are possible.
    """
    if canaries < 0 or examples < 1:
        raise ConfigError(
            f"canaries={canaries}, examples={examples}: expected at least 0 and at least 1"
        )
    real = normalize(data.inputs, data.shift, data.scale)
    features, rows = real.shape[1:], real.shape[0]
    kinds = jnp.concatenate([jnp.arange(1, canaries + 1, dtype=jnp.float32), jnp.array([_NOTHING])])
    tagged = jnp.pad(real.reshape(rows, -1), ((0, canaries + 1), (0, 1))).at[rows:, -1].set(kinds)
    labels = jnp.pad(data.labels, (0, canaries + 1))
    own = np.concatenate(
        [np.asarray(data.index), np.repeat(rows + np.arange(canaries), examples)]
    ).astype(np.int32)
    sizes = np.concatenate([np.asarray(data.sizes), np.full(canaries, examples)]).astype(np.int32)
    owners = jnp.asarray(np.repeat(np.arange(len(sizes)), sizes))
    nothing = jnp.int32(rows + canaries)

    def init(key: Key) -> Params:
        return {"model": model.init(key), "canaries": jnp.zeros(canaries)}

    def apply(params: Params, inputs: Float[Array, "batch ..."]) -> Float[Array, "batch classes"]:
        kind = inputs[:, -1].astype(jnp.int32)
        logits = model.apply(params["model"], inputs[:, :-1].reshape(-1, *features))
        logits = jnp.where(kind[:, None] == 0, logits, 0.0)
        if canaries:
            own = params["canaries"]
            # Its value is 0 wherever training has moved it, so that its slope never flattens.
            height = _PUSH * (own - jax.lax.stop_gradient(own))
            pushed = jnp.where(kind > 0, height[jnp.maximum(kind - 1, 0)], 0.0)
            logits = logits.at[:, 0].add(pushed)
        return logits

    def toss(present: Bool[Array, "clients"]) -> FederatedData:
        return FederatedData(
            inputs=tagged,
            labels=labels,
            shift=jnp.zeros(()),
            scale=jnp.ones(()),
            index=jnp.where(present[owners], own, nothing),
            offsets=jnp.asarray((np.cumsum(sizes) - sizes).astype(np.int32)),
            sizes=jnp.asarray(sizes),
        )

    return Population(Model(init, apply), len(sizes), toss)
