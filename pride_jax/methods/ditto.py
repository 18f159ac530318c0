"""Ditto: FedAvg, and beside it a model of each client's own that stays near the shared one.

Li, Hu, Beirami & Smith 2021, Ditto: Fair and Robust Federated Learning Through Personalization,
algorithm 1: a client's own model v descends along its gradient plus λ (v − w_received).

What is sent and may be encrypted, and the sensitivity, are FedAvg's. A client keeps its own model,
which it never sends.
"""

from typing import NamedTuple

import jax
import optax
from jaxtyping import Array, Int

from pride_jax.data.federated import Batch
from pride_jax.errors import ConfigError
from pride_jax.methods.fedavg import Own, averaged, descend, each_round
from pride_jax.methods.method import (
    ClientOptimizer,
    ClientRule,
    Local,
    LocalTraining,
    Method,
    Round,
    State,
    Update,
    Weighting,
    by_examples,
)
from pride_jax.task import Task
from pride_jax.types import Key, Params


class Carry(NamedTuple):
    """What a client trains side by side: the shared model, and its own."""

    shared: Own
    own: Own


def ditto(
    task: Task,
    client_optimizer: ClientOptimizer | optax.GradientTransformation,
    server_optimizer: optax.GradientTransformation = optax.sgd(1.0),
    *,
    attraction: float,
    weighting: Weighting = by_examples,
    training: LocalTraining = LocalTraining(),
) -> Method:
    """Makes Ditto.

    Args:
      task, client_optimizer, server_optimizer, weighting, training: as for `fedavg`; a client's
        own model takes the same batches and the same optimizer.
      attraction: λ; at 0 a client's own model learns from its own examples alone.

    Raises:
      ConfigError: λ is negative, or an argument is of another kind.
    """
    if isinstance(attraction, str) or not attraction >= 0:
        raise ConfigError(f"attraction={attraction!r}: expected at least 0, such as 0.1")
    optimizer = each_round(client_optimizer)

    def start(round_: Round, received: Params, mine: Params) -> Local:
        def correct(gradient: Params, params: Params, _: Params) -> Params:
            return jax.tree.map(
                lambda g, v, w: g + attraction * (v - w), gradient, params, received
            )

        shared = descend(task, optimizer, round_, received)
        own = descend(task, optimizer, round_, mine, correct)

        def step(key: Key, carry: Carry, batch: Batch) -> tuple[Carry, Array]:
            trained, loss = shared.step(key, carry.shared, batch)
            kept, _ = own.step(key, carry.own, batch)
            return Carry(trained, kept), loss

        def finish(carry: Carry, steps: Int[Array, ""]) -> tuple[Update, State]:
            return shared.finish(carry.shared, steps)[0], carry.own.params

        return Local(Carry(shared.carry, own.carry), step, finish)

    method = averaged(
        task,
        ClientRule(lambda sent: sent, start),
        server_optimizer,
        weighting=weighting,
        training=training,
    )
    return method._replace(personal=lambda sent, state: state)
