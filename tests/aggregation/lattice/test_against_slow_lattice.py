"""The arithmetic gives the bits that its definitions give, for the same draws."""

import itertools
import os

import numpy as np
import pytest
import slow_lattice as slow

from pride_jax.aggregation.lattice import ciphertexts as fast
from pride_jax.aggregation.lattice.drawn import draw_errors, draw_key, public_polynomials
from pride_jax.aggregation.lattice.parameters import Lattice, lattice_of
from pride_jax.aggregation.secure_sum import Terms
from pride_jax.errors import ProtocolError

CLIENTS = 3
CASES = {
    "one block, not full": Terms(700, 16, 1.0, 1, 128),
    "several blocks": Terms(4001, 16, 1.0, 1, 128),
    "few bits": Terms(3000, 2, 1.0, 1, 10),
    "wide sums": Terms(600, 32, 1.0, 1, 2**20),
}


def small(terms: Terms) -> Lattice:
    """The primes and slots of these terms, in a ring of degree 256."""
    return lattice_of(terms)._replace(degree=256)


@pytest.mark.parametrize("terms", CASES.values(), ids=CASES)
@pytest.mark.parametrize("extreme", [False, True])
def test_every_step_is_equal_to_the_bit(terms: Terms, extreme: bool) -> None:
    lattice, seed, rng = small(terms), os.urandom(32), np.random.default_rng(0)
    public, polynomials = public_polynomials(lattice, seed), slow.public_polynomials(lattice, seed)
    keys, vectors, bodies = [], [], []
    for _ in range(CLIENTS):
        key, errors = draw_key(lattice, os.urandom), draw_errors(lattice, os.urandom)
        least = terms.largest_value if extreme else -terms.largest_value
        vector = rng.integers(least, terms.largest_value, terms.length, endpoint=True)
        body = fast.hide(lattice, fast.masked(lattice, public, key, errors), vector)
        masked = slow.masked(lattice, polynomials, key.tolist(), errors)
        assert body == slow.hide(lattice, masked, vector.tolist())
        assert len(body) == lattice.size
        assert fast.is_canonical(lattice, body)
        assert slow.is_canonical(lattice, body)
        keys.append(key)
        vectors.append(vector)
        bodies.append(body)
    total, key = fast.add(lattice, bodies), sum(keys)
    assert total == slow.add(lattice, bodies)
    found = fast.reveal(lattice, public, key, total, CLIENTS)
    assert (found == sum(vectors)).all()
    assert slow.reveal(lattice, polynomials, key.tolist(), total, CLIENTS) == found.tolist()


def test_both_refuse_the_same_sums() -> None:
    """Of another key, of a key that is off by one, of one vector less or more."""
    lattice, seed = small(CASES["several blocks"]), os.urandom(32)
    public, polynomials = public_polynomials(lattice, seed), slow.public_polynomials(lattice, seed)
    keys = [draw_key(lattice, os.urandom) for _ in range(CLIENTS)]
    bodies = [
        fast.hide(lattice, fast.mask(lattice, public, key, os.urandom), np.arange(lattice.length))
        for key in keys
    ]
    one = np.zeros(lattice.degree, np.int64)
    one[7] = 1
    total, key = fast.add(lattice, bodies), sum(keys)
    wrong = [(key - one, total), (key - keys[0], total), (key, fast.add(lattice, bodies[1:]))]
    for summed, body in [*wrong, (key, fast.add(lattice, [*bodies, bodies[0]]))]:
        with pytest.raises(ProtocolError, match="summed error"):
            fast.reveal(lattice, public, summed, body, CLIENTS)
        assert slow.reveal(lattice, polynomials, summed.tolist(), body, CLIENTS) is None


def test_residues_above_a_prime_are_not_canonical() -> None:
    lattice = small(CASES["several blocks"])
    tables = [np.zeros((lattice.rows, lattice.lanes), np.uint32) for _ in lattice.primes]
    for table, prime in itertools.product(tables, lattice.primes):
        table[3, 5] = prime
        body = fast.to_bytes(np.stack(tables))
        assert fast.is_canonical(lattice, body) == slow.is_canonical(lattice, body)
        table[3, 5] = 0
