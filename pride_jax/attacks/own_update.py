"""What a client would send: its part of a round, computed by who has its examples."""

from collections.abc import Callable

import numpy as np
from jaxtyping import Array, Int

from pride_jax.data.federated import FederatedData
from pride_jax.engine.local import Batches, extent_of, num_batches, train_locally
from pride_jax.methods.method import Method, Round, Sent, Update
from pride_jax.types import Key

OwnUpdate = Callable[[Key, Int[Array, ""], Sent, Int[Array, ""]], Update]
"""``(the client's key, round, what was sent, client) -> what it sends``."""


def own_update(method: Method, data: FederatedData) -> OwnUpdate:
    """Makes the function that trains as a client does before it clips anything.

    Args:
      method: what the client does; in its first round, if it keeps a state.
      data: the clients' examples. What is made for a client without any means nothing.
    """
    rule, training = method.client, method.training
    # A lone client takes every step of its loop.
    extent = extent_of(np.asarray(data.sizes), training.batch_size)._replace(even=True)

    def update(key: Key, number: Int[Array, ""], sent: Sent, client: Int[Array, ""]) -> Update:
        size = data.sizes[client]
        steps = num_batches(size, extent.batch_size)
        round_ = Round(number, training.epochs * extent.batches)
        local = rule.start(round_, sent, rule.state(sent))
        carry, _ = train_locally(
            local, training, extent, key, data, client, size, Batches(steps, steps)
        )
        return local.finish(carry, training.epochs * steps)[0]

    return update
