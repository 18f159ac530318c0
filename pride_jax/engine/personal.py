"""How well each client is served: scores of its own model on its own examples."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pride_jax.data.federated import FederatedData, take
from pride_jax.engine.cohort import Clients
from pride_jax.engine.evaluation import headline
from pride_jax.engine.local import Batches, num_batches, train_locally
from pride_jax.methods.method import Method, Sent
from pride_jax.task import Task
from pride_jax.types import Key, Params

_BATCH = 100

ModelOf = Callable[[Int[Array, ""], Any], Params]
"""A client's id, and whatever else it takes -> the parameters of its own model."""


def has_own_models(method: Method, sent: Sent, states: Any) -> bool:
    """Whether a client's own model is anything but what the server sends.

    Args:
      method: says what a client's own model is.
      sent: what the server sends.
      states: of all clients, ``[clients, …]``.
    """
    model = method.personal(sent, jax.tree.map(lambda leaf: leaf[0], states))
    received = {id(leaf) for leaf in jax.tree.leaves(sent)}
    return any(id(leaf) not in received for leaf in jax.tree.leaves(model))


def personal_totals(
    task: Task, method: Method, held_out: FederatedData
) -> Callable[[Sent, Any], Float[np.ndarray, "clients 2"]]:
    """Makes the function that tests each client's personal model on its held-out examples.

    Args:
      task: what is learned.
      method: says what a client's own model is.
      held_out: each client's examples to test on.

    Returns:
      A function of what the server sends and the states of all clients, ``[clients, …]``, whose
      rows are sums of the headline score and their weights; see `evaluation.spread_of`.
    """

    def own_model(client: Int[Array, ""], given: tuple[Sent, Any]) -> Params:
        sent, states = given
        return method.personal(sent, jax.tree.map(lambda leaf: leaf[client], states))

    totals = _totals(task, held_out, own_model)
    return lambda sent, states: totals((sent, states))


def fine_tuned_totals(
    task: Task, clients: Clients, data: FederatedData, held_out: FederatedData
) -> Callable[[Key, Params], Float[np.ndarray, "clients 2"]]:
    """Makes the function that tests what parameters become when a client trains them for itself.

    Args:
      task: what is learned.
      clients: how a client trains: a rule that receives parameters and keeps no state.
      data: each client's examples to train on.
      held_out: each client's examples to test on.

    Returns:
      A function of a key and parameters, whose rows are as those of `personal_totals`.
    """
    alone, extent = clients.method({}), clients.extent._replace(even=True)

    def own_model(client: Int[Array, ""], given: tuple[Key, Params]) -> Params:
        key, params = given
        local = alone.client.start(clients.round(jnp.int32(0)), params, ())
        size = data.sizes[client]
        steps = num_batches(size, extent.batch_size)
        carry, _ = train_locally(
            local,
            alone.training,
            extent,
            jax.random.fold_in(key, client),
            data,
            client,
            size,
            Batches(steps, steps),
        )
        update, _ = local.finish(carry, clients.epochs * steps)
        return jax.tree.map(jnp.add, params, update)

    totals = _totals(task, held_out, own_model)
    return lambda key, params: totals((key, params))


def _totals(
    task: Task, held_out: FederatedData, own_model: ModelOf
) -> Callable[[Any], Float[np.ndarray, "clients 2"]]:
    batch_size = min(_BATCH, max(1, int(held_out.sizes.max())))

    def one(client: Int[Array, ""], given: Any, data: FederatedData) -> Float[Array, "2"]:
        params = own_model(client, given)
        size, offset = data.sizes[client], data.offsets[client]
        places = jnp.arange(batch_size)

        def add(number: Int[Array, ""], total: Float[Array, "2"]) -> Float[Array, "2"]:
            own = number * batch_size + places
            mask = own < size
            scores = task.score(params, take(data, offset + jnp.where(mask, own, 0), mask))
            columns = (scores.sums[headline(scores.sums)], scores.weight)
            return total + jnp.stack([jnp.sum(jnp.where(mask, each, 0.0)) for each in columns])

        return jax.lax.fori_loop(0, num_batches(size, batch_size), add, jnp.zeros(2))

    @jax.jit
    def every(given: Any, data: FederatedData) -> Float[Array, "clients 2"]:
        ids = jnp.arange(data.num_clients)
        return jax.lax.map(lambda client: one(client, given, data), ids)

    return lambda given: np.asarray(every(given, held_out), np.float64)
