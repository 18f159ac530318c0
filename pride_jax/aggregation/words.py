"""Integers modulo a power of two: added, masked by a stream, and packed to the bit.

On the wire, words of b bits have their whole bytes first, then the b mod 8 bits that are left,
eight words at a time. Bits that stand for no word are 0, so each vector has one encoding.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from jaxtyping import Int64, UInt64

from pride_jax.aggregation.secure_sum import Terms

SEED_BYTES = 32


class Words(NamedTuple):
    """Vectors of words.

    Attributes:
      length: words in a vector.
      bits: of a word, 2 … 64: sums are modulo 2^bits.
    """

    length: int
    bits: int

    @property
    def size(self) -> int:
        """Bytes of a vector."""
        return self.length * (self.bits // 8) + -(-self.length // 8) * (self.bits % 8)

    @property
    def _mask(self) -> np.uint64:
        return np.uint64(2**self.bits - 1)


def words_of(terms: Terms) -> Words:
    """The shortest words that hold every possible sum of the terms, with its sign."""
    largest_sum = terms.largest_cohort * terms.largest_value
    return Words(terms.length, largest_sum.bit_length() + 1)


def stream(words: Words, seed: bytes) -> UInt64[np.ndarray, "length"]:
    """The words that a seed stands for: AES-256 in counter mode.

    Args:
      words: their form.
      seed: 32 uniform bytes that have no other use.
    """
    return sum_of_streams(words, [seed])


def sum_of_streams(
    words: Words, added: Iterable[bytes], taken: Iterable[bytes] = ()
) -> UInt64[np.ndarray, "length"]:
    """The sum of the streams of some seeds, less those of others."""
    width = 4 if words.bits <= 32 else 8
    zeros, total = bytes(width * words.length), np.zeros(words.length, f"<u{width}")
    for seeds, combine in ((added, np.add), (taken, np.subtract)):
        for seed in seeds:
            cipher = Cipher(algorithms.AES(seed), modes.CTR(bytes(16))).encryptor()
            combine(total, np.frombuffer(cipher.update(zeros), total.dtype), out=total)
    return total.astype(np.uint64) & words._mask


def to_words(words: Words, values: Int64[np.ndarray, "length"]) -> UInt64[np.ndarray, "length"]:
    """Signed integers modulo 2^bits."""
    return values.astype(np.uint64) & words._mask


def to_signed(words: Words, values: UInt64[np.ndarray, "length"]) -> Int64[np.ndarray, "length"]:
    """The integers closest to zero that words, or sums of words, are modulo 2^bits."""
    excess = np.uint64(64 - words.bits)
    return (values << excess).view(np.int64) >> excess.astype(np.int64)


def to_bytes(words: Words, values: UInt64[np.ndarray, "length"]) -> bytes:
    """Words, or sums of words, as ``size`` bytes."""
    whole, rest = divmod(words.bits, 8)
    values = values & words._mask
    octets = values.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :whole].tobytes()
    if not rest:
        return octets
    groups = np.zeros(-(-words.length // 8) * 8, np.uint64)
    groups[: words.length] = values >> np.uint64(8 * whole)
    groups = groups.reshape(-1, 8)
    together = np.zeros(len(groups), np.uint64)
    for place in range(8):
        together |= groups[:, place] << np.uint64(place * rest)
    return octets + together.astype("<u8").view(np.uint8).reshape(-1, 8)[:, :rest].tobytes()


def from_bytes(words: Words, data: bytes) -> UInt64[np.ndarray, "length"]:
    """The words in ``size`` bytes."""
    whole, rest = divmod(words.bits, 8)
    end = words.length * whole
    octets = np.zeros((words.length, 8), np.uint8)
    sent = np.frombuffer(data, np.uint8)
    octets[:, :whole] = sent[:end].reshape(words.length, whole)
    values = octets.view("<u8")[:, 0].astype(np.uint64)
    if not rest:
        return values
    groups = np.zeros((-(-words.length // 8), 8), np.uint8)
    groups[:, :rest] = sent[end:].reshape(len(groups), rest)
    together = groups.view("<u8")[:, 0].astype(np.uint64)
    for place in range(8):
        bits = together >> np.uint64(place * rest) & np.uint64(2**rest - 1)
        values[place::8] |= bits[: len(values[place::8])] << np.uint64(8 * whole)
    return values


def is_canonical(words: Words, data: bytes) -> bool:
    """Whether the bits of ``data`` that stand for no word are 0."""
    unused = -words.length % 8 * (words.bits % 8)
    last = data[-(words.bits % 8) :] if words.bits % 8 else b""
    return int.from_bytes(last, "little") >> (8 * len(last) - unused) == 0 if unused else True
