"""One round on random images, as the engine does it and as two plain loops do."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Shaped

from pride_jax.data.augment import shuffle
from pride_jax.data.federated import FederatedData, normalize
from pride_jax.engine.cohort import clients_mesh
from pride_jax.engine.on_device import on_device
from pride_jax.engine.rounds import Algorithm, ServerState
from pride_jax.errors import PrideError
from pride_jax.federated import federated
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import LocalTraining
from pride_jax.privacy.sampler import Sampler
from pride_jax.task import classification
from pride_jax.types import Key, Model, Params

FEATURES, CLASSES = (28, 28, 1), 10
_RATE = 0.05


class Outcome(NamedTuple):
    """What a round ends with: the server's parameters, the sum of losses as they were met."""

    params: Params
    loss: Float[Array, ""]


class Work(NamedTuple):
    """What every contestant is given."""

    data: FederatedData
    sampler: Sampler
    training: LocalTraining


OneRound = Callable[[], Outcome]
TrainClient = Callable[[Outcome, Int[Array, "batches batch"]], Outcome]
"""``(received, rows of its examples) -> trained``; losses are added up."""


class PlainCNN(nnx.Module):
    """`pride_jax.models.CNN` as Flax's users write it; its parameters have the same names."""

    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.conv1 = nnx.Conv(1, 32, (5, 5), rngs=rngs)
        self.conv2 = nnx.Conv(32, 64, (5, 5), rngs=rngs)
        self.dense = nnx.Linear(7 * 7 * 64, 512, rngs=rngs)
        self.logits = nnx.Linear(512, CLASSES, rngs=rngs)

    def __call__(self, x: Float[Array, "batch 28 28 1"]) -> Float[Array, "batch classes"]:
        """Logits of images."""
        x = nnx.max_pool(nnx.relu(self.conv1(x)), (2, 2), strides=(2, 2))
        x = nnx.max_pool(nnx.relu(self.conv2(x)), (2, 2), strides=(2, 2))
        x = nnx.relu(self.dense(x.reshape(x.shape[0], -1)))
        return self.logits(x)


def plain_cnn() -> Model:
    """`PlainCNN` as a model whose convolutions nobody replaces."""

    def make(key: Key) -> PlainCNN:
        return PlainCNN(rngs=nnx.Rngs(key))

    graph = nnx.graphdef(nnx.eval_shape(lambda: make(jax.random.key(0))))

    def init(key: Key) -> Params:
        return nnx.to_pure_dict(nnx.state(make(key), nnx.Param))

    def apply(params: Params, inputs: Float[Array, "batch 28 28 1"]) -> Float[Array, "batch 10"]:
        return nnx.merge(graph, nnx.State(params))(inputs)

    return Model(init, apply, lambda params, inputs, key: apply(params, inputs))


def random_images(clients: int, examples: int, seed: int) -> FederatedData:
    """Images of MNIST's shape, the same number for every client: a pattern a class, and noise."""
    rng = np.random.default_rng(seed)
    total = clients * examples
    labels = rng.integers(0, CLASSES, total, np.int32)
    patterns = rng.integers(0, 128, (CLASSES, *FEATURES), np.uint8)
    noise = rng.integers(0, 128, (total, *FEATURES), np.uint8)
    return FederatedData(
        inputs=jnp.asarray(patterns[labels] + noise),
        targets=jnp.asarray(labels),
        shift=jnp.full((), 127.0),
        scale=jnp.full((), 1 / 255),
        index=jnp.asarray(rng.permutation(total), jnp.int32),
        offsets=jnp.arange(clients, dtype=jnp.int32) * examples,
        sizes=jnp.full(clients, examples, jnp.int32),
    )


def engine(work: Work, model: Model, chunk: int | None, mesh: Mesh) -> Algorithm:
    """FedAvg with plain SGD, as a user would write it."""
    task = classification(model, CLASSES)
    method = fedavg(task, optax.sgd(_RATE), training=work.training)
    return federated(method, work.data, work.sampler, on_device(mesh, chunk))


def engine_round(
    work: Work, state: ServerState, model: Model, chunk: int, devices: int
) -> OneRound:
    """The round that follows ``state``, as one compiled program."""
    mesh = clients_mesh(jax.devices()[:devices])
    algorithm = engine(work, model, chunk, mesh)
    start = jax.device_put(state, NamedSharding(mesh, PartitionSpec()))

    def run() -> Outcome:
        after, info = algorithm.round(start)
        assert info.loss is not None, "simulated clients tell it"
        return Outcome(algorithm.params(after), info.loss)

    return run


def one_device() -> Mesh:
    """The first device alone."""
    return clients_mesh(jax.devices()[:1])


def batch_loop(work: Work, model: Model) -> TrainClient:
    """One call of a jitted SGD step a batch."""
    step = jax.jit(_sgd_step(work, model))
    inputs, labels = work.data.inputs, work.data.targets

    def train(received: Outcome, rows: Int[Array, "batches batch"]) -> Outcome:
        trained = received
        for batch in np.asarray(rows):
            trained = step(trained, inputs, labels, batch)
        return trained

    return train


def epoch_loop(work: Work, model: Model) -> TrainClient:
    """One call of a jitted epoch."""
    step = _sgd_step(work, model)

    @jax.jit
    def epoch(
        received: Outcome,
        inputs: Shaped[Array, "examples ..."],
        labels: Int[Array, "examples"],
        rows: Int[Array, "batches batch"],
    ) -> Outcome:
        return jax.lax.scan(
            lambda trained, batch: (step(trained, inputs, labels, batch), None), received, rows
        )[0]

    return lambda received, rows: epoch(received, work.data.inputs, work.data.targets, rows)


def _sgd_step(work: Work, model: Model) -> Callable[[Outcome, Array, Array, Array], Outcome]:
    def mean_loss(params: Params, inputs: Array, labels: Array) -> Float[Array, ""]:
        logits = model.apply(params, normalize(inputs, work.data.shift, work.data.scale))
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))

    def step(trained: Outcome, inputs: Array, labels: Array, batch: Array) -> Outcome:
        loss, gradient = jax.value_and_grad(mean_loss)(trained.params, inputs[batch], labels[batch])
        params = jax.tree.map(lambda p, g: p - _RATE * g, trained.params, gradient)
        return Outcome(params, trained.loss + len(batch) * loss)

    return step


def loop_round(work: Work, state: ServerState, train_client: TrainClient) -> OneRound:
    """The round that follows ``state``, in Python: one client after the other, then the mean."""
    longest, given = int(work.data.sizes.max()), state.own.params

    @jax.jit
    def draw_cohort(state: ServerState) -> Int[Array, "cohort"]:
        return work.sampler.draw(
            jax.random.fold_in(state.keys.sampling.value, state.round), state.round
        ).ids

    @jax.jit
    def draw_rows(state: ServerState, client: Int[Array, ""]) -> Int[Array, "batches batch"]:
        round_key = jax.random.fold_in(state.keys.training.value, state.round)
        training_key, _ = jax.random.split(jax.random.fold_in(round_key, client))
        size, begin = work.data.sizes[client], work.data.offsets[client]
        order = shuffle(jax.random.fold_in(training_key, 0), size, longest)
        return work.data.index[begin + order].reshape(-1, work.training.batch_size)

    @jax.jit
    def add(total: Params, params: Params) -> Params:
        return jax.tree.map(jnp.add, total, params)

    @jax.jit
    def divide(total: Params, number: float) -> Params:
        return jax.tree.map(lambda leaf: leaf / number, total)

    def run() -> Outcome:
        total = jax.tree.map(jnp.zeros_like, given)
        loss = jnp.zeros(())
        cohort = np.asarray(draw_cohort(state))
        for client in cohort:
            trained = train_client(Outcome(given, loss), draw_rows(state, client))
            total, loss = add(total, trained.params), trained.loss
        return Outcome(divide(total, float(len(cohort))), loss)

    return run


def check_same(outcomes: Mapping[Any, Outcome], start: Params, tolerance: float) -> None:
    """Everybody did the same work.

    Args:
      outcomes: what a round of each ended with; the others are held against the first.
      start: the parameters before it.
      tolerance: how far apart parameters may be, as a share of their change in the round.

    Raises:
      PrideError: they are further apart, or losses are by a thousandth.
    """
    (_, first), *others = outcomes.items()
    change = _distance(first.params, start)
    for contestant, outcome in others:
        apart = _distance(outcome.params, first.params) / change
        loss_apart = abs(float(outcome.loss) / float(first.loss) - 1)
        if not (apart < tolerance and loss_apart < 1e-3):
            raise PrideError(
                f"{contestant} ended {apart:.2g} of a round's change away from the engine and its "
                f"loss {loss_apart:.2g} of the engine's, expected less than {tolerance} and 0.001: "
                "the work is not the same, so that times mean nothing"
            )


def _distance(params: Params, other: Params) -> float:
    """L2, whatever devices the two lie on."""
    differences = jax.tree.map(lambda a, b: np.asarray(a) - np.asarray(b), params, other)
    return float(optax.tree.norm(differences))
