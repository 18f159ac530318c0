"""FedAvg, and FedOpt: clients descend by themselves, and the server steps along their mean update.

McMahan, Moore, Ramage, Hampson & Agüera y Arcas 2017, Communication-Efficient Learning of Deep
Networks from Decentralized Data; Reddi et al. 2021, Adaptive Federated Optimization. With
``optax.sgd(1.0)`` on the server this is FedAvg, with momentum FedAvgM, with Adam, Yogi or Adagrad
FedAdam, FedYogi or FedAdagrad.

A client sends its trained parameters less those that it was given, in the parameters' own units,
and keeps nothing. Sums of updates may be encrypted. One client changes a round's sum by its update
alone, clipped to the clipping norm: the sensitivity is that norm.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from pride_jax.data.federated import Batch
from pride_jax.errors import ConfigError
from pride_jax.methods.method import (
    ClientOptimizer,
    ClientRule,
    Local,
    LocalTraining,
    Method,
    Rate,
    Round,
    State,
    Update,
    Weighting,
    by_examples,
    no_state,
)
from pride_jax.task import Task, mean_gradient
from pride_jax.types import Key, Params
from pride_jax.validated import expect

Correct = Callable[[Params, Params, Params], Params]
"""``(gradient, parameters, received) -> gradient``: what a client descends along instead."""


class Own(NamedTuple):
    """What the server keeps: the parameters, and the state of its optimizer."""

    params: Params
    opt_state: optax.OptState


def fedavg(
    task: Task,
    client_optimizer: ClientOptimizer | optax.GradientTransformation,
    server_optimizer: optax.GradientTransformation = optax.sgd(1.0),
    *,
    weighting: Weighting = by_examples,
    training: LocalTraining = LocalTraining(),
) -> Method:
    """Makes FedAvg or one of FedOpt's methods.

    Args:
      task: what is learned.
      client_optimizer: of the clients, or the round -> their optimizer; made anew each round.
      server_optimizer: steps along the mean update.
      weighting: how much each client counts.
      training: how a client goes through its examples.

    Raises:
      ConfigError: an argument is of another kind.
    """
    optimizer = each_round(client_optimizer)
    rule = ClientRule(no_state, lambda round_, sent, _: descend(task, optimizer, round_, sent))
    return averaged(task, rule, server_optimizer, weighting=weighting, training=training)


def averaged(
    task: Task,
    rule: ClientRule,
    server_optimizer: optax.GradientTransformation,
    *,
    weighting: Weighting,
    training: LocalTraining,
) -> Method:
    """A method whose server keeps one model and steps along the mean of clients' updates of it."""
    check_task(task)
    check_optimizer("server_optimizer", server_optimizer)

    def init(key: Key) -> Own:
        params = task.init(key)
        return Own(params, server_optimizer.init(params))

    def apply(round_: Round, own: Own, mean: Update, share: Float[Array, ""]) -> Own:
        del round_, share
        return stepped(server_optimizer, own, mean)

    return Method(
        client=rule,
        init=init,
        send=lambda own: own.params,
        apply=apply,
        params=lambda own: own.params,
        personal=lambda sent, _: sent,
        weighting=weighting,
        training=training,
        check=task.check,
    )


def descend(
    task: Task,
    optimizer: ClientOptimizer,
    round_: Round,
    received: Params,
    correct: Correct = lambda gradient, params, received: gradient,
    keep: Callable[[Params, Int[Array, ""]], State] = lambda params, steps: (),
) -> Local:
    """A client that starts from what it received and descends by its own optimizer.

    Args:
      task: what is learned.
      optimizer: the round -> the client's optimizer.
      round_: the round.
      received: the server's parameters.
      correct: what it descends along in place of its gradient.
      keep: its trained parameters and the steps it took -> what it keeps.
    """
    transform, gradient = optimizer(round_.number), mean_gradient(task)

    def step(key: Key, carry: Own, batch: Batch) -> tuple[Own, Array]:
        slope, loss = gradient(carry.params, batch, key)
        slope = correct(slope, carry.params, received)
        change, opt_state = transform.update(slope, carry.opt_state, carry.params)
        return Own(optax.apply_updates(carry.params, change), opt_state), loss

    def finish(carry: Own, steps: Int[Array, ""]) -> tuple[Update, State]:
        return jax.tree.map(jnp.subtract, carry.params, received), keep(carry.params, steps)

    return Local(Own(received, transform.init(received)), step, finish)


def stepped(optimizer: optax.GradientTransformation, own: Own, mean: Params) -> Own:
    """One step of the server along the mean update (Reddi et al. 2021, algorithm 1)."""
    descent = jax.tree.map(jnp.negative, mean)
    change, opt_state = optimizer.update(descent, own.opt_state, own.params)
    return Own(optax.apply_updates(own.params, change), opt_state)


def each_round(optimizer: ClientOptimizer | optax.GradientTransformation) -> ClientOptimizer:
    """The round -> its clients' optimizer, the same in every round if only one is given.

    Raises:
      ConfigError: it is neither an optimizer nor a function of the round.
    """
    if isinstance(optimizer, optax.GradientTransformation):
        return lambda round_: optimizer
    # Optax's own functions take a rate, and would take the round for one.
    if not callable(optimizer) or getattr(optimizer, "__module__", "").startswith("optax"):
        raise ConfigError(
            f"client_optimizer={optimizer!r}: expected an Optax optimizer such as optax.sgd(0.1), "
            "or a function of the round that gives one"
        )

    def checked(round_: Int[Array, ""]) -> optax.GradientTransformation:
        made = optimizer(round_)
        check_optimizer("client_optimizer of a round", made)
        return made

    return checked


def rate_of(rate: Rate) -> Callable[[Int[Array, ""]], Float[Array, ""]]:
    """The round -> the learning rate of plain steps.

    Raises:
      ConfigError: it is no positive number, nor a function of the round.
    """
    if isinstance(rate, optax.GradientTransformation) or not (
        callable(rate) or (isinstance(rate, int | float) and rate > 0)
    ):
        raise ConfigError(
            f"client_rate={rate!r}: expected a positive number, or a function of the round that "
            "gives one: this method takes plain steps, without momentum, Adam or decay, since it "
            "reads the mean of the gradients off them"
        )
    if callable(rate):
        return lambda round_: jnp.asarray(rate(round_), jnp.float32)
    return lambda round_: jnp.float32(rate)


def check_task(task: object) -> None:
    """Refuses what is no task.

    Raises:
      ConfigError: as above.
    """
    expect("task", task, Task, "a Task, such as classification(model, outputs)")


def check_optimizer(name: str, optimizer: object) -> None:
    """Refuses what is no Optax optimizer.

    Raises:
      ConfigError: as above.
    """
    if not isinstance(optimizer, optax.GradientTransformation):
        raise ConfigError(
            f"{name}={optimizer!r}: expected an Optax optimizer, such as optax.sgd(1.0)"
        )
