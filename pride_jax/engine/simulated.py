"""A secure sum whose clients, aggregator and key holders are all played in this process."""

import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Int

from pride_jax.aggregation.refusals import BurntError
from pride_jax.aggregation.simulation import Announced, Transport, simulate
from pride_jax.data.federated import FederatedData, of_one_client, place
from pride_jax.engine.cohort import (
    Broadcast,
    Clients,
    CohortResult,
    clients_mesh,
    train_client,
)
from pride_jax.engine.contribution import Contribution, Encode, encoder
from pride_jax.engine.federation import (
    Adder,
    Federation,
    chunk_of,
    starting,
    states_in,
    without_clients,
    work_of,
)
from pride_jax.engine.local import Batches, num_batches
from pride_jax.engine.memory import Wait, within_memory
from pride_jax.engine.rounds import (
    Algorithm,
    RoundInfo,
    ServerState,
    no_program,
    repeated,
    round_info,
)
from pride_jax.engine.secure import (
    Collected,
    SecureAggregation,
    added_in,
    check_secure,
    host_round,
    model_digest,
    plan_in,
    sum_terms,
    unopened,
)
from pride_jax.engine.states import Kept, States, on_host
from pride_jax.errors import ConfigError, TooFewError
from pride_jax.methods.method import State, Weighting
from pride_jax.privacy.plan import Plan, smallest_sum
from pride_jax.progress import Tell, counted
from pride_jax.types import Cohort

Dispatch = Callable[[ServerState, Cohort], Callable[[], tuple[CohortResult, Kept]]]
"""``(state, cohort)`` -> what waits for what its clients contribute, one a row, and then keep."""


def simulated(
    secure: SecureAggregation, mesh: Mesh | None = None, chunk: int | None = None
) -> Adder:
    """Quantises updates on the devices and adds them on the host, unseen.

    Clients prepare for the sum, and draw their shares of its noise, while the devices train.

    Args:
      secure: how updates are added.
      mesh: devices, see `clients_mesh`; all there are if not given.
      chunk: most clients vmapped together; a measured default if not given.

    Raises:
      ConfigError: an argument is of another kind.
    """
    check_secure(secure)

    def adder(federation: Federation) -> Algorithm:
        devices = one_host(mesh or clients_mesh(jax.devices()))
        encode = encoder(added_in(federation.server, secure))
        data = place(federation.data, devices)
        federation = federation._replace(data=data)
        states = states_in(federation, devices)
        work_with = work_of(federation, encode, devices, "rows")
        work = within_memory(work_with, chunk_of(federation, devices, chunk))

        def dispatch(state: ServerState, cohort: Cohort) -> Wait:
            lent, rows = states.lend(state.clients, cohort)
            secure.tell("clients train", 0, 0)
            wait = work(data, without_clients(state), cohort, lent, rows)

            def finished() -> tuple[CohortResult, Kept]:
                result, stack = wait()
                return result, states.take_back(state.clients, cohort, stack)

            return finished

        return _algorithm(federation, secure, dispatch, states, devices)

    return adder


def one_by_one(secure: SecureAggregation, mesh: Mesh | None = None) -> Adder:
    """As `simulated`, but each client is trained by a call of its own of one program.

    A client's examples are all that its call sees, as with a party of a deployment: the same bits
    as a deployment's, and slower.

    Args:
      secure: how updates are added.
      mesh: its first device trains; the first there is if not given.

    Raises:
      ConfigError: an argument is of another kind.
    """
    check_secure(secure)

    def adder(federation: Federation) -> Algorithm:
        devices = one_host(mesh or clients_mesh(jax.devices()))
        encode = encoder(added_in(federation.server, secure))
        program = single_client(federation.clients, encode, federation.server.weighting)
        states = on_host(federation.data.num_clients)
        dispatch = _one_after_another(federation, program, states, devices, secure.tell)
        return _algorithm(federation, secure, dispatch, states, devices)

    return adder


def one_host(mesh: Mesh) -> Mesh:
    """The mesh, if its devices are one process's.

    Raises:
      ConfigError: they are several processes'.
    """
    if mesh.shape["hosts"] > 1:
        raise ConfigError(
            f"Secure aggregation on {mesh.shape['hosts']} hosts: expected one, since a single "
            "process plays all roles of a secure sum; start one process, or add floats"
        )
    return mesh


SingleClient = Callable[
    [Broadcast, FederatedData, Int[Array, ""], State], tuple[CohortResult, State]
]
"""``(told, its examples, id, state) -> (CohortResult, state)``, see `single_client`."""


def single_client(clients: Clients, encode: Encode, weighting: Weighting) -> SingleClient:
    """One client's part of a round as one compiled program: a party's, and its simulation's.

    Args:
      clients: what it does.
      encode: what it adds.
      weighting: how much it counts.

    Returns:
      A function of what the client is told, its own examples from `of_one_client`, its id and what
      it kept.
    """
    clients = clients._replace(extent=clients.extent._replace(even=True))

    @jax.jit
    def one_client(
        told: Broadcast, data: FederatedData, client: Int[Array, ""], state: State
    ) -> tuple[CohortResult, State]:
        size = data.sizes[0]
        steps = num_batches(size, clients.extent.batch_size)
        return train_client(
            clients,
            encode,
            told,
            data,
            jnp.int32(0),
            client,
            size,
            weighting(size, jnp.int32(clients.extent.longest)),
            state,
            Batches(steps, steps),
        )

    return one_client


def _one_after_another(
    federation: Federation, program: SingleClient, states: States, mesh: Mesh, progress: Tell
) -> Dispatch:
    """Trains the clients of a cohort one after another, on the first device."""
    device = mesh.devices.flat[0]
    server = federation.server
    inputs, targets, shift, scale, index, offsets, sizes = jax.device_get(federation.data)
    tell = jax.jit(server.tell)

    @functools.cache
    def own(client: int) -> FederatedData:
        rows = index[offsets[client] : offsets[client] + sizes[client]]
        return jax.device_put(of_one_client(inputs[rows], targets[rows], shift, scale), device)

    def train(state: ServerState, cohort: Cohort) -> tuple[CohortResult, Kept]:
        told = jax.device_put(tell(without_clients(state)), device)
        ids, present = jax.device_get(cohort)
        lent, places = states.lend(state.clients, cohort)
        # A copy, in which each client writes its own row.
        lent = jax.tree.map(np.array, lent)
        nobody = jax.eval_shape(program, told, own(0), jnp.int32(0), _row(lent, 0))[0]
        result = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), nobody)
        rows = np.zeros((len(ids), server.length), np.int32)
        counts = result.clients, result.reports
        for slot in counted(progress, "clients train", np.flatnonzero(present)):
            client = int(ids[slot])
            given, kept = jax.device_get(
                program(told, own(client), jnp.int32(client), _row(lent, places[slot]))
            )
            rows[slot] = given.contributions.update
            counts = jax.tree.map(np.add, counts, (given.clients, given.reports))
            jax.tree.map(functools.partial(_write_row, slot), lent, kept)
        result = CohortResult(Contribution(rows, jnp.zeros(())), *counts)
        return result, states.take_back(state.clients, cohort, lent)

    def dispatch(state: ServerState, cohort: Cohort) -> Wait:
        return functools.partial(train, state, cohort)

    return dispatch


def _row(stack: Any, place: Any) -> Any:
    return jax.tree.map(lambda leaf: leaf[place], stack)


def _write_row(place: Any, leaf: np.ndarray, new: np.ndarray) -> None:
    leaf[place] = new


def _algorithm(
    federation: Federation,
    secure: SecureAggregation,
    dispatch: Dispatch,
    states: States,
    mesh: Mesh,
) -> Algorithm:
    """Rounds whose aggregator and key holders, too, are played here."""
    server, data = federation.server, federation.data
    plan, tell = plan_in(server, secure), jax.jit(server.tell)
    shares = plan.shares(secure.rng)
    terms = sum_terms(server, secure, shares)
    # Under a plan, which sums are opened must not tell who has examples.
    without = np.flatnonzero(jax.device_get(data.sizes) == 0).tolist()
    empty = frozenset(() if isinstance(plan, Plan) else without)
    aggregator = simulate(
        secure.protocol, terms, secure.key_holder, secure.rng, secure.network, empty, secure.tell
    )

    def prepared(state: ServerState, clients: Sequence[int]) -> tuple[Announced, Any]:
        """What clients can do before they have trained."""
        round_, count = int(state.round), len(clients)
        survivors = smallest_sum(plan, round_, count)
        model = model_digest(tell(without_clients(state)).sent)
        announced = aggregator.announce(round_, clients, survivors, model)
        return announced, shares.draw(count, count)

    def collect(state: ServerState, cohort: Cohort) -> Collected:
        start = time.perf_counter()
        ids, present = jax.device_get(cohort)
        clients = ids[present].tolist()
        # In a thread: a dispatch to several devices, or of callbacks, waits for them by itself.
        with ThreadPoolExecutor(1) as beside:
            preparation = beside.submit(prepared, state, clients)
            result, kept = dispatch(state, cohort)()
        rows = jax.device_get(result.contributions.update)[present]
        seconds = time.perf_counter() - start
        info = round_info(data, cohort, result)._replace(train_seconds=seconds)

        def nothing(info: RoundInfo) -> Collected:
            transport = Transport(len(clients), 0, 0.0, 0.0, 0.0, 0.0)
            return unopened(server.length, info, transport, time.perf_counter() - start, kept)

        try:
            announced, noise = preparation.result()
            added = aggregator.add(announced, shares.add(rows, noise))
        except TooFewError:
            if plan.must_open:
                raise
            return nothing(info)
        except BurntError as error:
            secure.note(int(state.round), error)
            return nothing(info._replace(refused=jnp.ones((), jnp.int32)))
        for refusal in added.refused:
            secure.note(int(state.round), refusal)
        info = info._replace(transport=added.transport)
        return Collected(shares.centred(added.total), added.contributors, info, kept)

    one_round = host_round(server, data.sizes, secure, collect)
    return Algorithm(
        init=starting(server, federation.clients, states, mesh),
        round=one_round,
        rounds=repeated(one_round),
        rounds_on=no_program,
        params=server.params,
        states=states,
    )
