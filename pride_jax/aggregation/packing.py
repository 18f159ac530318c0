"""Many integers in one big plaintext, so that adding plaintexts adds the integers slot by slot.

A plaintext is, from its least significant byte: one count slot, then slots of whole bytes, then
zeros. Each client puts 1 into the count slot and ``value + (2^(bits-1) - 1)`` into the others, so
slots are never negative and nothing borrows. The slots are wide enough for the largest cohort's
sum, so nothing carries: overflow by honest clients is impossible. A client that breaks its own
range can still spill into its neighbours' slots; only range proofs would stop it.

The last plaintext of a vector may have fewer slots; the rest of it is zero.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from pride_jax.errors import ConfigError, ProtocolError


class Layout(NamedTuple):
    """Where the integers are in a plaintext.

    Attributes:
      offset: added to every value: 2^(bits-1) - 1.
      count_bytes: width of the count slot.
      slot_bytes: width of a value's slot.
      slots: values in a full plaintext.
    """

    offset: int
    count_bytes: int
    slot_bytes: int
    slots: int

    @property
    def plaintext_bytes(self) -> int:
        """Bytes of a plaintext, without the zeros above it."""
        return self.count_bytes + self.slots * self.slot_bytes

    def plaintexts(self, length: int) -> int:
        """Number of plaintexts that hold ``length`` values."""
        return -(-length // self.slots)


def layout(modulus_bits: int, bits: int, largest_cohort: int) -> Layout:
    """The layout with the most slots whose sums always stay below the modulus.

    Args:
      modulus_bits: exact bit length of the plaintext modulus.
      bits: width of a value, in ±(2^(bits-1) - 1).
      largest_cohort: most plaintexts that are ever added.

    Raises:
      ConfigError: not one value fits, or a sum would not fit 63 bits.
    """
    offset = 2 ** (bits - 1) - 1
    largest_sum = largest_cohort * 2 * offset
    if bits < 2 or largest_cohort < 1 or largest_sum.bit_length() > 63:
        raise ConfigError(
            f"No packing for bits={bits}, largest_cohort={largest_cohort}: expected bits >= 2, "
            "largest_cohort >= 1 and sums below 2^63: use fewer bits"
        )
    # 256^usable - 1 is below every modulus of this bit length.
    usable = (modulus_bits - 1) // 8
    count_bytes = _bytes(largest_cohort)
    slot_bytes = _bytes(largest_sum)
    slots = (usable - count_bytes) // slot_bytes
    if slots < 1:
        raise ConfigError(
            f"No packing for a modulus of {modulus_bits} bits with bits={bits}, "
            f"largest_cohort={largest_cohort}: a count of {count_bytes} and a value of "
            f"{slot_bytes} bytes do not fit {usable}: use a larger key"
        )
    return Layout(offset, count_bytes, slot_bytes, slots)


def pack(where: Layout, values: Int64[np.ndarray, "length"]) -> list[int]:
    """One client's integers as plaintexts, each with a count of 1.

    Args:
      where: the layout.
      values: integers in ±``where.offset``; the caller has checked it.

    Returns:
      ``where.plaintexts(length)`` integers.
    """
    rows = where.plaintexts(len(values))
    word = np.dtype("<u4" if where.slot_bytes <= 4 else "<u8")
    encoded = (values + where.offset).astype(word).view(np.uint8).reshape(-1, word.itemsize)
    slots = np.zeros((rows * where.slots, where.slot_bytes), np.uint8)
    slots[: len(values)] = encoded[:, : where.slot_bytes]
    count = np.zeros((rows, where.count_bytes), np.uint8)
    count[:, 0] = 1
    table = np.concatenate([count, slots.reshape(rows, -1)], axis=1)
    return [int.from_bytes(row.tobytes(), "little") for row in table]


def unpack(
    where: Layout, plaintexts: list[int], length: int, count: int
) -> Int64[np.ndarray, "length"]:
    """The sum that plaintexts hold, once they are a sum of ``count`` clients' plaintexts.

    Args:
      where: the layout.
      plaintexts: as many as ``where.plaintexts(length)``.
      length: number of values.
      count: number of clients whose plaintexts were added.

    Raises:
      ProtocolError: bits above the slots, a count slot other than ``count``, or a slot that
        ``count`` honest clients cannot fill. The message quotes nothing of the plaintexts: what
        stands in a slot of a forged ciphertext may be a client's value.
    """
    try:
        data = b"".join(
            plaintext.to_bytes(where.plaintext_bytes, "little") for plaintext in plaintexts
        )
    except OverflowError:
        raise ProtocolError(
            "A decrypted sum has bits above its slots: a message was forged or damaged, "
            "or is not from this key; discard the round"
        ) from None
    table = np.frombuffer(data, np.uint8).reshape(len(plaintexts), where.plaintext_bytes)
    counts = _integers(table[:, : where.count_bytes])
    if (counts != count).any():
        raise ProtocolError(
            f"A decrypted sum does not count the {count} contributions that it should: a message "
            "was left out, added more than once or forged; discard the round"
        )
    slots = table[:, where.count_bytes :].reshape(-1, where.slot_bytes)
    sums = _integers(slots[:length])
    if slots[length:].any() or (sums < 0).any() or sums.max() > 2 * where.offset * count:
        raise ProtocolError(
            f"A decrypted sum holds a value that {count} clients within their range cannot reach: "
            "a message was forged or damaged; discard the round"
        )
    return sums - where.offset * count


def _bytes(largest: int) -> int:
    return -(-largest.bit_length() // 8)


def _integers(
    little_endian: np.ndarray[tuple[int, int], np.dtype[np.uint8]],
) -> Int64[np.ndarray, "rows"]:
    rows, width = little_endian.shape
    words = np.zeros((rows, 8), np.uint8)
    words[:, :width] = little_endian
    return words.view("<i8")[:, 0]
