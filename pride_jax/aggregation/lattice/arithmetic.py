"""What a device must be able to do with residues modulo primes below 2^26, in one form or another.

A form is a kind of numbers on a device whose products and sums are exact: `float64` or `integers`.
Both give the same residues to the bit.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Int8, Int32, Int64, Num, UInt32

Moduli = tuple[Num[Array, "primes 1 1 1"], ...]
"""Primes, and what a form needs to reduce modulo them."""

Elements = Num[Array, "primes rows blocks columns"]
"""Residues as a form has them on a device, not always the least."""

Primes = Int64[np.ndarray, "primes 1 1"]

Constants = Num[Array, "primes ..."]
"""Residues as a form has them to multiply by."""


class Arithmetic(NamedTuple):
    """A form.

    Products with matrices are of digits: numbers so small that sums of their products are exact.

    Attributes:
      moduli: primes -> what elements are reduced by.
      constants: residues, primes -> factors.
      matrix: residues, primes -> the digits of a matrix that multiplies from the left: digits of
        its rows, for what is given, times those of its columns, for what is taken.
      load: residues -> elements.
      times: elements, factors, moduli -> their products.
      digits: elements, axis -> their digits, one after the other along the axis.
      join: sums of products of digits, axis, moduli -> elements, as the digits stand.
      store: elements, small integers, moduli -> their sums, as residues.
      weighted: residues, integers of 32 bits, factors, moduli -> the residues, plus the integers
        times their factors.
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
