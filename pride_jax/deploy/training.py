"""The functions that the simulation trains with, for one party and for the server."""

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from pride_jax.data.examples import Examples
from pride_jax.data.federated import of_one_client
from pride_jax.deploy.agreement import Agreement
from pride_jax.deploy.derived import halves, secure_aggregation, shape_of
from pride_jax.deploy.roster import Roster
from pride_jax.engine.cohort import Broadcast
from pride_jax.engine.contribution import encoder
from pride_jax.engine.personal import has_own_models
from pride_jax.engine.secure import added_in
from pride_jax.engine.server import public_keys
from pride_jax.engine.simulated import SingleClient, single_client
from pride_jax.errors import ProtocolError
from pride_jax.methods.method import Method, State
from pride_jax.settings import learning
from pride_jax.settings.experiment import Experiment
from pride_jax.task import Task
from pride_jax.types import Key, Params


def build_task(config: Experiment, roster: Roster) -> Task:
    """What is learned from such examples as the roster tells of."""
    return learning.build_task(config, shape_of(roster))


def client_program(agreement: Agreement) -> SingleClient:
    """The program of one client, as the simulation's per-client mode has it."""
    config = agreement.config
    secure = secure_aggregation(config, agreement.protocol, agreement.public_key)
    server, clients = halves(config, agreement.roster, agreement.plan)
    return single_client(clients, encoder(added_in(server, secure)), server.weighting)


Told = dict[str, float | int | None]
"""What a party alone is told of its round."""


class Trained(NamedTuple):
    """What a party has of a round.

    Attributes:
      integers: that it adds, with its share of the noise, if the plan asks for any.
      told: what it alone is told of them.
      state: what it keeps until its next round.
    """

    integers: Int[np.ndarray, "length"]
    told: Told
    state: State


class Trainer(NamedTuple):
    """What a party does with its own examples, by programs that are compiled once.

    Attributes:
      first: what it keeps before its first round.
      train: round, what the server sends, flat, how many parties are called, what it kept ->
        `Trained`.
      own_models: what the server sends at the end, flat, and what the party kept -> the party's own
        model, or none where that is everybody's.
    """

    first: State
    train: Callable[[int, Float[np.ndarray, "numbers"], int, State], Trained]
    own_models: Callable[[Float[np.ndarray, "numbers"], State], tuple[Params, ...]]


def trainer(agreement: Agreement, id_: int, examples: Examples) -> Trainer:
    """A party's training.

    Args:
      agreement: what it knows.
      id_: its id.
      examples: its own.

    Raises (the functions):
      ProtocolError: an update exceeds the integers' range, which noise would hide, or what the
        server sends is of another length.
    """
    config, roster = agreement.config, agreement.roster
    server, clients = halves(config, roster, agreement.plan)
    method = clients.method({})
    program = client_program(agreement)
    round_key = jax.jit(_round_key, static_argnums=0)
    own = of_one_client(examples.inputs, examples.targets, roster.shift, roster.scale)

    def train(
        round_: int, params: Float[np.ndarray, "numbers"], called: int, state: State
    ) -> Trained:
        number = jnp.asarray(np.int32(round_))
        told = Broadcast(
            key=round_key(config.seed, number),
            round=number,
            sent=unflatten(server.sent, params),
            norm=jnp.asarray(np.float32(server.plan.clipping.norm)),
            hyper={},
        )
        given, state = jax.device_get(program(told, own, jnp.asarray(np.int32(id_)), state))
        seen, reports = given.clients, given.reports
        counted = reports._asdict()
        del counted["parts"]
        row = {
            name: value.item() if np.isfinite(value) else None
            for name, value in (seen._asdict() | counted).items()
        }
        integers, shares = np.asarray(given.contributions.update), agreement.plan.shares(os.urandom)
        noised = shares.add(integers[None], shares.draw(called, 1))[0]
        return Trained(noised, {"round": round_, **row}, state)

    def own_models(params: Float[np.ndarray, "numbers"], state: State) -> tuple[Params, ...]:
        sent = unflatten(server.sent, params)
        if not has_own_models(method, sent, jax.tree.map(lambda leaf: leaf[None], state)):
            return ()
        return (method.personal(sent, state),)

    return Trainer(_first_state(config.seed, method), train, own_models)


def _first_state(seed: int, method: Method) -> State:
    """What a client keeps before its first round: made of the model that all start from."""
    own = method.init(public_keys(jax.random.key(seed))[0])
    return jax.device_get(jax.jit(lambda own: method.client.state(method.send(own)))(own))


def _round_key(seed: int, round_: Int[Array, ""]) -> Key:
    return jax.random.fold_in(public_keys(jax.random.key(seed))[1], round_)


def unflatten(like: Any, flat: Float[np.ndarray, "numbers"]) -> Any:
    """What was sent, whose ``ravel_pytree`` is ``flat``; nothing is compiled for it.

    Raises:
      ProtocolError: it is of another length.
    """
    leaves, tree = jax.tree.flatten(like)
    ends = np.cumsum([leaf.size for leaf in leaves])
    if len(flat) != ends[-1]:
        raise ProtocolError(
            f"{len(flat)} parameters, expected {ends[-1]}: everyone needs the same config and "
            "roster"
        )
    parts = np.split(flat, ends[:-1])
    shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(tree, shaped)
