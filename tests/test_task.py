"""Losses and scores by hand, and one clear error for every shape that does not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pride_jax.data.federated import Batch
from pride_jax.errors import ConfigError
from pride_jax.task import Task, classification, mean_gradient, next_token, regression
from pride_jax.types import Model

KEY = jax.random.key(0)


def fixed(outputs):
    """A model whose parameters are its outputs, and whose training doubles them."""
    outputs = jnp.asarray(outputs, jnp.float32)
    return Model(lambda key: outputs, lambda params, x: params, lambda params, x, key: 2 * params)


def batch(targets, mask=None):
    targets = jnp.asarray(targets)
    mask = [True] * len(targets) if mask is None else mask
    return Batch(jnp.zeros((len(targets), 1)), targets, jnp.asarray(mask))


def cross_entropy(logits, target):
    return -np.log(np.exp(logits[target]) / np.exp(logits).sum())


def test_classification_by_hand():
    logits = np.array([[1.0, 2.0, 0.0], [0.0, -1.0, 3.0]])
    task = classification(fixed(logits), 3)
    given = batch(np.array([0, 2], np.int32))
    expected = [cross_entropy(row, target) for row, target in zip(logits, (0, 2), strict=True)]
    doubled = [cross_entropy(2 * row, target) for row, target in zip(logits, (0, 2), strict=True)]
    params = task.init(KEY)
    np.testing.assert_allclose(task.loss(params, given, KEY), doubled, rtol=1e-5, atol=1e-6)
    scores = task.score(params, given)
    np.testing.assert_allclose(scores.sums["loss"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(scores.sums["accuracy"], [0, 1])
    np.testing.assert_array_equal(scores.answer, [1, 2])
    np.testing.assert_array_equal(scores.weight, [1, 1])


def test_smoothing_spreads_the_target_in_training_alone():
    logits = np.array([[1.0, 2.0, 0.0]])
    plain, smooth = (classification(fixed(logits), 3, share) for share in (0.0, 0.3))
    given = batch(np.array([0], np.int32))
    each = [cross_entropy(2 * logits[0], target) for target in range(3)]
    expected = 0.7 * each[0] + 0.3 * np.mean(each)
    np.testing.assert_allclose(
        smooth.loss(smooth.init(KEY), given, KEY), [expected], rtol=1e-5, atol=1e-6
    )
    for one, other in zip(
        jax.tree.leaves(smooth.score(smooth.init(KEY), given)),
        jax.tree.leaves(plain.score(plain.init(KEY), given)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("outputs", "targets"),
    [
        ([[1.0], [-2.0]], np.array([0.5, 1.0], np.float32)),
        ([[1.0], [-2.0]], np.array([[0.5], [1.0]], np.float32)),
        ([[1.0, 0.0], [-2.0, 4.0]], np.array([[0.5, 1.0], [1.0, 2.0]], np.float32)),
    ],
)
def test_regression_by_hand(outputs, targets):
    task = regression(fixed(outputs), len(outputs[0]))
    missed = np.array(outputs) - targets.reshape(np.shape(outputs))
    doubled = 2 * np.array(outputs) - targets.reshape(np.shape(outputs))
    params = task.init(KEY)
    found = task.loss(params, batch(targets), KEY)
    np.testing.assert_allclose(found, (doubled**2).mean(axis=1), rtol=1e-5, atol=1e-6)
    scores = task.score(params, batch(targets))
    np.testing.assert_allclose(scores.sums["loss"], (missed**2).mean(axis=1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scores.sums["absolute_error"], np.abs(missed).mean(axis=1))
    assert scores.answer == ()


def test_next_token_by_hand():
    logits = np.random.default_rng(0).normal(size=(2, 3, 4))
    targets = np.array([[0, 3, 1], [2, 2, 0]], np.int32)
    task = next_token(fixed(logits), 4)
    params = task.init(KEY)

    def each(factor):
        return np.array(
            [
                [cross_entropy(factor * row, t) for row, t in zip(rows, ts, strict=True)]
                for rows, ts in zip(logits, targets, strict=True)
            ]
        )

    found = task.loss(params, batch(targets), KEY)
    np.testing.assert_allclose(found, each(2).mean(axis=1), rtol=1e-5)
    scores = task.score(params, batch(targets))
    np.testing.assert_allclose(scores.sums["loss"], each(1).sum(axis=1), rtol=1e-5)
    right = (logits.argmax(axis=-1) == targets).sum(axis=1)
    np.testing.assert_array_equal(scores.sums["accuracy"], right)
    np.testing.assert_array_equal(scores.weight, [3, 3])


CLASSES = np.array([0, 1, 1], np.int32)
FLOATS = CLASSES.astype(np.float32)
# As many sequences as tokens in each: a mix-up of the two axes would go unseen.
SQUARE = np.zeros((3, 3), np.int32)

WRONG = {
    "logits of two classes for three": (classification(fixed(np.ones((3, 2))), 3), CLASSES,
        r"gives \[3, 2\] for 3 examples: expected logits \[batch, classes\], \[3, 3\]"),
    "one logit more an example": (classification(fixed(np.ones((3, 3, 1))), 3), CLASSES,
        r"gives \[3, 3, 1\] for 3 examples: expected logits"),
    "quantities for classes": (classification(fixed(np.ones((3, 2))), 2), FLOATS,
        r"Targets are float32\[3\] for 3 examples: expected one class an example, as integers"),
    "sequences for classes": (classification(fixed(np.ones((3, 2))), 2), SQUARE,
        r"Targets are int32\[3, 3\] for 3 examples: expected one class an example"),
    "labels for quantities": (regression(fixed(np.ones((3, 1)))), CLASSES,
        r"Targets are int32\[3\] for 3 examples: expected 1 quantities an example, as floats"),
    "a quantity without its axis": (regression(fixed(np.ones(3))), FLOATS,
        r"gives \[3\] for 3 examples: expected quantities \[batch, outputs\], \[3, 1\]"),
    "one of two quantities": (regression(fixed(np.ones((3, 2))), 2), FLOATS,
        r"Targets are float32\[3\] for 3 examples: expected 2 quantities an example"),
    "quantities in the other order": (regression(fixed(np.ones((3, 2))), 2), np.ones((2, 3), "f4"),
        r"gives \[3, 2\]|Targets are float32\[2, 3\]"),
    "one token of a sequence": (next_token(fixed(np.ones((3, 3, 5))), 5), CLASSES,
        r"Targets are int32\[3\] for 3 examples: expected a token at each place"),
    "logits of one place as of as many": (next_token(fixed(np.ones((3, 5))), 5), SQUARE,
        r"gives \[3, 5\] for 3 examples: expected logits \[batch, length, vocabulary\]"),
    "logits of another vocabulary": (next_token(fixed(np.ones((3, 3, 4))), 5), SQUARE,
        r"gives \[3, 3, 4\] for 3 examples: expected .* \[3, 3, 5\]"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_fit_is_one_clear_error_in_loss_and_score(name):
    task, targets, message = WRONG[name]
    with pytest.raises(ConfigError, match=message):
        task.loss(task.init(KEY), batch(targets), KEY)
    with pytest.raises(ConfigError, match=message):
        task.score(task.init(KEY), batch(targets))


@pytest.mark.parametrize("shape", [(), (1,), (3, 1), (3, 3)])
def test_a_loss_that_is_not_one_an_example_is_refused(shape):
    whole = Task(lambda key: jnp.ones(()), lambda p, b, k: p * jnp.ones(shape), lambda p, b: p)
    with pytest.raises(ConfigError, match="expected one number an example; take the mean over"):
        mean_gradient(whole)(whole.init(KEY), batch(CLASSES), KEY)


def test_padding_counts_in_no_mean_and_no_gradient():
    model = Model(lambda key: jnp.ones(1), lambda p, x: x * p[None], lambda p, x, key: x * p[None])
    given = Batch(jnp.asarray([[1.0], [3.0]]), jnp.zeros(2), jnp.asarray([True, False]))
    gradient = mean_gradient(regression(model))
    slope, total = gradient(jnp.ones(1), given, KEY)
    np.testing.assert_allclose(slope, [2.0])
    np.testing.assert_allclose(total, 1.0)
    slope, total = gradient(jnp.ones(1), given._replace(mask=jnp.zeros(2, bool)), KEY)
    np.testing.assert_array_equal(slope, [0.0])
    assert float(total) == 0
