"""Polynomials of R_q as values at the roots of X^N + 1, where multiplying takes a product a value.

With N = R·C, a coefficient's number is i = i1·C + i2 and a root's is j = j1 + R·j2: the value there
is at ψ^(2j+1), for a root ψ of X^N + 1 modulo a prime. The transform of N terms is then two
products with small matrices, of R·R and C·C, and one with a number for each value (Cooley & Tukey
1965):

    x[j1, j2] = Σ_i2 ω^(R·i2·j2) ψ^i2 ω^(i2·j1) Σ_i1 ω^(C·i1·j1) ψ^(C·i1) x[i1, i2],    ω = ψ².

Its inverse takes the same steps the other way round.
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int64

from pride_jax.aggregation.lattice.parameters import Lattice, sides


class Matrices(NamedTuple):
    """A transform modulo each prime, or its inverse.

    Attributes:
      rows: multiplies from the left.
      factors: multiply value by value.
      columns: multiplies from the right.
    """

    rows: Int64[np.ndarray, "primes rows rows"]
    factors: Int64[np.ndarray, "primes rows columns"]
    columns: Int64[np.ndarray, "primes columns columns"]


def by_prime(primes: tuple[int, ...]) -> Int64[np.ndarray, "primes 1 1"]:
    """Primes, or what there is one of for each, to be broadcast over rows and columns."""
    return np.array(primes, np.int64)[:, None, None]


@functools.lru_cache(maxsize=8)
def matrices_of(degree: int, primes: tuple[int, ...]) -> tuple[Matrices, Matrices]:
    """The transform and its inverse."""
    found = [_matrices(degree, prime) for prime in primes]
    forward, inverse = (
        Matrices(*(np.stack(each) for each in zip(*side, strict=True)))
        for side in zip(*found, strict=True)
    )
    return forward, inverse


def _matrices(degree: int, prime: int) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...]]:
    rows, columns = sides(degree)
    root = root_of(degree, prime)
    powers = np.array([pow(root, power, prime) for power in range(2 * degree)])
    i1, i2 = np.arange(rows), np.arange(columns)
    exponents = (
        columns * i1 * (2 * i1[:, None] + 1),
        i2 * (2 * i1[:, None] + 1),
        2 * rows * np.outer(i2, i2),
    )
    forward = tuple(powers[each % (2 * degree)] for each in exponents)
    left, factors, right = (powers[-each % (2 * degree)] for each in exponents)
    inverse = left.T, factors * pow(degree, -1, prime) % prime, right
    return forward, inverse


def root_of(degree: int, prime: int) -> int:
    """ψ: the power (p − 1)/2N of the least number of which it is a root of X^N + 1 modulo p."""
    tried = (pow(base, (prime - 1) // (2 * degree), prime) for base in range(2, prime))
    return next(root for root in tried if pow(root, degree, prime) == prime - 1)


def values_of(
    lattice: Lattice, polynomial: Int[np.ndarray, "degree"]
) -> Int64[np.ndarray, "primes rows columns"]:
    """A polynomial's values at the roots modulo each prime."""
    matrices, _ = matrices_of(lattice.degree, lattice.primes)
    primes = by_prime(lattice.primes)
    # 2^52 times 128 terms at most: exact.
    square = polynomial.astype(np.int64).reshape(lattice.rows, lattice.columns) % primes
    return matrices.rows @ square % primes * matrices.factors % primes @ matrices.columns % primes
