"""Inputs come back from clear updates, and no better than they should from mixtures."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from pride_jax.attacks.inversion import (
    Matching,
    infer_label,
    invert_dense,
    invert_dense_by_all_units,
    invert_dense_by_each_unit,
    match_gradient,
    total_variation,
)
from pride_jax.attacks.own_update import own_update
from pride_jax.attacks.similarity import psnr
from pride_jax.data.datasets import load_dataset
from pride_jax.data.federated import FederatedData
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import LocalTraining
from pride_jax.models.networks import mlp, two_nn
from pride_jax.task import classification
from pride_jax.types import Model, Params, Update

FEATURES = (12, 12, 1)


def client_of(images, labels) -> FederatedData:
    count = len(images)
    return FederatedData(
        jnp.asarray(images),
        jnp.asarray(labels, jnp.int32),
        jnp.float32(0),
        jnp.float32(1),
        jnp.arange(count),
        jnp.zeros(1, jnp.int32),
        jnp.full(1, count, jnp.int32),
    )


def sent(model: Model, params: Params, images, labels, epochs: int = 1) -> Update:
    """The update of a client that takes a full-batch step an epoch."""
    outputs = jax.eval_shape(model.apply, params, images).shape[-1]
    training = LocalTraining(epochs=epochs, batch_size=len(images))
    method = fedavg(classification(model, outputs), optax.sgd(0.1), training=training)
    train = own_update(method, client_of(images, labels))
    return jax.jit(train)(jax.random.key(0), jnp.int32(0), params, jnp.int32(0))


def random_images(seed: int, count: int, features=FEATURES) -> jax.Array:
    return jax.random.uniform(jax.random.key(seed), (count, *features))


def small() -> tuple[Model, Params]:
    model = mlp(FEATURES, 3, hidden=(20, 10), activation=nnx.relu)
    return model, model.init(jax.random.key(1))


@pytest.mark.parametrize("epochs", [1, 5])
@pytest.mark.parametrize("invert", [invert_dense, invert_dense_by_all_units])
def test_one_example_comes_back_exactly(epochs, invert) -> None:
    model, params = small()
    image = random_images(0, 1)
    first = sent(model, params, image, [2], epochs)["layers"][0]
    found = invert(first["kernel"], first["bias"]).reshape(FEATURES)
    assert float(psnr(found, image[0])) > 100


def test_the_scale_of_an_update_does_not_matter() -> None:
    model, params = small()
    first = sent(model, params, random_images(0, 1), [2])["layers"][0]
    kernel, bias = first["kernel"], first["bias"]
    shrunk = invert_dense(1e-3 * kernel, 1e-3 * bias)
    np.testing.assert_allclose(shrunk, invert_dense(kernel, bias), rtol=1e-5)


def test_units_that_learned_nothing_say_nothing() -> None:
    kernel = jnp.asarray([[2.0, 5.0], [4.0, 7.0]])
    units = invert_dense_by_each_unit(kernel, jnp.asarray([2.0, 0.0]))
    np.testing.assert_array_equal(units, [[1.0, 2.0], [0.0, 0.0]])


def test_a_unit_of_several_examples_shows_their_weighted_mean() -> None:
    inputs = jnp.asarray([[1.0, 0.0, 2.0], [0.0, 4.0, 2.0]])
    learned = jnp.asarray([[1.0, 0.0, 3.0], [1.0, 2.0, -1.0]])
    units = invert_dense_by_each_unit(inputs.T @ learned, jnp.sum(learned, axis=0))
    np.testing.assert_allclose(units[0], jnp.mean(inputs, axis=0))
    np.testing.assert_allclose(units[1], inputs[1])
    np.testing.assert_allclose(units[2], 1.5 * inputs[0] - 0.5 * inputs[1])


@pytest.mark.parametrize("label", [0, 1, 2])
def test_the_label_is_the_bias_that_rose(label) -> None:
    model, params = small()
    update = sent(model, params, random_images(label, 1), [label])
    assert int(infer_label(update["layers"][2]["bias"])) == label


def test_total_variation_counts_differences_both_ways() -> None:
    image = jnp.zeros((1, 2, 3, 1)).at[0, 1, 2, 0].set(1.0)
    # One of 3 vertical neighbours and one of 4 horizontal ones differ.
    assert float(total_variation(image)) == pytest.approx(1 / 3 + 1 / 4)


def smooth_model() -> tuple[Model, Params]:
    """Sigmoid units, whose gradients small images can be fitted to in a few steps."""
    model = mlp((4, 4, 1), 3, hidden=(30,), activation=nnx.sigmoid)
    return model, model.init(jax.random.key(2))


@pytest.mark.parametrize("count", [1, 2])
def test_matching_finds_small_batches(count) -> None:
    model, params = smooth_model()
    images, labels = random_images(5, count, (4, 4, 1)), jnp.arange(count)
    update = sent(model, params, images, labels)
    matching = Matching(iterations=400, restarts=2, learning_rate=0.05, total_variation=0.0)

    def match(update: Update):
        key = jax.random.key(0)
        return match_gradient(key, model, params, update, labels, (4, 4, 1), matching)

    found = jax.jit(match)(update)
    noise = jax.random.uniform(jax.random.key(9), images.shape)
    assert float(found.distance) < 1e-3
    assert float(jnp.min(psnr(found.images, images))) > float(jnp.max(psnr(noise, images))) + 10
    assert 0 <= float(jnp.min(found.images)) <= float(jnp.max(found.images)) <= 1


def test_the_best_restart_is_returned() -> None:
    model, params = smooth_model()
    images, labels = random_images(5, 1, (4, 4, 1)), jnp.zeros(1, jnp.int32)
    update = sent(model, params, images, labels)
    key = jax.random.key(3)

    def distances(restarts: int, key: jax.Array) -> float:
        matching = Matching(iterations=20, restarts=restarts)

        def match(key: jax.Array) -> jax.Array:
            features = (4, 4, 1)
            return match_gradient(key, model, params, update, labels, features, matching).distance

        return float(jax.jit(match)(key))

    few, many = (distances(restarts, key) for restarts in (1, 8))
    assert many < few


def test_nothing_comes_back_from_noise() -> None:
    model, params = small()
    image = random_images(0, 1)
    first = sent(model, params, image, [2])["layers"][0]
    kernel = 0.1 * jax.random.normal(jax.random.key(4), first["kernel"].shape)
    found = jnp.clip(invert_dense(kernel, first["bias"]), 0, 1).reshape(FEATURES)
    assert float(psnr(found, image[0])) < float(psnr(jnp.full(FEATURES, 0.5), image[0]))


@pytest.mark.data
@pytest.mark.parametrize("epochs", [1, 5])
def test_mnist_digits_come_back_from_the_2nn(epochs) -> None:
    images = jnp.asarray(load_dataset("mnist").train_inputs[:3], jnp.float32) / 255
    model = two_nn((28, 28, 1), 10)
    params = model.init(jax.random.key(0))
    for image in images:
        first = sent(model, params, image[None], [7], epochs)["layers"][0]
        found = invert_dense(first["kernel"], first["bias"]).reshape(28, 28, 1)
        assert float(psnr(found, image)) >= 60
