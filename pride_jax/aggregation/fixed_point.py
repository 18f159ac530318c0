"""Float updates as integers and back: a common scale, and rounding that is right on average."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int32, Int64

from pride_jax.errors import ConfigError
from pride_jax.types import Key

REFUSED = -(2**31)
"""Stands for a value beyond the limit or NaN; every protocol refuses a vector that holds it."""


def fit(
    vector: Float32[Array, "length"], limit: float | Float32[Array, ""]
) -> tuple[Float32[Array, "length"], Bool[Array, ""]]:
    """Scales a whole vector down, direction kept, so that no value exceeds the limit.

    Args:
      vector: a client's update.
      limit: the largest magnitude allowed, positive.

    Returns:
      The vector, untouched if it fits, and whether it was scaled. A vector with NaN, infinity or a
      value beyond 2^126 comes out with NaN, which ``quantize`` marks as refused.
    """
    largest = jnp.max(jnp.abs(vector))
    was_scaled = largest > limit
    # The inverse of larger floats is subnormal, which devices flush to zero.
    inverse = jnp.where(largest <= 2.0**126, 1 / jnp.where(was_scaled, largest, 1.0), jnp.nan)
    # The clip undoes a rounding of the last bit, and keeps compilers from joining the two factors,
    # whose product could underflow.
    scaled = jnp.clip(vector * inverse, -1, 1) * limit
    return jnp.where(was_scaled, scaled, vector), was_scaled


def quantize(
    key: Key, vector: Float32[Array, "length"], limit: float | Float32[Array, ""], bits: int
) -> Int32[Array, "length"]:
    """Integers in ±(2^(bits-1) - 1), rounded up or down at random so that the mean is right.

    The integer is ``floor(y)`` or ``floor(y) + 1`` for ``y = vector * (2^(bits-1) - 1) / limit``;
    the upper has the fractional part of ``y`` as its probability, to within 2^-32, and a whole
    ``y`` stays itself.

    Args:
      key: this client's own for this round.
      vector: values within ±limit, as from ``fit``.
      limit: what the largest integer stands for; from 1e-30 to 1e30.
      bits: 2 … 24: float32 holds larger integers with gaps.

    Returns:
      The integers. A value beyond the limit, or NaN, is not clamped but becomes ``REFUSED``.
    """
    if not 2 <= bits <= 24:
        raise ConfigError(f"quantize: bits={bits}, expected 2 … 24: float32 has 24-bit integers")
    levels = _levels(bits)
    # One scalar factor: compilers round a division by a vector's common divisor in several ways.
    # The clip undoes a rounding of the last bit of values at the limit.
    scaled = jnp.clip(vector * (levels / limit), -levels, levels)
    below = jnp.floor(scaled)
    threshold = ((scaled - below) * 2.0**32).astype(jnp.uint32)
    up = jax.random.bits(key, vector.shape, jnp.uint32) < threshold
    integers = below.astype(jnp.int32) + up.astype(jnp.int32)
    return jnp.where(jnp.abs(vector) <= limit, integers, jnp.int32(REFUSED))


def dequantize(
    total: Int64[np.ndarray, "length"], limit: float, bits: int
) -> Float32[np.ndarray, "length"]:
    """The float sum that an integer sum stands for; on the host, since devices lack int64.

    Args:
      total: a sum of ``quantize``'s integers.
      limit: as given to ``quantize``.
      bits: as given to ``quantize``.
    """
    return (total * (float(np.float32(limit)) / _levels(bits))).astype(np.float32)


def error_bound(limit: float, bits: int, clients: int) -> float:
    """The most by which a value of a dequantised sum of vectors can differ from their exact sum.

    For each client one step of ``limit / (2^(bits-1) - 1)``, and ``limit * 2^-21`` for float32.
    """
    return clients * limit * (1 / _levels(bits) + 2.0**-21)


def _levels(bits: int) -> int:
    return 2 ** (bits - 1) - 1
