"""Secure sums of rotated updates: bounded for every input, undone after the sum, as planned."""

import os
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pride_jax.aggregation.protocols.paillier import paillier
from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.secure_sum import Role
from pride_jax.data.datasets import load_dataset
from pride_jax.data.federated import federate
from pride_jax.data.partition import iid
from pride_jax.engine.contribution import on_grid
from pride_jax.engine.secure import SecureAggregation
from pride_jax.engine.simulated import simulated
from pride_jax.errors import ConfigError
from pride_jax.federated import federated
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import uniform
from pride_jax.models.modules import num_parameters
from pride_jax.models.networks import mlp
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.banded import Banded
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.randomness import study_key
from pride_jax.privacy.rotation import rotate_back
from pride_jax.privacy.sampling import full
from pride_jax.privacy.values import Integers, Rotated
from pride_jax.task import classification

ROUND, NORM = jnp.int32(3), 0.25
LENGTH = 40
FINE, COARSE = Rotated(LENGTH, 6), Rotated(LENGTH, 4)
"""Rounded to the nearest integers, and at random."""
ENCODE = {values: jax.jit(on_grid(values.grid)) for values in (FINE, COARSE)}


def encoded(values, update, weight=1.0):
    key, rest = jax.random.key(0), (jnp.float32(NORM), jnp.float32(weight))
    sent, reports = ENCODE[values](key, ROUND, jnp.asarray(update, jnp.float32), *rest)
    return np.asarray(sent.update, np.int64), reports


awkward = arrays(
    np.float32,
    LENGTH,
    elements=st.floats(width=32, allow_nan=True, allow_infinity=True)
    | st.sampled_from([1e30, -1e30, NORM, 1e-3, 0.0]),
)
BACK = np.asarray(jax.vmap(rotate_back, in_axes=(None, 0))(ROUND, jnp.eye(LENGTH)))
along_a_value = st.tuples(st.integers(0, LENGTH - 1), st.floats(-2.0, 2.0)).map(
    lambda drawn: drawn[1] * BACK[drawn[0]]
)
"""Made with regard to the signs: rotated, it has one value and nothing else."""
one_hot = st.integers(0, LENGTH - 1).map(lambda place: np.eye(LENGTH)[place])


@settings(max_examples=60, deadline=None)
@given(
    awkward | along_a_value | one_hot | st.just(np.ones(LENGTH)),
    st.floats(0.0, 1.0),
    st.sampled_from([FINE, COARSE]),
)
def test_no_client_adds_more_than_the_noise_and_the_residues_are_made_for(update, weight, values):
    integers, reports = encoded(values, update, weight)
    assert (integers**2).sum() <= values.max_squared_norm
    assert np.abs(integers).sum() <= values.max_l1_norm
    assert np.abs(integers).max() <= values.largest
    if not np.isfinite(update).all():
        assert not integers.any() and int(reports.nonfinite) == 1


def test_an_update_beyond_the_range_is_scaled_down_as_a_whole_and_counted():
    aimed = np.asarray(rotate_back(ROUND, NORM * (jnp.eye(LENGTH)[5] + 0.3 * jnp.eye(LENGTH)[9])))
    integers, reports = encoded(FINE, aimed)
    assert int(reports.fitted) == 1
    assert integers[5] == FINE.largest
    assert integers[9] == round(0.3 * FINE.largest)
    _, reports = encoded(FINE, np.eye(LENGTH)[5])
    assert int(reports.fitted) == 0 and int(reports.clipped) == 1


def test_integers_are_those_of_the_rotated_update():
    update = np.random.default_rng(0).normal(size=LENGTH)
    update *= 0.2 / np.linalg.norm(update)
    for values, most in ((FINE, 0.5), (COARSE, 1.0)):
        integers, _ = encoded(values, update)
        grid = values.grid
        error = rotate_back(ROUND, jnp.asarray(integers * grid.step(NORM), jnp.float32)) - update
        assert np.linalg.norm(error) <= most * grid.step(NORM) * np.sqrt(LENGTH)
        assert np.linalg.norm(error) > 0


CLIENTS = 12
DATASET = load_dataset("iris", test_examples=90)
DATA = federate(DATASET, iid(np.random.default_rng(0), 60, CLIENTS))
MODEL = mlp((4,), 3, (64,))
ROTATED = Rotated(num_parameters(MODEL), 5)
PLAN = Plan(
    sampler=full(CLIENTS),
    clipping=Flat(NORM),
    mechanism=Skellam(1.0, ROTATED),
    rounds=20,
    delta=1e-3,
)


def algorithm(plan, rate=0.3, protocol=None, **options):
    protocol, bits = protocol or plain(), plan.mechanism.values.bits
    keys = protocol.keygen(os.urandom, Role.KEY_HOLDER)
    secure = SecureAggregation(protocol, keys, bits, NORM, **options)
    method = fedavg(classification(MODEL, 3), optax.sgd(rate), weighting=uniform)
    return federated(method, DATA, plan, simulated(secure))


def flat(params):
    return np.asarray(jax.flatten_util.ravel_pytree(params)[0], np.float64)


def steps_of(made, rounds=2):
    """What each round adds to the parameters, a row a round."""
    state, rows = made.init(jax.random.key(4), study_key(5)), []
    for _ in range(rounds):
        after, _ = made.round(state)
        rows.append(flat(after.own.params) - flat(state.own.params))
        state = after
    return np.array(rows)


def test_encrypted_and_plain_sums_are_the_same_bits():
    def constant(size):
        return bytes([7]) * size

    plan = replace(PLAN, mechanism=Skellam(1.0, ROTATED, colluders=1))
    results = [
        steps_of(algorithm(plan, protocol=protocol, rng=constant), 1)
        for protocol in (plain(), paillier(1024))
    ]
    np.testing.assert_array_equal(*results)
    assert results[0].any()


@pytest.fixture(scope="module")
def silent():
    """Rounds without noise."""
    return algorithm(replace(PLAN, mechanism=Gaussian(0.0, ROTATED)), rate=3.0)


def test_released_sums_are_turned_back(silent):
    fine = replace(PLAN, mechanism=Gaussian(0.0, Integers(ROTATED.dimension, 16)))
    exact, turned = (steps_of(made, 1) for made in (algorithm(fine, rate=3.0), silent))
    error = np.linalg.norm(turned - exact)
    # Every client's values are a step off at most, and its own way.
    assert 0 < error < ROTATED.grid.step(NORM) * np.sqrt(ROTATED.dimension / CLIENTS)
    assert error < 0.1 * np.linalg.norm(exact)


def test_the_noise_of_turned_sums_is_the_planned():
    noise = steps_of(algorithm(PLAN, rate=0.0), 4)
    variance = PLAN.mechanism.total_variance(PLAN.sampler)
    expected = variance**0.5 * ROTATED.grid.step(NORM) / CLIENTS
    assert abs(noise.std() / expected - 1) < 5 / np.sqrt(2 * noise.size)
    assert abs(np.corrcoef(noise[0], noise[1])[0, 1]) < 5 / np.sqrt(ROTATED.dimension)


def test_a_run_goes_on_to_the_same_bits(silent):
    whole, _ = silent.rounds(silent.init(jax.random.key(4), study_key(5)), 2)
    half, _ = silent.round(silent.init(jax.random.key(4), study_key(5)))
    again = silent.init(jax.random.key(4), study_key(5), 1)._replace(own=half.own)
    resumed, _ = silent.round(again)
    np.testing.assert_array_equal(flat(whole.own.params), flat(resumed.own.params))


def test_noise_that_rounds_take_back_must_not_be_turned():
    with pytest.raises(ConfigError, match="no Rotated integers"):
        Banded(1.0, 2, ROTATED)
