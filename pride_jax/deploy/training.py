"""The functions that the simulation trains with, for one party and for the server."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int

from pride_jax.aggregation.secure_sum import Public, Secret, SecureSum
from pride_jax.data.federated import of_one_client
from pride_jax.deploy.agreement import Agreement
from pride_jax.deploy.enrolment import Examples
from pride_jax.deploy.roster import Roster
from pride_jax.engine.client import ClientInfo
from pride_jax.federated import (
    SecureAggregation,
    Server,
    SingleClient,
    add_shares,
    cohort_slots,
    contribution,
    noise_shares,
    public_keys,
    server_part,
    single_client,
    sum_terms,
)
from pride_jax.models.modules import num_parameters
from pride_jax.privacy.plan import PrivacyPlan
from pride_jax.settings import build
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.protocols import build_secure_sum
from pride_jax.types import Model, Params


def derive(config: Experiment, roster: Roster) -> dict[str, Any]:
    """Terms, calibrated plan and width of noised integers, as JSON has them."""
    model = build_model(config, roster)
    plan = build.build_plan(config, len(roster.parties), num_parameters(model))
    secure = secure_aggregation(config, build_secure_sum(config.aggregation), Public())
    sampler = server_of(config, roster, plan, build.build_mesh(config.engine)).sampler
    shares = noise_shares(plan, lambda size: bytes(size))
    bits = shares.bits if shares else secure.bits
    terms = sum_terms(model, secure, plan, cohort_slots(sampler), bits)
    return {
        "terms": dataclasses.asdict(terms),
        "plan": None if plan is None else dataclasses.asdict(plan),
        "noise_bits": None if shares is None else shares.bits,
    }


def build_model(config: Experiment, roster: Roster) -> Model:
    """The model for such examples as the roster tells of."""
    return build.build_model(config, roster.features, roster.classes)


def secure_aggregation(
    config: Experiment, protocol: SecureSum, public_key: Public
) -> SecureAggregation:
    """How updates are quantised and added, for a role that holds no key."""
    return build.build_secure_aggregation(config, protocol, (Secret(), public_key))


def server_of(config: Experiment, roster: Roster, plan: PrivacyPlan | None, mesh: Mesh) -> Server:
    """The server's part of a round."""
    return server_part(
        build_model(config, roster),
        len(roster.parties),
        server_optimizer=build.build_server_optimizer(config.server, config.rounds),
        sampler=None if plan else build.build_sampler(config.cohort, len(roster.parties)),
        weighting=config.cohort.weighting,
        plan=plan,
        mesh=mesh,
    )


def client_program(agreement: Agreement) -> SingleClient:
    """The program of one client, as the simulation's per-client mode has it."""
    config, plan = agreement.config, agreement.plan
    secure = secure_aggregation(config, agreement.protocol, agreement.public_key)
    max_norm = plan.clipping_norm if plan else config.privacy.clipping_norm or np.inf
    return single_client(
        build_model(config, agreement.roster),
        build.build_client_optimizer(config.client, config.rounds),
        build.build_local_training(config),
        contribution(max_norm, plan, secure),
        weighting=config.cohort.weighting,
        longest=max(agreement.roster.sizes),
    )


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
    training_key = jax.jit(lambda: public_keys(jax.random.key(config.seed))[1])()
    given = client_program(agreement)(
        training_key,
        jnp.asarray(np.int32(round_)),
        _unflatten(build_model(config, roster), params),
        of_one_client(*examples, roster.shift, roster.scale),
        jnp.asarray(np.int32(id_)),
    )
    seen, reports = jax.device_get((given.clients, given.reports))
    told = ClientInfo(*seen)._asdict() | reports._asdict()
    row = {name: value.item() if np.isfinite(value) else None for name, value in told.items()}
    return np.asarray(given.contributions.update), {"round": round_, **row}


def _unflatten(model: Model, flat: Float[np.ndarray, "length"]) -> Params:
    """The parameters whose ``ravel_pytree`` is ``flat``; nothing is compiled for it."""
    like = jax.eval_shape(lambda: model.init(jax.random.key(0)))
    leaves, tree = jax.tree.flatten(like)
    ends = np.cumsum([leaf.size for leaf in leaves])
    parts = np.split(flat, ends[:-1])
    shaped = [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)]
    return jax.tree.unflatten(tree, shaped)


def with_noise(
    agreement: Agreement, rng: Any, integers: Int[np.ndarray, "length"], announced: int
) -> Int[np.ndarray, "length"]:
    """The integers with the party's share of the noise, if the plan asks for any.

    Raises:
      ProtocolError: an update exceeds the limit, which noise would hide.
    """
    shares = noise_shares(agreement.plan, rng)
    if shares is None:
        return integers
    limit = build.build_limit(agreement.config)
    return add_shares(integers[None], shares.draw(announced, 1), limit, shares.bits)[0]
