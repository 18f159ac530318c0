"""Hidden vectors: their sums, at the bounds and past them, and what the residual check refuses."""

import hashlib
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pride_jax.aggregation.lattice.ciphertexts import (
    add,
    hide,
    is_canonical,
    mask,
    masked,
    reveal,
)
from pride_jax.aggregation.lattice.drawn import draw_key, public_polynomials
from pride_jax.aggregation.lattice.parameters import lattice_of
from pride_jax.aggregation.secure_sum import Terms
from pride_jax.errors import ProtocolError

SEED = bytes(range(32))
TERMS = Terms(300, 16, 1.0, 2, 10)
LATTICE = lattice_of(TERMS)
PUBLIC = public_polynomials(LATTICE, SEED)


def hidden(lattice, vectors):
    """The sum of the keys, and each vector's body."""
    public = public_polynomials(lattice, SEED)
    keys = [draw_key(lattice, os.urandom) for _ in vectors]
    bodies = [
        hide(lattice, mask(lattice, public, key, os.urandom), vector)
        for key, vector in zip(keys, vectors, strict=True)
    ]
    return sum(keys), bodies


@pytest.mark.parametrize(
    "terms",
    [
        Terms(5000, 16, 1.0, 2, 128),
        Terms(83, 32, 1.0, 2, 2**31 - 1),
        Terms(3000, 2, 1.0, 1, 3),
        Terms(70_000, 8, 1.0, 2, 10),
    ],
    ids=["usual", "widest", "narrowest", "largest ring"],
)
@pytest.mark.parametrize("extreme", [-1, 1, 0])
def test_sums_are_exact_up_to_the_largest_values(terms, extreme):
    lattice = lattice_of(terms)
    largest = terms.largest_value
    vectors = np.random.default_rng(0).integers(-largest, largest, (3, terms.length), endpoint=True)
    if extreme:
        vectors[:] = extreme * largest
    summed_key, bodies = hidden(lattice, vectors)
    assert {len(body) for body in bodies} == {lattice.size}
    assert all(is_canonical(lattice, body) for body in bodies)
    public = public_polynomials(lattice, SEED)
    found = reveal(lattice, public, summed_key, add(lattice, bodies), 3)
    np.testing.assert_array_equal(found, vectors.sum(0))


@settings(max_examples=10, deadline=None)
@given(
    length=st.integers(1, 3000),
    bits=st.integers(2, 32),
    clients=st.integers(1, 4),
    more=st.sampled_from([0, 1, 100, 2**20, 2**31 - 5]),
    seed=st.integers(0, 2**32 - 1),
)
def test_sums_under_any_terms_are_exact(length, bits, clients, more, seed):
    terms = Terms(length, bits, 1.0, 1, clients + more)
    lattice = lattice_of(terms)
    largest = terms.largest_value
    vectors = np.random.default_rng(seed).integers(
        -largest, largest, (clients, length), endpoint=True
    )
    summed_key, bodies = hidden(lattice, vectors)
    public = public_polynomials(lattice, SEED)
    found = reveal(lattice, public, summed_key, add(lattice, bodies), clients)
    np.testing.assert_array_equal(found, vectors.sum(0))


def test_full_cohorts_have_room():
    """As many clients as there is room for, each with its largest value and its largest error."""
    lattice = lattice_of(Terms(300, 16, 1.0, 2, 128))
    vector = np.full(300, -lattice.largest_value)
    bound, added = lattice.largest_error(128), 0
    bodies, keys = [], []
    for client in range(128):
        error = min(127, bound - added) if client < 100 else 0
        added += error
        errors = np.full((lattice.rows, lattice.lanes), -error, np.int8)
        keys.append(draw_key(lattice, os.urandom))
        public = public_polynomials(lattice, SEED)
        bodies.append(hide(lattice, masked(lattice, public, keys[-1], errors), vector))
    assert added == bound
    found = reveal(lattice, public, sum(keys), add(lattice, bodies), 128)
    np.testing.assert_array_equal(found, 128 * vector)


@pytest.mark.parametrize("sign", [-1, 1])
def test_errors_up_to_the_very_bound_are_taken_and_none_beyond(sign):
    bound = LATTICE.largest_error(1)
    key = draw_key(LATTICE, os.urandom)
    errors = np.zeros((LATTICE.rows, LATTICE.lanes), np.int8)
    vector = np.arange(300)
    errors[1, 1] = sign * bound
    body = hide(LATTICE, masked(LATTICE, PUBLIC, key, errors), vector)
    np.testing.assert_array_equal(reveal(LATTICE, PUBLIC, key, body, 1), vector)
    errors[1, 1] += sign
    body = hide(LATTICE, masked(LATTICE, PUBLIC, key, errors), vector)
    with pytest.raises(ProtocolError, match=f"^1 of .* leave ±{bound}"):
        reveal(LATTICE, PUBLIC, key, body, 1)


def test_values_up_to_the_very_bound_are_taken_and_none_beyond():
    key = draw_key(LATTICE, os.urandom)
    vector = np.zeros(300, np.int64)
    vector[299] = 2 * LATTICE.largest_value
    body = hide(LATTICE, mask(LATTICE, PUBLIC, key, os.urandom), vector)
    assert reveal(LATTICE, PUBLIC, key, body, 2)[299] == vector[299]
    with pytest.raises(ProtocolError, match="that 1 clients within their range cannot reach"):
        reveal(LATTICE, PUBLIC, key, body, 1)


def test_values_where_no_values_belong_are_refused():
    key = draw_key(LATTICE, os.urandom)
    longer = LATTICE._replace(length=LATTICE.slots * LATTICE.coefficients)
    assert longer.size == LATTICE.size and longer.length > LATTICE.length
    vector = np.zeros(longer.length, np.int64)
    vector[LATTICE.length] = 1
    body = hide(longer, mask(longer, PUBLIC, key, os.urandom), vector)
    with pytest.raises(ProtocolError, match="cannot reach"):
        reveal(LATTICE, PUBLIC, key, body, 1)


class TestOtherKeysAreRefused:
    """The check on the summed error, on which nothing else depends."""

    @pytest.mark.parametrize("change", ["one more", "none", "the other's missing", "twice"])
    def test_and_nothing_is_told(self, change):
        keys = [draw_key(LATTICE, os.urandom) for _ in range(2)]
        bodies = [
            hide(LATTICE, mask(LATTICE, PUBLIC, key, os.urandom), np.zeros(300, np.int64))
            for key in keys
        ]
        one = np.zeros(LATTICE.degree, np.int64)
        one[7] = 1
        wrong = {
            "one more": sum(keys) + one,
            "none": 0 * one,
            "the other's missing": keys[0],
            "twice": 2 * sum(keys),
        }
        with pytest.raises(ProtocolError, match="the summed key is not that of these 2 vectors"):
            reveal(LATTICE, PUBLIC, wrong[change], add(LATTICE, bodies), 2)

    def test_in_many_coefficients(self):
        """Under a wrong key they are uniform, and their room is that much wider than the bound."""
        # Of 68 clients with 9,000 values each, 9/8 of the bound is just below 512.
        for cohort in (1, 2, 10, 68, 128, 272, 1000, 10**6):
            for length in (300, 9000):
                lattice = lattice_of(Terms(length, 16, 1.0, 1, cohort))
                passes = (2 * lattice.largest_error(cohort) + 1) / 2**lattice.error_bits
                assert passes <= 8 / 9


def test_a_body_for_given_draws_does_not_change():
    """Parties of different versions understand one another."""
    rng = np.random.default_rng(5)
    key = rng.integers(-20, 21, LATTICE.degree)
    errors = rng.integers(-20, 21, (LATTICE.rows, LATTICE.lanes)).astype(np.int8)
    vector = rng.integers(-30_000, 30_000, 300)
    body = hide(LATTICE, masked(LATTICE, PUBLIC, key, errors), vector)
    assert (
        hashlib.sha256(body).hexdigest()
        == "069f30d68b6c2e6c969ff9be93d46fda593df3ab6523c4a13f8929a1ccdb241e"
    )
