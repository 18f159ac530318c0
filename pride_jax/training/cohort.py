"""A round's clients on the device: chunks of vmapped clients in a scan, sharded over devices."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array, Bool, Int, PyTree

from pride_jax.data.federated import FederatedData
from pride_jax.models import num_parameters
from pride_jax.training.client import ClientInfo, LocalTraining, local_update, num_batches
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


class _Slots(NamedTuple):
    """Clients in the order and shape in which they are trained."""

    ids: Int[Array, "..."]
    mask: Bool[Array, "..."]
    sizes: Int[Array, "..."]
    given: PyTree[Array]


def clients_mesh(devices: Sequence[Any]) -> Mesh:
    """A mesh of the one axis ``clients`` over some of ``jax.devices()``."""
    return jax.make_mesh((len(devices),), ("clients",), (AxisType.Auto,), devices=devices)


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
    little in larger ones. Neither order nor chunk nor the number of devices changes a client's
    random draws; sums differ by the order of float additions only.

    Args:
      model: what is trained.
      optimizer: the round -> its clients' optimizer.
      training: what each client does, see `local_update`.
      contribute: what a client adds, such as its clipped update times its weight, which it is
        given. It has a key of its own.
      longest: the most examples that any client holds.
      chunk: clients vmapped together on one device.
      mesh: devices, on one axis ``clients``.
      collect: ``sum`` keeps one accumulator a device, whatever the cohort's size; ``rows`` keeps
        every client's contribution, as encryption needs.
    """
    devices = mesh.shape["clients"]
    batch_size = training.batch_size or longest
    update_client = local_update(model, optimizer, training, longest, vmapped=chunk > 1)

    def train_client(
        round_key: Key,
        round_: Int[Array, ""],
        params: Params,
        data: FederatedData,
        slot: _Slots,
        batches: Int[Array, ""],
    ) -> CohortResult:
        training_key, contribution_key = jax.random.split(jax.random.fold_in(round_key, slot.ids))
        update, info = update_client(
            training_key, round_, params, data, slot.ids, slot.sizes, batches
        )
        contribution, report = contribute(contribution_key, update, slot.given)
        given = CohortResult(contribution, info, report)
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
            given = train_client(round_key, round_, params, data, slot, batches)
            return jax.tree.map(lambda leaf: leaf[None], given)
        return jax.vmap(train_client, in_axes=(None, None, None, None, 0, None))(
            round_key, round_, params, data, slots, batches
        )

    def train_shard(
        round_key: Key,
        round_: Int[Array, ""],
        params: Params,
        data: FederatedData,
        slots: _Slots,
    ) -> tuple[CohortResult, PyTree[Array]]:
        def step(total: CohortResult, slots: _Slots) -> tuple[CohortResult, PyTree[Array]]:
            added, rows = divide(train_chunk(round_key, round_, params, data, slots))
            return jax.tree.map(lambda a, b: a + jnp.sum(b, axis=0), total, added), rows

        chunks = jax.tree.map(lambda leaf: leaf[0], slots)
        first = jax.tree.map(lambda leaf: leaf[0], chunks)
        shapes, _ = jax.eval_shape(
            lambda: divide(train_chunk(round_key, round_, params, data, first))
        )
        zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape[1:], leaf.dtype), shapes)
        total, rows = jax.lax.scan(step, zeros, chunks)
        return jax.lax.psum(total, "clients"), rows

    def divide(given: CohortResult) -> tuple[CohortResult, PyTree[Array]]:
        """What is added up over clients, and what is kept of each."""
        if collect == "sum":
            return given, None
        return given._replace(contributions=None), given.contributions

    sharded = jax.shard_map(
        train_shard,
        mesh=mesh,
        in_specs=(
            PartitionSpec(),
            PartitionSpec(),
            PartitionSpec(),
            PartitionSpec(),
            PartitionSpec("clients"),
        ),
        out_specs=(PartitionSpec(), PartitionSpec("clients")),
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
        sizes = jnp.where(cohort.mask, data.sizes[cohort.ids], 0)
        order = jnp.argsort(-sizes, stable=True)
        slots = jax.tree.map(
            lambda leaf: _deal(leaf[order], devices, chunk),
            _Slots(cohort.ids, cohort.mask, sizes, given),
        )
        total, rows = sharded(round_key, round_, params, data, slots)
        if collect == "sum":
            return total
        places = jnp.argsort(order)
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
    where the chunk's parameters would leave the cache. On a GPU, as many as a typical cohort; not
    measured.
    """
    if mesh.devices.flat[0].platform == "cpu":
        return min(64, max(1, 2**16 // num_parameters(model)))
    return 100
