"""Updates added on the devices: a round, or any number of rounds, is one program."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh
from jaxtyping import Array, Int

from pride_jax.data.federated import FederatedData, place
from pride_jax.engine.cohort import clients_mesh
from pride_jax.engine.contribution import Contribution, decoder, encoder
from pride_jax.engine.federation import (
    Adder,
    Federation,
    Work,
    chunk_of,
    starting,
    states_in,
    without_clients,
    work_of,
)
from pride_jax.engine.memory import within_memory
from pride_jax.engine.rounds import (
    Algorithm,
    OneRound,
    RoundInfo,
    ServerState,
    add_infos,
    no_program,
    nothing_like,
    repeated,
    round_info,
)
from pride_jax.engine.states import States
from pride_jax.types import Cohort
from pride_jax.validated import expect


def on_device(mesh: Mesh | None = None, chunk: int | None = None) -> Adder:
    """Adds on the devices: floats, or with a privacy plan integers, whose sums have no order.

    Args:
      mesh: devices, see `clients_mesh`; all there are if not given.
      chunk: most clients vmapped together; a measured default if not given.

    Raises:
      ConfigError: an argument is of another kind.
    """
    if mesh is not None:
        expect("mesh", mesh, Mesh, "devices of clients_mesh(jax.devices())")

    def adder(federation: Federation) -> Algorithm:
        server = federation.server
        added = server.plan.on_device(server.length)
        decode = decoder(added, server.update)
        devices = mesh or clients_mesh(jax.devices())
        data = place(federation.data, devices)
        federation = federation._replace(data=data)
        states = states_in(federation, devices)
        most = chunk_of(federation, devices, chunk)
        work_with = work_of(federation, encoder(added), devices, "sum")
        init = starting(server, federation.clients, states, devices)
        params = server.params
        if states.on_host:
            one_round = _round_with_states_on_host(federation, work_with, decode, states, most)
            return Algorithm(init, one_round, repeated(one_round), no_program, params, states)
        of_round = round_with(federation, work_with, decode, states)
        of_rounds = rounds_with(of_round)
        one_round, many_rounds = (within_memory(each, most) for each in (of_round, of_rounds))
        return Algorithm(
            init,
            lambda state: one_round(data, state)(),
            lambda state, until: many_rounds(data, state, jnp.asarray(until, jnp.int32))(),
            of_rounds(most),
            params,
            states,
        )

    return adder


_Round = Callable[[FederatedData, ServerState], tuple[ServerState, RoundInfo]]


_Decode = Callable[[Contribution], Contribution]


def round_with(
    federation: Federation, work_with: Callable[[int], Work], decode: _Decode, states: States
) -> Callable[[int], _Round]:
    """Makes, for a chunk, the function that is one round, not yet compiled."""
    server = federation.server

    def with_chunk(chunk: int) -> _Round:
        work = work_with(chunk)

        def one_round(data: FederatedData, state: ServerState) -> tuple[ServerState, RoundInfo]:
            cohort = server.draw(state)
            result, stack = work(data, state, cohort, *states.lend(state.clients, cohort))
            after = server.finish(data.sizes, state, cohort, decode(result.contributions))
            kept = states.take_back(state.clients, cohort, stack)
            return after._replace(clients=kept), round_info(data, cohort, result)

        return one_round

    return with_chunk


def rounds_with(of_round: Callable[[int], _Round]) -> Callable[[int], Callable[..., Any]]:
    """Makes, for a chunk, the function of data, state and the round until which it goes."""

    def with_chunk(chunk: int) -> Callable[..., tuple[ServerState, RoundInfo]]:
        # Traced once, for the shapes and for the loop.
        one_round = jax.jit(of_round(chunk), inline=True)

        def many_rounds(
            data: FederatedData, state: ServerState, until: Int[Array, ""]
        ) -> tuple[ServerState, RoundInfo]:
            def advance(carry: tuple[ServerState, RoundInfo]) -> tuple[ServerState, RoundInfo]:
                state, info = one_round(data, carry[0])
                return state, add_infos(carry[1], info)

            _, shapes = jax.eval_shape(one_round, data, state)
            start = (state, nothing_like(shapes))
            return jax.lax.while_loop(lambda carry: carry[0].round < until, advance, start)

        return many_rounds

    return with_chunk


def _round_with_states_on_host(
    federation: Federation,
    work_with: Callable[[int], Work],
    decode: _Decode,
    states: States,
    chunk: int,
) -> OneRound:
    """A round between whose draw and work the cohort's states come from the host."""
    server, data = federation.server, federation.data
    draw = jax.jit(server.draw)

    def train_with(chunk: int) -> Callable[..., Any]:
        work = work_with(chunk)

        def train(
            data: FederatedData, state: ServerState, cohort: Cohort, lent: Any, rows: Array
        ) -> tuple[ServerState, RoundInfo, Any]:
            result, stack = work(data, state, cohort, lent, rows)
            after = server.finish(data.sizes, state, cohort, decode(result.contributions))
            return after, round_info(data, cohort, result), stack

        return train

    train = within_memory(train_with, chunk)

    def one_round(state: ServerState) -> tuple[ServerState, RoundInfo]:
        own = without_clients(state)
        cohort = draw(own)
        after, info, stack = train(data, own, cohort, *states.lend(state.clients, cohort))()
        return after._replace(clients=states.take_back(state.clients, cohort, stack)), info

    return one_round
