"""The two halves of a federation, and what every way to carry out its rounds needs of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array

from pride_jax.data.federated import FederatedData
from pride_jax.engine.cohort import Clients, CohortResult, train_cohort
from pride_jax.engine.contribution import Encode
from pride_jax.engine.local import numbers_read
from pride_jax.engine.memory import default_chunk
from pride_jax.engine.rounds import Algorithm, ServerState
from pride_jax.engine.server import Server, client_weights
from pride_jax.engine.states import States, states_of
from pride_jax.methods.method import Hyper, State
from pride_jax.types import Cohort, Key
from pride_jax.validated import expect, expect_whole


class Federation(NamedTuple):
    """What rounds are made of.

    Attributes:
      server: the server's part.
      clients: the clients' part.
      data: their examples; of this process's clients alone, where there are several processes.
    """

    server: Server
    clients: Clients
    data: FederatedData


Adder = Callable[[Federation], Algorithm]
"""How a cohort is trained, and how what its clients contribute becomes one sum."""

Work = Callable[[FederatedData, ServerState, Cohort, Any, Array], tuple[CohortResult, Any]]
"""``(data, state, cohort, lent states, their rows) -> (CohortResult, states after it)``."""


def work_of(
    federation: Federation, encode: Encode, mesh: Mesh, collect: Any
) -> Callable[[int], Work]:
    """Makes, for a chunk, the function that has a cohort train.

    Args:
      federation: whose cohorts they are.
      encode: what a client adds.
      mesh: devices.
      collect: see `train_cohort`.
    """
    server = federation.server

    def work_with(chunk: int) -> Work:
        train = train_cohort(federation.clients, encode, chunk=chunk, mesh=mesh, collect=collect)

        def work(
            data: FederatedData, state: ServerState, cohort: Cohort, lent: Any, rows: Array
        ) -> tuple[CohortResult, Any]:
            weights = client_weights(data.sizes, cohort, server.weighting)
            return train(server.tell(state), data, cohort, weights, lent, rows)

        return work

    return work_with


def chunk_of(federation: Federation, mesh: Mesh, chunk: int | None) -> int:
    """The most clients vmapped together: as asked for, or measured, and no more than there are."""
    if chunk is not None:
        expect_whole("chunk", chunk)
    slots = -(-federation.server.plan.sampler.slots // mesh.shape["clients"])
    read = numbers_read(federation.data, federation.clients.extent)
    return min(chunk or default_chunk(federation.server.length, read, mesh), slots)


def states_in(federation: Federation, mesh: Mesh) -> States:
    """How the states of the federation's clients are kept."""
    rule = federation.clients.method(federation.server.hyper).client
    shapes = jax.eval_shape(rule.state, federation.server.sent)
    return states_of(shapes, federation.data.num_clients, mesh)


def starting(
    server: Server, clients: Clients, states: States, mesh: Mesh
) -> Callable[..., ServerState]:
    """Makes an algorithm's `init`."""
    replicate = jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, PartitionSpec()))

    @jax.jit
    def first(state: ServerState) -> State:
        return clients.method(state.hyper).client.state(server.tell(state).sent)

    def init(
        key: Key, private: Key | None = None, round_: int = 0, hyper: Hyper | None = None
    ) -> ServerState:
        expect("key", key, jax.Array, "a key, such as jax.random.key(0)")
        numbers = {name: jnp.asarray(value, jnp.float32) for name, value in (hyper or {}).items()}
        state = replicate(server.init(key, private, round_, numbers))
        return state._replace(clients=states.init(first(state)))

    return init


def without_clients(state: ServerState) -> ServerState:
    """The server's own state."""
    return state._replace(clients=())
