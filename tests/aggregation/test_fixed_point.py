import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pride_jax.aggregation.fixed_point import REFUSED, dequantize, error_bound, fit, quantize
from pride_jax.errors import ConfigError

floats = st.floats(-(2.0**126), 2.0**126, width=32, allow_subnormal=False)
limits = st.floats(2.0**-99, 2.0**99, width=32, allow_subnormal=False)
fit_compiled = jax.jit(fit)
quantize_compiled = jax.jit(quantize, static_argnums=3)


def padded(values: list[float]) -> jax.Array:
    """One shape, so that Hypothesis compiles once."""
    return jnp.zeros(8, jnp.float32).at[: len(values)].set(jnp.array(values, jnp.float32))


@settings(max_examples=300, deadline=None)
@given(values=st.lists(floats, min_size=1, max_size=8), limit=limits)
@example(values=[2.0**126, 1e-30], limit=2.0**-99)
def test_fit_bounds_every_value_and_keeps_the_direction(values: list[float], limit: float) -> None:
    vector = padded(values)
    fitted, was_scaled = fit_compiled(vector, jnp.float32(limit))
    largest = np.abs(vector).max()
    assert was_scaled == (largest > limit)
    assert np.abs(fitted).max() <= limit
    if was_scaled:
        expected = np.asarray(vector, np.float64) / float(largest) * limit
        # What would be subnormal may become zero.
        np.testing.assert_allclose(fitted, expected, rtol=3e-7, atol=2e-38 + limit * 1e-37)
        assert np.abs(fitted).max() >= limit * (1 - 1e-6)
    else:
        np.testing.assert_array_equal(fitted, vector)


@settings(max_examples=300, deadline=None)
@given(
    values=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=8),
    limit=limits,
    bits=st.sampled_from([2, 8, 16, 24]),
    seed=st.integers(0, 2**31 - 1),
)
@example(values=[1.0, -1.0, 0.99999994, -0.99999994], limit=0.1, bits=24, seed=0)
def test_quantize_stays_in_range_and_close(
    values: list[float], limit: float, bits: int, seed: int
) -> None:
    vector, _ = fit_compiled(padded(values) * jnp.float32(limit), jnp.float32(limit))
    integers = quantize_compiled(jax.random.key(seed), vector, jnp.float32(limit), bits)
    assert np.abs(integers).max() <= 2 ** (bits - 1) - 1
    floats = dequantize(np.asarray(integers, np.int64), limit, bits)
    assert floats.dtype == np.float32
    assert np.abs(floats - np.asarray(vector)).max() <= error_bound(limit, bits, 1)


@pytest.mark.parametrize("bits", [2, 8, 16, 24])
@pytest.mark.parametrize("limit", [1.0, 0.1, 3.0, 1e-20, 7e20])
@pytest.mark.parametrize("compiled", [True, False])
def test_values_next_to_the_limit(bits: int, limit: float, compiled: bool) -> None:
    edge = np.float32(limit)
    values = [edge]
    for _ in range(40):
        values.append(np.nextafter(values[-1], np.float32(0)))
    vector = jnp.array([*values, *(-value for value in values)])
    run = quantize_compiled if compiled else quantize
    for seed in range(5):
        integers = np.asarray(run(jax.random.key(seed), vector, limit, bits))
        assert 0 <= 2 ** (bits - 1) - 1 - np.abs(integers).max() <= 1


@pytest.mark.parametrize("bits", [2, 8, 16, 24])
def test_the_limit_is_the_largest_integer_and_zero_is_zero(bits: int) -> None:
    largest = 2 ** (bits - 1) - 1
    vector = jnp.array([1.0, -1.0, 0.0, -0.0], jnp.float32)
    for seed in range(50):
        integers = quantize_compiled(jax.random.key(seed), vector, 1.0, bits)
        np.testing.assert_array_equal(integers, [largest, -largest, 0, 0])


@pytest.mark.parametrize("bits", [8, 16, 24])
def test_integers_survive_the_round_trip(bits: int) -> None:
    largest = 2 ** (bits - 1) - 1
    integers = np.unique(np.linspace(-largest, largest, 9999).astype(np.int64))
    vector = jnp.array(integers, jnp.float32)
    for seed in range(3):
        there = quantize_compiled(jax.random.key(seed), vector, float(largest), bits)
        np.testing.assert_array_equal(there, integers)
    np.testing.assert_array_equal(dequantize(integers, float(largest), bits), vector)


def test_what_is_beyond_the_limit_is_refused_and_not_clamped() -> None:
    vector = jnp.array([1.0000001, -1.0000001, 3e38, np.inf, -np.inf, np.nan, 0.5], jnp.float32)
    for run in (quantize, quantize_compiled):
        integers = run(jax.random.key(0), vector, 1.0, 16)
        np.testing.assert_array_equal(integers[:-1], REFUSED)
        assert abs(integers[-1]) <= 32767


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 3e38])
def test_fit_does_not_hide_what_it_cannot_scale(bad: float) -> None:
    fitted, _ = fit_compiled(jnp.array([bad, 1.0, -2.0], jnp.float32), 1.0)
    assert REFUSED in quantize_compiled(jax.random.key(0), fitted, 1.0, 16)


@pytest.mark.parametrize("fraction", [0.25, 0.5, 0.9, 1 / 3, -0.25, -0.9])
def test_rounding_is_unbiased(fraction: float) -> None:
    draws, base = 400_000, 5.0
    vector = jnp.full(draws, base + fraction, jnp.float32)
    integers = np.asarray(quantize_compiled(jax.random.key(1), vector, 127.0, 8), np.float64)
    error = np.sqrt(abs(fraction) * (1 - abs(fraction)) / draws)
    assert abs(integers.mean() - (base + fraction)) < 5 * error
    # The test can fail: rounding to the nearest is far outside it.
    assert abs(round(base + fraction) - (base + fraction)) > 5 * error


def test_clients_of_a_batch_do_not_depend_on_one_another() -> None:
    keys = jax.random.split(jax.random.key(2), 5)
    vectors = jax.random.uniform(jax.random.key(3), (5, 33), jnp.float32, -1, 1)
    limit = jnp.float32(1.1)
    batched = jax.jit(jax.vmap(lambda key, vector: quantize(key, vector, limit, 24)))
    alone = [quantize(key, vector, limit, 24) for key, vector in zip(keys, vectors, strict=True)]
    np.testing.assert_array_equal(batched(keys, vectors), alone)
    np.testing.assert_array_equal(batched(keys[:2], vectors[:2]), alone[:2])
    assert not np.array_equal(quantize(keys[0], vectors[1], limit, 24), alone[1])


def test_fit_under_vmap() -> None:
    vectors = jnp.array([[3.0, -4.0], [0.1, 0.2]], jnp.float32)
    fitted, was_scaled = jax.jit(jax.vmap(lambda vector: fit(vector, 2.0)))(vectors)
    np.testing.assert_allclose(fitted, [[1.5, -2.0], [0.1, 0.2]])
    np.testing.assert_array_equal(was_scaled, [True, False])


@pytest.mark.parametrize("bits", [8, 16, 24])
def test_error_of_a_sum_is_within_the_bound(bits: int) -> None:
    clients, limit = 100, 0.3
    vectors = jax.random.uniform(jax.random.key(4), (clients, 500), jnp.float32, -limit, limit)
    keys = jax.random.split(jax.random.key(5), clients)
    integers = jax.vmap(lambda key, vector: quantize(key, vector, limit, bits))(keys, vectors)
    summed = dequantize(np.asarray(integers, np.int64).sum(0), limit, bits)
    exact = np.asarray(vectors, np.float64).sum(0)
    assert np.abs(summed - exact).max() <= error_bound(limit, bits, clients)


@pytest.mark.parametrize("bits", [1, 25])
def test_widths_that_float32_cannot_hold(bits: int) -> None:
    with pytest.raises(ConfigError, match=f"bits={bits}"):
        quantize(jax.random.key(0), jnp.zeros(2, jnp.float32), 1.0, bits)
