"""Examples once on the device, and each client's as a stretch of one index."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Shaped

from pride_jax.data.datasets import Dataset
from pride_jax.data.partition import Partition
from pride_jax.errors import DataError


class Batch(NamedTuple):
    """Examples ready for a model; rows outside ``mask`` are padding."""

    inputs: Float[Array, "batch ..."]
    targets: Int[Array, "batch"]
    mask: Bool[Array, "batch"]


class FederatedData(NamedTuple):
    """A training set and whose each example is.

    Client ``k`` holds the examples ``index[offsets[k] : offsets[k] + sizes[k]]``: neither copies of
    examples nor a padded table, so that memory grows with the examples and barely with the clients.

    Attributes:
      inputs: raw examples (uint8 images stay uint8).
      targets: their classes.
      shift: with ``scale``, public constants: a model sees ``(inputs − shift) · scale``.
      scale: see ``shift``.
      index: example numbers, client after client.
      offsets: where each client's stretch of ``index`` begins.
      sizes: how long it is; zero is allowed.
    """

    inputs: Shaped[Array, "examples ..."]
    targets: Int[Array, "examples"]
    shift: Float[Array, "..."]
    scale: Float[Array, "..."]
    index: Int[Array, "entries"]
    offsets: Int[Array, "clients"]
    sizes: Int[Array, "clients"]

    @property
    def num_clients(self) -> int:
        """Clients, those without examples included."""
        return self.sizes.shape[0]


def federate(
    dataset: Dataset, partition: Partition, host: int = 0, hosts: int = 1
) -> FederatedData:
    """The training examples of ``dataset``, divided by ``partition``.

    Args:
      dataset: all examples.
      partition: whose they are.
      host: whose clients' examples are kept, the others left out: see `host_of`. Examples and index
        are padded to the longest of any host, so that `place` can put them side by side.
      hosts: how many there are.

    Raises:
      DataError: no client holds an example.
    """
    if not len(partition.index):
        raise DataError(
            f"None of the {len(partition.sizes)} clients holds an example, expected at least one: "
            "change the partition"
        )
    examples, index, offsets = _held(partition, host, hosts)
    return FederatedData(
        inputs=jnp.asarray(dataset.train_inputs[examples]),
        targets=jnp.asarray(dataset.train_targets[examples]),
        shift=jnp.asarray(dataset.shift),
        scale=jnp.asarray(dataset.scale),
        index=jnp.asarray(index),
        offsets=jnp.asarray(offsets),
        sizes=jnp.asarray(partition.sizes),
    )


def host_of(clients: Any, hosts: int) -> Any:
    """Which of several hosts holds clients' examples: they are dealt in turn."""
    return clients % hosts


def _held(
    partition: Partition, host: int, hosts: int
) -> tuple[Any, Int[np.ndarray, "entries"], Int[np.ndarray, "clients"]]:
    """Which examples a host holds, its index of them, and where clients' stretches of it begin.

    Of several hosts, examples and index are padded with their own first entries.
    """
    sizes = partition.sizes
    if hosts == 1:
        return slice(None), partition.index, (np.cumsum(sizes) - sizes).astype(np.int32)
    owners = host_of(np.arange(len(sizes)), hosts)
    owner_of_entry = np.repeat(owners, sizes)
    indices = [partition.index[owner_of_entry == each] for each in range(hosts)]
    examples, index = np.unique(indices[host], return_inverse=True)
    most = max(len(np.unique(each)) for each in indices)
    offsets = np.zeros(len(sizes), np.int32)
    for each in range(hosts):
        own = sizes[owners == each]
        offsets[owners == each] = np.cumsum(own) - own
    # A host without examples is padded with anybody's: nothing refers to them.
    examples = np.resize(examples if len(examples) else partition.index[:1], most)
    index = np.resize(index if len(index) else 0, max(map(len, indices)))
    return examples, index.astype(np.int32), offsets


def data_specs() -> Any:
    """A `FederatedData` of partition specs: how each leaf lies on a mesh with an axis ``hosts``."""
    own, everywhere = PartitionSpec("hosts"), PartitionSpec()
    return FederatedData._make((own, own, everywhere, everywhere, own, everywhere, everywhere))


def place(data: FederatedData, mesh: Mesh) -> FederatedData:
    """What this process holds, put on its devices of ``mesh`` beside what the others hold."""

    def put(leaf: Array, spec: PartitionSpec) -> Array:
        sharding = NamedSharding(mesh, spec)
        return jax.make_array_from_process_local_data(sharding, np.asarray(leaf))

    return jax.tree.map(put, data, data_specs())


def of_one_client(
    inputs: Shaped[np.ndarray, "examples ..."],
    labels: Int[np.ndarray, "examples"],
    shift: Float[np.ndarray, "..."],
    scale: Float[np.ndarray, "..."],
) -> FederatedData:
    """The examples of one client that knows of no other, in the order in which it holds them."""
    size = len(labels)
    if not size:
        # Nothing can be taken from an array without rows, not even under a mask.
        inputs = np.zeros((1, *inputs.shape[1:]), inputs.dtype)
        labels = np.zeros(1, labels.dtype)
    return FederatedData(
        inputs=jnp.asarray(inputs),
        targets=jnp.asarray(labels),
        shift=jnp.asarray(shift),
        scale=jnp.asarray(scale),
        # NumPy makes these, since a party's process would compile a program for each.
        index=jnp.asarray(np.arange(len(labels), dtype=np.int32)),
        offsets=jnp.asarray(np.zeros(1, np.int32)),
        sizes=jnp.asarray(np.full(1, size, np.int32)),
    )


def normalize(
    inputs: Shaped[Array, "batch ..."], shift: Float[Array, "..."], scale: Float[Array, "..."]
) -> Float[Array, "batch ..."]:
    """``(inputs − shift) · scale`` in float32."""
    shape = (1, *jnp.broadcast_shapes(shift.shape, inputs.shape[1:]))
    shift, scale = (jnp.broadcast_to(constant, shape) for constant in (shift, scale))
    return (inputs.astype(jnp.float32) - shift) * scale


def take(data: FederatedData, entries: Int[Array, "batch"], mask: Bool[Array, "batch"]) -> Batch:
    """The examples at places ``entries`` of ``data.index``."""
    rows = data.index[entries]
    return Batch(normalize(data.inputs[rows], data.shift, data.scale), data.targets[rows], mask)
