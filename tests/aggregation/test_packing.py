import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pride_jax.aggregation.packing import Layout, layout, pack, unpack
from pride_jax.errors import ConfigError, ProtocolError


def test_known_plaintexts() -> None:
    where = layout(modulus_bits=80, bits=16, largest_cohort=3)
    assert where == Layout(offset=32767, count_bytes=1, slot_bytes=3, slots=2)
    values = np.array([-32767, 32767, 1])
    # Least significant byte last: slots of three bytes above a count of one byte.
    assert pack(where, values) == [0x00FFFE_000000_01, 0x000000_008000_01]
    three = [3 * plaintext for plaintext in pack(where, values)]
    assert three == [0x02FFFA_000000_03, 0x000000_018000_03]
    np.testing.assert_array_equal(unpack(where, three, 3, 3), [-98301, 98301, 3])


@pytest.mark.parametrize(
    ("key_bits", "bits", "slots", "bytes_per_value"),
    [(2048, 16, 84, 6.10), (2048, 8, 127, 4.04), (3072, 16, 127, 6.05), (3072, 8, 191, 4.03)],
)
def test_slots_for_128_clients(
    key_bits: int, bits: int, slots: int, bytes_per_value: float
) -> None:
    where = layout(key_bits, bits, 128)
    assert where.slots == slots
    assert key_bits / 4 / where.slots < bytes_per_value


@settings(deadline=None)
@given(
    key_bits=st.sampled_from([1024, 2048, 3072]),
    bits=st.integers(2, 32),
    cohort=st.integers(1, 2**31 - 1),
    signs=st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=400),
)
def test_the_largest_cohort_at_the_extremes_never_carries(
    key_bits: int, bits: int, cohort: int, signs: list[int]
) -> None:
    where = layout(key_bits, bits, cohort)
    values = np.array(signs) * (2 ** (bits - 1) - 1)
    total = [cohort * plaintext for plaintext in pack(where, values)]
    assert all(plaintext < 2 ** (key_bits - 1) for plaintext in total)
    np.testing.assert_array_equal(unpack(where, total, len(values), cohort), cohort * values)


@settings(deadline=None)
@given(bits=st.integers(2, 32), cohort=st.integers(1, 2**31 - 1), key_bits=st.integers(128, 4096))
def test_a_layout_is_as_tight_as_whole_bytes_allow(bits: int, cohort: int, key_bits: int) -> None:
    where = layout(key_bits, bits, cohort)
    largest_sum = cohort * (2**bits - 2)
    assert 256 ** (where.slot_bytes - 1) <= largest_sum < 256**where.slot_bytes
    assert 256 ** (where.count_bytes - 1) <= cohort < 256**where.count_bytes
    assert 256**where.plaintext_bytes <= 2 ** (key_bits - 1)
    assert 256 ** (where.plaintext_bytes + where.slot_bytes) > 2 ** (key_bits - 1)


@pytest.mark.parametrize("seed", range(20))
def test_sums_of_different_vectors(seed: int) -> None:
    rng = np.random.default_rng(seed)
    where = layout(1024, 16, 20)
    vectors = rng.integers(-32767, 32768, (20, 321))
    columns = zip(*(pack(where, vector) for vector in vectors), strict=True)
    total = [sum(column) for column in columns]
    np.testing.assert_array_equal(unpack(where, total, 321, 20), vectors.sum(0))


@pytest.mark.parametrize(
    ("key_bits", "bits", "cohort", "message"),
    [
        (1024, 1, 10, "bits >= 2"),
        (1024, 8, 0, "largest_cohort >= 1"),
        (1024, 60, 100, "use fewer bits"),
        (24, 16, 100, "use a larger key"),
    ],
)
def test_impossible_layouts(key_bits: int, bits: int, cohort: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        layout(key_bits, bits, cohort)


class TestRefusals:
    where = layout(modulus_bits=80, bits=16, largest_cohort=3)

    @pytest.mark.parametrize("count", [1, 3])
    def test_another_number_of_contributions(self, count: int) -> None:
        total = [2 * plaintext for plaintext in pack(self.where, np.arange(3))]
        with pytest.raises(ProtocolError, match=f"count the {count}"):
            unpack(self.where, total, 3, count)

    def test_bits_above_the_slots(self) -> None:
        first, second = pack(self.where, np.arange(3))
        with pytest.raises(ProtocolError, match="above its slots"):
            unpack(self.where, [first + 256**7, second], 3, 1)

    def test_value_beyond_what_the_clients_can_reach(self) -> None:
        first, second = pack(self.where, np.array([32767, 0, 0]))
        with pytest.raises(ProtocolError, match="cannot reach"):
            unpack(self.where, [first + 256, second], 3, 1)

    def test_value_in_an_unused_slot(self) -> None:
        first, second = pack(self.where, np.arange(3))
        with pytest.raises(ProtocolError, match="cannot reach"):
            unpack(self.where, [first, second + 256**4], 3, 1)
