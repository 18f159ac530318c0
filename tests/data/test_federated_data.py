"""Federated data: whose each example is, and refusal of a federation without examples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pride_jax.data.datasets import load_dataset
from pride_jax.data.federated import federate, host_of, normalize, place, take
from pride_jax.data.partition import by_sizes
from pride_jax.engine.cohort import clients_mesh
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
    np.testing.assert_array_equal(batch.targets, DATASET.train_targets[rows])


def test_images_become_floats_by_their_scale():
    images = jnp.full((2, 4, 4, 1), 255, jnp.uint8)
    seen = normalize(images, jnp.float32(0), jnp.float32(1 / 255))
    np.testing.assert_allclose(seen, np.ones((2, 4, 4, 1)), rtol=1e-6)


def test_a_federation_without_examples_is_refused():
    nobody = by_sizes(np.random.default_rng(0), 100, [0, 0])
    with pytest.raises(DataError, match="None of the 2 clients holds an example"):
        federate(DATASET, nobody)


def examples_of(data, client):
    size, offset = int(data.sizes[client]), int(data.offsets[client])
    rows = np.asarray(data.index)[offset : offset + size]
    return np.asarray(data.inputs)[rows], np.asarray(data.targets)[rows]


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=9).filter(any),
    hosts=st.integers(2, 4),
)
def test_a_host_holds_the_examples_of_its_own_clients_and_no_others(sizes, hosts):
    partition = by_sizes(np.random.default_rng(0), 120, sizes)
    whole = federate(DATASET, partition)
    parts = [federate(DATASET, partition, host, hosts) for host in range(hosts)]
    assert len({part.inputs.shape for part in parts}) == 1
    assert len({part.index.shape for part in parts}) == 1
    for client in range(len(sizes)):
        own = parts[host_of(client, hosts)]
        for here, there in zip(examples_of(own, client), examples_of(whole, client), strict=True):
            np.testing.assert_array_equal(here, there)
    for host, part in enumerate(parts):
        clients = [client for client in range(len(sizes)) if host_of(client, hosts) == host]
        owned = [row.tobytes() for client in clients for row in examples_of(whole, client)[0]]
        if owned:
            assert {row.tobytes() for row in np.asarray(part.inputs)} == set(owned)


def test_placed_data_is_what_it_was():
    data = federate(DATASET, by_sizes(np.random.default_rng(0), 100, [30, 0, 50]))
    placed = place(data, clients_mesh(jax.devices()))
    for here, there in zip(placed, data, strict=True):
        np.testing.assert_array_equal(here, there)
        assert here.sharding.is_fully_replicated
