"""Both forms of the arithmetic give what the definitions give, at full size and at the extremes."""

import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pride_jax.aggregation.lattice import programs
from pride_jax.aggregation.lattice.ciphertexts import hide, masked, reveal
from pride_jax.aggregation.lattice.drawn import draw_errors, draw_key, public_polynomials
from pride_jax.aggregation.lattice.float64 import FLOAT64
from pride_jax.aggregation.lattice.integers import INTEGERS
from pride_jax.aggregation.lattice.parameters import lattice_of
from pride_jax.aggregation.lattice.transform import by_prime, root_of, values_of
from pride_jax.aggregation.secure_sum import Terms

both_forms = pytest.mark.parametrize("form", [FLOAT64, INTEGERS], ids=["float64", "integers"])
RINGS = {
    2048: lattice_of(Terms(1500, 2, 1.0, 1, 3)),
    4096: lattice_of(Terms(20_000, 16, 1.0, 1, 128)),
    8192: lattice_of(Terms(100_000, 8, 1.0, 1, 10)),
}
each_ring = pytest.mark.parametrize("lattice", RINGS.values(), ids=RINGS)


@each_ring
def test_values_are_those_at_the_roots(lattice):
    polynomial = np.random.default_rng(0).integers(-(2**40), 2**40, lattice.degree)
    values = values_of(lattice, polynomial)
    for number, prime in enumerate(lattice.primes):
        root = root_of(lattice.degree, prime)
        for row, column in ((0, 0), (1, 0), (3, 5), (lattice.rows - 1, lattice.columns - 1)):
            point = pow(root, 2 * (row + lattice.rows * column) + 1, prime)
            value = 0
            for coefficient in polynomial[::-1].tolist():
                value = (value * point + coefficient) % prime
            assert values[number, row, column] == value


@both_forms
@each_ring
def test_masks_are_products_in_the_ring(form, lattice):
    """Full size: a polynomial's coefficients are chosen, and its product taken term by term."""
    rng = np.random.default_rng(1)
    factors = rng.integers(0, min(lattice.primes), (lattice.blocks, lattice.degree))
    public = np.stack([values_of(lattice, each) for each in factors]).astype(np.uint32)
    key = draw_key(lattice, os.urandom)
    errors = draw_errors(lattice, os.urandom)
    residues = np.asarray(programs.masked(form, lattice, public, key, errors))
    for block, factor in enumerate(factors):
        # Below 2^26 · 2^7 · 2^13: exact.
        full = np.convolve(factor, key)
        full = np.pad(full, (0, 1))
        product = (full[: lattice.degree] - full[lattice.degree :]).reshape(lattice.rows, -1)
        lanes = slice(block * lattice.columns, (block + 1) * lattice.columns)
        found, small = residues[..., lanes], errors[:, lanes]
        expected = (product[:, : small.shape[1]] + small) % by_prime(lattice.primes)
        np.testing.assert_array_equal(found, expected)


@each_ring
@pytest.mark.parametrize("extreme", [0, 1, "half", "half and 1", -1])
def test_forms_agree_at_the_extremes(lattice, extreme):
    """All values at the least, middle and largest residue, where roundings and digits are worst."""
    primes = by_prime(lattice.primes)
    residues = {"half": primes // 2, "half and 1": primes // 2 + 1}.get(extreme, extreme % primes)
    public = np.broadcast_to(residues, (lattice.blocks, len(primes), lattice.rows, lattice.columns))
    public = public.astype(np.uint32)
    key = np.full(lattice.degree, 2**62 - 1)
    small = np.full((lattice.rows, lattice.lanes), -127, np.int8)
    for errors in (small, -small):
        masks = [np.asarray(programs.masked(form, lattice, public, key, errors)) for form in FORMS]
        np.testing.assert_array_equal(*masks)
        assert (masks[0] < primes).all()


FORMS = (FLOAT64, INTEGERS)


@settings(max_examples=15, deadline=None)
@given(
    st.sampled_from([(16, 128), (32, 2**31 - 1), (2, 3), (24, 5), (25, 5)]),
    st.sampled_from([-1, 1, "any"]),
    st.sampled_from([0, -1, "any"]),
    st.integers(0, 2**32 - 1),
)
def test_values_are_added_times_powers_of_two(terms, values, residues, seed):
    bits, cohort = terms
    lattice, rng = lattice_of(Terms(700, bits, 1.0, 1, cohort)), np.random.default_rng(seed)
    largest, primes = lattice.largest_value, by_prime(lattice.primes)
    mask = rng.integers(0, primes, (len(primes), lattice.rows, lattice.lanes))
    if residues != "any":
        mask[:] = residues % primes
    mask = mask.astype(np.uint32)
    vector = rng.integers(-largest, largest, lattice.length, endpoint=True)
    if values != "any":
        vector[:] = values * largest
    slots = np.zeros(lattice.slots * lattice.coefficients, object)
    slots[: lattice.length] = vector.tolist()
    slots = slots.reshape(lattice.slots, lattice.rows, lattice.lanes)
    added = sum(slot * 2**bit for slot, bit in zip(slots, lattice.bits, strict=True))
    expected = (mask.astype(object) + added) % primes
    for form in FORMS:
        found = programs.hidden(form, lattice, jnp.asarray(mask), vector)
        np.testing.assert_array_equal(found, expected.astype(np.uint32))


def a_call(form, lattice, clients=()):
    """What the compiled program takes, of one client or of several."""
    shape = (len(lattice.primes), lattice.rows, 1, lattice.columns)
    ring = programs.ring_of(form, lattice.degree, lattice.primes)
    public = np.zeros((lattice.blocks, *shape[:2], shape[3]), np.uint32)
    key = np.zeros((*clients, *shape), np.uint32)
    errors = np.zeros((*clients, lattice.rows, lattice.blocks, lattice.columns), np.int8)
    return ring, public, key, errors


def of_many_clients(ring, public, keys, errors):
    each = jax.vmap(programs.masked_blocks, in_axes=(None, None, None, 0, 0))
    return each(INTEGERS, ring, public, keys, errors)


@pytest.mark.parametrize("clients", [(), (3,)], ids=["one", "three"])
def test_on_a_gpu_there_are_no_floats_and_no_wide_integers(clients):
    program = programs.masked_blocks if not clients else jax.jit(of_many_clients)
    call = a_call(INTEGERS, RINGS[4096], clients)
    call = call if clients else (INTEGERS, *call)
    text = jax.export.export(program, platforms=["cuda"])(*call).mlir_module()
    assert set(re.findall(r"x([a-z]+\d+)>", text)) == {"ui32", "i32", "i8"}
    products = [line for line in text.splitlines() if "stablehlo.dot_general" in line]
    assert len(products) == 2
    assert all(re.search(r"xi8>, .*xi8>\) -> .*xi32>", line) for line in products)


def test_the_same_search_finds_floats_in_the_form_for_cpus():
    with jax.enable_x64(True):
        ring, public, key, errors = a_call(FLOAT64, RINGS[4096])
        call = (FLOAT64, ring, public, key.astype(np.float64), errors)
        text = jax.export.export(programs.masked_blocks, platforms=["cpu"])(*call).mlir_module()
    assert "f64" in set(re.findall(r"x([a-z]+\d+)>", text))


def test_many_clients_at_once_get_what_each_gets_alone():
    lattice = RINGS[4096]
    public = public_polynomials(lattice, bytes(32))
    keys = [draw_key(lattice, os.urandom) for _ in range(3)]
    errors = [draw_errors(lattice, os.urandom) for _ in keys]
    ring, _, _, padded = a_call(INTEGERS, lattice, (3,))
    padded.reshape(3, lattice.rows, -1)[..., : lattice.lanes] = errors
    primes = by_prime(lattice.primes)
    values = np.stack([INTEGERS.constants(values_of(lattice, key), primes) for key in keys])
    found = of_many_clients(ring, public, values[:, :, :, None], padded)
    for key, error, together in zip(keys, errors, found, strict=True):
        alone = programs.masked(FLOAT64, lattice, public, key, error)
        together = np.asarray(together).reshape(4, lattice.rows, -1)[..., : lattice.lanes]
        np.testing.assert_array_equal(together, alone)


def test_away_from_cpus_integers_do_all_that_a_round_needs(monkeypatch):
    """The same bodies, and the same sum."""
    lattice, seed = RINGS[4096], bytes(32)
    public, key = public_polynomials(lattice, seed), draw_key(lattice, os.urandom)
    errors, vector = draw_errors(lattice, os.urandom), np.arange(lattice.length) - 7
    assert programs.form_here() is FLOAT64
    body = hide(lattice, masked(lattice, public, key, errors), vector)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert programs.form_here() is INTEGERS
    assert hide(lattice, masked(lattice, public, key, errors), vector) == body
    np.testing.assert_array_equal(reveal(lattice, public, key, body, 1), vector)
