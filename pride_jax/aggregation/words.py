"""Integers modulo a power of two: added, masked by a stream, and packed to the bit.

On the wire, words of b bits are cut into planes, from the lowest bits up, as wide as the powers of
two that b is the sum of, the widest first: of 20 bits, all low halves of 16, then all that is left,
of 4. Bits that stand for no word are 0, so each vector has one encoding.

In memory, bits above the b-th mean nothing: sums may run over, and are cut on the wire.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes
from jaxtyping import Int64, UInt

from pride_jax.aggregation.terms import Terms

SEED_BYTES = 32
_BLOCK_BYTES, _AT_ONCE = 16, 2**15


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
        return sum(-(-self.length * width // 8) for _, width in self.planes())

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger]:
        """Of words in memory."""
        return np.dtype("<u4" if self.bits <= 32 else "<u8")

    def planes(self) -> Iterator[tuple[int, int]]:
        """The lowest bit and the width of each plane, in their order on the wire."""
        low = 0
        for width in (64, 32, 16, 8, 4, 2, 1):
            if self.bits & width:
                yield low, width
                low += width

    def zeros(self) -> UInt[np.ndarray, "length"]:
        """The sum of nothing."""
        return np.zeros(self.length, self.dtype)


def words_of(terms: Terms) -> Words:
    """The shortest words that hold every possible sum of the terms, with its sign."""
    largest_sum = terms.largest_cohort * terms.largest_value
    return Words(terms.length, largest_sum.bit_length() + 1)


def stream(words: Words, seed: bytes) -> UInt[np.ndarray, "length"]:
    """The words that a seed stands for: AES-256 in counter mode.

    Args:
      words: their form.
      seed: 32 uniform bytes that have no other use.
    """
    return np.frombuffer(keystream(seed, words.dtype.itemsize * words.length), words.dtype)


def sum_of_streams(
    words: Words, added: Iterable[bytes], taken: Iterable[bytes] = ()
) -> UInt[np.ndarray, "length"]:
    """The sum of the streams of some seeds, less those of others."""
    streams = [(_encryptor(seed), np.add) for seed in added]
    streams += [(_encryptor(seed), np.subtract) for seed in taken]
    total = words.zeros()
    for start in range(0, words.length, _AT_ONCE):
        part = total[start : start + _AT_ONCE]
        # One piece of memory, which stays in the cache: to make a new one takes longer than this.
        nothing, room = bytes(part.nbytes), bytearray(part.nbytes + _BLOCK_BYTES - 1)
        drawn = np.frombuffer(room, words.dtype, len(part))
        for encryptor, change in streams:
            encryptor.update_into(nothing, room)
            change(part, drawn, out=part)
    return total


def keystream(seed: bytes, size: int) -> bytes:
    """That many bytes of AES-256 in counter mode, under 32 uniform bytes of no other use."""
    return _encryptor(seed).update(bytes(size))


def _encryptor(seed: bytes) -> CipherContext:
    return Cipher(algorithms.AES(seed), modes.CTR(bytes(_BLOCK_BYTES))).encryptor()


def to_words(words: Words, values: Int64[np.ndarray, "length"]) -> UInt[np.ndarray, "length"]:
    """Signed integers modulo 2^bits."""
    return values.astype(words.dtype)


def to_signed(words: Words, values: UInt[np.ndarray, "length"]) -> Int64[np.ndarray, "length"]:
    """The integers closest to zero that words, or sums of words, are modulo 2^bits."""
    excess = 8 * words.dtype.itemsize - words.bits
    shifted = values.astype(words.dtype, copy=False) << words.dtype.type(excess)
    signed = shifted.view(words.dtype.str.replace("u", "i"))
    return (signed >> excess).astype(np.int64)


def to_bytes(words: Words, values: UInt[np.ndarray, "length"]) -> bytes:
    """Words, or sums of words, as ``size`` bytes."""
    planes = []
    for low, width in words.planes():
        part = values >> words.dtype.type(low)
        if width >= 8:
            planes.append(part.astype(f"<u{width // 8}").tobytes())
            continue
        each = 8 // width
        padded = np.zeros(-(-words.length // each) * each, np.uint8)
        padded[: words.length] = part & words.dtype.type(2**width - 1)
        together = padded[::each].copy()
        for place in range(1, each):
            together |= padded[place::each] << np.uint8(place * width)
        planes.append(together.tobytes())
    return b"".join(planes)


def from_bytes(words: Words, data: bytes) -> UInt[np.ndarray, "length"]:
    """The words in ``size`` bytes."""
    values, start = words.zeros(), 0
    for low, width in words.planes():
        shift = words.dtype.type(low)
        if width >= 8:
            plane = np.frombuffer(data, f"<u{width // 8}", words.length, start)
            values |= plane.astype(words.dtype) << shift
            start += plane.nbytes
            continue
        each = 8 // width
        plane = np.frombuffer(data, np.uint8, -(-words.length // each), start)
        for place in range(each):
            found = values[place::each]
            bits = (plane >> np.uint8(place * width)) & np.uint8(2**width - 1)
            found |= bits[: len(found)].astype(words.dtype) << shift
        start += plane.nbytes
    return values


def is_canonical(words: Words, data: bytes) -> bool:
    """Whether the bits of ``data`` that stand for no word are 0."""
    end = 0
    for _, width in words.planes():
        used = words.length * width
        end += -(-used // 8)
        if used % 8 and data[end - 1] >> used % 8:
            return False
    return True
