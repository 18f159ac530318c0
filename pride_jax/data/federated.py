"""Examples once on the device, and each client's as a stretch of one index."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Shaped

from pride_jax.data.datasets import Dataset
from pride_jax.data.partition import Partition
from pride_jax.errors import DataError


class Batch(NamedTuple):
    """Examples ready for a model; rows outside ``mask`` are padding."""

    inputs: Float[Array, "batch ..."]
    labels: Int[Array, "batch"]
    mask: Bool[Array, "batch"]


class FederatedData(NamedTuple):
    """A training set and whose each example is.

    Client ``k`` holds the examples ``index[offsets[k] : offsets[k] + sizes[k]]``: neither copies of
    examples nor a padded table, so that memory grows with the examples and barely with the clients.

    Attributes:
      inputs: raw examples (uint8 images stay uint8).
      labels: their classes.
      shift: with ``scale``, public constants: a model sees ``(inputs − shift) · scale``.
      scale: see ``shift``.
      index: example numbers, client after client.
      offsets: where each client's stretch of ``index`` begins.
      sizes: how long it is; zero is allowed.
    """

    inputs: Shaped[Array, "examples ..."]
    labels: Int[Array, "examples"]
    shift: Float[Array, "..."]
    scale: Float[Array, "..."]
    index: Int[Array, "entries"]
    offsets: Int[Array, "clients"]
    sizes: Int[Array, "clients"]

    @property
    def num_clients(self) -> int:
        """Clients, those without examples included."""
        return self.sizes.shape[0]


def federate(dataset: Dataset, partition: Partition) -> FederatedData:
    """The training examples of ``dataset``, divided by ``partition``.

    Raises:
      DataError: no client holds an example.
    """
    if not len(partition.index):
        raise DataError(
            f"None of the {len(partition.sizes)} clients holds an example, expected at least one: "
            "change the partition"
        )
    ends = np.cumsum(partition.sizes)
    return FederatedData(
        inputs=jnp.asarray(dataset.train_inputs),
        labels=jnp.asarray(dataset.train_labels),
        shift=jnp.asarray(dataset.shift),
        scale=jnp.asarray(dataset.scale),
        index=jnp.asarray(partition.index),
        offsets=jnp.asarray((ends - partition.sizes).astype(np.int32)),
        sizes=jnp.asarray(partition.sizes),
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
    return Batch(normalize(data.inputs[rows], data.shift, data.scale), data.labels[rows], mask)
