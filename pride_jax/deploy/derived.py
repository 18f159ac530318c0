"""What config and roster imply and JAX must work out: terms, calibrated plan, the two halves."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pride_jax.aggregation.secure_sum import Public, Secret, SecureSum
from pride_jax.data.federated import Batch, normalize
from pride_jax.deploy.own_examples import no_examples
from pride_jax.deploy.roster import Roster
from pride_jax.engine.cohort import Clients
from pride_jax.engine.secure import SecureAggregation, plan_in, sum_terms
from pride_jax.engine.server import Server, keeps_state, sent_numbers
from pride_jax.federated import halves_of
from pride_jax.methods.method import Method
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.plan import Plan
from pride_jax.runs.budget import affordable
from pride_jax.settings import build, learning
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.protocols import build_secure_sum
from pride_jax.task import Scores
from pride_jax.types import Params

ANSWERS = "answers"
"""Of sums of scores: how many answers the examples ask for."""


def derive(config: Experiment, roster: Roster) -> dict[str, Any]:
    """What everyone must know of terms, plan, model and scores, as JSON has it."""
    method = _method(config, roster)
    count, length = len(roster.parties), sent_numbers(method)
    plan = build.build_plan(config, count, length, keeps_state(method))
    secure = secure_aggregation(config, build_secure_sum(config.aggregation), Public())
    server, _ = halves(config, roster, plan)
    plan = plan_in(server, secure)
    terms = sum_terms(server, secure, plan.shares(secure.rng))
    releases = config.rounds
    if isinstance(plan, Plan):
        releases = min(plan.rounds, affordable(config.privacy, plan))
    return {
        "terms": dataclasses.asdict(terms),
        "releases": releases,
        "plan": plan.to_dict(),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(_model_of(method))),
        "scores": _scores(config, roster) if config.partition.held_out else [],
    }


def shape_of(roster: Roster) -> learning.Shape:
    """The examples, as far as a model must know them."""
    return learning.Shape(roster.features, roster.classes)


def _method(config: Experiment, roster: Roster) -> Method:
    return learning.method_of_numbers(config, shape_of(roster))({})


def _scores(config: Experiment, roster: Roster) -> list[str]:
    """The names of what is added up over examples: how many answers, and their scores."""
    task = learning.build_task(config, shape_of(roster))
    known = roster.features, roster.dtype, roster.targets, roster.classes
    inputs, targets = no_examples(1, *known)[:2]

    def score(params: Params, inputs: Array, targets: Array) -> Scores:
        shown = normalize(inputs, jnp.asarray(roster.shift), jnp.asarray(roster.scale))
        return task.score(params, Batch(shown, targets, jnp.ones(1, bool)))

    params = jax.eval_shape(task.init, jax.random.key(0))
    return [ANSWERS, *sorted(jax.eval_shape(score, params, inputs, targets).sums)]


def _model_of(method: Method) -> Params:
    """The shapes of what is evaluated and saved."""
    return jax.eval_shape(lambda key: method.params(method.init(key)), jax.random.key(0))


def secure_aggregation(
    config: Experiment, protocol: SecureSum, public_key: Public
) -> SecureAggregation:
    """How updates are quantised and added, for a role that holds no key."""
    return build.build_secure_aggregation(config, protocol, (Secret(), public_key))


def halves(config: Experiment, roster: Roster, plan: Plan | NoPlan) -> tuple[Server, Clients]:
    """The server's part of a round, and a client's."""
    return halves_of(_method(config, roster), np.asarray(roster.sizes, np.int32), plan)
