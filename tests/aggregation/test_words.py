"""Words of every width, packed and back, against arithmetic of Python's integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pride_jax.aggregation.terms import Terms
from pride_jax.aggregation.words import (
    SEED_BYTES,
    Words,
    from_bytes,
    is_canonical,
    keystream,
    stream,
    sum_of_streams,
    to_bytes,
    to_signed,
    to_words,
    words_of,
)

FORMS = st.builds(Words, st.integers(1, 41), st.integers(2, 63))
SEEDS = st.integers(0, 2**32)


def drawn(words: Words, seed: int) -> np.ndarray:
    """Words with anything in the bits that mean nothing."""
    return np.frombuffer(np.random.default_rng(seed).bytes(words.zeros().nbytes), words.dtype)


def packed_slowly(words: Words, values: np.ndarray) -> bytes:
    """Plane by plane, every plane one big integer."""
    packed, low = b"", 0
    for width in (32, 16, 8, 4, 2, 1):
        if words.bits & width:
            parts = [int(value) >> low & (2**width - 1) for value in values]
            together = sum(part << width * place for place, part in enumerate(parts))
            packed += together.to_bytes(-(-words.length * width // 8), "little")
            low += width
    return packed


@given(FORMS, SEEDS)
def test_packed_as_the_format_says_and_back(words: Words, seed: int) -> None:
    values = drawn(words, seed)
    data = to_bytes(words, values)
    assert data == packed_slowly(words, values)
    assert len(data) == words.size
    assert is_canonical(words, data)
    cut = [int(value) % 2**words.bits for value in values]
    assert from_bytes(words, data).tolist() == cut


@given(FORMS)
def test_no_plane_wastes_more_than_a_byte(words: Words) -> None:
    assert 0 <= 8 * words.size - words.length * words.bits < 8 * 3


@pytest.mark.parametrize("bits", range(2, 64))
def test_one_encoding_of_each_vector(bits: int) -> None:
    """A changed bit gives other words, or an encoding that is refused: never the same words."""
    length = 1 + bits % 9
    words = Words(length, bits)
    data = to_bytes(words, drawn(words, bits))
    original, unused = from_bytes(words, data).tolist(), 0
    for place in range(8 * len(data)):
        changed = bytearray(data)
        changed[place // 8] ^= 1 << place % 8
        same = from_bytes(words, bytes(changed)).tolist() == original
        assert same != is_canonical(words, bytes(changed))
        unused += same
    assert unused == 8 * words.size - bits * length


@given(FORMS, SEEDS, st.integers(1, 5))
def test_sums_of_signed_integers_behind_streams(words: Words, seed: int, count: int) -> None:
    """Whatever the streams run over, what is left of the sum is exact, at the extremes too."""
    largest = (2 ** (words.bits - 1) - 1) // count
    rng = np.random.default_rng(seed)
    rows = rng.integers(-largest, largest, (count, words.length), endpoint=True)
    rows[rng.random(rows.shape) < 0.3] = largest
    rows[rng.random(rows.shape) < 0.3] = -largest
    masked, streams = words.zeros(), words.zeros()
    for row in rows:
        mask = stream(words, rng.bytes(SEED_BYTES))
        masked += from_bytes(words, to_bytes(words, to_words(words, row) + mask))
        streams += mask
    left = from_bytes(words, to_bytes(words, masked)) - from_bytes(words, to_bytes(words, streams))
    summed = to_signed(words, left)
    assert summed.dtype == np.int64
    assert (summed == rows.sum(0)).all()


@pytest.mark.parametrize("bits", [2, 5, 31, 32, 33, 63, 64])
def test_the_integers_at_both_ends(bits: int) -> None:
    words = Words(3, bits)
    ends = np.array([-(2 ** (bits - 1)), 2 ** (bits - 1) - 1, -1])
    assert (to_signed(words, to_words(words, ends)) == ends).all()
    assert (
        to_signed(words, from_bytes(words, to_bytes(words, to_words(words, ends)))) == ends
    ).all()


@given(st.integers(2, 32), st.integers(1, 2**31 - 1))
def test_the_shortest_words_that_hold_every_sum(bits: int, cohort: int) -> None:
    terms = Terms(4, bits, 1.0, 1, cohort)
    words, largest = words_of(terms), cohort * terms.largest_value
    assert 2 ** (words.bits - 2) - 1 < largest <= 2 ** (words.bits - 1) - 1
    ends = np.array([-largest, largest, 0, 1])
    assert (to_signed(words, to_words(words, ends)) == ends).all()


def test_the_stream_is_aes_256_in_counter_mode() -> None:
    """Its first block is the H of test case 13 of the GCM specification: zeros under zeros."""
    zeros = keystream(bytes(SEED_BYTES), 32)
    assert zeros[:16].hex() == "dc95c078a2408989ad48a21492842087"
    assert zeros[16:] != zeros[:16]
    assert keystream(bytes(SEED_BYTES), 20) == zeros[:20]
    assert stream(Words(8, 20), bytes(SEED_BYTES)).tobytes() == zeros
    assert stream(Words(4, 40), bytes(SEED_BYTES)).tobytes() == zeros


@pytest.mark.parametrize("bits", [20, 40])
@pytest.mark.parametrize("length", [1, 2**15 - 1, 2**15 + 1, 3 * 2**15])
def test_a_sum_of_streams_in_parts_is_that_of_whole_streams(bits: int, length: int) -> None:
    words, seeds = Words(length, bits), [bytes([k]) * SEED_BYTES for k in range(5)]
    plus, minus = ([stream(words, seed) for seed in some] for some in (seeds[:3], seeds[3:]))
    expected = np.sum(plus, axis=0, dtype=words.dtype) - np.sum(minus, axis=0, dtype=words.dtype)
    found = sum_of_streams(words, iter(seeds[:3]), iter(seeds[3:]))
    assert found.dtype == words.dtype
    np.testing.assert_array_equal(found, expected)
