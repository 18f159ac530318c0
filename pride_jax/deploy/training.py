"""The functions that the simulation trains with, for one party and for the server."""

import os
from collections.abc import Callable

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
from pride_jax.engine.secure import added_in
from pride_jax.engine.server import public_keys
from pride_jax.engine.simulated import SingleClient, single_client
from pride_jax.errors import ProtocolError
from pride_jax.methods.method import Sent
from pride_jax.settings import learning
from pride_jax.settings.experiment import Experiment
from pride_jax.task import Task
from pride_jax.types import Key


def build_task(config: Experiment, roster: Roster) -> Task:
    """What is learned from such examples as the roster tells of."""
    return learning.build_task(config, shape_of(roster))


def client_program(agreement: Agreement) -> SingleClient:
    """The program of one client, as the simulation's per-client mode has it."""
    config = agreement.config
    secure = secure_aggregation(config, agreement.protocol, agreement.public_key)
    server, clients = halves(config, agreement.roster, agreement.plan)
    return single_client(clients, encoder(added_in(server, secure)), server.weighting)


Trained = tuple[Int[np.ndarray, "length"], dict[str, float | int | None]]
Trainer = Callable[[int, Float[np.ndarray, "length"], int], Trained]
"""Round, the server's parameters, flat, how many parties are called -> a party's integers with its
share of the noise, if the plan asks for any, and what it alone is told of them."""


def trainer(agreement: Agreement, id_: int, examples: Examples) -> Trainer:
    """A party's training, whose program is compiled once.

    Args:
      agreement: what it knows.
      id_: its id.
      examples: its own.

    Raises (the function):
      ProtocolError: an update exceeds the integers' range, which noise would hide.
    """
    config, roster = agreement.config, agreement.roster
    server, _ = halves(config, roster, agreement.plan)
    program = client_program(agreement)
    round_key = jax.jit(_round_key, static_argnums=0)
    own = of_one_client(examples.inputs, examples.targets, roster.shift, roster.scale)

    def train(round_: int, params: Float[np.ndarray, "length"], called: int) -> Trained:
        number = jnp.asarray(np.int32(round_))
        told = Broadcast(
            key=round_key(config.seed, number),
            round=number,
            sent=_unflatten(server.sent, params),
            norm=jnp.asarray(np.float32(server.plan.clipping.norm)),
            hyper={},
        )
        given, _ = program(told, own, jnp.asarray(np.int32(id_)), ())
        seen, reports = jax.device_get((given.clients, given.reports))
        counted = reports._asdict()
        del counted["parts"]
        row = {
            name: value.item() if np.isfinite(value) else None
            for name, value in (seen._asdict() | counted).items()
        }
        integers, shares = np.asarray(given.contributions.update), agreement.plan.shares(os.urandom)
        noised = shares.add(integers[None], shares.draw(called, 1))[0]
        return noised, {"round": round_, **row}

    return train


def _round_key(seed: int, round_: Int[Array, ""]) -> Key:
    return jax.random.fold_in(public_keys(jax.random.key(seed))[1], round_)


def _unflatten(like: Sent, flat: Float[np.ndarray, "length"]) -> Sent:
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
