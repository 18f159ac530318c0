"""Whether federating was worth it: a central model, and each client alone."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from pride_jax.data.federated import FederatedData
from pride_jax.engine.cohort import Clients
from pride_jax.engine.local import Batches, num_batches, train_locally
from pride_jax.types import Key, Params


def train_alone(
    clients: Clients, rounds: int
) -> Callable[[FederatedData, Key, Params, Int[Array, ""]], Params]:
    """Makes the function that trains on one client's examples and nothing else.

    The client trains as in a federation, as many rounds with the same optimizer, but keeps its own
    parameters. For a client that holds everything, this is the central model.

    Args:
      clients: what a client does, by a rule that sends parameters and keeps no state.
      rounds: of training.

    Returns:
      A compiled function of the clients' examples, a key, initial parameters and a client's id.
    """
    method, extent = clients.method({}), clients.extent._replace(even=True)

    @jax.jit
    def train(data: FederatedData, key: Key, params: Params, client: Int[Array, ""]) -> Params:
        size = data.sizes[client]
        steps = num_batches(size, extent.batch_size)

        def one_round(number: Int[Array, ""], params: Params) -> Params:
            local = method.client.start(clients.round(number), params, ())
            round_key = jax.random.fold_in(key, number)
            carry, _ = train_locally(
                local,
                method.training,
                extent,
                round_key,
                data,
                client,
                size,
                Batches(steps, steps),
            )
            update, _ = local.finish(carry, clients.epochs * steps)
            return jax.tree.map(jnp.add, params, update)

        return jax.lax.fori_loop(0, rounds, one_round, params)

    return train
