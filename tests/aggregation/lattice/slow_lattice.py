"""Vectors under one-time keys as the definitions have them: slow, and for reading.

Coefficients are Python's integers modulo q, polynomials are multiplied term by term, and bytes are
cut out of large numbers. The fast arithmetic must give the same bits for the same draws. It takes
any `Lattice`: of degree 256 in no time, of those that are used a few blocks in seconds.
"""

from collections.abc import Sequence

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from pride_jax.aggregation.lattice.parameters import Lattice

Polynomial = list[int]
Table = np.ndarray[tuple[int, int], np.dtype[np.object_]]
"""Integers modulo q, one a coefficient that is sent: rows × lanes."""


def centred(number: int, modulus: int) -> int:
    """The integer closest to zero that is ``number`` modulo ``modulus``."""
    return (number + modulus // 2) % modulus - modulus // 2


def together(lattice: Lattice, residues: Sequence[int]) -> int:
    """The number below q that has these residues (Chinese remainder theorem)."""
    q = lattice.modulus
    parts = (
        residue * (q // prime) * pow(q // prime, -1, prime)
        for residue, prime in zip(residues, lattice.primes, strict=True)
    )
    return sum(parts) % q


def product(a: Polynomial, s: Polynomial, modulus: int) -> Polynomial:
    """a·s modulo X^N + 1: what reaches X^N comes back with the other sign."""
    full = np.convolve(np.array(a, object), np.array(s, object)).tolist()
    low, high = full[: len(a)], [*full[len(a) :], 0]
    return [(one - other) % modulus for one, other in zip(low, high, strict=True)]


def root_of(degree: int, prime: int) -> int:
    """The root of X^N + 1 that the transform is made of."""
    for base in range(2, prime):
        root = pow(base, (prime - 1) // (2 * degree), prime)
        if pow(root, degree, prime) == prime - 1:
            return root
    raise ValueError(f"{prime} is no prime that is 1 modulo {2 * degree}")


def number_of_root(lattice: Lattice, row: int, column: int) -> int:
    """Which root the value in that row and column is at, see ``transform``."""
    return 2 * (row + lattice.rows * column) + 1


def interpolated(lattice: Lattice, values: np.ndarray, prime: int) -> Polynomial:
    """The polynomial of degree below N that has these values at the roots of X^N + 1."""
    degree, root = lattice.degree, root_of(lattice.degree, prime)
    powers = np.array([pow(root, k, prime) for k in range(2 * degree)], np.int64)
    exponents = np.array(
        [
            number_of_root(lattice, row, column)
            for row in range(lattice.rows)
            for column in range(lattice.columns)
        ]
    )
    sums = [
        int((values * powers[-i * exponents % (2 * degree)] % prime).sum()) for i in range(degree)
    ]
    return [each * pow(degree, -1, prime) % prime for each in sums]


def public_polynomials(lattice: Lattice, seed: bytes) -> list[Polynomial]:
    """a of each block, modulo q."""
    found = []
    for block in range(lattice.blocks):
        counter = block.to_bytes(8, "big") + bytes(8)
        stream = Cipher(algorithms.AES(seed), modes.CTR(counter)).encryptor()
        values = np.zeros((len(lattice.primes), lattice.degree), np.int64)
        missing = [(k, j) for k in range(len(lattice.primes)) for j in range(lattice.degree)]
        while missing:
            words = stream.update(bytes(4 * len(missing)))
            again = []
            for number, (k, j) in enumerate(missing):
                word = int.from_bytes(words[4 * number : 4 * number + 4], "little") % 2**26
                values[k, j] = word
                if word >= lattice.primes[k]:
                    again.append((k, j))
            missing = again
        by_prime = [
            interpolated(lattice, row, prime)
            for row, prime in zip(values, lattice.primes, strict=True)
        ]
        found.append([together(lattice, each) for each in zip(*by_prime, strict=True)])
    return found


def in_table(lattice: Lattice, polynomials: Sequence[Polynomial]) -> Table:
    """Coefficients of all blocks where they are sent, without those that hold no value."""
    table = np.zeros((lattice.rows, lattice.lanes), object)
    for block, polynomial in enumerate(polynomials):
        for i, coefficient in enumerate(polynomial):
            row, column = divmod(i, lattice.columns)
            lane = block * lattice.columns + column
            if lane < lattice.lanes:
                table[row, lane] = coefficient
    return table


def products(lattice: Lattice, public: Sequence[Polynomial], key: Polynomial) -> Table:
    """a·s of every block."""
    return in_table(lattice, [product(a, key, lattice.modulus) for a in public])


def masked(
    lattice: Lattice, public: Sequence[Polynomial], key: Polynomial, errors: np.ndarray
) -> Table:
    """a·s + e."""
    return (products(lattice, public, key) + errors.astype(object)) % lattice.modulus


def hide(lattice: Lattice, mask: Table, values: Sequence[int]) -> bytes:
    """a·s + e + 2^E·m, as bytes."""
    table = mask.copy()
    for v, value in enumerate(values):
        slot, place = divmod(v, lattice.coefficients)
        row, lane = divmod(place, lattice.lanes)
        table[row, lane] += int(value) << (lattice.error_bits + slot * lattice.value_bits)
    return to_bytes(lattice, table % lattice.modulus)


def to_bytes(lattice: Lattice, table: Table) -> bytes:
    """16 residues of 26 bits of a lane are one number of 13 words, the lowest first."""
    found = bytearray()
    for prime in lattice.primes:
        for first in range(0, lattice.rows, 16):
            numbers = [
                sum(
                    int(x % prime) << (26 * r)
                    for r, x in enumerate(table[first : first + 16, lane])
                )
                for lane in range(lattice.lanes)
            ]
            for word in range(13):
                for number in numbers:
                    found += (number >> (32 * word) & (2**32 - 1)).to_bytes(4, "little")
    return bytes(found)


def from_bytes(lattice: Lattice, body: bytes) -> list[Table]:
    """The residues of each prime."""
    lanes, at, found = lattice.lanes, 0, []
    for _ in lattice.primes:
        table = np.zeros((lattice.rows, lanes), object)
        for first in range(0, lattice.rows, 16):
            numbers = [0] * lanes
            for word in range(13):
                for lane in range(lanes):
                    numbers[lane] |= int.from_bytes(body[at : at + 4], "little") << (32 * word)
                    at += 4
            for row in range(16):
                for lane in range(lanes):
                    table[first + row, lane] = numbers[lane] >> (26 * row) & (2**26 - 1)
        found.append(table)
    return found


def is_canonical(lattice: Lattice, body: bytes) -> bool:
    """Whether all residues are below their primes."""
    tables = from_bytes(lattice, body)
    return all((table < prime).all() for table, prime in zip(tables, lattice.primes, strict=True))


def table_of(lattice: Lattice, body: bytes) -> Table:
    """The coefficients in a body, modulo q."""
    residues = np.stack(from_bytes(lattice, body), axis=-1)
    return np.apply_along_axis(lambda each: together(lattice, each.tolist()), -1, residues)


def add(lattice: Lattice, bodies: Sequence[bytes]) -> bytes:
    """The sum of hidden vectors."""
    tables = [table_of(lattice, body) for body in bodies]
    return to_bytes(lattice, sum(tables[1:], tables[0]) % lattice.modulus)


def opened(
    lattice: Lattice, public: Sequence[Polynomial], key: Polynomial, body: bytes
) -> tuple[list[int], list[int], list[int]]:
    """The errors, the values and what is above them, all of them centred, without any check."""
    left = (table_of(lattice, body) - products(lattice, public, key)) % lattice.modulus
    errors, slots, above = [], [[] for _ in range(lattice.slots)], []
    for number in left.reshape(-1).tolist():
        rest = centred(number, lattice.modulus)
        error = centred(rest, 2**lattice.error_bits)
        rest = (rest - error) >> lattice.error_bits
        for slot in slots:
            slot.append(centred(rest, 2**lattice.value_bits))
            rest = (rest - slot[-1]) >> lattice.value_bits
        errors.append(error)
        above.append(rest)
    values = [value for slot in slots for value in slot]
    return errors, values, above


def reveal(
    lattice: Lattice, public: Sequence[Polynomial], key: Polynomial, body: bytes, count: int
) -> list[int] | None:
    """The sum of ``count`` vectors; None where they cannot have come to what is in the body."""
    errors, values, above = opened(lattice, public, key, body)
    bound, reach = lattice.largest_error(count), count * lattice.largest_value
    is_right = (
        all(abs(error) <= bound for error in errors)
        and all(abs(value) <= reach for value in values)
        and not any(values[lattice.length :])
        and not any(above)
    )
    return values[: lattice.length] if is_right else None
