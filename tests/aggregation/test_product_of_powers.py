"""Buckets against the powers one by one."""

import math

import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st

from pride_jax.aggregation.product_of_powers import product_of_powers

N = mpz(1_000_000_007) * 998_244_353


def expected(bases: list[mpz], exponents: list[int]) -> mpz:
    return math.prod(map(lambda b, e: pow(b, e, N * N), bases, exponents)) % (N * N)


@settings(max_examples=60, deadline=None)
@given(
    bits=st.integers(1, 140),
    pairs=st.lists(
        st.tuples(st.integers(0, int(N * N) - 1), st.integers(0)), min_size=1, max_size=40
    ),
)
def test_it_is_the_product(bits: int, pairs: list[tuple[int, int]]) -> None:
    bases = [mpz(base) for base, _ in pairs if math.gcd(base, int(N)) == 1] or [mpz(1)]
    exponents = [exponent % 2**bits for _, exponent in pairs][: len(bases)]
    assert product_of_powers(bases, exponents, bits, N) == expected(bases, exponents)


@pytest.mark.parametrize("count", [300, 3000])
def test_many_bases_with_the_largest_exponents(count: int) -> None:
    bases = [N * N - 1 - 3 * step for step in range(count)]
    exponents = [2**128 - 1 - step % 2 for step in range(count)]
    assert product_of_powers(bases, exponents, 128, N) == expected(bases, exponents)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_base_that_is_not_invertible(place: int) -> None:
    for factor in (0, 998_244_353, N, 5 * N):
        bases = [mpz(2), mpz(3), mpz(5)]
        bases[place] = mpz(factor)
        with pytest.raises(ZeroDivisionError):
            product_of_powers(bases, [1, 2, 3], 8, N)


def test_a_base_without_its_exponent() -> None:
    with pytest.raises(ValueError, match="shorter"):
        product_of_powers([mpz(2), mpz(3)], [1], 8, N)
