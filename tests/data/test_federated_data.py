"""Federated data: whose each example is, and refusal of a federation without examples."""

import jax.numpy as jnp
import numpy as np
import pytest

from pride_jax.data.datasets import load_dataset
from pride_jax.data.federated import federate, normalize, take
from pride_jax.data.partition import by_sizes
from pride_jax.errors import DataError

DATASET = load_dataset("wine")


def test_a_clients_entries_are_its_examples_as_the_model_sees_them():
    partition = by_sizes(np.random.default_rng(0), 100, [30, 0, 50])
    data = federate(DATASET, partition)
    entries = jnp.arange(int(data.sizes[2])) + data.offsets[2]
    batch = take(data, entries, jnp.ones(50, bool))
    rows = partition.index[30:]
    expected = (DATASET.train_inputs[rows] - DATASET.shift) * DATASET.scale
    np.testing.assert_allclose(batch.inputs, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(batch.labels, DATASET.train_labels[rows])


def test_images_become_floats_by_their_scale():
    images = jnp.full((2, 4, 4, 1), 255, jnp.uint8)
    seen = normalize(images, jnp.float32(0), jnp.float32(1 / 255))
    np.testing.assert_allclose(seen, np.ones((2, 4, 4, 1)), rtol=1e-6)


def test_a_federation_without_examples_is_refused():
    nobody = by_sizes(np.random.default_rng(0), 100, [0, 0])
    with pytest.raises(DataError, match="None of the 2 clients holds an example"):
        federate(DATASET, nobody)
