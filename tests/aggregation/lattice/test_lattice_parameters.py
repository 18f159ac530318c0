"""Every sum has a ring that is secure, has room for it, and is not larger than need be."""

import functools
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from pride_jax.aggregation.lattice.parameters import (
    FAILURE,
    KEY_BITS,
    LARGEST_BITS,
    VARIANCE,
    key_terms,
    lattice_of,
)
from pride_jax.aggregation.secure_sum import Terms
from pride_jax.files import read_json
from pride_jax.privacy.mechanisms.discrete_gaussian_noise import tail_bound
from pride_jax.privacy.mechanisms.thresholds import discrete_gaussian

FIGURES = Path(__file__).parents[3] / "results/encryption"
CNN = Terms(1_663_370, 16, 1.0, 10, 128)

any_terms = st.builds(
    Terms,
    st.integers(1, 2**31 - 1),
    st.integers(2, 32),
    st.just(1.0),
    st.just(1),
    st.integers(1, 2**31 - 1),
)


@settings(max_examples=40)
@given(any_terms)
def test_every_sum_has_a_secure_ring_with_room_for_it(terms):
    lattice = lattice_of(terms)
    assert math.log2(lattice.modulus) <= LARGEST_BITS[lattice.degree]
    assert len(set(lattice.primes)) == len(lattice.primes)
    for prime in lattice.primes:
        assert mpz(prime).is_prime() and prime % (2 * lattice.degree) == 1 and prime < 2**26
    # All values and the summed error side by side, at their largest, both signs.
    value = terms.largest_cohort * terms.largest_value
    error = lattice.largest_error(terms.largest_cohort)
    assert value < 2 ** (lattice.value_bits - 1)
    variance = terms.largest_cohort * VARIANCE
    assert lattice.coefficients * tail_bound(variance, error + 1) < FAILURE
    assert 9 * (2 * error + 1) <= 8 * 2**lattice.error_bits
    together = error + sum(value * 2**bit for bit in lattice.bits)
    assert together < lattice.modulus / 2
    assert lattice.modulus >= 2 ** (lattice.bits[-1] + lattice.value_bits)
    # All values have a place.
    assert lattice.slots * lattice.coefficients >= terms.length
    assert lattice.blocks * lattice.degree >= lattice.coefficients


def test_the_bounds_on_the_modulus_are_those_of_the_guidelines():
    assert LARGEST_BITS == {2048: 53, 4096: 106, 8192: 214}


@settings(max_examples=20)
@given(any_terms)
def test_keys_fit_the_terms_of_their_own_sum(terms):
    of_keys = key_terms(terms)
    assert of_keys.length == lattice_of(terms).degree
    assert len(discrete_gaussian(VARIANCE).high) <= of_keys.largest_value
    cohorts = terms.smallest_cohort, terms.largest_cohort
    assert (of_keys.smallest_cohort, of_keys.largest_cohort) == cohorts
    assert of_keys.bits == KEY_BITS


@pytest.mark.parametrize(
    ("terms", "degree", "primes", "slots", "most"),
    [
        (CNN, 4096, 4, 4, 3.2503),
        (Terms(199_210, 16, 1.0, 10, 128), 4096, 4, 4, 3.2535),
        (Terms(25_600_000, 16, 1.0, 10, 128), 4096, 4, 4, 3.25001),
        (Terms(1_663_370, 8, 1.0, 10, 10), 8192, 6, 12, 1.6252),
        (Terms(1_663_370, 32, 1.0, 10, 128), 8192, 8, 5, 5.201),
    ],
)
def test_bytes_a_value(terms, degree, primes, slots, most):
    lattice = lattice_of(terms)
    assert (lattice.degree, len(lattice.primes), lattice.slots) == (degree, primes, slots)
    assert lattice.size / terms.length <= most


def sums_of_errors(count):
    """Probabilities of the sum of ``count`` errors, 0 in the middle, by convolution."""
    table = discrete_gaussian(VARIANCE)
    tails = [int(h) * 2**64 + int(low) for h, low in zip(table.high, table.low, strict=True)]
    above = [upper - lower for upper, lower in itertools.pairwise([*tails, 0])]
    # Of positive numbers alone, so that small sums have as many right digits as large ones.
    one = np.array([each / 2**128 for each in above])
    one = np.concatenate([one[::-1], [1 - 2 * sum(above) / 2**128], one])
    return functools.reduce(np.convolve, [one] * count)


@pytest.mark.parametrize("count", [1, 2, 5, 30])
@pytest.mark.parametrize("length", [1, 100_000, 2**31 - 1])
def test_sums_of_errors_leave_their_bound_less_often_than_stated(count, length):
    lattice = lattice_of(Terms(length, 16, 1.0, 1, 30))
    bound = lattice.largest_error(count)
    summed = sums_of_errors(count)
    middle = len(summed) // 2
    beyond = 2 * summed[middle + bound + 1 :].sum() * lattice.coefficients
    assert 0 < beyond < FAILURE
    # The bound is no larger than it must be: a tenth less would not do.
    inside = bound - bound // 10
    assert 2 * summed[middle + inside + 1 :].sum() * lattice.coefficients > FAILURE


def test_the_estimators_figures_are_of_these_rings():
    found = {each["degree"]: each for each in read_json(FIGURES / "lattice_security.json")}
    largest = {}
    for length, bits in itertools.product((1, 100_000, 10_000_000), range(2, 33)):
        lattice = lattice_of(Terms(length, bits, 1.0, 1, 128))
        primes = largest.get(lattice.degree, ())
        largest[lattice.degree] = max(primes, lattice.primes, key=len)
    assert found.keys() == LARGEST_BITS.keys()
    for degree, primes in largest.items():
        # A smaller modulus, with the same errors, is safer.
        assert primes == tuple(found[degree]["primes"][: len(primes)])
        assert found[degree]["bits"] >= 128
        assert found[degree]["deviation"] ** 2 * 2 == VARIANCE


def test_a_million_sums_were_compared_and_none_was_wrong():
    found = read_json(FIGURES / "lattice_sums.json")
    assert found["sums"] >= 10**6
    assert found["wrong"] == 0
    # In rings of every degree.
    assert {degree for degree, _ in found["rings"]} == LARGEST_BITS.keys()
