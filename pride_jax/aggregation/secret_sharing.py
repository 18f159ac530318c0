"""Shamir's secret sharing: any ``threshold`` shares give the secret back, fewer say nothing.

References:
  Shamir 1979, How to share a secret.
"""

import itertools
import math
from collections.abc import Mapping, Sequence

from pride_jax.aggregation.secure_sum import Rng

PRIME = 2**256 + 297
"""The field: shares are below it, and any 32 bytes are a secret."""

SHARE_BYTES = 33


def split_secrets(
    rng: Rng, secrets: Sequence[bytes], threshold: int, holders: Sequence[int]
) -> list[list[bytes]]:
    """Shares of several secrets: of each holder, in order, one share of each secret.

    Args:
      rng: a cryptographic source of bytes.
      secrets: 32 bytes each, independent of one another.
      threshold: how many shares give a secret back, at least 1.
      holders: different numbers from 1 on, ``threshold`` of them at least.
    """
    # Horner's rule for all secrets at once, side by side in one number: holders' numbers are small,
    # so that what is reduced only once in the end has still become no more than `width` bits.
    width = PRIME.bit_length() + threshold * max(holders).bit_length() + 1
    degrees = [[_number_below_prime(rng) for _ in secrets] for _ in range(threshold - 1)]
    degrees.append([int.from_bytes(secret, "big") for secret in secrets])
    coefficients = [
        sum(number << place * width for place, number in enumerate(numbers)) for numbers in degrees
    ]
    return [_evaluate(coefficients, holder, width, len(secrets)) for holder in holders]


def join_shares(weights: Mapping[int, int], shares: Mapping[int, bytes]) -> bytes | None:
    """The secret that shares give, or None where they give no 32 bytes: one of them is wrong.

    Args:
      weights: from ``lagrange_weights`` of the same holders.
      shares: by holder.
    """
    total = sum(weights[holder] * int.from_bytes(share, "big") for holder, share in shares.items())
    number = total % PRIME
    return number.to_bytes(32, "big") if number < 2**256 else None


def lagrange_weights(holders: Sequence[int]) -> dict[int, int]:
    """What each of these holders' shares counts for in any secret, as many as the threshold."""
    everyone = math.prod(holders)
    below = [
        holder * math.prod(other - holder for other in holders if other != holder) % PRIME
        for holder in holders
    ]
    return {
        holder: everyone * inverse % PRIME
        for holder, inverse in zip(holders, _inverses(below), strict=True)
    }


def _inverses(numbers: Sequence[int]) -> list[int]:
    """Modulo the prime, with one inversion in all (Montgomery's trick)."""
    products = list(itertools.accumulate(numbers, lambda one, other: one * other % PRIME))
    inverse = pow(products[-1], -1, PRIME)
    inverses = []
    for number, before in zip(reversed(numbers), [*products[-2::-1], 1], strict=True):
        inverses.append(inverse * before % PRIME)
        inverse = inverse * number % PRIME
    return inverses[::-1]


def _evaluate(coefficients: Sequence[int], at: int, width: int, secrets: int) -> list[bytes]:
    """The polynomials' values modulo the prime, highest coefficient first."""
    value = 0
    for coefficient in coefficients:
        value = value * at + coefficient
    mask = (1 << width) - 1
    return [
        ((value >> place * width & mask) % PRIME).to_bytes(SHARE_BYTES, "big")
        for place in range(secrets)
    ]


def _number_below_prime(rng: Rng) -> int:
    # 16 bytes more than the prime has bring it within 2^-128 of uniform.
    return int.from_bytes(rng(SHARE_BYTES + 16), "big") % PRIME
