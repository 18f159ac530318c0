"""A trained cohort equals a slow NumPy loop, however the device divides the work."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax.sharding import AxisType, PartitionSpec
from small import CLASSES, FEATURES, SIZES, Logistic, numpy_client, small_data

from pride_jax.data.augment import borrowed_scatter, residuals, shuffle
from pride_jax.data.datasets import load_dataset
from pride_jax.data.federated import Batch, FederatedData, data_specs, federate, place
from pride_jax.data.partition import Partition
from pride_jax.engine.cohort import Broadcast, Clients, clients_mesh, train_cohort
from pride_jax.engine.contribution import Contribution, Reports
from pride_jax.engine.local import extent_of
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.fedprox import fedprox
from pride_jax.methods.method import WHOLE, LocalTraining
from pride_jax.models.networks import logistic
from pride_jax.models.precision import with_precision
from pride_jax.task import classification
from pride_jax.types import Cohort

MODEL = logistic((FEATURES,), CLASSES)
RATE = 0.2
TWO_EPOCHS = LocalTraining(epochs=2, batch_size=4)
ROUND_KEY = jax.random.key(3)


def cohort_of(ids, mask=None):
    mask = [True] * len(ids) if mask is None else mask
    return Cohort(jnp.asarray(ids, jnp.int32), jnp.asarray(mask))


def weighted(key, round_, update, norm, weight):
    """Encodes nothing: the update times its weight."""
    none = jnp.zeros((), jnp.int32)
    added = jax.tree.map(lambda leaf: leaf * weight, update)
    return Contribution(added, none), Reports(none, none, none, none[None])


def clients_of(method, sizes):
    extent = extent_of(np.asarray(sizes), method.training.batch_size)
    return Clients(lambda hyper: method, method.training.epochs, extent)


def told(params, sent=lambda params: params):
    return Broadcast(ROUND_KEY, jnp.int32(0), sent(params), jnp.float32(jnp.inf), {})


@functools.cache
def method_of(training, proximal=0.0, precision="float32"):
    task = classification(with_precision(MODEL, precision), CLASSES)
    if proximal:
        return fedprox(task, optax.sgd(RATE), proximal=proximal, training=training)
    return fedavg(task, optax.sgd(RATE), training=training)


@functools.cache
def compiled(method, chunk, devices, collect, sizes):
    return jax.jit(
        train_cohort(
            clients_of(method, sizes),
            weighted,
            chunk=chunk,
            mesh=clients_mesh(jax.devices()[:devices]),
            collect=collect,
        )
    )


def test_hosts_with_their_own_clients_add_up_to_one_host():
    partition = Partition(np.random.default_rng(1).permutation(100)[: sum(SIZES)], np.array(SIZES))
    wine = load_dataset("wine")
    parts = [federate(wine, partition, host, hosts=2) for host in range(2)]
    side_by_side = FederatedData(
        *(
            jnp.concatenate(leaves) if spec == PartitionSpec("hosts") else leaves[0]
            for spec, *leaves in zip(data_specs(), *parts, strict=True)
        )
    )
    # Two devices of one process stand for those of two.
    axes = (AxisType.Auto, AxisType.Auto)
    mesh = jax.make_mesh((2, 1), ("hosts", "clients"), axes, devices=jax.devices()[:2])
    model = logistic((13,), 3)
    cohort = cohort_of([2, 0, 1, 6, 5, 3], [True, True, True, False, True, True])

    def sums(mesh, data, chunk):
        method = fedavg(classification(model, 3), optax.sgd(RATE), training=TWO_EPOCHS)
        clients = clients_of(method, SIZES)
        train = train_cohort(clients, weighted, chunk=chunk, mesh=mesh, collect="sum")
        params = model.init(jax.random.key(0))
        weights = 1.0 + cohort.ids.astype(jnp.float32)
        data = place(data, mesh)
        return jax.jit(train)(told(params), data, cohort, weights, (), cohort.ids)[0]

    whole = sums(clients_mesh(jax.devices()[:1]), federate(wine, partition), 1)
    for chunk in (1, 3):
        apart = sums(mesh, side_by_side, chunk)
        assert float(apart.clients.examples) == float(whole.clients.examples) == 2 * 25
        jax.tree.map(partial(np.testing.assert_allclose, atol=2e-5), apart, whole)


def trained(
    cohort,
    *,
    training=TWO_EPOCHS,
    proximal=0.0,
    precision="float32",
    chunk=1,
    devices=1,
    collect="sum",
    data=None,
    params=None,
):
    data = data or small_data()
    method = method_of(training, proximal, precision)
    train = compiled(method, chunk, devices, collect, tuple(data.sizes.tolist()))
    params = params or MODEL.init(jax.random.key(0))
    weights = jnp.where(cohort.mask, 0.5 + cohort.ids.astype(jnp.float32), 0.0)
    return train(told(params), data, cohort, weights, (), cohort.ids)[0]


def expected_sum(cohort, *, epochs, batch_size, proximal=0.0, scatter=0.0):
    data, params = small_data(), MODEL.init(jax.random.key(0))["layers"][0]
    kernel, bias, loss = np.zeros((FEATURES, CLASSES)), np.zeros(CLASSES), 0.0
    for client in np.asarray(cohort.ids)[np.asarray(cohort.mask)].tolist():
        key, _ = jax.random.split(jax.random.fold_in(ROUND_KEY, client))
        update, seen = numpy_client(
            Logistic(params["kernel"], params["bias"]),
            data,
            client,
            key,
            epochs=epochs,
            batch_size=batch_size,
            rate=RATE,
            proximal=proximal,
            scatter=scatter,
        )
        kernel += (0.5 + client) * update.kernel
        bias += (0.5 + client) * update.bias
        loss += seen
    return Logistic(kernel, bias), loss


def assert_close(contributions, expected, atol=2e-5):
    layer = contributions["layers"][0]
    np.testing.assert_allclose(layer["kernel"], expected.kernel, atol=atol)
    np.testing.assert_allclose(layer["bias"], expected.bias, atol=atol)


DIVISIONS = [(1, 1), (3, 1), (2, 2), (10, 2)]
"""Clients trained together, and devices."""


@pytest.mark.parametrize(("chunk", "devices"), DIVISIONS)
def test_sum_is_that_of_the_slow_loop(chunk, devices):
    cohort = cohort_of([2, 0, 1, 6, 5])
    result = trained(cohort, chunk=chunk, devices=devices)
    expected, loss = expected_sum(cohort, epochs=2, batch_size=4)
    assert_close(result.contributions.update, expected)
    np.testing.assert_allclose(result.clients.loss, loss, rtol=1e-5)
    assert float(result.clients.examples) == 2 * (12 + 7 + 9 + 1)


@pytest.mark.parametrize(
    ("batch_size", "proximal"), [(1, 0.0), (5, 0.7), (12, 0.0), (100, 0.7), (5, 0.0)]
)
def test_batches_and_the_proximal_term_are_those_of_the_slow_loop(batch_size, proximal):
    cohort = cohort_of([0, 3])
    training = LocalTraining(epochs=3, batch_size=batch_size)
    result = trained(cohort, training=training, proximal=proximal, chunk=2)
    expected, _ = expected_sum(cohort, epochs=3, batch_size=batch_size, proximal=proximal)
    assert_close(result.contributions.update, expected)


@pytest.mark.parametrize(("batch_size", "chunk"), [(1, 2), (5, 1), (100, 2)])
def test_borrowed_scatter_is_that_of_the_slow_loop(batch_size, chunk):
    cohort = cohort_of([0, 3, 2, 1])
    training = LocalTraining(3, batch_size, borrowed_scatter(0.8))
    result = trained(cohort, training=training, chunk=chunk)
    expected, _ = expected_sum(cohort, epochs=3, batch_size=batch_size, scatter=0.8)
    assert_close(result.contributions.update, expected)


def test_residuals_are_distances_from_the_mean_of_the_class_whatever_the_padding_holds():
    rng = np.random.default_rng(0)
    labels = np.array([2, 0, 2, 1, 0, 2, 0, 0])
    mask = np.arange(8) < 6
    inputs = rng.normal(size=(8, 2, 3)).astype(np.float32)
    inputs[~mask] = np.nan
    batch = Batch(jnp.asarray(inputs), jnp.asarray(labels), jnp.asarray(mask))
    found = np.asarray(residuals(batch))
    for label in range(3):
        chosen = mask & (labels == label)
        centred = inputs[chosen] - inputs[chosen].mean(axis=0)
        np.testing.assert_allclose(found[chosen], centred, atol=1e-6)
    assert not found[~mask].any()


def test_no_batch_size_is_one_step_an_epoch_over_everything():
    cohort = cohort_of([0, 2, 1])
    result = trained(cohort, training=LocalTraining(epochs=2, batch_size=WHOLE), chunk=3)
    expected, _ = expected_sum(cohort, epochs=2, batch_size=max(SIZES))
    assert_close(result.contributions.update, expected)


@settings(max_examples=12, deadline=None)
@given(
    order=st.permutations(range(len(SIZES))),
    chunk=st.sampled_from([1, 3]),
    devices=st.sampled_from([1, 2]),
)
def test_every_row_is_its_clients_whatever_the_order(order, chunk, devices):
    rows = trained(
        cohort_of(order), chunk=chunk, devices=devices, collect="rows"
    ).contributions.update
    kernels = np.asarray(rows["layers"][0]["kernel"])
    straight = trained(cohort_of(range(len(SIZES))), collect="rows").contributions.update
    np.testing.assert_allclose(
        kernels, np.asarray(straight["layers"][0]["kernel"])[list(order)], atol=1e-5
    )


@pytest.mark.parametrize("chunk", [1, 3])
def test_a_client_without_examples_adds_exact_zeros(chunk):
    rows = trained(cohort_of([2, 1, 0]), chunk=chunk, collect="rows").contributions.update
    for leaf in jax.tree.leaves(rows):
        assert leaf[0].any()
        assert not leaf[1].any()


@pytest.mark.parametrize(("chunk", "devices"), DIVISIONS)
def test_masked_slots_add_nothing(chunk, devices):
    cohort = cohort_of([2, 6, 0, 3, 2], [True, False, True, False, False])
    result = trained(cohort, chunk=chunk, devices=devices)
    expected, loss = expected_sum(cohort, epochs=2, batch_size=4)
    assert_close(result.contributions.update, expected)
    np.testing.assert_allclose(result.clients.loss, loss, rtol=1e-5)
    assert float(result.clients.examples) == 2 * (12 + 7)


def test_a_client_that_diverges_does_not_touch_the_others():
    data = small_data()
    poisoned = data._replace(inputs=data.inputs.at[data.index[data.offsets[3]]].set(jnp.nan))
    rows = trained(
        cohort_of([0, 3, 6]), chunk=3, collect="rows", data=poisoned
    ).contributions.update
    clean = trained(cohort_of([0, 3, 6]), chunk=3, collect="rows", data=data).contributions.update
    for mine, other in zip(jax.tree.leaves(rows), jax.tree.leaves(clean), strict=True):
        assert np.isnan(np.asarray(mine[1])).any()
        np.testing.assert_array_equal(mine[0], other[0])
        np.testing.assert_array_equal(mine[2], other[2])


@settings(max_examples=30, deadline=None)
@given(size=st.integers(0, 40), seed=st.integers(0, 1000))
def test_shuffle_is_a_permutation_that_padding_does_not_change(size, seed):
    key = jax.random.key(seed)
    short = np.asarray(shuffle(key, jnp.int32(size), 40))
    long = np.asarray(shuffle(key, jnp.int32(size), 64))
    np.testing.assert_array_equal(np.sort(short[:size]), np.arange(size))
    np.testing.assert_array_equal(short[:size], long[:size])


def test_shuffle_makes_every_order_as_likely():
    keys = jax.random.split(jax.random.key(0), 6000)
    orders = np.asarray(jax.vmap(lambda key: shuffle(key, jnp.int32(3), 8)[:3])(keys))
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 6
    assert (np.abs(counts - 1000) < 5 * np.sqrt(1000 * 5 / 6)).all()


@pytest.mark.parametrize(("precision", "digits"), [("tf32", 2e-5), ("bfloat16", 0.05)])
def test_lower_precision_is_nearly_the_slow_loop_and_updates_stay_float32(precision, digits):
    cohort = cohort_of([2, 0, 5])
    result = trained(cohort, precision=precision)
    expected, _ = expected_sum(cohort, epochs=2, batch_size=4)
    assert_close(result.contributions.update, expected, atol=digits)
    assert {leaf.dtype for leaf in jax.tree.leaves(result.contributions.update)} == {
        jnp.dtype("float32")
    }


def test_bfloat16_really_computes_in_bfloat16():
    cohort = cohort_of([2, 0, 5])
    exact, rounded = (
        trained(cohort, precision=precision).contributions.update
        for precision in ("float32", "bfloat16")
    )
    apart = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), exact, rounded)
    assert max(jax.tree.leaves(apart)) > 1e-4
