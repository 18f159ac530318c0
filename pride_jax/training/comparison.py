"""Whether federating was worth it: a central model, and each client alone."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from pride_jax.data.federated import FederatedData
from pride_jax.training.client import LocalTraining, local_update, num_batches
from pride_jax.types import Key, Model, Params


def train_alone(
    model: Model,
    optimizer: Callable[[Int[Array, ""]], optax.GradientTransformation],
    training: LocalTraining,
    data: FederatedData,
) -> Callable[[Key, Params, Int[Array, ""]], Params]:
    """Makes the function that trains on one client's examples and nothing else.

    On pooled data, whose only client holds everything, this is the central model.

    Args:
      model: what is trained.
      optimizer: the round -> the optimizer; round 0's is used.
      training: epochs and batch size.
      data: the clients' examples.

    Returns:
      A compiled function of a key, initial parameters and a client's id.
    """
    longest = int(data.sizes.max())
    batch_size = training.batch_size or longest
    update_client = local_update(model, optimizer, training, longest, vmapped=False)

    @jax.jit
    def train(data: FederatedData, key: Key, params: Params, client: Int[Array, ""]) -> Params:
        size = data.sizes[client]
        batches = num_batches(size, batch_size)
        first = jnp.zeros((), jnp.int32)
        update, _ = update_client(key, first, params, data, client, size, batches)
        return jax.tree.map(jnp.add, params, update)

    return lambda key, params, client: train(data, key, params, client)
