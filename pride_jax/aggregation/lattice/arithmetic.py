"""What a device must be able to do with residues modulo primes below 2^26, in one form or another.

A form is a kind of numbers whose sums and products a device computes exactly: `float64` or
`integers`. Both give the same residues to the bit. Matrices are multiplied by digits of residues,
which are so small that sums of their products stay exact.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Int8, Int32, Int64, Num, UInt32

Primes = Int64[np.ndarray, "primes 1 1"]

Moduli = tuple[Num[Array, "primes 1 1 1"], ...]
"""Primes, and what a form needs to reduce modulo them."""

Elements = Num[Array, "primes rows blocks columns"]
"""Residues as a form has them on a device: not always the least that there are."""

Constants = Num[Array, "primes ..."]
"""Residues as a form multiplies by them."""


class Arithmetic(NamedTuple):
    """A form.

    Attributes:
      moduli: primes -> what elements are reduced by.
      constants: residues, primes -> constants.
      matrix: residues, primes -> a matrix that takes digits, and gives digits, of a vector on its
        right, ordered as by ``digits``.
      load: residues -> elements.
      times: elements, constants, moduli -> their products.
      digits: elements, axis -> their digits, along that axis: all first ones, all second ones, ….
      join: sums of products of digits, axis, moduli -> the elements that have them as digits.
      store: elements, small integers, moduli -> residues of their sums.
      weighted: residues, integers of 32 bits, constants, moduli -> the residues plus the integers
        times the constants.
      sums: type of sums of products of digits.
      residues: how many are computed at a time.
    """

    moduli: Callable[[Primes], Moduli]
    constants: Callable[[Int64[np.ndarray, "primes ..."], Primes], Constants]
    matrix: Callable[[Int64[np.ndarray, "primes given taken"], Primes], Constants]
    load: Callable[[UInt32[Array, "..."]], Num[Array, "..."]]
    times: Callable[[Num[Array, "..."], Constants, Moduli], Num[Array, "..."]]
    digits: Callable[[Elements, int], Num[Array, "..."]]
    join: Callable[[Num[Array, "..."], int, Moduli], Elements]
    store: Callable[[Elements, Int8[Array, "..."], Moduli], UInt32[Array, "..."]]
    weighted: Callable[
        [UInt32[Array, "primes rows lanes"], Int32[Array, "slots rows lanes"], Constants, Moduli],
        UInt32[Array, "primes rows lanes"],
    ]
    sums: np.dtype
    residues: int
