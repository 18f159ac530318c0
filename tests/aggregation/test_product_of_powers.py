"""Buckets against the powers one by one."""

import math

import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from pride_jax.aggregation.product_of_powers import product_of_powers

MODULUS = mpz(10**40 + 121)


@settings(max_examples=60, deadline=None)
@given(
    bits=st.integers(1, 140),
    pairs=st.lists(st.tuples(st.integers(0, 10**40), st.integers(0)), max_size=40),
)
def test_it_is_the_product(bits: int, pairs: list[tuple[int, int]]) -> None:
    bases = [mpz(base) for base, _ in pairs]
    exponents = [exponent % 2**bits for _, exponent in pairs]
    expected = math.prod(map(lambda b, e: pow(b, e, MODULUS), bases, exponents)) % MODULUS
    assert product_of_powers(bases, exponents, bits, MODULUS) == expected


@pytest.mark.parametrize("count", [300, 3000])
def test_many_bases_with_the_largest_exponents(count: int) -> None:
    bases = [mpz(3 + step) for step in range(count)]
    exponents = [2**128 - 1 - step % 2 for step in range(count)]
    expected = math.prod(map(lambda b, e: pow(b, e, MODULUS), bases, exponents)) % MODULUS
    assert product_of_powers(bases, exponents, 128, MODULUS) == expected


def test_a_base_without_its_exponent() -> None:
    with pytest.raises(ValueError, match="shorter"):
        product_of_powers([mpz(2), mpz(3)], [1], 8, MODULUS)
