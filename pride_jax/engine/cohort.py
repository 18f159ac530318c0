"""A round's clients on the device: chunks of vmapped clients in a loop, sharded over devices."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array, Bool, Int, PyTree

from pride_jax.data.federated import FederatedData, data_specs, host_of
from pride_jax.engine.client import ClientInfo, LocalTraining, local_update, num_batches
from pride_jax.errors import ConfigError
from pride_jax.models.modules import num_parameters
from pride_jax.types import Cohort, Key, Model, Params, Update

Contribute = Callable[[Key, Update, PyTree[Array]], tuple[PyTree[Array], PyTree[Array]]]
"""``(key, update, what it is given) -> (what the client adds, counts that are reported of it)``."""


class CohortResult(NamedTuple):
    """What a cohort's clients gave.

    Attributes:
      contributions: their sum; or one row a slot, in the cohort's order.
      clients: `ClientInfo`, summed.
      reports: what ``contribute`` reported, summed.
    """

    contributions: PyTree[Array]
    clients: ClientInfo
    reports: PyTree[Array]


TrainCohort = Callable[
    [Key, Int[Array, ""], Params, FederatedData, Cohort, PyTree[Array]], CohortResult
]
"""``(round key, round, params, data, cohort, given) -> CohortResult``, see `train_cohort`;
``given`` has an entry a slot, such as clients' weights."""


TrainClient = Callable[..., CohortResult]
"""``(round key, round, params, data, client's place in data, its id, size, batches, given) ->
CohortResult`` of one, see `train_client`."""


class _Slots(NamedTuple):
    """Clients in the order and shape in which they are trained."""

    ids: Int[Array, "..."]
    mask: Bool[Array, "..."]
    sizes: Int[Array, "..."]
    given: PyTree[Array]


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


def train_client(
    model: Model,
    optimizer: Callable[[Int[Array, ""]], optax.GradientTransformation],
    training: LocalTraining,
    contribute: Contribute,
    *,
    longest: int,
    vmapped: bool,
) -> TrainClient:
    """Makes the function of one client: it trains, and makes its contribution of the update.

    Its keys are folded from the round's by its id, wherever its examples lie.

    Args:
      model: what is trained.
      optimizer: the round -> its clients' optimizer.
      training: what a client does, see `local_update`.
      contribute: what it adds, from a key of its own.
      longest: the most examples that any client holds.
      vmapped: as in `local_update`.
    """
    update_client = local_update(model, optimizer, training, longest, vmapped=vmapped)

    def train(
        round_key: Key,
        round_: Int[Array, ""],
        params: Params,
        data: FederatedData,
        place: Int[Array, ""],
        client: Int[Array, ""],
        size: Int[Array, ""],
        batches: Int[Array, ""],
        given: PyTree[Array],
    ) -> CohortResult:
        training_key, contribution_key = jax.random.split(jax.random.fold_in(round_key, client))
        update, info = update_client(training_key, round_, params, data, place, size, batches)
        contribution, report = contribute(contribution_key, update, given)
        return CohortResult(contribution, info, report)

    return train


def train_cohort(
    model: Model,
    optimizer: Callable[[Int[Array, ""]], optax.GradientTransformation],
    training: LocalTraining,
    contribute: Contribute,
    *,
    longest: int,
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
      model: what is trained.
      optimizer: the round -> its clients' optimizer.
      training: what each client does, see `local_update`.
      contribute: what a client adds, such as its clipped update times its weight, which it is
        given. It has a key of its own.
      longest: the most examples that any client holds.
      chunk: clients vmapped together on one device.
      mesh: devices, see `clients_mesh`.
      collect: ``sum`` keeps one accumulator a device, whatever the cohort's size; ``rows`` keeps
        every client's contribution, as encryption needs; for one host.
    """
    hosts, devices = mesh.shape["hosts"], mesh.shape["clients"]
    batch_size = training.batch_size or longest
    train_one = train_client(
        model, optimizer, training, contribute, longest=longest, vmapped=chunk > 1
    )

    def train_slot(
        round_key: Key,
        round_: Int[Array, ""],
        params: Params,
        data: FederatedData,
        slot: _Slots,
        batches: Int[Array, ""],
    ) -> CohortResult:
        given = train_one(
            round_key, round_, params, data, slot.ids, slot.ids, slot.sizes, batches, slot.given
        )
        return jax.tree.map(lambda leaf: jnp.where(slot.mask, leaf, jnp.zeros_like(leaf)), given)

    def train_chunk(
        round_key: Key,
        round_: Int[Array, ""],
        params: Params,
        data: FederatedData,
        slots: _Slots,
    ) -> CohortResult:
        batches = num_batches(jnp.max(slots.sizes), batch_size)
        if chunk == 1:
            slot = jax.tree.map(lambda leaf: leaf[0], slots)
            given = train_slot(round_key, round_, params, data, slot, batches)
            return jax.tree.map(lambda leaf: leaf[None], given)
        return jax.vmap(train_slot, in_axes=(None, None, None, None, 0, None))(
            round_key, round_, params, data, slots, batches
        )

    def train_shard(
        round_key: Key,
        round_: Int[Array, ""],
        params: Params,
        data: FederatedData,
        slots: _Slots,
    ) -> tuple[CohortResult, PyTree[Array]]:
        chunks = jax.tree.map(lambda leaf: leaf[0, 0], slots)

        def nth(number: Int[Array, ""]) -> tuple[CohortResult, PyTree[Array]]:
            chunk = jax.tree.map(lambda leaf: leaf[number], chunks)
            return divide(train_chunk(round_key, round_, params, data, chunk))

        def step(number: Int[Array, ""], carry: tuple) -> tuple[CohortResult, PyTree[Array]]:
            total, rows = carry
            added, kept = nth(number)
            return (
                jax.tree.map(lambda a, b: a + jnp.sum(b, axis=0), total, added),
                jax.tree.map(lambda all_, row: all_.at[number].set(row), rows, kept),
            )

        shapes, kept = jax.eval_shape(nth, jnp.int32(0))
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], leaf.dtype), shapes)
        count = chunks.sizes.shape[0]
        rows = jax.tree.map(lambda leaf: jnp.zeros((count, *leaf.shape), leaf.dtype), kept)
        filled = jnp.sum(jnp.max(chunks.sizes, axis=1) > 0)
        total, rows = jax.lax.fori_loop(0, filled, step, (zeros, rows))
        return jax.lax.psum(total, ("hosts", "clients")), rows

    def divide(given: CohortResult) -> tuple[CohortResult, PyTree[Array]]:
        """What is added up over clients, and what is kept of each."""
        if collect == "sum":
            return given, None
        return given._replace(contributions=None), given.contributions

    everywhere, divided = PartitionSpec(), PartitionSpec("hosts", "clients")
    sharded = jax.shard_map(
        train_shard,
        mesh=mesh,
        in_specs=(everywhere, everywhere, everywhere, data_specs(), divided),
        out_specs=(everywhere, PartitionSpec("clients")),
        check_vma=False,
    )

    def train(
        round_key: Key,
        round_: Int[Array, ""],
        params: Params,
        data: FederatedData,
        cohort: Cohort,
        given: PyTree[Array],
    ) -> CohortResult:
        def slots_at(host: Int[Array, ""]) -> tuple[_Slots, Int[Array, "slots"]]:
            here = cohort.mask & (host_of(cohort.ids, hosts) == host)
            sizes = jnp.where(here, data.sizes[cohort.ids], 0)
            order = jnp.argsort(-sizes, stable=True)
            slots = _Slots(cohort.ids, here, sizes, given)
            return jax.tree.map(lambda leaf: _deal(leaf[order], devices, chunk), slots), order

        slots, order = jax.vmap(slots_at)(jnp.arange(hosts))
        total, rows = sharded(round_key, round_, params, data, slots)
        if collect == "sum":
            return total
        places = jnp.argsort(order[0])
        return total._replace(
            contributions=jax.tree.map(lambda leaf: _gather(leaf, devices)[places], rows)
        )

    return train


def _deal(leaf: Array, devices: int, chunk: int) -> Array:
    """Slots, largest client first, padded and dealt to ``[devices, chunks, chunk]`` in turn."""
    padded = jnp.pad(leaf, (0, -leaf.shape[0] % (devices * chunk)))
    return padded.reshape(-1, devices, chunk).swapaxes(0, 1)


def _gather(rows: Array, devices: int) -> Array:
    """The inverse of `_deal`, padding slots last, on rows ``[devices · chunks, chunk, …]``."""
    dealt = rows.reshape(devices, -1, *rows.shape[1:])
    return dealt.swapaxes(0, 1).reshape(-1, *rows.shape[2:])


def default_chunk(model: Model, mesh: Mesh) -> int:
    """Clients to vmap together where the user names no number.

    On a CPU, measured from 83 to 1,663,370 parameters: many small clients together, one at a time
    where the chunk's parameters would leave the cache. On a GPU, as many as a typical cohort, if
    eight copies of the parameters of each fit into half of the memory; not measured.
    """
    parameters, device = num_parameters(model), mesh.local_devices[0]
    if device.platform == "cpu":
        return min(64, max(1, 2**16 // parameters))
    limit = (device.memory_stats() or {}).get("bytes_limit", 2**34)
    return min(100, max(1, limit // 2 // (8 * 4 * parameters)))
