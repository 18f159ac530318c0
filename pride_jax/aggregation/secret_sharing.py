"""Shamir's secret sharing: any ``threshold`` shares give the secret back, fewer say nothing.

References:
  Shamir 1979, How to share a secret.
"""

from collections.abc import Mapping, Sequence

from pride_jax.aggregation.secure_sum import Rng

PRIME = 2**256 + 297
"""The field: shares are below it, and any 32 bytes are a secret."""

SHARE_BYTES = 33


def split_secret(rng: Rng, secret: bytes, threshold: int, holders: int) -> list[bytes]:
    """Shares of a secret for holders 1, 2, …, in this order.

    Args:
      rng: a cryptographic source of bytes.
      secret: 32 bytes.
      threshold: how many shares give it back, at least 1.
      holders: how many are made, at least ``threshold``.
    """
    coefficients = [_number_below_prime(rng) for _ in range(threshold - 1)]
    coefficients.append(int.from_bytes(secret, "big"))
    return [
        _evaluate(coefficients, holder).to_bytes(SHARE_BYTES, "big")
        for holder in range(1, holders + 1)
    ]


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
    weights = {}
    for holder in holders:
        above = below = 1
        for other in holders:
            if other != holder:
                above = above * other % PRIME
                below = below * (other - holder) % PRIME
        weights[holder] = above * pow(below, -1, PRIME) % PRIME
    return weights


def _evaluate(coefficients: Sequence[int], at: int) -> int:
    """The polynomial's value modulo the prime, highest coefficient first."""
    value = 0
    for coefficient in coefficients:
        value = (value * at + coefficient) % PRIME
    return value


def _number_below_prime(rng: Rng) -> int:
    # 16 bytes more than the prime has bring it within 2^-128 of uniform.
    return int.from_bytes(rng(SHARE_BYTES + 16), "big") % PRIME
