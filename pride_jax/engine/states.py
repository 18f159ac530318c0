"""Clients' states: beside their owners' examples on the devices or, where too large, the host."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int, PyTree

from pride_jax.engine.memory import bytes_of
from pride_jax.errors import ConfigError
from pride_jax.methods.method import State
from pride_jax.types import Cohort

Kept = Any
"""The states of all clients, as `States` has them."""

_SHARE = 4
"""Of a device's memory, the states of all clients may take a quarter."""


class States(NamedTuple):
    """How the states of all clients are kept, and lent to a cohort.

    Attributes:
      on_host: whether the host keeps them; then nothing here can be traced.
      init: one client's state -> those of all, each before its first round.
      lend: ``(kept, cohort)`` -> a stack of states for the devices, and each slot's row in it.
      take_back: ``(kept, cohort, stack)`` -> what is kept after the round.
      save: kept -> NumPy arrays ``[clients, …]`` in the order of ids, in every process.
      load: the inverse.
    """

    on_host: bool
    init: Callable[[State], Kept]
    lend: Callable[[Kept, Cohort], tuple[PyTree[Array], Int[Array, "slots"]]]
    take_back: Callable[[Kept, Cohort, PyTree[Array]], Kept]
    save: Callable[[Kept], PyTree[np.ndarray]]
    load: Callable[[PyTree[np.ndarray]], Kept]


def states_of(shapes: State, num_clients: int, mesh: Mesh) -> States:
    """Decides where clients' states lie: on the devices, if a quarter of their memory holds them.

    Args:
      shapes: of one client's state.
      num_clients: of all.
      mesh: the devices.

    Raises:
      ConfigError: the states are too large for the devices of several processes.
    """
    hosts = mesh.shape["hosts"]
    size = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(shapes))
    if size * num_clients / hosts <= bytes_of(mesh) / _SHARE:
        return on_devices(num_clients, mesh)
    if hosts > 1:
        raise ConfigError(
            f"The states of {num_clients} clients take {size * num_clients / 2**30:.1f} GiB, more "
            f"than a quarter of the memory of {hosts} processes' devices: start more processes, "
            "or a single one, which keeps them in the host's memory"
        )
    return on_host(num_clients)


def on_devices(num_clients: int, mesh: Mesh) -> States:
    """States as arrays ``[hosts · rows, …]``, each host's block on its own devices.

    Client ``k`` is row ``k // hosts`` of host ``k mod hosts``, where its examples are.
    """
    hosts = mesh.shape["hosts"]
    rows = -(-num_clients // hosts)
    sharding = NamedSharding(mesh, PartitionSpec("hosts"))
    order = np.arange(hosts * rows).reshape(rows, hosts).T.ravel()

    def init(state: State) -> Kept:
        return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (hosts * rows, *leaf.shape)), state)

    def save(kept: Kept) -> PyTree[np.ndarray]:
        def gather(leaf: Array) -> np.ndarray:
            whole = multihost_utils.process_allgather(leaf, tiled=True) if hosts > 1 else leaf
            return np.asarray(whole)[np.argsort(order)][:num_clients]

        return jax.tree.map(gather, kept)

    def load(saved: PyTree[np.ndarray]) -> Kept:
        def spread(leaf: np.ndarray) -> Array:
            padded = np.resize(leaf, (hosts * rows, *leaf.shape[1:]))[order]
            return jax.make_array_from_callback(padded.shape, sharding, lambda at: padded[at])

        return jax.tree.map(spread, saved)

    return States(
        on_host=False,
        init=jax.jit(init, out_shardings=sharding),
        lend=lambda kept, cohort: (kept, cohort.ids // hosts),
        take_back=lambda kept, cohort, stack: stack,
        save=save,
        load=load,
    )


class HostStates(NamedTuple):
    """States in the host's memory: those that changed, by client, and what all others are."""

    first: State
    changed: dict[int, State]


def on_host(num_clients: int) -> States:
    """States of one process in the host's memory; a round moves those of its cohort alone."""

    def init(state: State) -> HostStates:
        return HostStates(jax.device_get(state), {})

    def lend(kept: HostStates, cohort: Cohort) -> tuple[PyTree[Array], Int[Array, "slots"]]:
        ids = np.asarray(cohort.ids).tolist()
        rows = [kept.changed.get(client, kept.first) for client in ids]
        return jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves)), *rows), jnp.arange(
            len(ids)
        )

    def take_back(kept: HostStates, cohort: Cohort, stack: PyTree[Array]) -> HostStates:
        ids, mask = jax.device_get(cohort)
        rows = jax.device_get(stack)
        back = {
            int(ids[slot]): jax.tree.map(lambda leaf, slot=slot: leaf[slot].copy(), rows)
            for slot in np.flatnonzero(mask)
        }
        return kept._replace(changed=kept.changed | back)

    def save(kept: HostStates) -> PyTree[np.ndarray]:
        rows = [kept.changed.get(client, kept.first) for client in range(num_clients)]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *rows)

    def load(saved: PyTree[np.ndarray]) -> HostStates:
        rows = {
            client: jax.tree.map(lambda leaf, client=client: leaf[client], saved)
            for client in range(num_clients)
        }
        return HostStates(rows[0], rows)

    return States(True, init, lend, take_back, save, load)


def elsewhere() -> States:
    """States that clients keep themselves: nothing of them is here."""
    return States(
        on_host=True,
        init=lambda state: (),
        lend=lambda kept, cohort: ((), jnp.arange(len(cohort.ids))),
        take_back=lambda kept, cohort, stack: (),
        save=lambda kept: (),
        load=lambda saved: (),
    )
