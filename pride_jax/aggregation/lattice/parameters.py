"""The ring, its primes and how many values a coefficient holds, chosen from a sum's terms.

Two conditions bound the modulus q, the product of the primes. It is large enough for the summed
errors and all values of a coefficient side by side, and small enough for 128 bits of security.

- From below: with room of E bits for the summed error and of w bits for each of k sums of values,
  signs included, q ≥ 2^(E + k·w).
- From above: log2 q ≤ 53, 106 and 214 at N = 2048, 4096 and 8192 for errors of standard deviation
  3.19 and more (Bossuat et al. 2024, ePrint 2024/463). Keys and errors here have σ = √2·4.5: after
  Σs and Σe are known, ring-LWE with σ = 4.5 is left for two honest clients (hint-LWE: Kim et al.
  2023). What the lattice estimator says of these is in results/encryption/lattice_security.json.

Primes lie just below 2^26 and are 1 modulo 2N. Products of two residues are then exact in float64.
"""

# pyright: reportAttributeAccessIssue=false
# gmpy2 has no type stubs.

import functools
import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from gmpy2 import mpz

from pride_jax.aggregation.secure_sum import Terms
from pride_jax.aggregation.words import words_of

RESIDUE_BITS = 26
"""Of a residue on the wire: primes lie below 2^26."""

VARIANCE = 2 * 4.5**2
"""σ² of each coefficient of a key and of each error."""

LARGEST_BITS = {2048: 53, 4096: 106, 8192: 214}
"""Degree -> the most that log2 q may be, for 128 bits of security (ePrint 2024/463)."""

SHORTEST_KEY, LONGEST_KEY = min(LARGEST_BITS), max(LARGEST_BITS)
"""The fewest and the most coefficients that a key has."""

FAILURE = 2.0**-40
"""At least the probability that any coefficient of a summed error leaves its bound."""

KEY_BITS = 8
"""Width of a key's coefficient: ±127, and none beyond 78 is drawn, see `thresholds`."""


def sides(degree: int) -> tuple[int, int]:
    """Of the square, or half a square, that a polynomial's coefficients form."""
    rows = 2 ** ((degree.bit_length() - 1) // 2)
    return rows, degree // rows


class Lattice(NamedTuple):
    """How the vectors of a sum become polynomials.

    Coefficients form a table of ``rows`` times ``lanes``. Block b, which is one polynomial, has the
    lanes from b·``columns`` on: its coefficient i is in row i div ``columns``, and in lane
    i mod ``columns`` of these. The last block lacks those lanes that would hold no value. Value v
    is in slot v div (``rows``·``lanes``) of the table's entry v mod (``rows``·``lanes``).

    Attributes:
      degree: N, a power of two from 256 on.
      primes: whose product is q; each is 1 modulo 2N and below 2^26.
      slots: values a coefficient.
      value_bits: w, room for a sum of values, with its sign.
      error_bits: E, room for a sum of errors, with its sign.
      length: values of a vector.
      largest_value: the most that a client's value may be, in magnitude.
    """

    degree: int
    primes: tuple[int, ...]
    slots: int
    value_bits: int
    error_bits: int
    length: int
    largest_value: int

    @property
    def rows(self) -> int:
        """The first of the sides of a polynomial, see `sides`."""
        return sides(self.degree)[0]

    @property
    def columns(self) -> int:
        """The second of them."""
        return sides(self.degree)[1]

    @property
    def lanes(self) -> int:
        """Columns of all blocks, side by side, but those that hold no value."""
        return -(-self.length // (self.slots * self.rows))

    @property
    def blocks(self) -> int:
        """How many polynomials a vector is."""
        return -(-self.lanes // self.columns)

    @property
    def coefficients(self) -> int:
        """How many of them are sent."""
        return self.rows * self.lanes

    @property
    def modulus(self) -> int:
        """The number q."""
        return math.prod(self.primes)

    @property
    def bits(self) -> tuple[int, ...]:
        """The lowest bit of each slot: values are hidden times 2 to these powers."""
        return tuple(self.error_bits + slot * self.value_bits for slot in range(self.slots))

    @property
    def size(self) -> int:
        """Bytes of a vector as it is sent."""
        return self.coefficients * len(self.primes) * RESIDUE_BITS // 8

    def largest_error(self, count: int) -> int:
        """The bound of sums of ``count`` errors: one leaves it with less than ``FAILURE``."""
        return _largest_error(count, self.length + self.rows)


def _largest_error(count: int, coefficients: int) -> int:
    """Where ``coefficients`` times the tail of a sum of errors is below ``FAILURE``.

    Discrete Gaussians are subgaussian, and so are their sums: the tail is at most
    2 exp(−bound² / (2 count·σ²)), see `discrete_gaussian_noise.tail_bound`.
    """
    return math.ceil(math.sqrt(2 * count * VARIANCE * math.log(2 * coefficients / FAILURE)))


@functools.lru_cache(maxsize=64)
def lattice_of(terms: Terms) -> Lattice:
    """The parameters with which a client sends the fewest bytes, those of its key included.

    Of several, the first: that of the smallest ring, with the fewest primes.

    Args:
      terms: of the sum. Every sum that terms allow has parameters.
    """
    return min(_fitting(terms), key=lambda lattice: _bytes_sent(lattice, terms))


def _fitting(terms: Terms) -> Iterator[Lattice]:
    """All that are secure and have room, with as many slots as have room."""
    width, length, largest_value = words_of(terms).bits, terms.length, terms.largest_value
    for degree, largest_bits in LARGEST_BITS.items():
        largest_error = _largest_error(terms.largest_cohort, length + sides(degree)[0])
        # Under a wrong key errors are uniform: one in nine at least leaves its bound.
        error_bits = (9 * (2 * largest_error + 1) // 8).bit_length()
        for count in range(1, largest_bits // RESIDUE_BITS + 1):
            primes = tuple(itertools.islice(_primes(degree), count))
            room = math.prod(primes).bit_length() - 1 - error_bits
            if slots := room // width:
                yield Lattice(degree, primes, slots, width, error_bits, length, largest_value)


def _bytes_sent(lattice: Lattice, terms: Terms) -> int:
    """Of the vector, and of a key in an inner sum that expands nothing."""
    return lattice.size + words_of(_key_terms(terms, lattice.degree)).size


def _primes(degree: int) -> Iterator[int]:
    """Primes that are 1 modulo 2N, from 2^26 down."""
    for candidate in range(2**RESIDUE_BITS + 1 - 2 * degree, 0, -2 * degree):
        if mpz(candidate).is_prime():
            yield candidate


def key_terms(terms: Terms) -> Terms:
    """What is summed of the keys: one small integer for each coefficient."""
    return _key_terms(terms, lattice_of(terms).degree)


def _key_terms(terms: Terms, degree: int) -> Terms:
    # The limit of integers that stand for no floats: themselves.
    return replace(terms, length=degree, bits=KEY_BITS, limit=2.0 ** (KEY_BITS - 1) - 1)
