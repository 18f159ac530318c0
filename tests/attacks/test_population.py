"""An absent client is as one without examples, and a canary adds its clipping norm."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pride_jax.attacks.population import keep_present, tossed, with_canaries
from pride_jax.data.federated import FederatedData
from pride_jax.errors import ConfigError
from pride_jax.federated import federated
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import LocalTraining, uniform
from pride_jax.models.networks import logistic
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.randomness import study_key
from pride_jax.privacy.sampling import full
from pride_jax.task import classification

FEATURES, CLASSES, SIZES = 4, 3, (5, 2, 3, 4)
MODEL = logistic((FEATURES,), CLASSES)


def data_of(sizes):
    rng = np.random.default_rng(0)
    total = sum(SIZES)
    starts = np.cumsum(SIZES) - SIZES
    return FederatedData(
        inputs=jnp.asarray(rng.normal(size=(total, FEATURES)), jnp.float32),
        targets=jnp.asarray(rng.integers(0, CLASSES, total), jnp.int32),
        shift=jnp.asarray(0.3, jnp.float32),
        scale=jnp.asarray(1.7, jnp.float32),
        index=jnp.asarray(rng.permutation(total), jnp.int32),
        offsets=jnp.asarray(starts, jnp.int32),
        sizes=jnp.asarray(sizes, jnp.int32),
    )


def plan_of(clients, noise_multiplier):
    return Plan(
        sampler=full(clients),
        clipping=Flat(0.5),
        mechanism=Gaussian(noise_multiplier),
        rounds=3,
        delta=1e-3,
    )


def algorithm_of(model, data, noise_multiplier=0.0, keep=True):
    optimizer = optax.sgd(1.0)
    method = fedavg(
        classification(model, CLASSES),
        optax.sgd(0.2),
        keep_present(optimizer) if keep else optimizer,
        weighting=uniform,
        training=LocalTraining(epochs=2, batch_size=2),
    )
    return federated(method, data, plan_of(data.num_clients, noise_multiplier))


def test_an_absent_client_is_one_without_examples():
    game = tossed(MODEL, data_of(SIZES))
    algorithm = algorithm_of(game.model, game.data)
    key = study_key(0)
    state = algorithm.init(jax.random.key(5), key)
    present = np.asarray(state.own.params["present"])
    assert 0 < present.sum() < len(SIZES)
    state, _ = algorithm.rounds(state, 3)
    np.testing.assert_array_equal(state.own.params["present"], present)

    alone = algorithm_of(MODEL, data_of(np.where(present > 0, SIZES, 0)), keep=False)
    expected, _ = alone.rounds(alone.init(jax.random.key(5), key), 3)
    for mine, theirs in zip(
        jax.tree.leaves(state.own.params["model"]),
        jax.tree.leaves(expected.own.params),
        strict=True,
    ):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)


def test_tosses_are_fair_and_differ_between_keys():
    game = tossed(MODEL, data_of(SIZES))
    keys = jax.random.split(jax.random.key(0), 500)
    present = np.asarray(jax.vmap(game.model.init)(keys)["present"])
    assert set(np.unique(present)) == {0.0, 1.0}
    np.testing.assert_allclose(present.mean(axis=0), 0.5, atol=0.1)


@pytest.mark.parametrize("examples", [1, 3])
def test_canaries_add_the_clipping_norm_and_nobody_else_touches_theirs(examples):
    real = data_of(SIZES)
    game = with_canaries(MODEL, real, canaries=6, examples=examples)
    algorithm = algorithm_of(game.model, game.data)
    state = algorithm.init(jax.random.key(1), study_key(2))
    present = np.asarray(state.own.params["present"])
    assert 0 < present.sum() < 6
    state, _ = algorithm.rounds(state, 3)
    shift = 3 * 0.5 / (len(SIZES) + 6)
    np.testing.assert_allclose(state.own.params["canaries"], present * shift, rtol=1e-4)


def test_canaries_leave_the_clients_model_alone():
    real = data_of(SIZES)
    game = with_canaries(MODEL, real, canaries=6)
    algorithm = algorithm_of(game.model, game.data)
    states = [algorithm.init(jax.random.key(seed), study_key(2)) for seed in (1, 4)]
    first, second = (
        algorithm.round(state._replace(keys=states[0].keys))[0].own.params for state in states
    )
    assert not np.array_equal(first["present"], second["present"])
    for a, b in zip(jax.tree.leaves(first["model"]), jax.tree.leaves(second["model"]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_noise_does_not_move_who_is_there():
    game = with_canaries(MODEL, data_of(SIZES), canaries=6)
    algorithm = algorithm_of(game.model, game.data, noise_multiplier=1.0)
    state = algorithm.init(jax.random.key(1), study_key(2))
    after, _ = algorithm.rounds(state, 3)
    np.testing.assert_array_equal(after.own.params["present"], state.own.params["present"])
    assert np.all(np.asarray(after.own.params["canaries"]) != 0)


def test_no_canaries_are_refused():
    with pytest.raises(ConfigError, match="canaries=0"):
        with_canaries(MODEL, data_of(SIZES), canaries=0)
