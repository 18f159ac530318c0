"""What is drawn for a vector: a key and errors that are secret, and polynomials that are public."""

import functools

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from jaxtyping import Int8, Int64, UInt32

from pride_jax.aggregation.lattice.parameters import RESIDUE_BITS, VARIANCE, Lattice
from pride_jax.aggregation.secure_sum import Rng
from pride_jax.privacy.mechanisms.discrete_gaussian_noise import discrete_gaussian


def draw_key(lattice: Lattice, rng: Rng) -> Int64[np.ndarray, "degree"]:
    """A key for one vector: independent discrete Gaussians of variance parameter ``VARIANCE``.

    Each is within 2^-111 of the distribution, in total variation, and none is beyond ±78.

    Args:
      lattice: the parameters.
      rng: gives 32 bytes; in production ``os.urandom``.
    """
    return discrete_gaussian(rng, VARIANCE, lattice.degree)


def draw_errors(lattice: Lattice, rng: Rng) -> Int8[np.ndarray, "rows lanes"]:
    """Errors for one vector, as those of a key."""
    drawn = discrete_gaussian(rng, VARIANCE, (lattice.rows, lattice.lanes))
    return drawn.astype(np.int8)


@functools.lru_cache(maxsize=1)
def public_polynomials(
    lattice: Lattice, seed: bytes
) -> UInt32[np.ndarray, "blocks primes rows columns"]:
    """The polynomials a of a vector's blocks, as values at the roots, see `transform`.

    Block b is made from AES-256 in counter mode from b·2^64 on. Words of 32 bits, little-endian,
    of which the lowest 26 count, are its residues in their order, uniform by rejection: those that
    a prime does not exceed are taken anew from the words that follow, in their order, again and
    again.

    Args:
      lattice: the parameters.
      seed: 32 uniform bytes that have no other use. They are no secret.
    """
    found = np.empty((lattice.blocks, len(lattice.primes), lattice.degree), np.uint32)
    primes = np.repeat(np.array(lattice.primes, np.uint32), lattice.degree)
    for number, block in enumerate(found.reshape(lattice.blocks, -1)):
        start = number.to_bytes(8, "big") + bytes(8)
        encryptor = Cipher(algorithms.AES(seed), modes.CTR(start)).encryptor()
        undecided = np.arange(block.size)
        while undecided.size:
            words = np.frombuffer(encryptor.update(bytes(4 * undecided.size)), "<u4")
            block[undecided] = words & np.uint32(2**RESIDUE_BITS - 1)
            undecided = undecided[block[undecided] >= primes[undecided]]
    found.flags.writeable = False
    return found.reshape(*found.shape[:2], lattice.rows, lattice.columns)
