"""Residues of 26 bits as bytes: 16 rows of residues become 13 rows of 32-bit words.

In each lane, bits 26·r … 26·r + 25 are those of row r, and bits 32·m … 32·m + 31 are word m, which
is little-endian. No bit is left over, so that residues have one encoding.
"""

import numpy as np
from jaxtyping import UInt32

from pride_jax.aggregation.lattice.parameters import RESIDUE_BITS, Lattice

_ROWS, _WORDS = 16, RESIDUE_BITS // 2


def to_bytes(residues: UInt32[np.ndarray, "primes rows lanes"]) -> bytes:
    """Residues, packed."""
    primes, rows, lanes = residues.shape
    grouped = residues.reshape(primes, rows // _ROWS, _ROWS, lanes)
    words = np.zeros((primes, rows // _ROWS, _WORDS, lanes), "<u4")
    for row in range(_ROWS):
        word, bit = divmod(RESIDUE_BITS * row, 32)
        words[:, :, word] |= grouped[:, :, row] << np.uint32(bit)
        if bit + RESIDUE_BITS > 32:
            words[:, :, word + 1] |= grouped[:, :, row] >> np.uint32(32 - bit)
    return words.tobytes()


def from_bytes(lattice: Lattice, body: bytes) -> UInt32[np.ndarray, "primes rows lanes"]:
    """What ``to_bytes`` packed, if ``body`` is of the lattice's size; else anything below 2^26."""
    primes, rows = len(lattice.primes), lattice.rows
    words = np.frombuffer(body, "<u4").reshape(primes, rows // _ROWS, _WORDS, lattice.lanes)
    found = np.empty((primes, rows // _ROWS, _ROWS, lattice.lanes), np.uint32)
    for row in range(_ROWS):
        word, bit = divmod(RESIDUE_BITS * row, 32)
        found[:, :, row] = words[:, :, word] >> np.uint32(bit)
        if bit + RESIDUE_BITS > 32:
            found[:, :, row] |= words[:, :, word + 1] << np.uint32(32 - bit)
    found &= np.uint32(2**RESIDUE_BITS - 1)
    return found.reshape(primes, rows, lattice.lanes)
