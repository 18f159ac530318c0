"""Five uneven clients, three rounds of them, and what methods make of them in plain NumPy."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from pride_jax.data.augment import shuffle
from pride_jax.data.federated import FederatedData
from pride_jax.engine.server import public_keys
from pride_jax.methods.method import LocalTraining
from pride_jax.models.networks import logistic
from pride_jax.task import classification
from pride_jax.types import Cohort

FEATURES, CLASSES = 3, 3
SIZES = (7, 3, 0, 10, 5)
LONGEST, CLIENTS = max(SIZES), len(SIZES)
RATE = 0.3
TRAINING = LocalTraining(epochs=2, batch_size=4)
MOST_STEPS = 2 * 3
KEY = jax.random.key(11)
TASK = classification(logistic((FEATURES,), CLASSES), CLASSES)

COHORTS = ((3, 1, 4, 0), (1, 0, 2, 4), (4, 3, 0, 1))
PRESENT = ((True, True, True, False), (True, False, True, True), (True, True, True, False))
"""In round 1 the slot of client 0 is empty, and client 2 holds no example."""

Weights = np.ndarray
"""``[features + 1, classes]``: the bias is the last row."""


class Listed:
    """The sampler of those cohorts."""

    num_clients, slots, expected_cohort, rate = CLIENTS, 4, 4.0, 4 / CLIENTS

    def draw(self, key, round_):
        del key
        return Cohort(jnp.asarray(COHORTS)[round_], jnp.asarray(PRESENT)[round_])


def cohort(round_: int) -> list[int]:
    """Who takes part."""
    return [each for each, there in zip(COHORTS[round_], PRESENT[round_], strict=True) if there]


def small_data() -> FederatedData:
    rng = np.random.default_rng(5)
    total = sum(SIZES)
    return FederatedData(
        inputs=jnp.asarray(rng.normal(size=(total, FEATURES)), jnp.float32),
        targets=jnp.asarray(rng.integers(0, CLASSES, total), jnp.int32),
        shift=jnp.zeros((), jnp.float32),
        scale=jnp.ones((), jnp.float32),
        index=jnp.asarray(rng.permutation(total), jnp.int32),
        offsets=jnp.asarray(np.cumsum(SIZES) - np.array(SIZES), jnp.int32),
        sizes=jnp.asarray(SIZES, jnp.int32),
    )


DATA = small_data()


def weights_of(params) -> Weights:
    layer = params["layers"][0]
    return np.concatenate([layer["kernel"], np.asarray(layer["bias"])[None]]).astype(np.float64)


def first() -> Weights:
    """The parameters before the first round."""
    return weights_of(TASK.init(public_keys(KEY)[0]))


def batches(client: int, round_: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The client's batches of all its epochs, in the order in which it draws them."""
    size, offset = SIZES[client], int(DATA.offsets[client])
    inputs, targets, index = (np.asarray(leaf) for leaf in (DATA.inputs, DATA.targets, DATA.index))
    round_key = jax.random.fold_in(public_keys(KEY)[1], round_)
    key, _ = jax.random.split(jax.random.fold_in(round_key, client))
    for epoch in range(TRAINING.epochs):
        order = np.asarray(shuffle(jax.random.fold_in(key, epoch), jnp.int32(size), 16))[:size]
        for begin in range(0, size, TRAINING.batch_size):
            rows = index[offset + order[begin : begin + TRAINING.batch_size]]
            x = np.concatenate([inputs[rows], np.ones((len(rows), 1))], axis=1)
            yield x.astype(np.float64), targets[rows]


def gradient(weights: Weights, x: np.ndarray, y: np.ndarray) -> Weights:
    """Of the mean cross-entropy."""
    logits = x @ weights
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    return x.T @ (shares - np.eye(CLASSES)[y]) / len(y)


def descend(
    client: int,
    round_: int,
    start: Weights,
    correct: Callable[[Weights, Weights], Weights] = lambda slope, weights: slope,
) -> tuple[Weights, int]:
    """Plain steps along ``correct(gradient, weights)``: the trained weights, and how many steps."""
    weights, steps = start, 0
    for x, y in batches(client, round_):
        weights = weights - RATE * correct(gradient(weights, x, y), weights)
        steps += 1
    return weights, steps


def mean_by_examples(updates: dict[int, Weights]) -> Weights:
    total = sum(SIZES[client] for client in updates)
    return sum(SIZES[client] / total * update for client, update in updates.items())
