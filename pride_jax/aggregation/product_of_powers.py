"""A product of many powers, for less than the powers one by one: Pippenger's buckets.

References:
  Pippenger 1980, On the evaluation of powers and monomials.
  Bernstein, Doumen, Lange & Oosterwijk 2012, Faster batch forgery identification, for its use in
  batch verification.
"""

# pyright: reportAttributeAccessIssue=false
# gmpy2 has no type stubs.

from collections.abc import Sequence

import gmpy2
from gmpy2 import mpz

_WIDEST_DIGIT = 16


def product_of_powers(
    bases: Sequence[mpz], exponents: Sequence[int], bits: int, modulus: mpz
) -> mpz:
    """Π base^exponent modulo ``modulus``.

    One digit of all exponents at a time: bases with the same digit are multiplied, and running
    products raise each digit's product to its digit.

    Args:
      bases: below the modulus.
      exponents: one a base, in 0 … 2^bits - 1.
      bits: as above.
      modulus: of the product.
    """
    # Multiplications: one a base, and two a bucket, for each digit.
    width = min(
        range(1, _WIDEST_DIGIT + 1),
        key=lambda width: -(-bits // width) * (len(bases) + 2 ** (width + 1)),
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
