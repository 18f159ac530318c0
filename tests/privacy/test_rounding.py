"""Rounding within a norm: never beyond it, the first draw that fits, and an end to every loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pride_jax.aggregation.fixed_point import REFUSED, quantize
from pride_jax.privacy.rounding import nearest_within, round_within, squared_norm

CLIPPING_NORM, BITS = 1.0, 4
HALVES = jnp.full(196, 0.5 / 7)
"""Norm 7 in integer units, and every value half way between two integers."""


def rounding(vector):
    return lambda key: quantize(key, vector, CLIPPING_NORM, BITS)


def test_integers_are_the_first_that_fit():
    bound, keys = 94, jax.random.split(jax.random.key(0), 50)
    rounded, given_up = jax.jit(jax.vmap(lambda key: round_within(key, rounding(HALVES), bound)))(
        keys
    )
    assert not given_up.any()
    attempts, plain = [], jax.jit(rounding(HALVES))
    for key, row in zip(keys, np.asarray(rounded), strict=True):
        for attempt in range(256):
            candidate = np.asarray(plain(jax.random.fold_in(key, attempt)))
            if (candidate**2).sum() <= bound:
                break
        np.testing.assert_array_equal(row, candidate)
        attempts.append(attempt)
    assert max(attempts) > 3


def test_alone_and_vmapped_are_the_same():
    keys = jax.random.split(jax.random.key(1), 4)
    together, _ = jax.vmap(lambda key: round_within(key, rounding(HALVES), 95))(keys)
    alone = jax.jit(lambda key: round_within(key, rounding(HALVES), 95))
    for key, row in zip(keys, together, strict=True):
        np.testing.assert_array_equal(alone(key)[0], row)


def test_a_bound_that_excludes_nothing_leaves_plain_rounding():
    key = jax.random.key(2)
    rounded, given_up = round_within(key, rounding(HALVES), 2**32 - 2)
    np.testing.assert_array_equal(rounded, rounding(HALVES)(jax.random.fold_in(key, 0)))
    assert not given_up


@pytest.mark.parametrize(
    "vector",
    [
        jnp.full(100, 0.9),
        jnp.array([jnp.nan, 0.0]),
        jnp.array([2.0, 0.0]),
    ],
    ids=["too long", "not a number", "beyond the limit"],
)
def test_what_can_never_fit_becomes_zeros_and_is_told(vector):
    rounded, given_up = jax.jit(lambda key: round_within(key, rounding(vector), 80))(
        jax.random.key(3)
    )
    assert given_up
    assert not rounded.any()


def test_one_hopeless_vector_changes_nothing_for_the_others():
    vectors = jnp.stack([HALVES, jnp.full(196, jnp.nan), HALVES])
    keys = jax.random.split(jax.random.key(4), 3)
    rounded, given_up = jax.vmap(lambda key, each: round_within(key, rounding(each), 95))(
        keys, vectors
    )
    np.testing.assert_array_equal(given_up, [False, True, False])
    np.testing.assert_array_equal(rounded[2], round_within(keys[2], rounding(HALVES), 95)[0])


def test_the_nearest_integers_are_kept_if_they_are_short_enough():
    vector = jnp.array([0.6, -1.4, 2.5, 0.0])
    for bound, expected in ((6, [1, -1, 2, 0]), (5, [0, -1, 2, 0]), (4, [0, 0, 0, 0])):
        rounded, given_up = jax.jit(nearest_within, static_argnums=1)(vector, bound)
        np.testing.assert_array_equal(rounded, expected)
        assert given_up == (bound == 4)


@settings(deadline=None, max_examples=60)
@given(arrays(np.float32, 9, elements=st.floats(width=32)), st.sampled_from([0, 7, 10**6, 2**31]))
def test_nearest_integers_of_anything_are_within_the_bound(vector, bound):
    rounded, _ = nearest_within(jnp.asarray(vector), bound)
    assert sum(value**2 for value in np.asarray(rounded).tolist()) <= bound


extreme = st.sampled_from([REFUSED, -REFUSED - 1, 2**16 - 1, 2**16, -(2**16), 65_535 * 256, 1, 0])


@settings(deadline=None, max_examples=50)
@given(arrays(np.int32, 7, elements=extreme | st.integers(-40_000, 40_000)))
def test_the_squared_norm_is_exact_or_saturates(integers):
    exact = sum(value**2 for value in integers.tolist())
    assert int(jax.jit(squared_norm)(integers)) == min(exact, 2**32 - 1)


def test_long_vectors_whose_squares_add_to_multiples_of_2_to_the_32_saturate():
    assert int(squared_norm(jnp.full(2**20, 2**15, jnp.int32))) == 2**32 - 1
    assert int(squared_norm(jnp.full(2_000_000, 32, jnp.int32))) == 2_000_000 * 1024
