"""Powers of a fixed base modulo n²: the random factors that hide Paillier plaintexts.

Every number T below n² that is invertible modulo n is t·(1 + n·v) with t = T mod n. Then a product
of table entries is ``Π T = Π t · (1 + n·Σ v)``: its second factor costs additions only, and in the
first the t are half as long as n², so every other product needs no reduction. This halves the time
of the usual windowed table, for the same numbers and memory.

Nothing here runs in constant time: do not share a core with an adversary.

References:
  Damgård, Jurik & Nielsen 2010, section 4.2.
  Brickell, Gordon, McCurley & Wilson 1992, Fast exponentiation with precomputation.
"""

# pyright: reportAttributeAccessIssue=false
# gmpy2 has no type stubs.

import functools
from collections.abc import Sequence
from typing import NamedTuple

import gmpy2
from gmpy2 import mpz


class Factor(NamedTuple):
    """A number modulo n², as ``residue · (1 + n · slope)``.

    Attributes:
      residue: modulo n.
      slope: modulo n.
    """

    residue: mpz
    slope: mpz


def powers(n: int, base: int, exponents: Sequence[bytes], longest: int) -> list[mpz]:
    """base^exponent mod n² for each exponent.

    Args:
      n: the public modulus.
      base: h_s, below n² and invertible.
      exponents: little-endian numbers, each of an even number of bytes.
      longest: most bytes that any exponent of this base has; the table is made for it.

    Returns:
      The powers, in the order of the exponents.
    """
    table = window_table(n, base, longest)
    modulus = mpz(n)
    square = modulus * modulus
    return [_power(modulus, square, table, exponent) for exponent in exponents]


def _power(
    modulus: mpz, square: mpz, table: tuple[tuple[Factor, ...], ...], exponent: bytes
) -> mpz:
    assert len(exponent) <= len(table)
    factors = [row[digit] for row, digit in zip(table, exponent, strict=False)]
    product = mpz(1)
    for first, second in zip(factors[::2], factors[1::2], strict=True):
        product = product * (first.residue * second.residue) % square
    slope = sum((factor.slope for factor in factors), mpz(0))
    return product * (1 + modulus * (slope % modulus)) % square


@functools.lru_cache(maxsize=1)
def window_table(n: int, base: int, longest: int) -> tuple[tuple[Factor, ...], ...]:
    """base^(digit · 256^row) for each byte of an exponent.

    One table is kept in each process: for each byte of the longest exponent 256 factors, each of
    twice n's length, which are tens of megabytes for a 3072-bit n.

    Returns:
      ``longest`` rows of 256 factors.
    """
    modulus = mpz(n)
    high, residue = gmpy2.f_divmod(mpz(base), modulus)
    inverse = gmpy2.invert(residue, modulus)
    step = _Invertible(residue, high * inverse % modulus, inverse)
    rows = []
    for _ in range(longest):
        power = _Invertible(mpz(1), mpz(0), mpz(1))
        row = [Factor(power.residue, power.slope)]
        for _ in range(255):
            power = _multiply(modulus, power, step)
            row.append(Factor(power.residue, power.slope))
        rows.append(tuple(row))
        step = _multiply(modulus, power, step)
    return tuple(rows)


class _Invertible(NamedTuple):
    residue: mpz
    slope: mpz
    inverse: mpz


def _multiply(modulus: mpz, left: _Invertible, right: _Invertible) -> _Invertible:
    """The product's three parts; r + n·c = r·(1 + n·c/r) carries the high half into the slope."""
    carry, residue = gmpy2.f_divmod(left.residue * right.residue, modulus)
    inverse = left.inverse * right.inverse % modulus
    slope = (left.slope + right.slope + carry * inverse) % modulus
    return _Invertible(residue, slope, inverse)
