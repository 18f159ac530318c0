"""Rotations: orthogonal, undone to the last digits, and values that are large for no update."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pride_jax.errors import ConfigError
from pride_jax.privacy.rotation import rotate, rotate_back
from pride_jax.privacy.values import Integers, Rotated, block_of, integers_of, rounded_norm

LENGTHS = [32, 45]
ROTATE, BACK = jax.jit(rotate), jax.jit(rotate_back)
ROUND = jnp.int32(7)


def matrix(length):
    """The rotation of ROUND, column by column."""
    return np.asarray(jax.vmap(rotate, in_axes=(None, 0))(ROUND, jnp.eye(length))).T


def of_paper(length, signs):
    """The same from Hadamard's matrix: the first block, then the last."""
    block = block_of(length)
    hadamard = scipy.linalg.hadamard(block) / math.sqrt(block)
    first, last = np.eye(length), np.eye(length)
    first[:block, :block] = hadamard * signs[0]
    last[-block:, -block:] = hadamard * signs[1]
    return last @ first


@pytest.mark.parametrize("length", LENGTHS)
def test_a_rotation_is_hadamards_matrix_with_signs_on_both_ends(length):
    key = jax.random.fold_in(jax.random.key(0), ROUND)
    signs = np.asarray(jax.random.rademacher(key, (2, block_of(length))))
    np.testing.assert_allclose(matrix(length), of_paper(length, signs), atol=1e-6)


# Numbers that a device does not flush to zero.
floats = st.floats(2.0**-40, 1e6, width=32) | st.floats(-1e6, -(2.0**-40), width=32) | st.just(0.0)
pairs = st.sampled_from(LENGTHS).flatmap(
    lambda length: st.tuples(*[arrays(np.float32, length, elements=floats)] * 2)
)


@settings(max_examples=50, deadline=None)
@given(pairs)
def test_lengths_and_angles_stay(pair):
    one, other = (each.astype(np.float64) for each in pair)
    turned, turned_other = (np.asarray(ROTATE(ROUND, each), np.float64) for each in pair)
    scale = np.linalg.norm(one) * np.linalg.norm(other)
    assert abs(turned @ turned_other - one @ other) <= 1e-5 * scale
    again = np.asarray(BACK(ROUND, ROTATE(ROUND, pair[0])))
    assert np.linalg.norm(again - one) <= 1e-5 * np.linalg.norm(one)


def test_each_round_has_signs_of_its_own_and_always_the_same():
    vector = jnp.arange(45.0)
    one, again, other = (ROTATE(jnp.int32(round_), vector) for round_ in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert np.abs(np.corrcoef(one, other)[0, 1]) < 0.6


ROUNDS = 1000
FEW = ("one value", "the last value", "two values", "a tenth")
LONG = 700
"""Of which the first 188 values are transformed once."""
UPDATES = {
    "one value": np.eye(1, LONG),
    "the last value": np.eye(1, LONG, LONG - 1),
    "two values": np.eye(2, LONG).sum(axis=0),
    "flat": np.ones(LONG),
    "a row of Hadamard's": np.resize([1.0, -1.0], LONG),
    "normal": np.random.default_rng(0).normal(size=LONG),
    "a tenth": np.random.default_rng(1).normal(size=LONG) * (np.arange(LONG) % 10 == 0),
}


@pytest.fixture(scope="module")
def rounds():
    """Updates of norm 1, rotated by 1,000 rounds each."""
    rows = np.stack([np.ravel(update) / np.linalg.norm(update) for update in UPDATES.values()])
    over_rounds = jax.vmap(rotate, in_axes=(0, None))
    turned = jax.jit(jax.vmap(over_rounds, in_axes=(None, 0)))(
        jnp.arange(ROUNDS), jnp.asarray(rows, jnp.float32)
    )
    return dict(zip(UPDATES, np.asarray(turned), strict=True))


@pytest.mark.parametrize("name", UPDATES)
def test_values_are_as_large_as_hoeffdings_bound_has_it(rounds, name):
    deviations = np.abs(rounds[name]) * math.sqrt(block_of(LONG))
    for most in (1.5, 2.5, 3.5):
        share = (deviations > most).mean(axis=0)
        # The worst of all values, five standard errors.
        bound = min(1.0, 2 * math.exp(-(most**2) / 2))
        assert share.max() <= bound + 5 * math.sqrt(bound / ROUNDS)


@pytest.mark.parametrize("name", UPDATES)
def test_no_more_than_an_update_in_1024_leaves_the_range(rounds, name):
    reach = Rotated(LONG, 4).grid.reach
    beyond = (np.abs(rounds[name]).max(axis=1) > reach).sum()
    assert beyond <= ROUNDS / 1024 + 5 * math.sqrt(ROUNDS / 1024)
    unturned = np.abs(np.ravel(UPDATES[name])).max() / np.linalg.norm(UPDATES[name])
    # Without a rotation, updates of few values leave it always.
    assert (unturned > reach) == (name in FEW)


@given(st.integers(2, 2**27), st.integers(2, 16))
def test_a_grid_is_never_coarser_for_rotations_and_its_norms_fit_into_32_bits(dimension, bits):
    plain, values = (integers_of(dimension, bits, rotation=may) for may in (False, True))
    assert plain == Integers(dimension, bits)
    assert values.levels >= plain.levels
    assert (type(values) is Rotated) == (values.levels > plain.levels)
    assert values.largest <= plain.largest == plain.levels
    assert rounded_norm(values.levels, dimension) - 1 < values.max_squared_norm < 2**32 - 1
    assert values.grid.stretched <= plain.grid.stretched * (1 + 1e-12)
    if type(values) is Rotated:
        # The range holds what rotated updates need, and rounding stays in it.
        assert values.levels * values.grid.reach <= values.largest * (1 + 1e-12)
        assert values.grid.nearest(dimension) or values.largest == plain.largest


@pytest.mark.parametrize(
    ("dimension", "bits", "most"),
    [
        (5010, 8, 1.005),
        (199_210, 8, 1.005),
        (199_210, 12, 1.005),
        (1_663_370, 8, 1.005),
        (1_663_370, 12, 1.005),
        (1_663_370, 16, 1.005),
        (199_210, 6, 1.01),
        (1_663_370, 6, 1.01),
    ],
)
def test_rounding_rotated_updates_costs_next_to_nothing(dimension, bits, most):
    assert integers_of(dimension, bits, rotation=True).grid.stretched <= most


@pytest.mark.parametrize(
    ("dimension", "bits", "found"),
    [(199_210, 8, 2.027), (1_663_370, 12, 1.049), (5010, 8, 1.043), (199_210, 12, 1.0062)],
)
def test_rounding_updates_as_they_are_costs_more(dimension, bits, found):
    assert Integers(dimension, bits).grid.stretched == pytest.approx(found, rel=1e-3)


@pytest.mark.parametrize(
    ("dimension", "bits", "reason"),
    [(40, 12, "bits=12: expected others for 40 values"), (2**27 + 1, 8, "dimension=.*at most")],
)
def test_rotations_that_make_no_grid_finer_are_refused(dimension, bits, reason):
    with pytest.raises(ConfigError, match=reason):
        Rotated(dimension, bits)
