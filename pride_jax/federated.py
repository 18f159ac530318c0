"""Federated averaging as pure functions over one server state."""

import functools
import operator
import os
import time
import warnings
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Int32, Int64, PyTree

from pride_jax.aggregation.fixed_point import REFUSED, dequantize, fit, quantize
from pride_jax.aggregation.secure_sum import Public, Rng, Secret, SecureSum, Terms
from pride_jax.aggregation.simulation import (
    Network,
    Transport,
    perfect,
    simulate,
)
from pride_jax.data.federated import FederatedData, of_one_client, place
from pride_jax.engine.client import ClientInfo, LocalTraining, num_batches
from pride_jax.engine.cohort import (
    CohortResult,
    Contribute,
    TrainCohort,
    clients_mesh,
    default_chunk,
    train_client,
    train_cohort,
)
from pride_jax.engine.server import mean_update, server_step
from pride_jax.errors import ConfigError, ProtocolError, RunError, TooFewError
from pride_jax.models.modules import num_parameters
from pride_jax.privacy.clipping import clip_by_norm
from pride_jax.privacy.mechanisms import (
    IntegerShares,
    PrivacyState,
    integer_shares,
    mechanism_of,
)
from pride_jax.privacy.plan import PrivacyPlan, smallest_sum
from pride_jax.privacy.rounding import round_within
from pride_jax.privacy.sampling import Sampler, full, sampler_of
from pride_jax.privacy.skellam import centre
from pride_jax.types import Cohort, Key, Model, Params, Update

Weighting = Literal["examples", "uniform"]
_ONE_EPOCH = LocalTraining()
ClientOptimizer = Callable[[Int[Array, ""]], optax.GradientTransformation]
"""The round -> the optimizer of its clients, so that a learning rate may follow the rounds."""


class Keys(NamedTuple):
    """Where a run's random draws come from; round ``r`` uses ``fold_in(key, r)``.

    Attributes:
      training: shuffles and rounding, folded further by client id.
      sampling: cohorts; with a privacy plan, a secret.
      noise: on sums; a secret.
    """

    training: Key
    sampling: Key
    noise: Key


class ServerState(NamedTuple):
    """What is carried from round to round."""

    round: Int[Array, ""]
    params: Params
    opt_state: optax.OptState
    keys: Keys
    privacy: PrivacyState | None


class RoundInfo(NamedTuple):
    """Diagnostics of a round, or of several added up; computed from clients' data, outside any ε.

    Real clients keep what is computed from their data to themselves: then it is None.

    Attributes:
      clients: that took part, those without examples included.
      empty: of these, how many held no example and so contributed exact zeros.
      examples: trained on, epochs counted.
      loss: sum of their losses as they were met.
      nonfinite: updates that held NaN or infinity, or could not be rounded within their norm, and
        were replaced by zeros.
      clipped: updates scaled down to the clipping norm.
      fitted: updates scaled down to the range of the integers.
      unopened: sums that were not opened because too few clients were announced or left.
      transport: what a secure sum cost; None where the device adds floats.
      train_seconds: until a cohort's integers were on the host, its clients' preparation for the
        secure sum meanwhile; None where the device adds floats.
    """

    clients: Int[Array, ""]
    empty: Int[Array, ""]
    examples: Float[Array, ""] | None
    loss: Float[Array, ""] | None
    nonfinite: Int[Array, ""] | None
    clipped: Int[Array, ""] | None
    fitted: Int[Array, ""] | None
    unopened: Int[Array, ""]
    transport: Transport | None
    train_seconds: float | None


OneRound = Callable[[ServerState], tuple[ServerState, RoundInfo]]
Work = Callable[[FederatedData, ServerState, Cohort], CohortResult]
ManyRounds = Callable[[ServerState, int], tuple[ServerState, RoundInfo]]
RoundsOn = Callable[[FederatedData, ServerState, Int[Array, ""]], tuple[ServerState, RoundInfo]]


class Algorithm(NamedTuple):
    """Federated training as functions.

    Attributes:
      init: ``(key, private=None, round=0)`` -> the state before a round, with the parameters that
        it starts from. Cohorts and noise are drawn from ``private``, which with a plan must be
        given: to be kept secret, and to come from the operating system, see `private_key`.
      round: state -> the state after one more round, and its info.
      rounds: ``(state, until)`` -> the state after round ``until − 1``, and the infos added up.
      rounds_on: ``(data, state, until)``: ``rounds`` on other examples of as many clients, as a
        pure function to be transformed; None where sums are made on the host.
    """

    init: Callable[..., ServerState]
    round: OneRound
    rounds: ManyRounds
    rounds_on: RoundsOn | None


class Reports(NamedTuple):
    """What is counted of one contribution, as 0 or 1."""

    nonfinite: Int[Array, ""]
    clipped: Int[Array, ""]
    fitted: Int[Array, ""]


class Contribution(NamedTuple):
    """What a client adds to a round's sum.

    Attributes:
      update: clipped, weighted and, for a secure sum, flattened and rounded to integers.
      within: ½ if the update was within the clipping norm, −½ if it was longer, 0 if it is zero, as
        that of a client without data, which so changes the count by ½ at most; None unless clipping
        adapts.
    """

    update: PyTree[Array]
    within: Float[Array, "..."] | None


class Given(NamedTuple):
    """What a client is told of its own contribution.

    Attributes:
      weight: that its update is multiplied by, at most 1.
      norm: that it is clipped to, where this changes from round to round.
    """

    weight: Float[Array, "..."]
    norm: Float[Array, "..."] | None


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
    plan: PrivacyPlan | None = None,
    secure: SecureAggregation | None = None,
    chunk: int | None = None,
    per_client: bool = False,
    mesh: Mesh | None = None,
) -> Algorithm:
    """FedAvg (McMahan et al. 2016) and its relatives.

    Without ``secure``, updates are added as floats on the device, and a round, or any number of
    rounds, is one compiled program. With it, they are quantised on the device and added on the
    host.

    With a ``plan``, this is DP-FedAvg (McMahan et al. 2018): the plan draws the cohorts, clips and
    adds noise, and the sum is divided by the weight expected of a cohort, whoever came.

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
      plan: differential privacy, in the place of ``sampler`` and ``max_norm``; calibrated.
      secure: how to add updates unseen.
      chunk: most clients vmapped together; a measured default if None.
      per_client: each client is trained by a call of its own of one program, on its own examples
        alone, as a party of a deployment does it: the same bits, and slower. Only with ``secure``.
      mesh: devices, see `clients_mesh`; all there are if None. ``data`` holds the examples of this
        process's clients.

    Raises:
      ConfigError: the settings of ``secure`` are impossible, or contradict the plan.
    """
    if per_client and secure is None:
        raise ConfigError(
            "per_client=True without secure: expected a protocol that adds integers, such as plain"
        )
    if plan is not None:
        _check_plan(plan, model, data, sampler, max_norm, secure)
        max_norm = plan.clipping_norm
    mesh = mesh or clients_mesh(jax.devices())
    if secure is not None and mesh.shape["hosts"] > 1:
        raise ConfigError(
            f"Secure aggregation on {mesh.shape['hosts']} hosts: expected one, since a single "
            "process plays all roles of a secure sum; start one process, or add floats"
        )
    longest = int(data.sizes.max())
    data = place(data, mesh)
    server = server_part(
        model,
        data.num_clients,
        server_optimizer=server_optimizer,
        sampler=sampler,
        weighting=weighting,
        plan=plan,
        mesh=mesh,
    )
    contribute = contribution(max_norm, plan, secure)
    if secure is not None and per_client:
        program = single_client(
            model, client_optimizer, training, contribute, weighting=weighting, longest=longest
        )
        one_by_one = _one_by_one(program, data, num_parameters(model), mesh)
        return _through_host(data, server, one_by_one, model, plan, secure)
    slots = cohort_slots(server.sampler)
    chunk = min(chunk or default_chunk(model, mesh), -(-slots // mesh.shape["clients"]))

    def train_with(chunk: int) -> TrainCohort:
        return train_cohort(
            model,
            client_optimizer,
            training,
            contribute,
            longest=longest,
            chunk=chunk,
            mesh=mesh,
            collect="rows" if secure else "sum",
        )

    def work_with(chunk: int) -> Work:
        train = train_with(chunk)

        def work(data: FederatedData, state: ServerState, cohort: Cohort) -> CohortResult:
            round_key = jax.random.fold_in(state.keys.training, state.round)
            weights = client_weights(data.sizes, cohort, weighting)
            norms = None
            if state.privacy is not None and plan is not None and plan.clipping == "adaptive":
                norms = jnp.full_like(weights, state.privacy.norm)
            given = Given(weights, norms)
            return train(round_key, state.round, state.params, data, cohort, given)

        return work

    if secure is None:
        return Algorithm(server.init, *_on_device(data, server, work_with, chunk))
    return _through_host(data, server, within_memory(work_with, chunk), model, plan, secure)


class Server(NamedTuple):
    """The server's part of a round, which needs no examples, as pure functions.

    Attributes:
      init: as of `Algorithm`.
      sampler: who takes part.
      draw: state -> the round's cohort.
      finish: clients' numbers of examples, state, those in the sum, the sum -> the next state.
    """

    init: Callable[..., ServerState]
    sampler: Sampler
    draw: Callable[[ServerState], Cohort]
    finish: Callable[[Int[Array, "clients"], ServerState, Cohort, Contribution], ServerState]


def server_part(
    model: Model,
    num_clients: int,
    *,
    server_optimizer: optax.GradientTransformation | None,
    sampler: Sampler | None,
    weighting: Weighting,
    plan: PrivacyPlan | None,
    mesh: Mesh,
) -> Server:
    """Makes the server's part of `federated_averaging`, whose arguments these are.

    Args:
      model: what is trained.
      num_clients: as many as there are.
      server_optimizer: as there.
      sampler: as there; the plan's if there is one.
      weighting: as there.
      plan: as there.
      mesh: as there.
    """
    sampler = sampler_of(plan) if plan is not None else sampler or full(num_clients)
    optimizer = server_optimizer or optax.sgd(1.0)
    mechanism = mechanism_of(plan) if plan is not None else None
    replicate = jax.jit(lambda tree: tree, out_shardings=NamedSharding(mesh, PartitionSpec()))

    def init(key: Key, private: Key | None = None, round_: int = 0) -> ServerState:
        if plan is not None and private is None:
            raise ConfigError(
                "private=None with a privacy plan: expected the secret key of noise and cohorts; "
                "make one with private_key()"
            )
        model_key, training_key, sampling_key = public_keys(key)
        if private is not None:
            sampling_key, noise_key = jax.random.split(private)
        else:
            noise_key = sampling_key
        params = model.init(model_key)
        keys = Keys(training_key, sampling_key, noise_key)
        start = jnp.asarray(round_, jnp.int32)
        privacy = mechanism.init(noise_key, params, start) if mechanism is not None else None
        state = ServerState(start, params, optimizer.init(params), keys, privacy)
        return replicate(state)

    def draw(state: ServerState) -> Cohort:
        return sampler(jax.random.fold_in(state.keys.sampling, state.round), state.round)

    def finish(
        sizes: Int[Array, "clients"], state: ServerState, cohort: Cohort, sums: Contribution
    ) -> ServerState:
        total, privacy = sums.update, state.privacy
        if mechanism is None or plan is None or privacy is None:
            weight = jnp.sum(client_weights(sizes, cohort, weighting))
        else:
            total, privacy = mechanism.release(
                state.keys.noise, privacy, state.round, total, sums.within
            )
            weight = expected_weight(sizes, plan, weighting)
        params, opt_state = server_step(
            optimizer, state.opt_state, state.params, mean_update(total, weight)
        )
        return ServerState(state.round + 1, params, opt_state, state.keys, privacy)

    return Server(init, sampler, draw, finish)


def public_keys(key: Key) -> Key:
    """Of a run's public seed: the keys of the model, of training and, without a plan, sampling."""
    return jax.random.split(key, 3)


SingleClient = Callable[[Key, Int[Array, ""], Params, FederatedData, Int[Array, ""]], CohortResult]
"""``(training key, round, params, its examples, id) -> CohortResult``, see `single_client`."""


def single_client(
    model: Model,
    client_optimizer: ClientOptimizer,
    training: LocalTraining,
    contribute: Contribute,
    *,
    weighting: Weighting,
    longest: int,
) -> SingleClient:
    """One client's part of a round as one compiled program: a party's, and its simulation's.

    Args:
      model: what is trained.
      client_optimizer: the round -> its clients' optimizer.
      training: epochs, batch size and proximal term.
      contribute: from `contribution`.
      weighting: as in `federated_averaging`.
      longest: the most examples that any client holds; public, as all weights by examples are.

    Returns:
      A function of the run's training key, the round, the server's parameters, the client's own
      examples from `of_one_client`, and its id.
    """
    batch_size = training.batch_size or longest
    train = train_client(
        model, client_optimizer, training, contribute, longest=longest, vmapped=False
    )

    @jax.jit
    def one_client(
        key: Key,
        round_: Int[Array, ""],
        params: Params,
        data: FederatedData,
        client: Int[Array, ""],
    ) -> CohortResult:
        size = data.sizes[0]
        weight = jnp.ones(())
        if weighting == "examples":
            weight = size.astype(jnp.float32) / jnp.float32(longest)
        return train(
            jax.random.fold_in(key, round_),
            round_,
            params,
            data,
            jnp.int32(0),
            client,
            size,
            num_batches(size, batch_size),
            Given(weight, None),
        )

    return one_client


def _one_by_one(program: SingleClient, data: FederatedData, length: int, mesh: Mesh) -> Work:
    """Trains the clients of a cohort one after another, on the first device."""
    device = mesh.devices.flat[0]
    inputs, labels, shift, scale, index, offsets, sizes = jax.device_get(data)
    none, zero = jnp.zeros(()), jnp.zeros((), jnp.int32)
    nobody = ClientInfo(none, none), Reports(zero, zero, zero)

    @functools.cache
    def own(client: int) -> FederatedData:
        rows = index[offsets[client] : offsets[client] + sizes[client]]
        return jax.device_put(of_one_client(inputs[rows], labels[rows], shift, scale), device)

    def work(data: FederatedData, state: ServerState, cohort: Cohort) -> CohortResult:
        del data
        key, round_, params = jax.device_put(
            (state.keys.training, state.round, state.params), device
        )
        ids, present = jax.device_get(cohort)
        results = [
            jax.device_get(program(key, round_, params, own(client), jnp.int32(client)))
            for client in ids[present].tolist()
        ]
        rows = np.zeros((len(ids), length), np.int32)
        if results:
            rows[present] = [result.contributions.update for result in results]
        counts = [nobody, *((result.clients, result.reports) for result in results)]
        clients, reports = jax.tree.map(lambda *leaves: sum(leaves), *counts)
        return CohortResult(Contribution(rows, None), clients, reports)

    return work


def _on_device(
    data: FederatedData, server: Server, work_with: Callable[[int], Work], chunk: int
) -> tuple[OneRound, ManyRounds, RoundsOn]:
    """One round, and any number of rounds, each as one compiled program."""

    def one_round_with(chunk: int) -> Callable[..., tuple[ServerState, RoundInfo]]:
        work = work_with(chunk)

        def one_round(data: FederatedData, state: ServerState) -> tuple[ServerState, RoundInfo]:
            cohort = server.draw(state)
            result = work(data, state, cohort)
            info = round_info(data, cohort, result)
            return server.finish(data.sizes, state, cohort, result.contributions), info

        return one_round

    def many_rounds_with(chunk: int) -> Callable[..., tuple[ServerState, RoundInfo]]:
        one_round = one_round_with(chunk)

        def many_rounds(
            data: FederatedData, state: ServerState, until: Int[Array, ""]
        ) -> tuple[ServerState, RoundInfo]:
            def advance(carry: tuple[ServerState, RoundInfo]) -> tuple[ServerState, RoundInfo]:
                state, info = one_round(data, carry[0])
                return state, add_infos(carry[1], info)

            _, shapes = jax.eval_shape(one_round, data, state)
            nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
            start = (state, nothing)
            return jax.lax.while_loop(lambda carry: carry[0].round < until, advance, start)

        return many_rounds

    compiled_round = within_memory(one_round_with, chunk)
    compiled_rounds = within_memory(many_rounds_with, chunk)
    return (
        lambda state: compiled_round(data, state),
        lambda state, until: compiled_rounds(data, state, jnp.asarray(until, jnp.int32)),
        many_rounds_with(chunk),
    )


def within_memory(make: Callable[[int], Callable[..., Any]], chunk: int) -> Callable[..., Any]:
    """Compiles the function that ``make`` makes for a chunk, or for a smaller one if it must.

    When a device runs out of memory, the chunk is halved and the call repeated with the very same
    arguments: keys are among them, so that only the order of float additions is another. Later
    calls keep to the smaller chunk, and a warning says so, once.

    Args:
      make: chunk -> a pure function.
      chunk: most clients vmapped together.

    Raises (when called):
      RunError: one client at a time is too much, or memory ran out in one of several processes.
    """
    fitting = [chunk]
    compiled = functools.cache(lambda chunk: jax.jit(make(chunk)))

    def call(*arguments: Any) -> Any:
        first = fitting[0]
        while True:
            try:
                result = jax.block_until_ready(compiled(fitting[0])(*arguments))
            except jax.errors.JaxRuntimeError as error:
                if "RESOURCE_EXHAUSTED" not in str(error):
                    raise
                if fitting[0] == 1 or jax.process_count() > 1:
                    raise RunError(
                        f"Out of memory with a chunk of {fitting[0]} clients: lower engine.chunk, "
                        "client.batch_size or the model's size"
                    ) from error
                fitting[0] //= 2
            else:
                if fitting[0] < first:
                    warnings.warn(
                        f"Out of memory with a chunk of {first} clients: done with {fitting[0]}; "
                        f"set engine.chunk={fitting[0]} to begin there",
                        RuntimeWarning,
                        stacklevel=2,
                    )
                return result

    return call


class Collected(NamedTuple):
    """The sum of a cohort's integers.

    Attributes:
      total: the sum; None where it was not opened, which costs a plan's release all the same.
      contributors: whose integers are in it.
      info: of the round.
    """

    total: Int64[np.ndarray, "length"] | None
    contributors: tuple[int, ...]
    info: RoundInfo


Collect = Callable[[ServerState, Cohort], Collected]
"""Has a cohort train, and adds its integers up; raises TooFewError where a sum must be opened."""


def host_rounds(
    model: Model,
    server: Server,
    sizes: Int[Array, "clients"],
    secure: SecureAggregation,
    collect: Collect,
) -> Algorithm:
    """Rounds whose sum is made on the host, by whatever collects it.

    A sum that is not opened counts as zeros: with a plan, the round has been accounted for.
    """
    draw, finish = jax.jit(server.draw), jax.jit(server.finish)
    flat, unflatten = ravel_pytree(model.init(jax.random.key(0)))

    def one_round(state: ServerState) -> tuple[ServerState, RoundInfo]:
        cohort = draw(state)
        total, contributors, info = collect(state, cohort)
        if total is None:
            floats = jnp.zeros_like(flat)
        else:
            floats = jnp.asarray(dequantize(total, secure.limit, secure.bits))
            in_sum = cohort.mask & np.isin(jax.device_get(cohort.ids), contributors)
            cohort = cohort._replace(mask=in_sum)
        return finish(sizes, state, cohort, Contribution(unflatten(floats), None)), info

    def many_rounds(state: ServerState, until: int) -> tuple[ServerState, RoundInfo]:
        state, total = one_round(state)
        while int(state.round) < until:
            state, info = one_round(state)
            total = add_infos(total, info)
        return state, total

    return Algorithm(server.init, one_round, many_rounds, None)


def _through_host(
    data: FederatedData,
    server: Server,
    work: Work,
    model: Model,
    plan: PrivacyPlan | None,
    secure: SecureAggregation,
) -> Algorithm:
    """Rounds whose clients, aggregator and key holders are played on the host.

    Clients prepare for the sum, and draw their shares of its noise, while the device trains.
    """
    slots = cohort_slots(server.sampler)
    shares = noise_shares(plan, secure.rng)
    terms = sum_terms(model, secure, plan, slots, shares.bits if shares else secure.bits)
    aggregator = simulate(secure.protocol, terms, secure.key_holder, secure.rng, secure.network)

    def collect(state: ServerState, cohort: Cohort) -> Collected:
        start = time.perf_counter()
        result = work(data, state, cohort)
        ids, present = jax.device_get(cohort)
        clients = ids[present].tolist()
        info = round_info(data, cohort, result)
        try:
            survivors = smallest_sum(plan, terms.smallest_cohort, int(state.round), len(clients))
            announced = aggregator.announce(int(state.round), clients, survivors)
            noise = None if shares is None else shares.draw(len(clients), len(clients))
            rows = jax.device_get(result.contributions.update)[present]
            info = info._replace(train_seconds=time.perf_counter() - start)
            if shares is None or noise is None:
                added = aggregator.add(announced, rows)
                total = added.total
            else:
                residues = add_shares(rows, noise, secure.limit, shares.bits)
                added = aggregator.add(announced, residues)
                total = centre(added.total, shares.bits)
        except TooFewError:
            if plan is None:
                raise
            nothing = Transport(len(clients), 0, 0.0, 0.0, 0.0, 0.0)
            return unopened(info, nothing, time.perf_counter() - start)
        return Collected(total, added.contributors, info._replace(transport=added.transport))

    return host_rounds(model, server, data.sizes, secure, collect)


def unopened(info: RoundInfo, transport: Transport, seconds: float) -> Collected:
    """What is collected of a sum that is not opened."""
    return Collected(
        None,
        (),
        info._replace(unopened=jnp.ones((), jnp.int32), transport=transport, train_seconds=seconds),
    )


def noise_shares(plan: PrivacyPlan | None, rng: Rng) -> IntegerShares | None:
    """The noise that clients add to their integers, if the plan asks for any."""
    if plan is None or plan.mechanism != "skellam":
        return None
    return integer_shares(plan, rng)


def add_shares(
    rows: Int32[np.ndarray, "clients length"],
    noise: Int64[np.ndarray, "clients length"],
    limit: float,
    bits: int,
) -> Int64[np.ndarray, "clients length"]:
    """Residues of each client's integers with its share of the noise.

    Raises:
      ProtocolError: an update exceeds the limit, which noise would hide from the protocol.
    """
    if (rows == REFUSED).any():
        raise ProtocolError(f"An update exceeds limit={limit}: expected at most the clipping norm")
    return centre(rows + noise, bits)


def contribution(
    max_norm: float, plan: PrivacyPlan | None, secure: SecureAggregation | None
) -> Contribute:
    """What a client makes of its update: clipped, weighted and, for a secure sum, quantised.

    With a plan, rounding keeps the L2 norm within the bound that the noise is made for.
    """

    def contribute(key: Key, update: Update, given: Given) -> tuple[Contribution, Reports]:
        clipped, info = clip_by_norm(update, max_norm if given.norm is None else given.norm)
        weighted = jax.tree.map(lambda leaf: leaf * given.weight, clipped)
        if secure is None:
            within = None
            if given.norm is not None:
                side = jnp.where(info.clipped, -0.5, 0.5)
                within = jnp.where(optax.tree.norm(clipped) > 0, side, 0.0)
            none = jnp.zeros((), bool)
            return Contribution(weighted, within), reports(info.nonfinite, info.clipped, none)
        limit, bits = secure.limit, secure.bits
        vector, fitted = fit(ravel_pytree(weighted)[0], limit)
        if plan is None:
            integers, given_up = quantize(key, vector, limit, bits), jnp.zeros((), bool)
        else:
            integers, given_up = round_within(
                key, lambda key: quantize(key, vector, limit, bits), plan.max_squared_norm
            )
        counts = reports(info.nonfinite | given_up, info.clipped, fitted)
        return Contribution(integers, None), counts

    def reports(*counted: Bool[Array, ""]) -> Reports:
        return Reports(*(each.astype(jnp.int32) for each in counted))

    return contribute


def cohort_slots(sampler: Sampler) -> int:
    """The most clients that a sampler's cohort can hold."""
    return jax.eval_shape(sampler, jax.random.key(0), jnp.int32(0)).ids.shape[0]


def sum_terms(
    model: Model, secure: SecureAggregation, plan: PrivacyPlan | None, slots: int, bits: int
) -> Terms:
    """What clients, aggregator and key holder agree on before a secure sum.

    Args:
      model: what is trained.
      secure: how updates are quantised.
      plan: what is private, if anything.
      slots: the most clients of a round.
      bits: of what is sent: with shares of noise, residues that have room for the whole sum.

    Raises:
      ConfigError: the cohort, bits or limit make no possible sum.
    """
    return Terms(
        length=num_parameters(model),
        bits=bits,
        limit=secure.limit * ((2 ** (bits - 1) - 1) / (2 ** (secure.bits - 1) - 1)),
        smallest_cohort=min(2, slots) if plan is None else plan.smallest_cohort - plan.dropouts,
        largest_cohort=slots,
    )


def _check_plan(
    plan: PrivacyPlan,
    model: Model,
    data: FederatedData,
    sampler: Sampler | None,
    max_norm: float,
    secure: SecureAggregation | None,
) -> None:
    """Refuses a plan that is not the only source of what it says.

    Raises:
      ConfigError: as above.
    """
    if sampler is not None or max_norm != jnp.inf:
        raise ConfigError(
            f"sampler={sampler}, max_norm={max_norm} beside a privacy plan: expected neither, "
            "since the plan draws the cohorts and clips"
        )
    expected = {"num_clients": data.num_clients, "dimension": None, "bits": None}
    if secure is not None:
        expected["dimension"] = num_parameters(model)
        expected |= {"bits": secure.bits, "clipping_norm": secure.limit}
    for name, value in expected.items():
        if getattr(plan, name) != value:
            raise ConfigError(
                f"The plan's {name}={getattr(plan, name)!r}, but data, model and secure "
                f"aggregation have {value!r}: they must be the same, or the accounting is wrong"
            )


def private_key(seed: bytes | None = None) -> Key:
    """A secret key for cohorts and noise.

    Args:
      seed: 8 random bytes, all that JAX's default keys hold; the operating system's if None.
    """
    words = np.frombuffer(os.urandom(8) if seed is None else seed, np.uint32)
    return jax.random.wrap_key_data(jnp.asarray(words), impl="threefry2x32")


def client_weights(
    sizes: Int[Array, "clients"], cohort: Cohort, weighting: Weighting
) -> Float[Array, "slots"]:
    """Public weights of at most 1: a client's share of the largest client's examples, or 1."""
    if weighting == "uniform":
        return cohort.mask.astype(jnp.float32)
    present = jnp.where(cohort.mask, sizes[cohort.ids], 0)
    return present.astype(jnp.float32) / jnp.max(sizes).astype(jnp.float32)


def expected_weight(
    sizes: Int[Array, "clients"], plan: PrivacyPlan, weighting: Weighting
) -> Float[Array, ""]:
    """What a cohort's `client_weights` add up to on average: a denominator that nobody changes."""
    if weighting == "uniform":
        return jnp.asarray(plan.expected_cohort, jnp.float32)
    weights = sizes.astype(jnp.float32)
    return plan.rate * jnp.sum(weights / jnp.max(weights))


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
        unopened=jnp.zeros((), jnp.int32),
        transport=None,
        train_seconds=None,
    )


def add_infos(total: RoundInfo, info: RoundInfo) -> RoundInfo:
    """Infos of several rounds, added up."""
    return jax.tree.map(operator.add, total, info)
