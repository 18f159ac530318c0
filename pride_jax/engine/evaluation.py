"""How good parameters are: a task's scores over examples, their spread over clients and groups."""

import functools
import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, Shaped

from pride_jax.data.dataset import Dataset
from pride_jax.data.examples import Examples, check_examples
from pride_jax.data.federated import Batch, FederatedData, host_of, normalize
from pride_jax.engine.auc import auc, histograms
from pride_jax.engine.cohort import clients_mesh
from pride_jax.errors import ConfigError
from pride_jax.task import Scores, Task
from pride_jax.types import Params
from pride_jax.validated import expect


class Metrics(NamedTuple):
    """Figures over a set of examples.

    Attributes:
      means: by name, such as ``loss`` and ``accuracy``: the mean over all answers; and ``auc``, of
        classes, see `auc.auc`.
      confusion: examples counted by true class (row) and predicted class (column); ``[0, 0]``
        where the task has no classes.
      scores: one an example.
      told: whether anybody has told them: if not, means are NaN.
    """

    means: dict[str, float]
    confusion: Int[np.ndarray, "classes classes"]
    scores: Scores
    told: bool = True

    @property
    def loss(self) -> float:
        """The mean loss."""
        return self.means["loss"]

    @property
    def headline(self) -> float:
        """The score that stands for the task."""
        return self.means[headline(self.means)]

    @property
    def accuracy(self) -> float:
        """The share of right answers; KeyError for a task that has none."""
        return self.means["accuracy"]


class Spread(NamedTuple):
    """A score over clients that hold examples: what the mean hides.

    Attributes:
      mean: over clients, each counting once.
      minimum, tenth_percentile, median, ninetieth_percentile, maximum: of the clients' scores.
    """

    mean: float
    minimum: float
    tenth_percentile: float
    median: float
    ninetieth_percentile: float
    maximum: float


def headline(names: dict[str, float] | dict[str, Array]) -> str:
    """The score that stands for a task: its accuracy, or its loss if it has none."""
    return "accuracy" if "accuracy" in names else "loss"


def headline_of(task: Task, data: FederatedData) -> str:
    """The score that stands for a task on such examples, without computing any."""

    def score(params: Params, inputs: Array, targets: Array) -> Scores:
        real = jnp.ones(targets.shape[0], bool)
        return task.score(params, Batch(normalize(inputs, data.shift, data.scale), targets, real))

    params = jax.eval_shape(task.init, jax.random.key(0))
    scores = jax.eval_shape(score, params, data.inputs[:1], data.targets[:1])
    return headline(scores.sums)


Answer = Callable[
    [
        Params,
        Shaped[Array, "examples ..."],
        Shaped[Array, "examples ..."],
        Float[Array, "..."],
        Float[Array, "..."],
    ],
    Scores,
]
"""``(params, raw inputs, targets, shift, scale) -> Scores``, one an example; see `scorer`."""


@functools.cache
def scorer(task: Task, mesh: Mesh, batch_size: int = 500) -> Answer:
    """Makes the compiled function that scores examples, batch after batch on every device.

    The same for the same task, so that runs that share it compile it once.
    """

    def score_shard(
        params: Params, inputs: Array, targets: Array, shift: Array, scale: Array
    ) -> Scores:
        def batch(examples: tuple[Array, Array]) -> Scores:
            real = jnp.ones(examples[1].shape[0], bool)
            return task.score(
                params, Batch(normalize(examples[0], shift, scale), examples[1], real)
            )

        batches = jax.tree.map(
            lambda leaf: leaf.reshape(-1, batch_size, *leaf.shape[1:]), (inputs, targets)
        )
        scores = jax.lax.map(batch, batches)
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), scores)

    everywhere, divided = PartitionSpec(), PartitionSpec(("hosts", "clients"))
    sharded = jax.shard_map(
        score_shard,
        mesh=mesh,
        in_specs=(everywhere, divided, divided, everywhere, everywhere),
        out_specs=divided,
        check_vma=False,
    )

    @jax.jit
    def score_all(
        params: Params,
        inputs: Shaped[Array, "examples ..."],
        targets: Shaped[Array, "examples ..."],
        shift: Float[Array, "..."],
        scale: Float[Array, "..."],
    ) -> Scores:
        count = targets.shape[0]
        missing = -count % (mesh.size * batch_size)
        inputs, targets = (
            jnp.pad(leaf, [(0, missing)] + [(0, 0)] * (leaf.ndim - 1)) for leaf in (inputs, targets)
        )
        scores = sharded(params, inputs, targets, shift, scale)
        return jax.tree.map(lambda leaf: leaf[:count], scores)

    return score_all


def evaluator(
    task: Task, dataset: Dataset, mesh: Mesh | None = None
) -> Callable[[Params], Metrics]:
    """Makes the function that tests parameters on a data set's test examples.

    Args:
      task: what is learned.
      dataset: with the test examples.
      mesh: devices, see `clients_mesh`; all there are if not given.

    Raises:
      PrideError: the task cannot answer the test examples, or these are not as `check_published`
        wants them.

    Raises (when called):
      ConfigError: the parameters are another model's.
    """
    expect("task", task, Task, "a Task, such as classification(model, outputs)")
    expect("dataset", dataset, Dataset, "a Dataset, such as Dataset.from_arrays(inputs, targets)")
    tested = Examples(dataset.test_inputs, dataset.test_targets)
    check_examples(f"{dataset.name} (test)", tested, dataset.outputs)
    constants = (dataset.shift, dataset.scale)
    task.check(jax.eval_shape(normalize, dataset.test_inputs, *constants), dataset.test_targets)
    answer = scorer(task, mesh or clients_mesh(jax.devices()))
    examples = tuple(
        jnp.asarray(leaf)
        for leaf in (dataset.test_inputs, dataset.test_targets, dataset.shift, dataset.scale)
    )

    shapes = jax.eval_shape(task.init, jax.random.key(0))

    def evaluate(params: Params) -> Metrics:
        _check_params(params, shapes)
        scores = jax.device_get(answer(params, *examples))
        return summarize(scores, dataset.test_targets, dataset.outputs)

    return evaluate


def _check_params(params: Params, shapes: Params) -> None:
    """Refuses parameters that are not of the shapes that the task has.

    Raises:
      ConfigError: as above.
    """
    alike = jax.tree.structure(params) == jax.tree.structure(shapes) and all(
        np.shape(leaf) == shape.shape
        for leaf, shape in zip(jax.tree.leaves(params), jax.tree.leaves(shapes), strict=True)
    )
    if not alike:
        raise ConfigError(
            f"params of type {type(params).__name__} are not the parameters of this task's model: "
            "expected a tree of its shapes, such as algorithm.params(state)"
        )


def summarize(scores: Scores, targets: Shaped[np.ndarray, "examples ..."], outputs: int) -> Metrics:
    """Means and, where a task has classes, the confusion matrix.

    Args:
      scores: one an example.
      targets: of the examples.
      outputs: classes, if the task has any.
    """
    scores = jax.tree.map(np.asarray, scores)
    answers = np.sum(scores.weight, dtype=np.float64)
    means = {
        name: float(np.sum(each, dtype=np.float64) / answers) for name, each in scores.sums.items()
    }
    confusion = np.zeros((0, 0), np.int64)
    if not isinstance(scores.answer, tuple):
        confusion = np.zeros((outputs, outputs), np.int64)
        np.add.at(confusion, (np.asarray(targets), np.asarray(scores.answer)), 1)
    if not isinstance(scores.ranks, tuple):
        area = auc(histograms(np.asarray(scores.ranks), np.asarray(targets)))
        means |= {} if area is None else {"auc": area}
    return Metrics(means, confusion, scores)


def of_means(means: dict[str, float], *, told: bool = True) -> Metrics:
    """Figures over examples that others have, of which nothing but means are told."""
    none = jnp.zeros(0)
    scores = Scores(none, dict.fromkeys(means, none), ())
    return Metrics(means, np.zeros((0, 0), np.int64), scores, told)


def untold(names: Iterable[str]) -> Metrics:
    """What stands for figures that nobody has told."""
    return of_means(dict.fromkeys(names, math.nan), told=False)


def client_totals(
    scores: Scores, data: FederatedData, host: int = 0, hosts: int = 1
) -> Float[np.ndarray, "clients 2"]:
    """Each client's sum of the headline score over its own examples, and their weight.

    Args:
      scores: one for every example in ``data``.
      data: as `federate` made it for this host; zeros for other hosts' clients.
      host: see `federate`.
      hosts: see `federate`.
    """
    sizes = np.asarray(data.sizes)
    own = np.flatnonzero(host_of(np.arange(len(sizes)), hosts) == host)
    owners = np.repeat(own, sizes[own])
    index = np.asarray(data.index)[: len(owners)]
    columns = (scores.sums[headline(scores.sums)], scores.weight)
    totals = [
        np.bincount(owners, weights=np.asarray(each)[index], minlength=len(sizes))
        for each in columns
    ]
    return np.stack(totals, axis=1)


def group_spread(scores: Scores, groups: Int[np.ndarray, "examples"]) -> Spread:
    """The headline score of each group's examples, over the groups.

    Args:
      scores: one an example.
      groups: who made each.
    """
    columns = (scores.sums[headline(scores.sums)], scores.weight)
    return spread_of(np.stack([np.bincount(groups, weights=each) for each in columns], axis=1))


def spread_of(totals: Shaped[np.ndarray, "clients 2"]) -> Spread:
    """The score of each client's own examples, over the clients that hold any.

    Args:
      totals: sums and weights, as from `client_totals`.
    """
    sums, weights = totals[totals[:, 1] > 0].T
    means = sums / weights
    return Spread(
        float(means.mean()),
        *(float(value) for value in np.percentile(means, [0, 10, 50, 90, 100])),
    )
