"""What clients send with their shares of the noise: residues whose sum is the noised sum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pride_jax.errors import ProtocolError
from pride_jax.privacy.mechanisms.shares import NO_SHARES, integer_shares

CLIENTS, LENGTH, BITS = 5, 3, 8
LARGEST = 2 ** (BITS - 1) - 1


def rows(largest, dtype):
    return arrays(dtype, (CLIENTS, LENGTH), elements=st.integers(-largest, largest))


@settings(deadline=None)
@given(rows(LARGEST, np.int32), rows(2**40, np.int64), st.integers(4, 24))
def test_a_sum_of_what_is_sent_is_the_noised_sum_as_long_as_there_is_room(integers, noise, extra):
    room = 2 ** (BITS + extra - 1) - 1
    # Shares may leave the room one by one, as long as they add up within it.
    noise[-1] = -noise[:-1].sum(axis=0) + np.arange(LENGTH)
    shares = integer_shares(LARGEST, BITS + extra, extra, lambda announced, here: noise[:here])
    sent = shares.add(integers, shares.draw(CLIENTS, CLIENTS))
    assert np.abs(sent).max() <= room
    np.testing.assert_array_equal(
        shares.centred(sent.sum(axis=0)), integers.sum(axis=0) + np.arange(LENGTH)
    )


@pytest.mark.parametrize("too_large", [LARGEST + 1, -LARGEST - 1, -(2**31)])
def test_noise_never_hides_an_update_beyond_what_it_is_made_for(too_large):
    zeros = np.zeros((1, 2), np.int64)
    shares = integer_shares(LARGEST, BITS + 8, 8, lambda announced, here: zeros)
    with pytest.raises(ProtocolError, match="exceeds the integers ±127"):
        shares.add(np.array([[0, too_large]], np.int32), shares.draw(1, 1))


def test_without_shares_integers_are_sent_as_they_are():
    integers = np.array([[1, -(2**31)]], np.int32)
    assert NO_SHARES.add(integers, NO_SHARES.draw(3, 1)) is integers
    np.testing.assert_array_equal(NO_SHARES.centred(integers[0]), integers[0])
    assert NO_SHARES.extra_bits == 0
