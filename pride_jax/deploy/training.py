"""The functions that the simulation trains with, for one party and for the server."""

from typing import Any

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


def train_party(
    agreement: Agreement,
    id_: int,
    examples: Examples,
    round_: int,
    params: Float[np.ndarray, "length"],
) -> tuple[Int[np.ndarray, "length"], dict[str, float | int | None]]:
    """A party's integers of one round, before noise, and what it alone is told of them.

    Args:
      agreement: what it knows.
      id_: its id.
      examples: its own.
      round_: the round.
      params: the server's, flat.
    """
    config, roster = agreement.config, agreement.roster
    server, _ = halves(config, roster, agreement.plan)
    number = jnp.asarray(np.int32(round_))
    told = Broadcast(
        key=jax.jit(_round_key, static_argnums=0)(config.seed, number),
        round=number,
        sent=_unflatten(server.sent, params),
        norm=jnp.asarray(np.float32(server.plan.clipping.norm)),
        hyper={},
    )
    own = of_one_client(examples.inputs, examples.targets, roster.shift, roster.scale)
    given, _ = client_program(agreement)(told, own, jnp.asarray(np.int32(id_)), ())
    seen, reports = jax.device_get((given.clients, given.reports))
    counted = reports._asdict()
    del counted["parts"]
    row = {
        name: value.item() if np.isfinite(value) else None
        for name, value in (seen._asdict() | counted).items()
    }
    return np.asarray(given.contributions.update), {"round": round_, **row}


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


def with_noise(
    agreement: Agreement, rng: Any, integers: Int[np.ndarray, "length"], announced: int
) -> Int[np.ndarray, "length"]:
    """The integers with the party's share of the noise, if the plan asks for any.

    Raises:
      ProtocolError: an update exceeds the integers' range, which noise would hide.
    """
    shares = agreement.plan.shares(rng)
    return shares.add(integers[None], shares.draw(announced, 1))[0]
