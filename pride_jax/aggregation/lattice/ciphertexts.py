"""Hiding a vector under a one-time key, adding hidden vectors, and taking the summed key away.

Bodies are bytes of one size, each vector's in one encoding. `reveal` has a check that other secure
sums lack: every coefficient of the summed error must lie within its bound. With any key but the sum
of those that the vectors were hidden under, the errors are uniform in their room, and at least one
in nine of them leaves its bound.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Array, Int, Int8, Int64, UInt32

from pride_jax.aggregation.lattice import programs
from pride_jax.aggregation.lattice.drawn import draw_errors
from pride_jax.aggregation.lattice.parameters import Lattice
from pride_jax.aggregation.lattice.programs import form_here
from pride_jax.aggregation.lattice.transform import by_prime
from pride_jax.aggregation.lattice.wire import from_bytes, to_bytes
from pride_jax.aggregation.secure_sum import Rng
from pride_jax.errors import ProtocolError

Polynomials = UInt32[np.ndarray, "blocks primes rows columns"]
Residues = UInt32[Array, "primes rows lanes"]


def mask(
    lattice: Lattice, public: Polynomials, key: Int[np.ndarray, "degree"], rng: Rng
) -> Residues:
    """a·s + e, what a vector is hidden under: good for one vector, and secret.

    Args:
      lattice: the parameters.
      public: a, of the round, see `public_polynomials`.
      key: s, of this vector alone, see `draw_key`.
      rng: gives 32 bytes for the errors; in production ``os.urandom``.
    """
    return masked(lattice, public, key, draw_errors(lattice, rng))


def masked(
    lattice: Lattice,
    public: Polynomials,
    key: Int[np.ndarray, "degree"],
    errors: Int8[np.ndarray, "rows lanes"],
) -> Residues:
    """As ``mask``, with errors that have been drawn."""
    return programs.masked(form_here(), lattice, public, key, errors)


def hide(lattice: Lattice, masked: Residues, values: Int64[np.ndarray, "length"]) -> bytes:
    """The body of a vector: a·s + e + 2^E·m.

    Args:
      lattice: the parameters.
      masked: from ``mask``, used for nothing else.
      values: of the vector, in ±``largest_value``.
    """
    return to_bytes(programs.hidden(form_here(), lattice, masked, values))


def is_canonical(lattice: Lattice, body: bytes) -> bool:
    """Whether ``body``, of the lattice's size, is what ``hide`` may return: residues below p."""
    return bool((from_bytes(lattice, body) < by_prime(lattice.primes).astype(np.uint32)).all())


def add(lattice: Lattice, bodies: Iterable[bytes]) -> bytes:
    """The sum of hidden vectors, hidden under the sum of their keys.

    Args:
      lattice: the parameters.
      bodies: canonical.
    """
    primes = by_prime(lattice.primes).astype(np.uint32)
    total = np.zeros((len(primes), lattice.rows, lattice.lanes), np.uint32)
    for body in bodies:
        total += from_bytes(lattice, body)
        # Below p, less p is above 2^31.
        np.minimum(total, total - primes, out=total)
    return to_bytes(total)


def reveal(
    lattice: Lattice,
    public: Polynomials,
    summed_key: Int64[np.ndarray, "degree"],
    body: bytes,
    count: int,
) -> Int64[np.ndarray, "length"]:
    """The sum of vectors.

    Args:
      lattice: the parameters.
      public: a, of the round.
      summed_key: Σs.
      body: from ``add``.
      count: how many vectors were added.

    Raises:
      ProtocolError: a coefficient of the summed error leaves its bound, as it does under another
        key; or a sum leaves what that many vectors can reach.
    """
    hidden = from_bytes(lattice, body)
    no_errors = np.zeros((lattice.rows, lattice.lanes), np.int8)
    products = np.asarray(masked(lattice, public, summed_key, no_errors))
    largest, reach = lattice.largest_error(count), count * lattice.largest_value
    values = np.empty((lattice.slots, lattice.rows, lattice.lanes), np.int64)
    outside = 0
    # As many coefficients at a time as stay in a processor's cache.
    step = max(1, _AT_A_TIME // lattice.lanes)
    for rows in (slice(first, first + step) for first in range(0, lattice.rows, step)):
        limbs = _limbs(lattice, hidden[:, rows], products[:, rows])
        errors = _bits(limbs, 0, lattice.error_bits) - 2 ** (lattice.error_bits - 1)
        for slot, bit in enumerate(lattice.bits):
            values[slot, rows] = _bits(limbs, bit, lattice.value_bits)
        above = _bits(limbs, lattice.bits[-1] + lattice.value_bits, _LARGEST_WIDTH)
        outside += int(np.count_nonzero((np.abs(errors) > largest) | (above > 0)))
    if outside:
        raise ProtocolError(
            f"{outside} of {lattice.coefficients} coefficients of the summed error leave "
            f"±{largest}: the summed key is not that of these {count} vectors, because who opens "
            "sums was wrong, or one was hidden wrongly; discard the round"
        )
    values -= 2 ** (lattice.value_bits - 1)
    summed, unused = np.split(values.reshape(-1), [lattice.length])
    if unused.any() or max(-summed.min(), summed.max()) > reach:
        raise ProtocolError(
            f"The sum holds a value that {count} clients within their range cannot reach: a "
            "message was forged or damaged; discard the round"
        )
    return summed


_AT_A_TIME = 2**15
_LARGEST_WIDTH = 63
"""Bits of a number that int64 holds, whatever they are."""


def _limbs(
    lattice: Lattice,
    hidden: UInt32[np.ndarray, "primes rows lanes"],
    products: UInt32[np.ndarray, "primes rows lanes"],
) -> list[Int64[np.ndarray, "rows lanes"]]:
    """What was hidden, 32 bits a limb, the lowest first, all of it moved up to be above 0.

    The number below q is found in mixed radix (Garner 1959), one digit d a prime:
    d0 + p0·(d1 + p1·(d2 + …)).
    """
    halves = (lattice.error_bits, *(bit + lattice.value_bits for bit in lattice.bits))
    moved = sum(2 ** (bit - 1) for bit in halves)
    digits: list[Int64[np.ndarray, "rows lanes"]] = []
    for prime, one, other in zip(lattice.primes, hidden, products, strict=True):
        digit = (one + np.int64(moved % prime) - other) % prime
        for before, lower in zip(lattice.primes, digits, strict=False):
            digit = (digit - lower) * pow(before, -1, prime) % prime
        digits.append(digit)
    limbs = [digits[-1]]
    for digit, prime in zip(digits[-2::-1], lattice.primes[-2::-1], strict=True):
        carry = digit
        for number, limb in enumerate(limbs):
            carry = limb * prime + carry
            limbs[number] = carry & (2**32 - 1)
            carry = carry >> 32
        limbs.append(carry)
    return limbs


def _bits(
    limbs: Sequence[Int64[np.ndarray, "rows lanes"]], start: int, width: int
) -> Int64[np.ndarray, "rows lanes"]:
    """The number in ``width`` bits from ``start`` on, up to 63."""
    first, shift = divmod(start, 32)
    found = np.zeros_like(limbs[0])
    for place, limb in enumerate(limbs[first : first + 3]):
        moved = 32 * place - shift
        if moved < _LARGEST_WIDTH:
            found |= limb << moved if moved >= 0 else limb >> -moved
    return found & (2**width - 1)
