"""Hidden vectors: their sums, at the bounds and past them, and what the residual check refuses."""

import os

import numpy as np
import pytest

from pride_jax.aggregation.lattice.ciphertexts import add, hide, is_canonical, mask, reveal
from pride_jax.aggregation.lattice.drawn import draw_key, public_polynomials
from pride_jax.aggregation.lattice.parameters import lattice_of
from pride_jax.aggregation.secure_sum import Terms
from pride_jax.errors import ProtocolError

SEED = bytes(range(32))


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


def test_another_key_is_refused():
    terms = Terms(300, 16, 1.0, 2, 10)
    lattice = lattice_of(terms)
    summed_key, bodies = hidden(lattice, np.zeros((2, 300), np.int64))
    public = public_polynomials(lattice, SEED)
    summed_key[7] += 1
    with pytest.raises(ProtocolError, match="the summed key is not that of these 2 vectors"):
        reveal(lattice, public, summed_key, add(lattice, bodies), 2)
