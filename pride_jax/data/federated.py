"""Examples once on the device, and each client's as a stretch of one index."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Shaped

from pride_jax.data.dataset import Dataset
from pride_jax.data.examples import Examples, check_examples
from pride_jax.data.partition import Partition
from pride_jax.errors import ConfigError, DataError
from pride_jax.validated import expect


class Batch(NamedTuple):
    """Examples ready for a model; rows outside ``mask`` are padding."""

    inputs: Float[Array, "batch ..."] | Int[Array, "batch ..."]
    targets: Shaped[Array, "batch ..."]
    mask: Bool[Array, "batch"]


class FederatedData(NamedTuple):
    """A training set and whose each example is.

    Client ``k`` holds the examples ``index[offsets[k] : offsets[k] + sizes[k]]``: neither copies of
    examples nor a padded table, so that memory grows with the examples and barely with the clients.

    Attributes:
      inputs: raw examples (uint8 images stay uint8).
      targets: what is to be learnt of each, see `Dataset`.
      shift: with ``scale``, public constants: see `normalize`.
      scale: see ``shift``.
      index: example numbers, client after client.
      offsets: where each client's stretch of ``index`` begins.
      sizes: how long it is; zero is allowed.
    """

    inputs: Shaped[Array, "examples ..."]
    targets: Shaped[Array, "examples ..."]
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
      DataError: no client holds an example; the partition names examples that are not there; or the
        data set is not as `check_published` wants it.
      ConfigError: an argument is of another kind; or JAX computes in 64 bits.
    """
    return federate_each(dataset, (partition,), host, hosts)[0]


def federate_each(
    dataset: Dataset, partitions: Sequence[Partition], host: int = 0, hosts: int = 1
) -> tuple[FederatedData, ...]:
    """The training examples of ``dataset``, divided in several ways, and on the device once.

    Such as what clients train on and what they hold out, see `hold_out_of_each`.

    Args:
      dataset: all examples.
      partitions: each says whose they are; all have the same clients.
      host: see `federate`.
      hosts: see `federate`.

    Returns:
      One a partition; inputs and targets are the same arrays.

    Raises:
      DataError: as `federate`.
    """
    expect("dataset", dataset, Dataset, "a Dataset, such as Dataset.from_arrays(inputs, targets)")
    _refuse_x64()
    name = f"{dataset.name} (training)"
    checked = check_examples(
        name, Examples(dataset.train_inputs, dataset.train_targets), dataset.outputs
    )
    _check_constants(dataset)
    for partition in partitions:
        _check_partition(partition, len(checked.targets))
    examples, indices = _held(partitions, host, hosts)
    inputs, targets = jnp.asarray(checked.inputs[examples]), jnp.asarray(checked.targets[examples])
    shift, scale = (jnp.asarray(constant) for constant in (dataset.shift, dataset.scale))
    return tuple(
        FederatedData(
            inputs=inputs,
            targets=targets,
            shift=shift,
            scale=scale,
            index=jnp.asarray(index),
            offsets=jnp.asarray(_offsets(partition.sizes, hosts)),
            sizes=jnp.asarray(partition.sizes),
        )
        for partition, index in zip(partitions, indices, strict=True)
    )


def _refuse_x64() -> None:
    if jax.config.jax_enable_x64:  # type: ignore[attr-defined]
        raise ConfigError(
            "JAX computes in 64 bits (JAX_ENABLE_X64): expected 32, in which models are trained "
            "and sums are made; unset it for this program"
        )


def _check_constants(dataset: Dataset) -> None:
    features = dataset.train_inputs.shape[1:]
    for what in ("shift", "scale"):
        shape = np.shape(getattr(dataset, what))
        try:
            fits = np.broadcast_shapes(shape, features) == features
        except ValueError:
            fits = False
        if not fits:
            raise DataError(
                f"{dataset.name}: {what} of shape {shape} for features {features}; expected one "
                "number, or one for each feature"
            )


def _check_partition(partition: Partition, num_examples: int) -> None:
    expect("partition", partition, Partition, "a Partition, such as iid(rng, examples, clients)")
    index, sizes = partition
    for what, values in (("index", index), ("sizes", sizes)):
        expect(f"The partition's {what}", values, np.ndarray, "an array of whole numbers")
        if values.ndim != 1 or values.dtype.kind not in "iu":
            raise DataError(
                f"The partition's {what} is of type {values.dtype} and shape {values.shape}; "
                "expected whole numbers in one axis"
            )
    if not len(index):
        raise DataError(
            f"None of the {len(sizes)} clients holds an example, expected at least one: change the "
            "partition"
        )
    if sizes.min() < 0 or sizes.sum() != len(index):
        raise DataError(
            f"The partition's sizes add up to {sizes.sum()}, the least is {sizes.min()}; expected "
            f"{len(index)}, the length of its index, and none below 0"
        )
    if index.min() < 0 or index.max() >= num_examples:
        raise DataError(
            f"The partition names examples {index.min()} to {index.max()}; expected 0 to "
            f"{num_examples - 1}: make it for this data set's training examples"
        )


def host_of(clients: Any, hosts: int) -> Any:
    """Which of several hosts holds clients' examples: they are dealt in turn."""
    return clients % hosts


def _held(
    partitions: Sequence[Partition], host: int, hosts: int
) -> tuple[slice | Int[np.ndarray, "held"], list[Int[np.ndarray, "entries"]]]:
    """Which examples a host holds, and for each partition the index of its clients' ones in them.

    Of several hosts, examples and indices are padded with their own first entries.
    """
    if hosts == 1:
        return slice(None), [partition.index for partition in partitions]
    indices = [_of_each_host(partition, hosts) for partition in partitions]
    held = [np.unique(np.concatenate(of_host)) for of_host in zip(*indices, strict=True)]
    own = held[host]
    # A host without examples is padded with anybody's: nothing refers to them.
    examples = np.resize(own if len(own) else partitions[0].index[:1], max(map(len, held)))
    return examples, [
        _padded(np.searchsorted(own, of_hosts[host]), max(map(len, of_hosts)))
        for of_hosts in indices
    ]


def _of_each_host(partition: Partition, hosts: int) -> list[Int[np.ndarray, "entries"]]:
    owners = np.repeat(host_of(np.arange(len(partition.sizes)), hosts), partition.sizes)
    return [partition.index[owners == host] for host in range(hosts)]


def _padded(index: Int[np.ndarray, "entries"], length: int) -> Int[np.ndarray, "length"]:
    return np.resize(index if len(index) else 0, length).astype(np.int32)


def _offsets(sizes: Int[np.ndarray, "clients"], hosts: int) -> Int[np.ndarray, "clients"]:
    """Where each client's stretch of its own host's index begins."""
    offsets = np.zeros(len(sizes), np.int32)
    for host in range(hosts):
        own = host_of(np.arange(len(sizes)), hosts) == host
        offsets[own] = np.cumsum(sizes[own]) - sizes[own]
    return offsets


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
    targets: Shaped[np.ndarray, "examples ..."],
    shift: Float[np.ndarray, "..."],
    scale: Float[np.ndarray, "..."],
) -> FederatedData:
    """The examples of one client that knows of no other, in the order in which it holds them."""
    size = len(targets)
    if not size:
        # Nothing can be taken from an array without rows, not even under a mask.
        inputs, targets = (np.zeros((1, *leaf.shape[1:]), leaf.dtype) for leaf in (inputs, targets))
    return FederatedData(
        inputs=jnp.asarray(inputs),
        targets=jnp.asarray(targets),
        shift=jnp.asarray(shift),
        scale=jnp.asarray(scale),
        # NumPy makes these, since a party's process would compile a program for each.
        index=jnp.asarray(np.arange(len(targets), dtype=np.int32)),
        offsets=jnp.asarray(np.zeros(1, np.int32)),
        sizes=jnp.asarray(np.full(1, size, np.int32)),
    )


def normalize(
    inputs: Shaped[Array, "batch ..."], shift: Float[Array, "..."], scale: Float[Array, "..."]
) -> Float[Array, "batch ..."] | Int[Array, "batch ..."]:
    """What a model sees of raw inputs.

    Bytes (uint8) and floats become ``(inputs − shift) · scale`` in float32. Other integers are ids,
    such as tokens, and stay as they are.
    """
    if jnp.issubdtype(inputs.dtype, jnp.integer) and inputs.dtype != jnp.uint8:
        return inputs
    shape = (1, *jnp.broadcast_shapes(shift.shape, inputs.shape[1:]))
    shift, scale = (jnp.broadcast_to(constant, shape) for constant in (shift, scale))
    return (inputs.astype(jnp.float32) - shift) * scale


def take(data: FederatedData, entries: Int[Array, "batch"], mask: Bool[Array, "batch"]) -> Batch:
    """The examples at places ``entries`` of ``data.index``."""
    rows = data.index[entries]
    return Batch(normalize(data.inputs[rows], data.shift, data.scale), data.targets[rows], mask)
