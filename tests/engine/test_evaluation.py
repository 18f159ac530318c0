"""Evaluation: every example once, whatever the devices and batches; spread over clients."""

import jax
import jax.numpy as jnp
import numpy as np

from pride_jax.data.datasets import load_dataset
from pride_jax.data.federated import federate
from pride_jax.data.partition import by_sizes
from pride_jax.engine.cohort import clients_mesh
from pride_jax.engine.evaluation import (
    client_totals,
    group_spread,
    scorer,
    spread_of,
    summarize,
)
from pride_jax.models.networks import logistic
from pride_jax.task import Scores, classification

DATASET = load_dataset("wine")
MODEL = logistic((4,), 3)
INPUTS = jnp.asarray(np.random.default_rng(0).normal(size=(23, 4)), jnp.float32)
LABELS = jnp.asarray(np.random.default_rng(1).integers(0, 3, 23), jnp.int32)
PARAMS = MODEL.init(jax.random.key(0))
TASK = classification(MODEL, 3)


def scores_of(right, losses=None, answer=()):
    right = jnp.asarray(right, jnp.float32)
    losses = jnp.zeros_like(right) if losses is None else jnp.asarray(losses)
    return Scores(jnp.ones_like(right), {"accuracy": right, "loss": losses}, answer)


def test_predictions_are_the_models_own_for_any_devices_and_batches():
    logits = np.asarray(MODEL.apply(PARAMS, INPUTS), np.float64)
    losses = np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(23), np.asarray(LABELS)]
    for devices, batch_size in ((1, 5), (2, 5), (2, 500)):
        answer = scorer(TASK, clients_mesh(jax.devices()[:devices]), batch_size)
        given = answer(PARAMS, INPUTS, LABELS, jnp.float32(0), jnp.float32(1))
        np.testing.assert_allclose(given.sums["loss"], losses, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(given.answer, logits.argmax(axis=1))


def test_metrics_by_hand():
    given = scores_of([1, 1, 0, 1], [1.0, 2.0, 3.0, 6.0], jnp.array([0, 1, 1, 2]))
    metrics = summarize(given, np.array([0, 1, 2, 2]), 3)
    assert metrics.loss == 3.0
    assert metrics.accuracy == 0.75
    np.testing.assert_array_equal(metrics.confusion, [[1, 0, 0], [0, 1, 0], [0, 1, 1]])


def test_spread_counts_each_group_that_made_examples_once():
    right = np.array([True, True, False, True, False])
    spread = group_spread(scores_of(right), np.array([4, 4, 1, 1, 7]))
    assert (spread.mean, spread.minimum, spread.median, spread.maximum) == (0.5, 0.0, 0.5, 1.0)


def test_spread_counts_each_client_that_holds_examples_once():
    partition = by_sizes(np.random.default_rng(0), 10, [6, 0, 4])
    right = np.zeros(10, np.int32)
    right[partition.index[:3]] = 1
    totals = client_totals(scores_of(right), federate(DATASET, partition))
    np.testing.assert_array_equal(totals, [[3, 6], [0, 0], [0, 4]])
    spread = spread_of(totals)
    assert (spread.mean, spread.minimum, spread.maximum) == (0.25, 0.0, 0.5)


def test_hits_of_several_hosts_add_up_to_those_of_one():
    rng = np.random.default_rng(0)
    partition = by_sizes(rng, 100, [30, 0, 9, 20, 11])
    guesses = rng.integers(0, 3, len(DATASET.train_targets))

    def hits(host, hosts):
        data = federate(DATASET, partition, host, hosts)
        # A host knows its examples by their content, which is different for each.
        inputs = np.asarray(DATASET.train_inputs)
        rows = [np.flatnonzero((inputs == own).all(axis=1))[0] for own in np.asarray(data.inputs)]
        right = guesses[rows] == np.asarray(data.targets)
        return client_totals(scores_of(right), data, host, hosts)

    assert hits(0, 1).sum() > 0
    np.testing.assert_array_equal(sum(hits(host, 3) for host in range(3)), hits(0, 1))
