"""A round's clients on the device: chunks of vmapped clients in a loop, sharded over devices."""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, PyTree

from pride_jax.data.federated import FederatedData, data_specs, host_of
from pride_jax.engine.contribution import Encode, Reports
from pride_jax.engine.local import Batches, Extent, num_batches, select, train_locally
from pride_jax.errors import ConfigError
from pride_jax.methods.method import Hyper, MethodOf, Round, Sent, State
from pride_jax.types import Cohort, Key


class Broadcast(NamedTuple):
    """What every client of a round is told.

    Attributes:
      key: the round's; a client folds its id into it.
      round: its number.
      sent: what the method's server sends.
      norm: the clipping norm.
      hyper: numbers that a compiled program takes as arguments.
    """

    key: Key
    round: Int[Array, ""]
    sent: Sent
    norm: Float[Array, ""]
    hyper: Hyper


class ClientInfo(NamedTuple):
    """What a client saw while it trained: computed from its data, outside any ε.

    Attributes:
      loss: sum of the losses of the examples it trained on, as it met them.
      examples: how many those were, epochs counted.
    """

    loss: Float[Array, ""]
    examples: Float[Array, ""]


class CohortResult(NamedTuple):
    """What a cohort's clients gave.

    Attributes:
      contributions: their sum; or one row a slot, in the cohort's order.
      clients: `ClientInfo`, summed.
      reports: `Reports`, summed.
    """

    contributions: PyTree[Array]
    clients: ClientInfo
    reports: Reports


class PrivateSteps:
    """The steps of a round under a privacy plan, which tell the size of the largest client.

    A method that scales by them releases that size: no clipping bounds what it changes for others.

    Raises (whatever is computed with them):
      ConfigError: as above.
    """

    def _refuse(self, *_: Any) -> NoReturn:
        raise ConfigError(
            "The method reads the steps of a round, which tell the size of the largest client: "
            "expected public_sizes=True in the privacy plan (privacy.public_sizes), if that is "
            "public, or a method that does not, such as fedavg"
        )

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _refuse  # pyright: ignore
    __truediv__ = __rtruediv__ = __floordiv__ = __rfloordiv__ = _refuse  # pyright: ignore
    __pow__ = __rpow__ = __mod__ = __rmod__ = __neg__ = __abs__ = _refuse  # pyright: ignore
    __lt__ = __le__ = __gt__ = __ge__ = __bool__ = _refuse  # pyright: ignore
    __int__ = __float__ = __index__ = __jax_array__ = _refuse  # pyright: ignore


class Clients(NamedTuple):
    """What a client does in a round, from what it is told to what it adds.

    Attributes:
      method: for the numbers that the program takes as arguments.
      epochs: of a round.
      extent: of all clients.
      public_sizes: whether everybody may know how many examples the largest client holds.
    """

    method: MethodOf
    epochs: int
    extent: Extent
    public_sizes: bool = True

    def round(self, number: Int[Array, ""]) -> Round:
        """The round of that number; its steps refuse to be read where they follow from a secret."""
        steps = self.epochs * self.extent.batches if self.public_sizes else PrivateSteps()
        return Round(number, steps)  # pyright: ignore


def train_client(
    clients: Clients,
    encode: Encode,
    told: Broadcast,
    data: FederatedData,
    place: Int[Array, ""],
    client: Int[Array, ""],
    size: Int[Array, ""],
    weight: Float[Array, ""],
    state: State,
    batches: Batches,
) -> tuple[CohortResult, State]:
    """One client trains, makes its contribution of its update, and keeps its new state.

    Its keys are folded from the round's by its id, wherever its examples lie. A client without
    examples contributes what an update of zeros does, and keeps its state; so does the state of a
    client whose update, or new state, is not finite.

    Args:
      clients: what it does.
      encode: what it adds, from a key of its own.
      told: what it is told.
      data: holds its examples.
      place: its number in ``data``.
      client: its id.
      size: how many examples it holds.
      weight: that its update is multiplied by.
      state: that it kept.
      batches: steps an epoch, see `train_locally`.
    """
    method = clients.method(told.hyper)
    training_key, contribution_key = jax.random.split(jax.random.fold_in(told.key, client))
    local = method.client.start(clients.round(told.round), told.sent, state)
    carry, loss = train_locally(
        local, method.training, clients.extent, training_key, data, place, size, batches
    )
    steps = clients.epochs * num_batches(size, clients.extent.batch_size)
    update, new_state = local.finish(carry, steps)
    trained = size > 0
    update = jax.tree.map(lambda leaf: jnp.where(trained, leaf, jnp.zeros_like(leaf)), update)
    contribution, reports = encode(contribution_key, told.round, update, told.norm, weight)
    whole = trained & (reports.nonfinite == 0) & _all_finite(new_state)
    seen = (clients.epochs * size).astype(jnp.float32)
    info = ClientInfo(jnp.where(trained, loss, 0.0), seen)
    return CohortResult(contribution, info, reports), select(whole, new_state, state)


def _all_finite(state: State) -> Bool[Array, ""]:
    finite = jnp.ones((), bool)
    for leaf in jax.tree.leaves(state):
        if jnp.issubdtype(leaf.dtype, jnp.inexact):
            finite &= jnp.all(jnp.isfinite(leaf))
    return finite


class _Slots(NamedTuple):
    """Clients in the order and shape in which they are trained."""

    ids: Int[Array, "..."]
    mask: Bool[Array, "..."]
    sizes: Int[Array, "..."]
    weights: Float[Array, "..."]
    rows: Int[Array, "..."]


def clients_mesh(devices: Sequence[Any]) -> Mesh:
    """A mesh over some of ``jax.devices()``.

    Its axes are ``hosts``, the processes that the devices belong to, and ``clients``, the devices
    of each, over which a host's clients are divided.

    Raises:
      ConfigError: one process brings more devices than another.
    """
    count = Counter(device.process_index for device in devices)
    if len(set(count.values())) > 1:
        raise ConfigError(
            f"Processes bring {sorted(count.values())} devices: expected as many of each; set "
            "engine.devices"
        )
    shape = (len(count), len(devices) // len(count))
    axes = (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh(shape, ("hosts", "clients"), axes, devices=devices)


TrainCohort = Callable[
    [Broadcast, FederatedData, Cohort, Float[Array, "slots"], State, Int[Array, "slots"]],
    tuple[CohortResult, State],
]
"""``(told, data, cohort, weights, kept, rows) -> (CohortResult, kept)``, see `train_cohort`."""


def train_cohort(
    clients: Clients,
    encode: Encode,
    *,
    chunk: int,
    mesh: Mesh,
    collect: Literal["sum", "rows"],
) -> TrainCohort:
    """Makes the function that trains a cohort.

    Slots are ordered by their clients' sizes before they are cut into chunks, and a chunk loops
    over the batches of its largest client: uneven clients cost no padded work in chunks of one and
    little in larger ones, and chunks without any example, which would add exact zeros, nothing.
    Neither order nor chunk nor the number of devices changes a client's random draws; sums differ
    by the order of float additions only.

    A client is trained by the host that holds its examples, see `data.federated.federate`. So each
    host has a slot for every member of the cohort, and leaves those of other hosts' clients empty.

    Args:
      clients: what each client does.
      encode: what a client adds.
      chunk: clients vmapped together on one device.
      mesh: devices, see `clients_mesh`.
      collect: ``sum`` keeps one accumulator a device, whatever the cohort's size; ``rows`` keeps
        every client's contribution, as encryption needs; for one host.

    Returns:
      A function of what clients are told, their examples, the cohort, its clients' weights, the
      states that clients of this host kept, stacked, and each slot's row in that stack. A client
      that does not take part, or holds no example, keeps its row as it is.
    """
    hosts, devices = mesh.shape["hosts"], mesh.shape["clients"]
    # A lone client takes every step of its loop.
    extent = clients.extent._replace(even=clients.extent.even or chunk == 1)
    clients = clients._replace(extent=extent)

    def train_slot(
        told: Broadcast, data: FederatedData, slot: _Slots, state: State, batches: Batches
    ) -> tuple[CohortResult, State]:
        given, state = train_client(
            clients,
            encode,
            told,
            data,
            slot.ids,
            slot.ids,
            slot.sizes,
            slot.weights,
            state,
            batches,
        )
        zeroed = jax.tree.map(lambda leaf: jnp.where(slot.mask, leaf, jnp.zeros_like(leaf)), given)
        return zeroed, state

    def train_chunk(
        told: Broadcast, data: FederatedData, slots: _Slots, states: State
    ) -> tuple[CohortResult, State]:
        steps = num_batches(slots.sizes, extent.batch_size)
        most = jnp.max(steps)
        # Slots without examples follow along: whatever they do is thrown away.
        batches = Batches(jnp.min(jnp.where(steps > 0, steps, most)), most)
        if chunk == 1:
            slot, state = jax.tree.map(lambda leaf: leaf[0], (slots, states))
            given = train_slot(told, data, slot, state, batches)
            return jax.tree.map(lambda leaf: leaf[None], given)
        return jax.vmap(train_slot, in_axes=(None, None, 0, 0, None))(
            told, data, slots, states, batches
        )

    def train_shard(
        told: Broadcast, data: FederatedData, slots: _Slots, kept: State
    ) -> tuple[CohortResult, PyTree[Array], State]:
        chunks = jax.tree.map(lambda leaf: leaf[0, 0], slots)

        # Traced once, for the shapes and for the loop.
        @functools.partial(jax.jit, inline=True)
        def nth(number: Int[Array, ""]) -> tuple[CohortResult, PyTree[Array]]:
            chunk = jax.tree.map(lambda leaf: leaf[number], chunks)
            states = jax.tree.map(lambda leaf: leaf[chunk.rows], kept)
            given, states = train_chunk(told, data, chunk, states)
            if collect == "sum":
                return given, (None, states)
            return given._replace(contributions=None), (given.contributions, states)

        def step(number: Int[Array, ""], carry: tuple) -> tuple[CohortResult, PyTree[Array]]:
            total, rows = carry
            added, made = nth(number)
            return (
                jax.tree.map(lambda a, b: a + jnp.sum(b, axis=0), total, added),
                jax.tree.map(lambda all_, row: all_.at[number].set(row), rows, made),
            )

        shapes, made = jax.eval_shape(nth, jnp.int32(0))
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], leaf.dtype), shapes)
        count = chunks.sizes.shape[0]
        rows = jax.tree.map(lambda leaf: jnp.zeros((count, *leaf.shape), leaf.dtype), made)
        filled = jnp.sum(jnp.max(chunks.sizes, axis=1) > 0)
        total, (rows, states) = jax.lax.fori_loop(0, filled, step, (zeros, rows))
        return jax.lax.psum(total, ("hosts", "clients")), rows, commit(kept, chunks, states)

    def commit(kept: State, chunks: _Slots, states: State) -> State:
        """The stack with the rows of those who trained, on whichever of the host's devices."""
        if not jax.tree.leaves(kept):
            return kept

        def everyones(leaf: Array) -> Array:
            return jax.lax.all_gather(leaf, "clients").reshape(-1, *leaf.shape[2:])

        # A place beyond the stack is dropped: masked slots, and clients without examples.
        size = jax.tree.leaves(kept)[0].shape[0]
        rows = everyones(jnp.where(chunks.sizes > 0, chunks.rows, size))
        return jax.tree.map(
            lambda leaf, new: leaf.at[rows].set(everyones(new), mode="drop"), kept, states
        )

    everywhere, divided = PartitionSpec(), PartitionSpec("hosts", "clients")
    of_host = PartitionSpec("hosts")
    sharded = jax.shard_map(
        train_shard,
        mesh=mesh,
        in_specs=(everywhere, data_specs(), divided, of_host),
        out_specs=(everywhere, PartitionSpec("clients"), of_host),
        check_vma=False,
    )

    def train(
        told: Broadcast,
        data: FederatedData,
        cohort: Cohort,
        weights: Float[Array, "slots"],
        kept: State,
        rows: Int[Array, "slots"],
    ) -> tuple[CohortResult, State]:
        def slots_at(host: Int[Array, ""]) -> tuple[_Slots, Int[Array, "slots"]]:
            here = cohort.mask & (host_of(cohort.ids, hosts) == host)
            sizes = jnp.where(here, data.sizes[cohort.ids], 0)
            order = jnp.argsort(-sizes, stable=True)
            slots = _Slots(cohort.ids, here, sizes, weights, rows)
            return jax.tree.map(lambda leaf: _deal(leaf[order], devices, chunk), slots), order

        slots, order = jax.vmap(slots_at)(jnp.arange(hosts))
        total, sent, kept = sharded(told, data, slots, kept)
        if collect == "sum":
            return total, kept
        places = jnp.argsort(order[0])
        contributions = jax.tree.map(lambda leaf: _gather(leaf, devices)[places], sent)
        return total._replace(contributions=contributions), kept

    return train


def _deal(leaf: Array, devices: int, chunk: int) -> Array:
    """Slots, largest client first, padded and dealt to ``[devices, chunks, chunk, …]`` in turn."""
    missing = -leaf.shape[0] % (devices * chunk)
    padded = jnp.pad(leaf, ((0, missing), *((0, 0) for _ in leaf.shape[1:])))
    return padded.reshape(-1, devices, chunk, *leaf.shape[1:]).swapaxes(0, 1)


def _gather(rows: Array, devices: int) -> Array:
    """The inverse of `_deal`, padding slots last, on rows ``[devices · chunks, chunk, …]``."""
    dealt = rows.reshape(devices, -1, *rows.shape[1:])
    return dealt.swapaxes(0, 1).reshape(-1, *rows.shape[2:])
