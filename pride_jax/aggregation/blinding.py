"""What hides a plaintext from whoever can decrypt it: uniform numbers, from a seed held elsewhere.

The numbers are added modulo the plaintexts' own modulus. So a blinded plaintext is uniform,
whatever the plaintext, and the blinds of a sum are the sum of the blinds.
"""

# pyright: reportAttributeAccessIssue=false
# gmpy2 has no type stubs.

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from gmpy2 import mpz

_EXCESS_BYTES = 16


def blinds(modulus: mpz, seed: bytes, count: int) -> list[mpz]:
    """The numbers below ``modulus`` that a seed stands for: AES-256 in counter mode, reduced.

    Each is reduced from 128 bits more than the modulus has, so that it is within 2^-128 of uniform
    if the stream is.

    Args:
      modulus: of the plaintexts.
      seed: 32 uniform bytes that have no other use.
      count: how many.
    """
    size = -(-modulus.bit_length() // 8) + _EXCESS_BYTES
    cipher = Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor()
    stream = cipher.update(bytes(count * size))
    return [
        mpz.from_bytes(stream[at : at + size], "big") % modulus
        for at in range(0, len(stream), size)
    ]
