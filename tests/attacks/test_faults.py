"""A pipeline with one thing broken is caught, and the right one is not.

Populations are the worst there are: all others add +C and the canary −C along one parameter. Every
audit is many runs of the real federated averaging, vmapped, with the canary and without it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.stats import binom

from pride_jax.attacks.audit import many_run_bound
from pride_jax.data.federated import FederatedData
from pride_jax.engine import contribution, federation, server
from pride_jax.federated import federated
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import WHOLE, LocalTraining, uniform
from pride_jax.privacy.accounting import epsilon
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms import gaussian_noise
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.norms import ClipInfo
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.randomness import study_key
from pride_jax.privacy.sampling import full, truncated_poisson
from pride_jax.privacy.values import Floats
from pride_jax.task import classification
from pride_jax.types import Model

RUNS, NORM, RAW = 8000, 1.0, 10.0


class Case(NamedTuple):
    """Whom to audit, and how an observer turns a run's releases into one score."""

    plan: Plan
    rate: tuple[float, ...]
    score: tuple[float, ...]


def plan_of(sampler, rounds=1):
    return Plan(
        sampler=sampler,
        clipping=Flat(NORM),
        mechanism=Gaussian(1.0, Floats()),
        rounds=rounds,
        delta=1e-2,
    )


ONE_ROUND = Case(
    plan_of(full(4)),
    rate=(1.0,),
    score=(1.0,),
)
TWO_ROUNDS = Case(
    plan_of(full(4), rounds=2),
    # Nobody moves in the second round: with the same noise, the releases differ by the updates.
    rate=(1.0, 0.0),
    score=(1.0, -1.0),
)
POISSON = Case(
    plan_of(truncated_poisson(12, 0.9, 12)),
    rate=(1.0,),
    score=(1.0,),
)


def push_model():
    """One parameter; example ±1 moves it by ±RAW, wherever it is."""

    def apply(params, inputs):
        height = 2 * RAW * (params - jax.lax.stop_gradient(params))[None] * inputs
        return jnp.concatenate([height, jnp.zeros_like(height)], axis=1)

    return Model(lambda key: jnp.zeros(1), apply, lambda params, inputs, key: apply(params, inputs))


def population(clients, present):
    sizes = np.ones(clients, np.int32)
    sizes[0] = present
    return FederatedData(
        inputs=jnp.ones((clients, 1)).at[0].set(-1.0),
        targets=jnp.zeros(clients, jnp.int32),
        shift=jnp.zeros(()),
        scale=jnp.ones(()),
        index=jnp.arange(clients, dtype=jnp.int32),
        offsets=jnp.arange(clients, dtype=jnp.int32),
        sizes=jnp.asarray(sizes),
    )


def scores(case, present, runs=RUNS, seed=0):
    rates = jnp.array(case.rate)
    method = fedavg(
        classification(push_model(), 2),
        lambda round_: optax.sgd(rates[round_]),
        weighting=uniform,
        training=LocalTraining(batch_size=WHOLE),
    )
    algorithm = federated(method, population(case.plan.sampler.num_clients, present), case.plan)

    def one(key):
        state, total = algorithm.init(key, study_key(key)), 0.0
        for factor in case.score:
            after, _ = algorithm.round(state)
            total += factor * (algorithm.params(after) - algorithm.params(state))[0]
            state = after
        return total

    keys = jax.random.split(jax.random.key(2 * seed + present), runs)
    # The canary pulls down.
    return -np.asarray(jax.jit(jax.vmap(one))(keys))


def audit(case):
    return many_run_bound(scores(case, True), scores(case, False), case.plan.delta, 0.999)


def no_clipping(monkeypatch):
    never = jnp.zeros((), bool)
    monkeypatch.setattr(
        contribution, "clip_by_norm", lambda update, max_norm: (update, ClipInfo(never, never))
    )


def geyers_clipping(monkeypatch):
    def inverted(update, max_norm):
        _, info = real(update, max_norm)
        share = optax.tree.norm(update) / max_norm
        return update / jnp.where(share > 0, jnp.minimum(share, 1.0), 1.0), info

    real = contribution.clip_by_norm
    monkeypatch.setattr(contribution, "clip_by_norm", inverted)


def half_the_noise(monkeypatch):
    real = gaussian_noise.add_gaussian
    monkeypatch.setattr(
        gaussian_noise, "add_gaussian", lambda key, total, scale: real(key, total, scale / 2)
    )


def reused_noise_key(monkeypatch):
    real = Plan.release

    def forgetful(plan, key, state, round_, *rest):
        return real(plan, key, state, jnp.zeros_like(round_), *rest)

    monkeypatch.setattr(Plan, "release", forgetful)


def realised_denominator(monkeypatch):
    real, seen = federation.client_weights, []

    def watched(sizes, cohort, weighting):
        seen.append(jnp.sum(cohort.mask & (sizes[cohort.ids] > 0)))
        return real(sizes, cohort, weighting)

    def divided(total, weight):
        return mean(total, seen[-1].astype(jnp.float32))

    mean = server.mean_update
    monkeypatch.setattr(federation, "client_weights", watched)
    monkeypatch.setattr(server, "mean_update", divided)


FAULTS = {
    no_clipping: ONE_ROUND,
    geyers_clipping: ONE_ROUND,
    half_the_noise: ONE_ROUND,
    reused_noise_key: TWO_ROUNDS,
    realised_denominator: POISSON,
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_seeded_fault_is_caught(fault, monkeypatch):
    case = FAULTS[fault]
    fault(monkeypatch)
    assert audit(case) > epsilon(case.plan)


@pytest.mark.parametrize("case", [ONE_ROUND, TWO_ROUNDS, POISSON])
def test_the_right_pipeline_is_not(case):
    assert 0 < audit(case) <= epsilon(case.plan)


def test_a_hundred_audits_of_the_right_pipeline_err_as_rarely_as_they_say():
    audits, runs = 100, 1000
    present, absent = (
        scores(ONE_ROUND, there, audits * runs, seed=1).reshape(audits, runs)
        for there in (True, False)
    )
    delta, claimed = ONE_ROUND.plan.delta, epsilon(ONE_ROUND.plan)
    bounds = [many_run_bound(*each, delta, 0.95) for each in zip(present, absent, strict=True)]
    assert np.sum(np.array(bounds) > claimed) <= binom.ppf(0.999, audits, 0.05)
    assert np.median(bounds) > 0.8
