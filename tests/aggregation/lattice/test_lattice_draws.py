"""Keys and errors have the distribution that security asks for; all agree on what is public."""

import hashlib
import os

import numpy as np
import pytest
from scipy import stats

from pride_jax.aggregation.lattice.drawn import draw_errors, draw_key, public_polynomials
from pride_jax.aggregation.lattice.parameters import VARIANCE, lattice_of
from pride_jax.aggregation.secure_sum import Terms
from pride_jax.privacy.mechanisms.thresholds import discrete_gaussian

LATTICE = lattice_of(Terms(400_000, 16, 1.0, 1, 128))
SEED = bytes(range(32))
TAIL = 25


def seeded(number):
    """A stand-in for the operating system that gives the same bytes each time."""
    return lambda size: hashlib.sha256(b"%d" % number).digest()[:size]


def p_value(drawn, deviation):
    """Of Pearson's test against discrete Gaussians, what is beyond ±25 taken together."""
    numbers = np.arange(-120, 121)
    weights = np.exp(-(numbers**2) / (2 * deviation**2))
    clipped = np.clip(numbers, -TAIL, TAIL)
    expected = np.bincount(clipped + TAIL, weights / weights.sum()) * drawn.size
    found = np.bincount(np.clip(drawn, -TAIL, TAIL).ravel() + TAIL, minlength=2 * TAIL + 1)
    return stats.chisquare(found, expected).pvalue


def draws(what):
    if what == "errors":
        return draw_errors(LATTICE, seeded(0)).astype(np.int64)
    return np.concatenate([draw_key(LATTICE, seeded(number)) for number in range(25)])


@pytest.mark.parametrize("what", ["keys", "errors"])
def test_draws_have_the_stated_deviation_and_no_other(what):
    drawn = draws(what)
    assert p_value(drawn, VARIANCE**0.5) > 1e-3
    # The deviation that is left for two honest clients, and one that is little off.
    assert p_value(drawn, 4.5) < 1e-9
    assert p_value(drawn, 1.02 * VARIANCE**0.5) < 1e-6


def test_draws_are_as_far_from_their_distribution_as_stated_and_go_as_far():
    table = discrete_gaussian(VARIANCE)
    assert table.distance < 2.0**-111
    assert len(table.high) == 78


def test_draws_come_from_the_generator_that_is_given():
    np.testing.assert_array_equal(draw_key(LATTICE, seeded(1)), draw_key(LATTICE, seeded(1)))
    assert (draw_key(LATTICE, seeded(1)) != draw_key(LATTICE, seeded(2))).any()
    assert (draw_key(LATTICE, os.urandom) != draw_key(LATTICE, os.urandom)).any()
    assert draw_errors(LATTICE, os.urandom).shape == (LATTICE.rows, LATTICE.lanes)


def test_public_polynomials_are_the_same_for_all_who_have_the_seed():
    found = public_polynomials(LATTICE, SEED)
    assert found.shape == (LATTICE.blocks, 4, 64, 64)
    digest = hashlib.sha256(found.astype("<u4").tobytes()).hexdigest()
    assert digest == "e2cd4c419b69d4c188ba7f6eda4364ee46b2053f034858a3325354118bf3558c"
    shorter = LATTICE._replace(length=20_000)
    np.testing.assert_array_equal(public_polynomials(shorter, SEED), found[: shorter.blocks])
    other = public_polynomials(LATTICE, SEED[::-1])
    assert (other != found).mean() > 0.999
    assert (found[0] != found[1]).mean() > 0.999


def test_public_residues_are_uniform_below_their_primes():
    # So far below 2^26 that a fifth of the words are refused.
    primes = (53_686_273, 53_661_697)
    lattice = LATTICE._replace(primes=primes)
    found = public_polynomials(lattice, SEED)
    for number, prime in enumerate(primes):
        residues = found[:, number].ravel()
        assert residues.max() < prime
        counts = np.bincount(residues.astype(np.int64) * 64 // prime)
        assert stats.chisquare(counts).pvalue > 1e-3


def test_public_polynomials_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        public_polynomials(LATTICE, SEED)[0] = 0
