"""Whether federating was worth it: a central model, and each client alone."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from pride_jax.data.federated import FederatedData
from pride_jax.engine.client import LocalTraining, local_update, num_batches
from pride_jax.types import Key, Model, Params


def train_alone(
    model: Model,
    optimizer: Callable[[Int[Array, ""]], optax.GradientTransformation],
    training: LocalTraining,
    longest: int,
    rounds: int,
) -> Callable[[FederatedData, Key, Params, Int[Array, ""]], Params]:
    """Makes the function that trains on one client's examples and nothing else.

    The client trains as in a federation, as many rounds with the same optimizer, but keeps its own
    parameters. For a client that holds everything, this is the central model.

    Args:
      model: what is trained.
      optimizer: the round -> its optimizer.
      training: epochs a round and batch size.
      longest: the most examples that any client holds.
      rounds: of training.

    Returns:
      A compiled function of the clients' examples, a key, initial parameters and a client's id.
    """
    batch_size = training.batch_size or longest
    update_client = local_update(model, optimizer, training, longest, vmapped=False)

    @jax.jit
    def train(data: FederatedData, key: Key, params: Params, client: Int[Array, ""]) -> Params:
        size = data.sizes[client]
        batches = num_batches(size, batch_size)

        def one_round(round_: Int[Array, ""], params: Params) -> Params:
            round_key = jax.random.fold_in(key, round_)
            update, _ = update_client(round_key, round_, params, data, client, size, batches)
            return jax.tree.map(jnp.add, params, update)

        return jax.lax.fori_loop(0, rounds, one_round, params)

    return train
