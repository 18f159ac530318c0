"""The area under the ROC curve: against scikit-learn's, and added up from chunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import pride_jax as pride
from pride_jax.data.federated import Batch
from pride_jax.engine.auc import auc, histograms


def ranks_of(logits, targets):
    model = pride.Model(lambda key: (), lambda params, inputs: inputs, lambda *_: None)
    task = pride.classification(model, outputs=logits.shape[1])
    batch = Batch(jnp.asarray(logits), jnp.asarray(targets), jnp.ones(len(targets), bool))
    return np.asarray(task.score((), batch).ranks)


@pytest.mark.parametrize("classes", [2, 5])
def test_it_is_that_of_scikit_learn_and_adds_up(classes):
    rng = np.random.default_rng(classes)
    targets = rng.integers(0, classes, 400).astype(np.int32)
    logits = rng.normal(size=(400, classes)).astype(np.float32)
    logits[np.arange(400), targets] += 1
    chances = np.asarray(jax.nn.softmax(logits)).astype(np.float64)
    chances /= chances.sum(axis=1, keepdims=True)
    expected = (
        roc_auc_score(targets, chances[:, 1])
        if classes == 2
        else roc_auc_score(targets, chances, multi_class="ovr")
    )
    ranks = ranks_of(logits, targets)
    whole = histograms(ranks, targets)
    assert auc(whole) == pytest.approx(expected, abs=1e-3)
    chunks = [histograms(ranks[at], targets[at]) for at in (slice(0, 150), slice(150, 400))]
    np.testing.assert_array_equal(sum(chunks), whole)


def test_equal_answers_tell_nothing_and_sure_ones_everything():
    targets = np.array([0, 1, 1, 2], np.int32)
    assert auc(histograms(ranks_of(np.zeros((4, 3), np.float32), targets), targets)) == 0.5
    sure = 1000 * np.eye(3, dtype=np.float32)[targets]
    assert auc(histograms(ranks_of(sure, targets), targets)) == 1.0


def test_a_class_without_examples_is_left_out():
    targets = np.zeros(4, np.int32)
    assert auc(histograms(ranks_of(np.eye(4, 3, dtype=np.float32), targets), targets)) is None
    two = np.array([0, 1, 0, 1], np.int32)
    sure = np.eye(3, dtype=np.float32)[two]
    assert auc(histograms(ranks_of(sure, two), two)) == 1.0
