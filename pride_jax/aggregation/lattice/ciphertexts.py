"""Hiding a vector under a one-time key, adding hidden vectors, and taking the summed key away.

Bodies are bytes of one size, each vector's in one encoding. `reveal` has a check that other secure
sums lack: every coefficient of the summed error must lie within its bound. With any key but the sum
of those that the vectors were hidden under, the errors are uniform in their room, and at least one
in nine of them leaves its bound.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import Int, Int8, Int64, UInt32

from pride_jax.aggregation.lattice.drawn import draw_errors
from pride_jax.aggregation.lattice.parameters import Lattice
from pride_jax.aggregation.lattice.transform import coefficients_of, primes_of, values_of
from pride_jax.aggregation.lattice.wire import from_bytes, to_bytes
from pride_jax.aggregation.secure_sum import Rng
from pride_jax.errors import ProtocolError

Polynomials = UInt32[np.ndarray, "blocks primes rows columns"]
Residues = UInt32[np.ndarray, "primes rows lanes"]


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
    products = _products(lattice, public, key) + errors
    return (products % primes_of(lattice)).astype(np.uint32)


def _products(
    lattice: Lattice, public: Polynomials, key: Int[np.ndarray, "degree"]
) -> Int64[np.ndarray, "primes rows lanes"]:
    """a·s."""
    values = public.astype(np.int64) * values_of(lattice, key) % primes_of(lattice)
    columns = np.moveaxis(coefficients_of(lattice, values), 0, 2)
    lanes = columns.reshape(len(lattice.primes), lattice.rows, -1)
    return lanes[..., : lattice.lanes]


def hide(lattice: Lattice, masked: Residues, values: Int64[np.ndarray, "length"]) -> bytes:
    """The body of a vector: a·s + e + 2^E·m.

    Args:
      lattice: the parameters.
      masked: from ``mask``, used for nothing else.
      values: of the vector, in ±``largest_value``.
    """
    primes = primes_of(lattice)
    total = masked.astype(np.int64)
    for place, slot in enumerate(_in_slots(lattice, values)):
        weight = 2 ** (lattice.error_bits + place * lattice.value_bits)
        weights = np.array([weight % prime for prime in lattice.primes])[:, None, None]
        total += slot * weights
        total %= primes
    return to_bytes(total.astype(np.uint32))


def _in_slots(
    lattice: Lattice, values: Int64[np.ndarray, "length"]
) -> Int64[np.ndarray, "slots rows lanes"]:
    padded = np.zeros(lattice.slots * lattice.coefficients, np.int64)
    padded[: lattice.length] = values
    return padded.reshape(lattice.slots, lattice.rows, lattice.lanes)


def is_canonical(lattice: Lattice, body: bytes) -> bool:
    """Whether ``body``, of the lattice's size, is what ``hide`` may return: residues below p."""
    return bool((from_bytes(lattice, body) < primes_of(lattice).astype(np.uint32)).all())


def add(lattice: Lattice, bodies: Sequence[bytes]) -> bytes:
    """The sum of hidden vectors, hidden under the sum of their keys.

    Args:
      lattice: the parameters.
      bodies: at least one, canonical.
    """
    primes = primes_of(lattice).astype(np.uint32)
    total = from_bytes(lattice, bodies[0])
    for body in bodies[1:]:
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
    offset = 2 ** (lattice.error_bits - 1) + sum(
        2 ** (bit + lattice.value_bits - 1) for bit in _bits(lattice)
    )
    offsets = np.array([offset % prime for prime in lattice.primes])[:, None, None]
    residues = from_bytes(lattice, body) - _products(lattice, public, summed_key) + offsets
    limbs = _limbs(lattice, residues % primes_of(lattice))
    error = _field(limbs, 0, lattice.error_bits)
    slots = [_field(limbs, bit, lattice.value_bits) for bit in _bits(lattice)]
    beyond = _field(limbs, lattice.error_bits + lattice.slots * lattice.value_bits, 63)
    largest = lattice.largest_error(count)
    outside = int(np.count_nonzero((np.abs(error) > largest) | (beyond != -(2**62))))
    if outside:
        raise ProtocolError(
            f"{outside} of {error.size} coefficients of the summed error leave ±{largest}: the "
            f"summed key is not that of these {count} vectors, or one was hidden wrongly; discard "
            "the round"
        )
    values = np.concatenate(slots, axis=None)
    reached, reachable = int(np.abs(values).max()), count * lattice.largest_value
    if reached > reachable:
        raise ProtocolError(
            f"The sum holds a value that {count} clients within their range cannot reach: a "
            "message was forged or damaged; discard the round"
        )
    return values[: lattice.length]


def _bits(lattice: Lattice) -> Iterator[int]:
    """The lowest bit of each slot."""
    return (lattice.error_bits + slot * lattice.value_bits for slot in range(lattice.slots))


def _limbs(
    lattice: Lattice, residues: Int64[np.ndarray, "primes rows lanes"]
) -> list[Int64[np.ndarray, "rows lanes"]]:
    """The numbers below q with these residues, 32 bits a limb, the lowest first.

    Mixed radix (Garner 1959): x = d0 + p0·(d1 + p1·(d2 + …)), one digit a prime.
    """
    digits: list[np.ndarray] = []
    for prime, residue in zip(lattice.primes, residues, strict=True):
        for digit, before in zip(digits, lattice.primes, strict=False):
            residue = (residue - digit) * pow(before, -1, prime) % prime
        digits.append(residue)
    limbs = [digits[-1]]
    for digit, prime in zip(digits[-2::-1], lattice.primes[-2::-1], strict=True):
        carry = digit
        for number, limb in enumerate(limbs):
            carry = limb * prime + carry
            limbs[number] = carry & (2**32 - 1)
            carry >>= 32
        limbs.append(carry)
    return limbs


def _field(
    limbs: Sequence[Int64[np.ndarray, "rows lanes"]], start: int, width: int
) -> Int64[np.ndarray, "rows lanes"]:
    """``width`` bits from ``start`` on, less 2^(width − 1)."""
    number, shift = divmod(start, 32)
    found = np.zeros(limbs[0].shape, np.int64)
    for place, limb in enumerate(limbs[number : number + 3]):
        moved = 32 * place - shift
        if moved < 63:
            found |= limb << moved if moved >= 0 else limb >> -moved
    return (found & (2**width - 1)) - 2 ** (width - 1)
