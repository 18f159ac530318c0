"""Private sums of integers: the same bits however they are added, and possible without a client."""

import os
from dataclasses import replace
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.secure_sum import Role
from pride_jax.data.datasets import load_dataset
from pride_jax.data.federated import federate
from pride_jax.data.partition import by_sizes
from pride_jax.engine.cohort import clients_mesh
from pride_jax.engine.contribution import encoder
from pride_jax.engine.on_device import on_device
from pride_jax.engine.secure import SecureAggregation
from pride_jax.engine.simulated import simulated
from pride_jax.errors import ConfigError
from pride_jax.federated import federated
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import uniform
from pride_jax.models.modules import num_parameters
from pride_jax.models.networks import mlp
from pride_jax.privacy.clipping import Adaptive, Flat
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.gaussian_noise import add_gaussian, add_rounded
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.randomness import study_key
from pride_jax.privacy.sampling import full, truncated_poisson
from pride_jax.privacy.values import DeviceIntegers, Floats, Integers
from pride_jax.task import classification

DATASET = load_dataset("iris", test_examples=90)
SIZES = (0, 3, 5, 12, 7, 1, 9, 23)
DATA = federate(DATASET, by_sizes(np.random.default_rng(0), 60, SIZES))
MODEL = mlp((4,), 3, (8,))
LENGTH = num_parameters(MODEL)
PLAN = Plan(
    sampler=full(len(SIZES)),
    clipping=Flat(0.25),
    mechanism=Gaussian(0.02, DeviceIntegers(LENGTH)),
    rounds=20,
    delta=1e-3,
)
ADAPTING = replace(PLAN, clipping=Adaptive(0.25))


def trained(plan, adder, rounds=3):
    method = fedavg(classification(MODEL, 3), optax.sgd(0.3), weighting=uniform)
    algorithm = federated(method, DATA, plan, adder)
    state, _ = algorithm.rounds(algorithm.init(jax.random.key(1), study_key(2)), rounds)
    flat = jax.flatten_util.ravel_pytree(algorithm.params(state))[0]
    return np.append(np.asarray(flat), state.privacy.norm)


@pytest.mark.parametrize("plan", [PLAN, ADAPTING], ids=["flat", "adaptive"])
def test_chunks_and_devices_move_a_release_by_last_bits_of_training_alone(plan):
    first = trained(plan, on_device(clients_mesh(jax.devices()[:1]), 1))
    assert (first[-1] != 0.25) == plan.clipping.adapts
    for devices, chunk in ((1, 3), (2, 2)):
        adder = on_device(clients_mesh(jax.devices()[:devices]), chunk)
        # Whatever a client's own training rounds differently moves it by less than half a step.
        again = trained(plan, adder)
        assert np.abs(again - first).max() <= 1e-6
        assert (again == first).mean() > 0.9


def test_integer_sums_have_no_order():
    """The same contributions in any order and division: no bit differs, where floats' do."""
    rng = np.random.default_rng(3)
    updates = rng.normal(size=(64, 50)).astype(np.float32)
    for mechanism, same in ((PLAN.mechanism, True), (Gaussian(0.02, Floats()), False)):
        plan = replace(PLAN, mechanism=mechanism)
        encode = jax.jit(encoder(plan.added))
        rest = jnp.float32(9), jnp.float32(1)
        made = [encode(jax.random.key(0), ROUND, update, *rest)[0] for update in updates]
        rows = np.stack([each.update for each in made])
        sums = [rows[rng.permutation(64)].cumsum(axis=0)[-1] for _ in range(5)]
        assert all((each == sums[0]).all() for each in sums) == same


def test_a_secure_sum_of_the_same_grid_releases_the_same_bits():
    """What the server adds to an opened sum is what a device adds to its own."""
    keys = plain().keygen(os.urandom, Role.KEY_HOLDER)
    secure = SecureAggregation(plain(), keys, 16, PLAN.clipping.norm)
    opened = replace(PLAN, mechanism=Gaussian(0.02, Integers(LENGTH, 16)))
    assert opened.grid == PLAN.grid
    one = clients_mesh(jax.devices()[:1])
    np.testing.assert_array_equal(
        trained(opened, simulated(secure, one, 1)), trained(PLAN, on_device(one, 1))
    )


GRID, ROUND = PLAN.grid, jnp.int32(3)
awkward = arrays(
    np.float32,
    LENGTH,
    elements=st.floats(width=32, allow_nan=True, allow_infinity=True)
    | st.sampled_from([1e30, -1e30, 0.25, 1e-3, 0.0]),
)
ENCODE = jax.jit(encoder(ADAPTING.added))


@settings(max_examples=60, deadline=None)
@given(awkward, st.floats(0.0, 1.0), st.sampled_from([1e-6, 0.25, 3.0]))
def test_no_client_adds_more_than_the_noise_is_made_for(update, weight, norm):
    sent, reports = ENCODE(
        jax.random.key(0), ROUND, jnp.asarray(update), jnp.float32(norm), jnp.float32(weight)
    )
    integers = np.asarray(sent.update, np.int64)
    assert (integers**2).sum() <= ADAPTING.grid.max_squared_norm
    assert abs(int(sent.within)) in (0, ADAPTING.grid.half)
    if not np.isfinite(update).all():
        assert not integers.any() and int(reports.nonfinite) == 1 and int(sent.within) == 0


def test_rounding_is_to_the_nearest_step():
    update = np.random.default_rng(0).normal(size=LENGTH).astype(np.float32)
    update *= 0.2 / np.linalg.norm(update)
    given_ = jnp.asarray(update), jnp.float32(0.25), jnp.float32(1)
    sent, _ = ENCODE(jax.random.key(0), ROUND, *given_)
    steps = update.astype(np.float64) * GRID.levels / 0.25
    assert np.abs(np.asarray(sent.update) - steps).max() <= 0.5 + 1e-3


def test_noise_of_floats_makes_sums_that_are_impossible_without_a_client():
    """Without the remedy: most sums with the client cannot come of the same noise without it."""
    noise = np.asarray(add_gaussian(jax.random.key(0), jnp.zeros(20_000), 1.0))
    moved = np.asarray(add_gaussian(jax.random.key(1), jnp.full(20_000, 0.3), 1.0))
    # Sums of floats show their exponent: a step of 2^-30 at 0 is none of a sum that was moved.
    grid = {Fraction(float(value)).limit_denominator(2**40).denominator for value in moved}
    assert max(grid) <= 2**26
    finest = [Fraction(float(value)).denominator for value in noise if abs(value) < 2**-6]
    assert max(finest) > 2**26


def test_noise_of_integers_makes_every_sum_as_likely_as_it_must_be_without_a_client():
    """Black box: of 200,000 releases with a client, how often each event happens without it.

    A client moves 1,000 values by 0.01 deviations each: within a deviation's 3% in all.
    """
    deviation, move = 4.0, 1
    with_client = np.asarray(add_rounded(study_key(1), jnp.full(400_000, move), deviation))
    without = np.asarray(add_rounded(study_key(2), jnp.zeros(400_000, jnp.int32), deviation))
    events, counts = np.unique(with_client, return_counts=True)
    for event, count in zip(events, counts, strict=True):
        if count >= 38:
            there = (without == event).sum()
            assert there > 0
            # e^loss of the event, by the densities, and five standard errors.
            loss = np.exp((2 * event * move - move**2) / (2 * deviation**2))
            assert abs(count / there / loss - 1) < 5 * np.sqrt(1 / count + 1 / there)


@pytest.mark.parametrize(
    ("mechanism", "reason"),
    [
        (Gaussian(1.0, DeviceIntegers(LENGTH - 1)), "on_device adds DeviceIntegers"),
        (Gaussian(1.0, Integers(LENGTH)), "on_device adds DeviceIntegers"),
    ],
)
def test_plans_of_other_integers_are_refused(mechanism, reason):
    with pytest.raises(ConfigError, match=reason):
        trained(replace(PLAN, mechanism=mechanism), on_device())


def test_room_for_more_parameters_is_room_enough():
    plan = replace(PLAN, mechanism=Gaussian(1.0), sampler=truncated_poisson(len(SIZES), 0.5))
    assert np.isfinite(trained(plan, on_device())).all()
