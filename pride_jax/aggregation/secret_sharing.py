"""Shamir's secret sharing: any ``threshold`` shares give the secret back, fewer say nothing.

Shares that others made can be false. They are a Reed–Solomon code, so that a few false ones among
many show: ``false_shares`` finds them by syndromes and the Berlekamp–Massey algorithm.

References:
  Shamir 1979, How to share a secret.
  McEliece & Sarwate 1981, On sharing secrets and Reed-Solomon codes.
  Massey 1969, Shift-register synthesis and BCH decoding.
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


def false_shares(threshold: int, shares: Mapping[int, bytes]) -> set[int] | None:
    """Whose shares of one secret are false, or None where they are too many to tell.

    Found for certain if they are at most half of the shares beyond the threshold. Of more, others
    can be named, with a secret that is another's: compare it with what is known of the secret.

    Args:
      threshold: how many shares give the secret.
      shares: by holder.
    """
    holders = list(shares)
    products = [
        math.prod(holder - other for other in holders if other != holder) % PRIME
        for holder in holders
    ]
    # Of true shares every one of these sums is 0, whatever the secret.
    terms = [
        inverse * int.from_bytes(shares[holder], "big") % PRIME
        for holder, inverse in zip(holders, _inverses(products), strict=True)
    ]
    syndromes = []
    for _ in range(len(holders) - threshold):
        syndromes.append(sum(terms) % PRIME)
        terms = [term * holder % PRIME for term, holder in zip(terms, holders, strict=True)]
    recurrence = _shortest_recurrence(syndromes)
    found = {holder for holder in holders if _vanishes(recurrence, holder)}
    return found if len(found) == len(recurrence) - 1 <= len(syndromes) // 2 else None


def _shortest_recurrence(numbers: Sequence[int]) -> list[int]:
    """Coefficients c, the first 1, with the sum of c[i]·numbers[k - i] = 0 (Berlekamp–Massey)."""
    current, before, last, length, gap = [1], [1], 1, 0, 1
    for place in range(len(numbers)):
        wrong = sum(c * numbers[place - i] for i, c in enumerate(current[: place + 1])) % PRIME
        if wrong:
            factor, kept = wrong * pow(last, -1, PRIME) % PRIME, current
            shifted = [0] * gap + [factor * c for c in before]
            current = [
                (c - s) % PRIME for c, s in itertools.zip_longest(current, shifted, fillvalue=0)
            ]
            if 2 * length <= place:
                length, before, last, gap = place + 1 - length, kept, wrong, 0
        gap += 1
    return [*current, *[0] * length][: length + 1]


def _vanishes(recurrence: Sequence[int], holder: int) -> bool:
    """Whether the powers of a holder's number obey the recurrence."""
    value = 0
    for coefficient in recurrence:
        value = (value * holder + coefficient) % PRIME
    return value == 0


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
