"""Federated averaging as pure functions over one server state."""

import operator
import os
import time
from collections.abc import Callable
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, PyTree

from pride_jax.aggregation.fixed_point import dequantize, fit, quantize
from pride_jax.aggregation.secure_sum import Public, Rng, Secret, SecureSum, Terms
from pride_jax.aggregation.simulation import Aggregator, Network, Transport, perfect, simulate
from pride_jax.data.federated import FederatedData
from pride_jax.models import num_parameters
from pride_jax.privacy.clipping import clip_by_norm
from pride_jax.privacy.sampling import Sampler, full
from pride_jax.training.client import LocalTraining
from pride_jax.training.cohort import (
    CohortResult,
    Contribute,
    clients_mesh,
    default_chunk,
    train_cohort,
)
from pride_jax.training.server import mean_update, server_step
from pride_jax.types import Cohort, Key, Model, Params, Update

Weighting = Literal["examples", "uniform"]
_ONE_EPOCH = LocalTraining()
ClientOptimizer = Callable[[Int[Array, ""]], optax.GradientTransformation]
"""The round -> the optimizer of its clients, so that a learning rate may follow the rounds."""


class Keys(NamedTuple):
    """Where a run's random draws come from; round ``r`` uses ``fold_in(key, r)``.

    Attributes:
      training: shuffles and rounding, folded further by client id.
      sampling: cohorts.
    """

    training: Key
    sampling: Key


class ServerState(NamedTuple):
    """What is carried from round to round."""

    round: Int[Array, ""]
    params: Params
    opt_state: optax.OptState
    keys: Keys


class RoundInfo(NamedTuple):
    """Diagnostics of a round, or of several added up; computed from clients' data, outside any ε.

    Attributes:
      clients: that took part, those without examples included.
      empty: of these, how many held no example and so contributed exact zeros.
      examples: trained on, epochs counted.
      loss: sum of their losses as they were met.
      nonfinite: updates that held NaN or infinity and were replaced by zeros.
      clipped: updates scaled down to the clipping norm.
      fitted: updates scaled down to the range of the integers.
      transport: what a secure sum cost; None where the device adds floats.
      train_seconds: until a cohort's integers were on the host, its clients' preparation for the
        secure sum meanwhile; None where the device adds floats.
    """

    clients: Int[Array, ""]
    empty: Int[Array, ""]
    examples: Float[Array, ""]
    loss: Float[Array, ""]
    nonfinite: Int[Array, ""]
    clipped: Int[Array, ""]
    fitted: Int[Array, ""]
    transport: Transport | None
    train_seconds: float | None


OneRound = Callable[[ServerState], tuple[ServerState, RoundInfo]]
ManyRounds = Callable[[ServerState, int], tuple[ServerState, RoundInfo]]


class Algorithm(NamedTuple):
    """Federated training as functions.

    Attributes:
      init: key -> the state before the first round.
      round: state -> the state after one more round, and its info.
      rounds: ``(state, until)`` -> the state after round ``until − 1``, and the infos added up.
    """

    init: Callable[[Key], ServerState]
    round: OneRound
    rounds: ManyRounds


class Reports(NamedTuple):
    """What is counted of one contribution, as 0 or 1."""

    nonfinite: Int[Array, ""]
    clipped: Int[Array, ""]
    fitted: Int[Array, ""]


class SecureAggregation(NamedTuple):
    """How updates are added where no one may see them.

    Attributes:
      protocol: adds integers, e.g. ``paillier()``.
      key_holder: its keys, from ``protocol.keygen(rng, Role.KEY_HOLDER)``.
      bits: of an integer.
      limit: the value that the largest integer stands for. A client whose weighted update holds a
        larger one scales its update down as a whole, and is counted.
      rng: of the clients' protection.
      network: what it does to the clients' messages. The mean is of those in the sum.
    """

    protocol: SecureSum
    key_holder: tuple[Secret, Public]
    bits: int = 16
    limit: float = 1.0
    rng: Rng = os.urandom
    network: Network = perfect


def federated_averaging(
    model: Model,
    data: FederatedData,
    client_optimizer: ClientOptimizer,
    *,
    server_optimizer: optax.GradientTransformation | None = None,
    training: LocalTraining = _ONE_EPOCH,
    sampler: Sampler | None = None,
    weighting: Weighting = "examples",
    max_norm: float = jnp.inf,
    secure: SecureAggregation | None = None,
    chunk: int | None = None,
    mesh: Mesh | None = None,
) -> Algorithm:
    """FedAvg (McMahan et al. 2016) and its relatives.

    Without ``secure``, updates are added as floats on the device, and a round, or any number of
    rounds, is one compiled program. With it, they are quantised on the device and added on the
    host.

    Args:
      model: what is trained.
      data: the clients' examples.
      client_optimizer: e.g. ``lambda round: optax.sgd(0.1)``.
      server_optimizer: steps along the mean update; ``optax.sgd(1.0)``, which is FedAvg, if None.
      training: epochs, batch size and proximal term of a client.
      sampler: who takes part; everybody if None.
      weighting: clients count by their examples, or all the same; then a client without examples
        is still one of those divided by.
      max_norm: updates with a larger L2 norm are scaled down to it.
      secure: how to add updates unseen.
      chunk: most clients vmapped together; a measured default if None.
      mesh: devices, on one axis ``clients``; all there are if None.

    Raises:
      ConfigError: the settings of ``secure`` are impossible.
    """
    mesh = mesh or clients_mesh(jax.devices())
    replicated = NamedSharding(mesh, PartitionSpec())
    data = jax.device_put(data, replicated)
    sampler = sampler or full(data.num_clients)
    optimizer = server_optimizer or optax.sgd(1.0)
    slots = cohort_slots(sampler)
    train = train_cohort(
        model,
        client_optimizer,
        training,
        contribution(max_norm, secure),
        longest=int(data.sizes.max()),
        chunk=min(chunk or default_chunk(model, mesh), -(-slots // mesh.size)),
        mesh=mesh,
        collect="rows" if secure else "sum",
    )

    def init(key: Key) -> ServerState:
        model_key, training_key, sampling_key = jax.random.split(key, 3)
        params = model.init(model_key)
        keys = Keys(training_key, sampling_key)
        state = ServerState(jnp.zeros((), jnp.int32), params, optimizer.init(params), keys)
        return jax.device_put(state, replicated)

    def draw(state: ServerState) -> Cohort:
        return sampler(jax.random.fold_in(state.keys.sampling, state.round))

    def work(data: FederatedData, state: ServerState, cohort: Cohort) -> CohortResult:
        round_key = jax.random.fold_in(state.keys.training, state.round)
        weights = client_weights(data, cohort, weighting)
        return train(round_key, state.round, state.params, data, cohort, weights)

    def finish(
        data: FederatedData, state: ServerState, cohort: Cohort, total: Update
    ) -> ServerState:
        weight = jnp.sum(client_weights(data, cohort, weighting))
        params, opt_state = server_step(
            optimizer, state.opt_state, state.params, mean_update(total, weight)
        )
        return ServerState(state.round + 1, params, opt_state, state.keys)

    steps = _Steps(draw, work, finish)
    if secure is None:
        return Algorithm(init, *_on_device(data, steps))
    terms = sum_terms(model, secure, sampler)
    aggregator = simulate(secure.protocol, terms, secure.key_holder, secure.rng, secure.network)
    return Algorithm(init, *_through_host(data, steps, aggregator, model))


class _Steps(NamedTuple):
    """A round in three pure steps; between the last two, contributions become their sum."""

    draw: Callable[[ServerState], Cohort]
    work: Callable[[FederatedData, ServerState, Cohort], CohortResult]
    finish: Callable[[FederatedData, ServerState, Cohort, Update], ServerState]


def _on_device(data: FederatedData, steps: _Steps) -> tuple[OneRound, ManyRounds]:
    """One round, and any number of rounds, each as one compiled program."""

    def one_round(data: FederatedData, state: ServerState) -> tuple[ServerState, RoundInfo]:
        cohort = steps.draw(state)
        result = steps.work(data, state, cohort)
        info = round_info(data, cohort, result)
        return steps.finish(data, state, cohort, result.contributions), info

    def many_rounds(
        data: FederatedData, state: ServerState, until: Int[Array, ""]
    ) -> tuple[ServerState, RoundInfo]:
        def advance(carry: tuple[ServerState, RoundInfo]) -> tuple[ServerState, RoundInfo]:
            state, info = one_round(data, carry[0])
            return state, add_infos(carry[1], info)

        _, shapes = jax.eval_shape(one_round, data, state)
        nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
        return jax.lax.while_loop(lambda carry: carry[0].round < until, advance, (state, nothing))

    compiled_round, compiled_rounds = jax.jit(one_round), jax.jit(many_rounds)
    return (
        lambda state: compiled_round(data, state),
        lambda state, until: compiled_rounds(data, state, jnp.asarray(until, jnp.int32)),
    )


def _through_host(
    data: FederatedData, steps: _Steps, aggregator: Aggregator, model: Model
) -> tuple[OneRound, ManyRounds]:
    """Rounds whose sum is made on the host; clients prepare for it while the device trains."""
    draw, work, finish = (jax.jit(step) for step in steps)
    _, unflatten = ravel_pytree(model.init(jax.random.key(0)))

    def one_round(state: ServerState) -> tuple[ServerState, RoundInfo]:
        start = time.perf_counter()
        cohort = draw(state)
        result = work(data, state, cohort)
        ids, present = jax.device_get(cohort)
        announced = aggregator.announce(int(state.round), ids[present].tolist())
        rows = jax.device_get(result.contributions)[present]
        train_seconds = time.perf_counter() - start
        added = aggregator.add(announced, rows)
        terms = announced.directory.terms
        total = unflatten(jnp.asarray(dequantize(added.total, terms.limit, terms.bits)))
        info = round_info(data, cohort, result)._replace(
            transport=added.transport, train_seconds=train_seconds
        )
        in_sum = cohort.mask & np.isin(ids, added.contributors)
        return finish(data, state, cohort._replace(mask=in_sum), total), info

    def many_rounds(state: ServerState, until: int) -> tuple[ServerState, RoundInfo]:
        state, total = one_round(state)
        while int(state.round) < until:
            state, info = one_round(state)
            total = add_infos(total, info)
        return state, total

    return one_round, many_rounds


def contribution(max_norm: float, secure: SecureAggregation | None) -> Contribute:
    """What a client makes of its update: clipped, weighted and, for a secure sum, quantised."""

    def contribute(
        key: Key, update: Update, weight: Float[Array, ""]
    ) -> tuple[PyTree[Array], Reports]:
        clipped, info = clip_by_norm(update, max_norm)
        weighted = jax.tree.map(lambda leaf: leaf * weight, clipped)
        counts = info.nonfinite.astype(jnp.int32), info.clipped.astype(jnp.int32)
        if secure is None:
            return weighted, Reports(*counts, jnp.zeros((), jnp.int32))
        vector, fitted = fit(ravel_pytree(weighted)[0], secure.limit)
        integers = quantize(key, vector, secure.limit, secure.bits)
        return integers, Reports(*counts, fitted.astype(jnp.int32))

    return contribute


def cohort_slots(sampler: Sampler) -> int:
    """The most clients that a sampler's cohort can hold."""
    return jax.eval_shape(sampler, jax.random.key(0)).ids.shape[0]


def sum_terms(model: Model, secure: SecureAggregation, sampler: Sampler) -> Terms:
    """What clients, aggregator and key holder agree on before a secure sum.

    Raises:
      ConfigError: the cohort, bits or limit make no possible sum.
    """
    largest_cohort = cohort_slots(sampler)
    return Terms(
        length=num_parameters(model),
        bits=secure.bits,
        limit=secure.limit,
        smallest_cohort=min(2, largest_cohort),
        largest_cohort=largest_cohort,
    )


def client_weights(
    data: FederatedData, cohort: Cohort, weighting: Weighting
) -> Float[Array, "slots"]:
    """Public weights of at most 1: a client's share of the largest client's examples, or 1."""
    if weighting == "uniform":
        return cohort.mask.astype(jnp.float32)
    sizes = jnp.where(cohort.mask, data.sizes[cohort.ids], 0)
    return sizes.astype(jnp.float32) / jnp.max(data.sizes).astype(jnp.float32)


def round_info(data: FederatedData, cohort: Cohort, result: CohortResult) -> RoundInfo:
    """The info of a trained cohort."""
    return RoundInfo(
        clients=jnp.sum(cohort.mask.astype(jnp.int32)),
        empty=jnp.sum((cohort.mask & (data.sizes[cohort.ids] == 0)).astype(jnp.int32)),
        examples=result.clients.examples,
        loss=result.clients.loss,
        nonfinite=result.reports.nonfinite,
        clipped=result.reports.clipped,
        fitted=result.reports.fitted,
        transport=None,
        train_seconds=None,
    )


def add_infos(total: RoundInfo, info: RoundInfo) -> RoundInfo:
    """Infos of several rounds, added up."""
    return jax.tree.map(operator.add, total, info)
