"""ROC curves, their ceilings, and scores that know who took part."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from dp_accounting.gaussian_mechanism import get_epsilon_gaussian
from pride_jax.engine.client import LocalTraining
from scipy.stats import norm

from pride_jax.attacks.membership import (
    alignment,
    auc,
    auc_ceiling,
    ceiling,
    gaussian_dp,
    likelihood_ratio,
    roc,
    tpr_at,
)
from pride_jax.data.federated import FederatedData
from pride_jax.errors import ConfigError
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import WHOLE, LocalTraining
from pride_jax.models.networks import logistic
from pride_jax.task import classification


def test_a_curve_by_hand():
    curve = roc(np.array([3.0, 2.0, 1.0]), np.array([2.5, 1.0, 0.0]))
    np.testing.assert_allclose(curve.fpr, [0, 0, 1 / 3, 1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(curve.tpr, [0, 1 / 3, 1 / 3, 2 / 3, 1, 1])
    assert tpr_at(curve, 0.4) == pytest.approx(2 / 3)
    assert tpr_at(curve, 0.1) == pytest.approx(1 / 3)


def test_auc_is_how_often_a_present_client_outscores_an_absent_one():
    rng = np.random.default_rng(0)
    present, absent = rng.integers(0, 8, 60) + 1.0, rng.integers(0, 8, 50) + 0.0
    wins = present[:, None] - absent[None, :]
    expected = np.mean((wins > 0) + 0.5 * (wins == 0))
    assert auc(roc(present, absent)) == pytest.approx(expected)


def test_no_scores_of_one_kind_are_refused():
    with pytest.raises(ConfigError, match="at least one of either"):
        roc(np.array([]), np.array([1.0]))


def test_a_gaussian_meets_its_ceiling():
    epsilon, delta = 3.0, 1e-5
    mu = gaussian_dp(epsilon, delta)
    assert get_epsilon_gaussian(1 / mu, delta) == pytest.approx(epsilon, rel=1e-6)
    rng = np.random.default_rng(1)
    curve = roc(rng.normal(mu, 1, 200_000), rng.normal(0, 1, 200_000))
    assert auc(curve) == pytest.approx(auc_ceiling(mu), abs=0.004)
    for fpr in (0.01, 0.1, 0.5):
        assert tpr_at(curve, fpr) == pytest.approx(float(ceiling(mu, np.array(fpr))), abs=0.006)


def test_the_ceiling_at_epsilon_one():
    assert auc_ceiling(gaussian_dp(1.0, 1e-5)) == pytest.approx(0.575, abs=5e-4)
    assert auc_ceiling(0.0) == 0.5
    for epsilon, delta in ((0.0, 1e-5), (math.inf, 1e-5), (1.0, 0.0)):
        with pytest.raises(ConfigError, match="expected ε > 0"):
            gaussian_dp(epsilon, delta)


def test_likelihood_ratios_of_normals_are_the_exact_ones():
    rng = np.random.default_rng(2)
    shadows, means, gaps = 40_000, np.array([-3.0, 10.0]), np.array([0.5, 2.0])
    there = rng.random((shadows, 2)) < 0.5
    scores = rng.normal(size=(shadows, 2)) + means[None, :] + gaps[None, :] * there
    tried = means[None, :] + np.linspace(-2, 4, 7)[:, None]
    expected = norm.logpdf(tried - means - gaps) - norm.logpdf(tried - means)
    np.testing.assert_allclose(likelihood_ratio(scores, there, tried), expected, atol=0.15)


def test_shadow_runs_that_all_have_a_client_are_refused():
    there = np.ones((5, 2), bool)
    with pytest.raises(ConfigError, match="some and not in all"):
        likelihood_ratio(np.zeros((5, 2)), there, np.zeros((1, 2)))


def test_alignment_is_the_inner_product_with_what_each_client_would_do():
    model, clients, rate, norm_ = logistic((3,), 2), 4, 0.5, 0.1
    rng = np.random.default_rng(3)
    data = FederatedData(
        inputs=jnp.asarray(rng.normal(size=(clients, 3)), jnp.float32),
        targets=jnp.asarray(rng.integers(0, 2, clients), jnp.int32),
        shift=jnp.zeros(()),
        scale=jnp.ones(()),
        index=jnp.arange(clients),
        offsets=jnp.arange(clients),
        sizes=jnp.ones(clients, jnp.int32),
    )
    start = model.init(jax.random.key(0))
    released = jax.tree.map(
        lambda leaf: jnp.asarray(rng.normal(size=(3, *leaf.shape)), jnp.float32), start
    )
    training = LocalTraining(batch_size=WHOLE)
    method = fedavg(classification(model, 2), optax.sgd(rate), training=training)
    score = alignment(method, data, norm_)
    scores = score(jax.random.key(1), released)

    def loss(params, client):
        logits = model.apply(params, data.inputs[client][None])
        return -jax.nn.log_softmax(logits)[0, data.targets[client]]

    for client in range(clients):
        total = 0.0
        for round_ in range(2):
            before = jax.tree.map(lambda leaf, number=round_: leaf[number], released)
            after = jax.tree.map(lambda leaf, number=round_: leaf[number + 1], released)
            own = jax.tree.map(lambda leaf: -rate * leaf, jax.grad(loss)(before, client))
            factor = min(1.0, norm_ / float(optax.tree.norm(own)))
            step = jax.tree.map(jnp.subtract, after, before)
            total += factor * float(optax.tree.vdot(own, step))
        assert float(scores[client]) == pytest.approx(total, rel=1e-3, abs=1e-5)
