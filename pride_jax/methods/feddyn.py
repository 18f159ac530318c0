"""FedDyn: each client's objective is bent so that its own optimum is the federation's.

Acar, Zhao, Matas, Mattina, Whatmough & Saligrama 2021, Federated Learning Based on Dynamic
Regularization, algorithm 1: a client descends along g − h_i + α (w − w_received), after which h_i
becomes h_i − α (w − w_received); the server keeps the mean h of these over all clients, and its
model is the mean of those that came less h / α.

A client sends its trained parameters less those that it was given, in the parameters' own units,
and keeps h_i, as many numbers as the model has. Sums may be encrypted. One client changes a round's
sum by its update alone: the sensitivity is the clipping norm.

Clients count alike and take plain steps, as the paper has it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from pride_jax.errors import ConfigError
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


class Own(NamedTuple):
    """What the server keeps: the parameters, and the mean of clients' h over all of them."""

    params: Params
    bend: Params


def feddyn(
    task: Task,
    client_rate: Rate,
    *,
    alpha: float,
    training: LocalTraining = LocalTraining(),
) -> Method:
    """Makes FedDyn.

    Args:
      task: what is learned.
      client_rate: the learning rate of clients' plain steps; a number, or the round -> it.
      alpha: α; the paper tries 0.001 to 0.1.
      training: how a client goes through its examples.

    Raises:
      ConfigError: α is not positive, or an argument is of another kind.
    """
    fedavg.check_task(task)
    rate = fedavg.rate_of(client_rate)
    if not alpha > 0:
        raise ConfigError(f"alpha={alpha}: expected more than 0, such as 0.01")

    def start(round_: Round, received: Params, bend: Params) -> Local:
        def correct(gradient: Params, params: Params, received: Params) -> Params:
            return jax.tree.map(
                lambda g, h, w, w0: g - h + alpha * (w - w0), gradient, bend, params, received
            )

        def keep(params: Params, steps: Int[Array, ""]) -> State:
            del steps
            return jax.tree.map(lambda h, w, w0: h - alpha * (w - w0), bend, params, received)

        eta = rate(round_.number)
        return fedavg.descend(task, lambda _: optax.sgd(eta), round_, received, correct, keep)

    def init(key: Key) -> Own:
        params = task.init(key)
        return Own(params, jax.tree.map(jnp.zeros_like, params))

    def apply(round_: Round, own: Own, mean: Update, share: Float[Array, ""]) -> Own:
        del round_
        bend = jax.tree.map(lambda h, d: h - alpha * share * d, own.bend, mean)
        params = jax.tree.map(lambda w, d, h: w + d - h / alpha, own.params, mean, bend)
        return Own(params, bend)

    return Method(
        client=ClientRule(lambda sent: jax.tree.map(jnp.zeros_like, sent), start),
        init=init,
        send=lambda own: own.params,
        apply=apply,
        params=lambda own: own.params,
        personal=lambda sent, state: sent,
        weighting=uniform,
        training=training,
        check=task.check,
    )
