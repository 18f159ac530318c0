"""A product of many powers modulo n², for less than the powers one by one: Pippenger's buckets.

Every number below n² that is invertible modulo n is t·(1 + n·v) with t below n (see
``obfuscators``), and (1 + n·v)^e = 1 + n·e·v. So buckets multiply numbers half as long as n², which
takes half the time, and the rest is one sum of products modulo n.

References:
  Pippenger 1980, On the evaluation of powers and monomials.
  Bernstein, Doumen, Lange & Oosterwijk 2012, Faster batch forgery identification, for its use in
  batch verification.
"""

# pyright: reportAttributeAccessIssue=false
# gmpy2 has no type stubs.

import itertools
from collections.abc import Sequence

import gmpy2
from gmpy2 import mpz

_WIDEST_DIGIT = 16


def product_of_powers(bases: Sequence[mpz], exponents: Sequence[int], bits: int, n: mpz) -> mpz:
    """Π base^exponent mod n².

    Args:
      bases: in 0 … n² - 1.
      exponents: one a base, in 0 … 2^bits - 1.
      bits: as above.
      n: as above.

    Raises:
      ZeroDivisionError: a base is not invertible.
    """
    highs, residues = zip(*(gmpy2.f_divmod(base, n) for base in bases), strict=True)
    slope = sum(
        high * inverse % n * exponent
        for high, inverse, exponent in zip(highs, _inverses(residues, n), exponents, strict=True)
    )
    square = n * n
    return _in_buckets(residues, exponents, bits, square) * (1 + n * (slope % n)) % square


def _in_buckets(bases: Sequence[mpz], exponents: Sequence[int], bits: int, modulus: mpz) -> mpz:
    """Π base^exponent, one digit of all exponents at a time.

    Bases with the same digit are multiplied, and running products raise each digit's product to its
    digit.
    """
    # Multiplications: one a base and two, of numbers twice as long, a bucket, for each digit.
    width = min(
        range(1, _WIDEST_DIGIT + 1),
        key=lambda width: -(-bits // width) * (len(bases) + 2 ** (width + 2)),
    )
    digits = 2**width
    result = mpz(1)
    for shift in reversed(range(0, bits, width)):
        buckets = [mpz(1)] * digits
        for base, exponent in zip(bases, exponents, strict=True):
            digit = exponent >> shift & digits - 1
            if digit:
                buckets[digit] = buckets[digit] * base % modulus
        running = window = mpz(1)
        for bucket in reversed(buckets[1:]):
            running = running * bucket % modulus
            window = window * running % modulus
        result = gmpy2.powmod(result, digits, modulus) * window % modulus
    return result


def _inverses(numbers: Sequence[mpz], n: mpz) -> list[mpz]:
    """Inverses modulo n, for one inversion and three products each (Montgomery's trick)."""
    products = list(itertools.accumulate(numbers, lambda a, b: a * b % n))
    inverse = gmpy2.invert(products[-1], n)
    found = []
    for number, product in zip(numbers[:0:-1], products[-2::-1], strict=True):
        found.append(inverse * product % n)
        inverse = inverse * number % n
    return [inverse, *reversed(found)]
