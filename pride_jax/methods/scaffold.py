"""SCAFFOLD: clients correct their drift by what they and the server remember of gradients.

Karimireddy, Kale, Mohri, Reddi, Stich & Suresh 2020, SCAFFOLD: Stochastic Controlled Averaging for
Federated Learning, algorithm 1 with option II: a client descends along g − c_i + c, and then its
variate becomes c_i − c + (x − y_i) / (K η).

A client sends two parts: its trained parameters less those that it was given, and the change of its
variate times η K, K being the most steps of any client, which is public. Both parts so have the
parameters' units, and one clipping norm, one limit and one noise suit both; the server divides
again. A client keeps its variate, as many numbers as the model has. Sums of both parts may be
encrypted. One client changes a round's sum by the two parts together, which are clipped as one
vector: the sensitivity is the clipping norm.

Clients count alike, as the paper has it: the server's variate is the mean of all clients' variates
only then. They take plain steps, since the variates are means of gradients.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from pride_jax.methods import fedavg
from pride_jax.methods.method import (
    ClientRule,
    Local,
    LocalTraining,
    Method,
    Rate,
    Round,
    State,
    Update,
    uniform,
)
from pride_jax.task import Task
from pride_jax.types import Key, Params


class Both(NamedTuple):
    """The parameters and the variate, or changes of them."""

    params: Params
    variate: Params


class Own(NamedTuple):
    """What the server keeps."""

    model: fedavg.Own
    variate: Params


def scaffold(
    task: Task,
    client_rate: Rate,
    server_optimizer: optax.GradientTransformation = optax.sgd(1.0),
    *,
    training: LocalTraining = LocalTraining(),
) -> Method:
    """Makes SCAFFOLD.

    Args:
      task: what is learned.
      client_rate: η, the learning rate of clients' plain steps; a number, or the round -> it.
      server_optimizer: steps along the mean update; the paper's has a rate alone.
      training: how a client goes through its examples.

    Raises:
      ConfigError: an argument is of another kind.
    """
    fedavg.check_task(task)
    rate = fedavg.rate_of(client_rate)
    fedavg.check_optimizer("server_optimizer", server_optimizer)

    def start(round_: Round, sent: Both, variate: Params) -> Local:
        eta = rate(round_.number)

        def correct(gradient: Params, params: Params, received: Params) -> Params:
            del params, received
            return jax.tree.map(
                lambda g, mine, all_: g - mine + all_, gradient, variate, sent.variate
            )

        local = fedavg.descend(task, lambda _: optax.sgd(eta), round_, sent.params, correct)

        def finish(carry: fedavg.Own, steps: Int[Array, ""]) -> tuple[Both, State]:
            moved, _ = local.finish(carry, steps)
            taken = eta * jnp.maximum(steps, 1).astype(jnp.float32)
            change = jax.tree.map(lambda all_, d: -all_ - d / taken, sent.variate, moved)
            scaled = jax.tree.map(lambda leaf: leaf * (eta * round_.steps), change)
            return Both(moved, scaled), jax.tree.map(jnp.add, variate, change)

        return Local(local.carry, local.step, finish)

    def init(key: Key) -> Own:
        params = task.init(key)
        model = fedavg.Own(params, server_optimizer.init(params))
        return Own(model, jax.tree.map(jnp.zeros_like, params))

    def apply(round_: Round, own: Own, mean: Update, share: Float[Array, ""]) -> Own:
        factor = share / (rate(round_.number) * round_.steps)
        variate = jax.tree.map(lambda c, change: c + factor * change, own.variate, mean.variate)
        return Own(fedavg.stepped(server_optimizer, own.model, mean.params), variate)

    return Method(
        client=ClientRule(lambda sent: jax.tree.map(jnp.zeros_like, sent.params), start),
        init=init,
        send=lambda own: Both(own.model.params, own.variate),
        apply=apply,
        params=lambda own: own.model.params,
        personal=lambda sent, state: sent.params,
        weighting=uniform,
        training=training,
        check=task.check,
    )
