"""How good a model is: loss, accuracy, confusion matrix, spread over clients."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Bool, Float, Int, Shaped

from pride_jax.data.datasets import Dataset
from pride_jax.data.federated import FederatedData, host_of, normalize
from pride_jax.engine.cohort import clients_mesh
from pride_jax.types import Model, Params


class Predictions(NamedTuple):
    """A model's answer to each example."""

    losses: Float[Array, "examples"]
    classes: Int[Array, "examples"]


class Metrics(NamedTuple):
    """Figures over a set of examples.

    Attributes:
      loss: mean cross-entropy, in nats.
      accuracy: share of examples classified rightly.
      confusion: examples counted by true class (row) and predicted class (column).
      right: whether each example is classified rightly.
    """

    loss: float
    accuracy: float
    confusion: Int[np.ndarray, "classes classes"]
    right: Bool[np.ndarray, "examples"]


class Spread(NamedTuple):
    """Accuracy over clients that hold examples: what the mean hides.

    Attributes:
      mean: over clients, each counting once.
      minimum, tenth_percentile, median, maximum: of the clients' accuracies.
    """

    mean: float
    minimum: float
    tenth_percentile: float
    median: float
    maximum: float


Predict = Callable[
    [
        Params,
        Shaped[Array, "examples ..."],
        Int[Array, "examples"],
        Float[Array, "..."],
        Float[Array, "..."],
    ],
    Predictions,
]
"""``(params, raw inputs, labels, shift, scale) -> Predictions``, see `predict`."""


@functools.cache
def predict(model: Model, mesh: Mesh, batch_size: int = 500) -> Predict:
    """Makes the compiled function that classifies examples, batch after batch on every device.

    The same for the same model, so that runs that share it compile it once.
    """

    def predict_shard(
        params: Params, inputs: Array, labels: Array, shift: Array, scale: Array
    ) -> Predictions:
        def batch(examples: tuple[Array, Array]) -> Predictions:
            logits = model.apply(params, normalize(examples[0], shift, scale))
            losses = optax.softmax_cross_entropy_with_integer_labels(logits, examples[1])
            return Predictions(losses, jnp.argmax(logits, axis=-1).astype(jnp.int32))

        batches = jax.tree.map(
            lambda leaf: leaf.reshape(-1, batch_size, *leaf.shape[1:]), (inputs, labels)
        )
        return jax.tree.map(jnp.ravel, jax.lax.map(batch, batches))

    everywhere, divided = PartitionSpec(), PartitionSpec(("hosts", "clients"))
    sharded = jax.shard_map(
        predict_shard,
        mesh=mesh,
        in_specs=(everywhere, divided, divided, everywhere, everywhere),
        out_specs=divided,
        check_vma=False,
    )

    @jax.jit
    def predict_all(
        params: Params,
        inputs: Shaped[Array, "examples ..."],
        labels: Int[Array, "examples"],
        shift: Float[Array, "..."],
        scale: Float[Array, "..."],
    ) -> Predictions:
        count = labels.shape[0]
        missing = -count % (mesh.size * batch_size)
        inputs, labels = (
            jnp.pad(leaf, [(0, missing)] + [(0, 0)] * (leaf.ndim - 1)) for leaf in (inputs, labels)
        )
        predictions = sharded(params, inputs, labels, shift, scale)
        return jax.tree.map(lambda leaf: leaf[:count], predictions)

    return predict_all


def evaluator(
    model: Model, dataset: Dataset, mesh: Mesh | None = None
) -> Callable[[Params], Metrics]:
    """Makes the function that tests a model's parameters on a data set's test examples.

    Args:
      model: what is tested.
      dataset: with the test examples.
      mesh: devices, see `clients_mesh`; all there are if None.
    """
    answer = predict(model, mesh or clients_mesh(jax.devices()))
    examples = tuple(
        jnp.asarray(leaf)
        for leaf in (dataset.test_inputs, dataset.test_targets, dataset.shift, dataset.scale)
    )

    def evaluate(params: Params) -> Metrics:
        return summarize(answer(params, *examples), dataset.test_targets, dataset.outputs)

    return evaluate


def summarize(
    predictions: Predictions, labels: Int[np.ndarray, "examples"], num_classes: int
) -> Metrics:
    """Loss, accuracy and confusion matrix of predictions."""
    losses, classes = (np.asarray(leaf) for leaf in predictions)
    confusion = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(confusion, (np.asarray(labels), classes), 1)
    right = classes == labels
    return Metrics(
        float(np.mean(losses, dtype=np.float64)), float(np.mean(right)), confusion, right
    )


def client_hits(
    predictions: Predictions, data: FederatedData, host: int = 0, hosts: int = 1
) -> Int[np.ndarray, "clients"]:
    """How many of its own examples each client's model classifies rightly; 0 for other hosts' ones.

    Args:
      predictions: one for every example in ``data``.
      data: as `federate` made it for this host.
      host: see `federate`.
      hosts: see `federate`.
    """
    sizes = np.asarray(data.sizes)
    own = np.flatnonzero(host_of(np.arange(len(sizes)), hosts) == host)
    owners = np.repeat(own, sizes[own])
    right = np.asarray(predictions.classes) == np.asarray(data.targets)
    index = np.asarray(data.index)[: len(owners)]
    return np.bincount(owners, weights=right[index], minlength=len(sizes)).astype(np.int32)


def group_spread(
    right: Bool[np.ndarray, "examples"], groups: Int[np.ndarray, "examples"]
) -> Spread:
    """Accuracy on the examples of each group, over the groups.

    Args:
      right: whether each example is classified rightly.
      groups: who made each.
    """
    return client_spread(np.bincount(groups, weights=right), np.bincount(groups))


def client_spread(hits: Shaped[np.ndarray, "clients"], sizes: Int[np.ndarray, "clients"]) -> Spread:
    """Accuracy on each client's own examples, over the clients that hold any."""
    holding = sizes > 0
    accuracy = hits[holding] / sizes[holding]
    return Spread(
        float(accuracy.mean()),
        *(float(value) for value in np.percentile(accuracy, [0, 10, 50, 100])),
    )
