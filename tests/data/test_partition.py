"""Partitions: every example with exactly one client, whatever the way of dividing."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pride_jax.data.partition import (
    Partition,
    by_group,
    by_sizes,
    dirichlet,
    hold_out_of_each,
    iid,
    label_counts,
    label_shards,
    most_holders,
    with_pooled,
)
from pride_jax.errors import ConfigError

LABELS = np.repeat(np.arange(10), 60)


def rng():
    return np.random.default_rng(0)


def each_example_once(partition, count):
    assert partition.sizes.sum() == count
    np.testing.assert_array_equal(np.sort(partition.index), np.arange(count))


@settings(max_examples=30, deadline=None)
@given(examples=st.integers(1, 200), clients=st.integers(1, 60), seed=st.integers(0, 99))
def test_iid_and_dirichlet_give_every_example_to_one_client(examples, clients, seed):
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, examples)
    even = iid(generator, examples, clients)
    each_example_once(even, examples)
    assert even.sizes.max() - even.sizes.min() <= 1
    skewed = dirichlet(generator, labels, clients, alpha=0.3)
    each_example_once(skewed, examples)
    assert len(skewed.sizes) == clients


def test_partitions_follow_the_seed():
    one, same = (iid(np.random.default_rng(5), 100, 3) for _ in range(2))
    np.testing.assert_array_equal(one.index, same.index)
    assert not np.array_equal(one.index, iid(np.random.default_rng(6), 100, 3).index)


def test_given_sizes_leave_the_rest_unused():
    partition = by_sizes(rng(), 100, [30, 0, 50])
    np.testing.assert_array_equal(partition.sizes, [30, 0, 50])
    assert len(np.unique(partition.index)) == 80


def test_shards_show_a_client_few_classes():
    partition = label_shards(rng(), LABELS, num_clients=30)
    each_example_once(partition, len(LABELS))
    counts = label_counts(partition, LABELS, 10)
    assert ((counts > 0).sum(axis=1) <= 2).all()
    np.testing.assert_array_equal(partition.sizes, np.full(30, 20))


def test_copies_keep_the_clients_size():
    partition = label_shards(rng(), LABELS, num_clients=90, copies=3)
    np.testing.assert_array_equal(partition.sizes, np.full(90, 20))
    np.testing.assert_array_equal(np.bincount(partition.index), np.full(len(LABELS), 3))


def test_small_alpha_is_uneven_and_large_alpha_is_even():
    def spread(alpha):
        counts = label_counts(dirichlet(rng(), LABELS, 5, alpha), LABELS, 10)
        return (counts / 60).std()

    assert spread(0.05) > 0.25
    assert spread(1000.0) < 0.03


def test_groups_become_clients():
    groups = np.array([7, 3, 7, 9, 3, 7])
    partition = by_group(groups)
    np.testing.assert_array_equal(partition.sizes, [2, 3, 1])
    np.testing.assert_array_equal(groups[partition.index], [3, 3, 7, 7, 7, 9])


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=12),
    share=st.floats(0, 0.9999),
    seed=st.integers(0, 99),
)
def test_each_client_holds_out_its_share_and_trains_on_the_rest(sizes, share, seed):
    whole = by_sizes(np.random.default_rng(seed), 500, sizes)
    train, held = hold_out_of_each(np.random.default_rng(seed), whole, share)
    np.testing.assert_array_equal(train.sizes + held.sizes, whole.sizes)
    assert np.all(np.abs(held.sizes - share * whole.sizes) <= 1)
    assert np.all(train.sizes[whole.sizes > 0] >= 1)
    for client in range(len(sizes)):
        own, kept, tested = (of_client(each, client) for each in (whole, train, held))
        assert sorted([*kept, *tested]) == sorted(own)
        places = {example: place for place, example in enumerate(own)}
        for part in (kept, tested):
            assert np.all(np.diff([places[example] for example in part]) > 0)


def of_client(partition, client):
    ends = np.cumsum(partition.sizes)
    return partition.index[ends[client] - partition.sizes[client] : ends[client]].tolist()


def test_the_seed_decides_what_is_held_out_and_each_example_has_an_equal_chance():
    whole = by_sizes(rng(), 100, [12, 20])
    draws = [hold_out_of_each(np.random.default_rng(seed), whole, 0.25)[1] for seed in range(2000)]
    again = hold_out_of_each(np.random.default_rng(0), whole, 0.25)[1]
    np.testing.assert_array_equal(again.index, draws[0].index)
    times = np.bincount(np.concatenate([draw.index for draw in draws]), minlength=100)[whole.index]
    assert np.all(np.abs(times - 500) < 5 * np.sqrt(2000 * 0.25 * 0.75))


def test_a_share_of_nothing_leaves_the_partition_as_it_is():
    whole = label_shards(rng(), LABELS, num_clients=90, copies=3)
    train, held = hold_out_of_each(rng(), whole, 0.0)
    np.testing.assert_array_equal(train.index, whole.index)
    assert not held.sizes.any()
    assert not len(held.index)


def test_nearest_numbers_are_held_out_and_a_single_example_is_trained_on():
    _, held = hold_out_of_each(rng(), by_sizes(rng(), 100, [0, 1, 2, 3, 4, 5, 10]), 0.3)
    np.testing.assert_array_equal(held.sizes, [0, 0, 1, 1, 1, 2, 3])
    _, held = hold_out_of_each(rng(), by_sizes(rng(), 100, [0, 1, 2, 10]), 0.99)
    np.testing.assert_array_equal(held.sizes, [0, 0, 1, 9])


@pytest.mark.parametrize("targets", [np.linspace(0, 1, 600), np.zeros((600, 5), np.int32)])
def test_partitions_by_class_refuse_quantities_and_sequences(targets):
    for divide in (
        lambda: dirichlet(rng(), targets, 3, 0.5),
        lambda: label_shards(rng(), targets, 3),
        lambda: label_counts(iid(rng(), 600, 3), targets, 5),
    ):
        with pytest.raises(ConfigError, match=r"expected one class an example\. Divide quantities"):
            divide()


def test_the_pooled_client_comes_last_and_holds_everything():
    partition = by_sizes(rng(), 100, [30, 0, 50])
    pooled = with_pooled(partition)
    np.testing.assert_array_equal(pooled.sizes, [30, 0, 50, 80])
    np.testing.assert_array_equal(pooled.index[:80], partition.index)
    np.testing.assert_array_equal(pooled.index[80:], partition.index)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: iid(rng(), 10, 0), "at least one client, got 0"),
        (lambda: by_sizes(rng(), 10, []), "at least one client, got 0"),
        (lambda: by_sizes(rng(), 10, [3, -1]), "at least 0, got -1"),
        (lambda: by_sizes(rng(), 10, [6, 5]), "add up to 11, but there are 10"),
        (lambda: label_shards(rng(), LABELS, 31, copies=3), "3 copies to divide 31 clients"),
        (lambda: label_shards(rng(), LABELS, 400), "800 shards were asked of 600 examples"),
        (lambda: dirichlet(rng(), LABELS, 3, 0.0), "alpha=0.0: expected a finite number above 0"),
        (lambda: hold_out_of_each(rng(), iid(rng(), 9, 3), 1.0), "at least 0 and below 1, got 1.0"),
        (lambda: hold_out_of_each(rng(), iid(rng(), 9, 3), -0.1), "below 1, got -0.1"),
        (
            lambda: hold_out_of_each(rng(), label_shards(rng(), LABELS, 90, copies=3), 0.2),
            "1200 examples are held more than once",
        ),
    ],
)
def test_impossible_partitions_are_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@given(
    st.lists(st.lists(st.integers(0, 6), max_size=6), min_size=1, max_size=6).filter(
        lambda clients: any(clients)
    )
)
def test_most_holders_counts_the_clients_of_the_example_that_most_clients_hold(clients):
    index = np.concatenate([np.array(client, np.int32) for client in clients])
    partition = Partition(index, np.array([len(client) for client in clients], np.int32))
    slow = max(sum(example in client for client in clients) for example in range(7))
    assert most_holders(partition) == slow


def test_geyers_copies_are_held_by_as_many_clients():
    labels = np.repeat(np.arange(10), 60)
    dealt = label_shards(np.random.default_rng(0), labels, 100, shards_per_client=2, copies=10)
    assert most_holders(dealt) == 10
    assert most_holders(label_shards(np.random.default_rng(0), labels, 100)) == 1
