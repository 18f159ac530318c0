"""Federated data: whose each example is, and refusal of a federation without examples."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pride_jax.data.datasets import Dataset, load_dataset
from pride_jax.data.federated import (
    federate,
    federate_each,
    host_of,
    normalize,
    of_one_client,
    place,
    take,
)
from pride_jax.data.partition import Partition, by_sizes, hold_out_of_each
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


TEXTS = Dataset(
    name="texts",
    train_inputs=np.arange(60, dtype=np.int64).reshape(12, 5),
    train_targets=np.arange(60).reshape(12, 5)[:, ::-1],
    test_inputs=np.zeros((1, 5), np.int32),
    test_targets=np.zeros((1, 5), np.int32),
    outputs=60,
)
QUANTITIES = Dataset(
    name="quantities",
    train_inputs=np.linspace(0, 1, 36).reshape(12, 3),
    train_targets=np.linspace(-1, 1, 24).reshape(12, 2),
    test_inputs=np.zeros((1, 3)),
    test_targets=np.zeros((1, 2)),
    outputs=2,
)


@pytest.mark.parametrize("dataset", [TEXTS, QUANTITIES], ids=lambda dataset: dataset.name)
def test_targets_of_any_rank_come_with_their_inputs(dataset):
    data = federate(dataset, by_sizes(np.random.default_rng(0), 12, [3, 0, 7]))
    entries = jnp.arange(7) + data.offsets[2]
    batch = take(data, entries, jnp.ones(7, bool))
    inputs, targets = examples_of(data, 2)
    np.testing.assert_array_equal(batch.inputs, inputs)
    np.testing.assert_array_equal(batch.targets, targets)
    whole = {x.astype(np.float32).tobytes(): y for x, y in zip(*dataset[1:3], strict=True)}
    for x, y in zip(inputs, targets, strict=True):
        np.testing.assert_allclose(whole[x.astype(np.float32).tobytes()], y, rtol=1e-6)


def test_ids_are_neither_shifted_nor_scaled():
    ids = jnp.array([[0, 5, 2**24 + 1]], jnp.int32)
    seen = normalize(ids, jnp.float32(3), jnp.float32(2))
    assert seen.dtype == jnp.int32
    np.testing.assert_array_equal(seen, ids)


@pytest.mark.parametrize("dataset", [TEXTS, QUANTITIES], ids=lambda dataset: dataset.name)
def test_a_client_of_its_own_may_hold_nothing(dataset):
    data = of_one_client(
        dataset.train_inputs[:0], dataset.train_targets[:0], dataset.shift, dataset.scale
    )
    batch = take(data, jnp.zeros(2, jnp.int32), jnp.zeros(2, bool))
    assert batch.targets.shape == (2, *dataset.train_targets.shape[1:])
    assert not batch.inputs.any()
    np.testing.assert_array_equal(data.sizes, [0])


@pytest.mark.parametrize(
    ("partition", "message"),
    [
        (
            Partition(np.array([0, 12]), np.array([1, 1])),
            "names examples 0 to 12; expected 0 to 11",
        ),
        (Partition(np.array([-1, 3]), np.array([1, 1])), "names examples -1 to 3; expected 0 to"),
        (Partition(np.array([0, 3]), np.array([1, 2])), "add up to 3.*expected 2"),
        (Partition(np.array([0, 3]), np.array([3, -1])), "the least is -1"),
    ],
)
def test_a_partition_of_other_examples_is_refused(partition, message):
    with pytest.raises(DataError, match=message):
        federate(TEXTS, partition)


def test_a_hand_made_set_is_checked_where_it_is_divided():
    wrong = QUANTITIES._replace(train_targets=np.full((12, 2), np.nan))
    with pytest.raises(DataError, match=r"quantities .training.: 24 of 24 quantities are NaN"):
        federate(wrong, by_sizes(np.random.default_rng(0), 12, [12]))


def test_what_is_held_out_shares_the_arrays_of_what_is_trained_on():
    whole = by_sizes(np.random.default_rng(0), 100, [30, 1, 0, 50])
    parts = hold_out_of_each(np.random.default_rng(1), whole, 0.2)
    train, held = federate_each(DATASET, parts)
    assert held.inputs is train.inputs
    assert held.targets is train.targets
    for data, partition in zip((train, held), parts, strict=True):
        alone = federate(DATASET, partition)
        np.testing.assert_array_equal(data.sizes, partition.sizes)
        for client in range(4):
            for here, there in zip(
                examples_of(data, client), examples_of(alone, client), strict=True
            ):
                np.testing.assert_array_equal(here, there)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=9).filter(lambda own: max(own) > 2),
    hosts=st.integers(2, 4),
)
def test_a_host_holds_what_its_own_clients_hold_out_too(sizes, hosts):
    whole = by_sizes(np.random.default_rng(0), 120, sizes)
    partitions = hold_out_of_each(np.random.default_rng(1), whole, 0.4)
    alone = [federate(DATASET, partition) for partition in partitions]
    every = [federate_each(DATASET, partitions, host, hosts) for host in range(hosts)]
    assert len({part.inputs.shape for parts in every for part in parts}) == 1
    for way in range(2):
        assert len({parts[way].index.shape for parts in every}) == 1
        for client in range(len(sizes)):
            own = every[host_of(client, hosts)][way]
            for here, there in zip(
                examples_of(own, client), examples_of(alone[way], client), strict=True
            ):
                np.testing.assert_array_equal(here, there)


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
