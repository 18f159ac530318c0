"""Rounding, at random or to the nearest, that keeps a bound on the L2 norm of the integers."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float32, Int32, UInt32

from pride_jax.types import Key

_ATTEMPTS = 256
_SATURATED = np.uint32(2**32 - 1)


def round_within(
    key: Key, quantize: Callable[[Key], Int32[Array, "length"]], max_squared_norm: int
) -> tuple[Int32[Array, "length"], Bool[Array, ""]]:
    """Rounds anew until the integers are short enough: conditional randomized rounding.

    With the bound of Kairouz, Liu & Steinke 2021 ("The Distributed Discrete Gaussian Mechanism for
    Federated Learning with Secure Aggregation") for β = e^(-1/2), a vector within the clipping norm
    is accepted with probability at least 1 − β = 0.39 at each attempt. One that was not accepted in
    256 attempts, which happens to such a vector with probability e^-128, was never within the norm,
    or holds a value that stands for a refusal. It becomes zeros, which every bound admits, so that
    the sensitivity holds for every input and the loop ends.

    Args:
      key: this client's own for this round; attempt ``i`` rounds with ``fold_in(key, i)``.
      quantize: key -> the client's vector, rounded at random.
      max_squared_norm: the largest squared L2 norm of the integers, below 2^32 − 1.

    Returns:
      The integers, and whether they were given up and replaced by zeros.
    """

    def within(integers: Int32[Array, "length"]) -> Bool[Array, ""]:
        return squared_norm(integers) <= jnp.uint32(max_squared_norm)

    def attempt(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        number, _ = carry
        return number + 1, quantize(jax.random.fold_in(key, number))

    def unfinished(carry: tuple[Array, Array]) -> Bool[Array, ""]:
        number, integers = carry
        return ~within(integers) & (number < _ATTEMPTS)

    first = quantize(jax.random.fold_in(key, 0))
    _, integers = jax.lax.while_loop(unfinished, attempt, (jnp.int32(1), first))
    accepted = within(integers)
    return jnp.where(accepted, integers, 0), ~accepted


def nearest_within(
    vector: Float32[Array, "length"], max_squared_norm: int
) -> tuple[Int32[Array, "length"], Bool[Array, ""]]:
    """Rounds to the nearest integers, or towards 0 where these are too long.

    Integers towards 0 are no longer than the vector. One that is too long for the bound even so was
    never within the norm, and becomes zeros, so that the sensitivity holds for every input.

    Args:
      vector: a client's, in steps.
      max_squared_norm: the largest squared L2 norm of the integers, below 2^32 − 1.

    Returns:
      The integers, and whether they were given up and replaced by zeros.
    """

    def checked(values: Float32[Array, "length"]) -> tuple[Array, Array]:
        integers = values.astype(jnp.int32)
        return integers, squared_norm(integers) <= jnp.uint32(max_squared_norm)

    def shorter(carry: tuple[Array, ...]) -> tuple[Array, ...]:
        number, *_ = carry
        return number + 1, *checked(jnp.where(number == 0, jnp.trunc(vector), 0.0))

    first = (jnp.int32(0), *checked(jnp.round(vector)))
    attempts, integers, _ = jax.lax.while_loop(lambda carry: ~carry[2], shorter, first)
    return integers, attempts > 1


def squared_norm(integers: Int32[Array, "length"]) -> UInt32[Array, ""]:
    """The exact squared L2 norm, or 2^32 − 1 where it is at least that: it saturates, never wraps.

    A magnitude below 2^16 has a square of at most (2^16 − 1)^2 < 2^32 − 1, exact in uint32; any
    other, of which −2^31 has the magnitude 2^31, counts as 2^32 − 1. Saturated addition of such
    terms is the smaller of their sum and 2^32 − 1, in any order. Bounds lie below it, so that no
    acceptable vector is refused for saturating.
    """
    magnitudes = jnp.abs(integers).astype(jnp.uint32)
    squares = jnp.where(magnitudes < 2**16, magnitudes * magnitudes, _SATURATED)

    def add(a: UInt32[Array, ""], b: UInt32[Array, ""]) -> UInt32[Array, ""]:
        total = a + b
        return jnp.where(total < a, _SATURATED, total)

    return jax.lax.reduce(squares, jnp.uint32(0), add, (0,))
