import itertools
import os
from collections import Counter

import gmpy2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pride_jax.aggregation import secret_sharing
from pride_jax.aggregation.secret_sharing import (
    PRIME,
    SHARE_BYTES,
    false_shares,
    join_shares,
    lagrange_weights,
    split_secrets,
)


def split_secret(rng, secret: bytes, threshold: int, holders: int) -> list[bytes]:
    """Shares of one secret for holders 1, 2, …."""
    return [share for (share,) in split_secrets(rng, [secret], threshold, range(1, holders + 1))]


def joined(shares: dict[int, bytes]) -> bytes | None:
    return join_shares(lagrange_weights(list(shares)), shares)


def test_the_field_is_the_smallest_that_holds_every_secret() -> None:
    assert gmpy2.next_prime(2**256) == PRIME
    assert PRIME < 256**SHARE_BYTES


@settings(max_examples=60, deadline=None)
@given(
    secret=st.binary(min_size=32, max_size=32),
    holders=st.integers(1, 12),
    data=st.data(),
)
def test_any_threshold_of_shares_gives_the_secret(
    secret: bytes, holders: int, data: st.DataObject
) -> None:
    threshold = data.draw(st.integers(1, holders))
    shares = dict(enumerate(split_secret(os.urandom, secret, threshold, holders), 1))
    assert {len(share) for share in shares.values()} == {SHARE_BYTES}
    order = data.draw(st.permutations(list(shares)))
    for count in range(threshold, holders + 1):
        assert joined({holder: shares[holder] for holder in order[:count]}) == secret


@settings(max_examples=20, deadline=None)
@given(
    secrets=st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=3),
    threshold=st.integers(1, 40),
)
def test_several_secrets_at_holders_of_any_number(secrets: list[bytes], threshold: int) -> None:
    holders = [1, 2, 7, *range(500, 550), 10_000]
    given_ = split_secrets(os.urandom, secrets, threshold, holders)
    chosen = dict(list(zip(holders, given_, strict=True))[-threshold:])
    weights = lagrange_weights(list(chosen))
    for place, secret in enumerate(secrets):
        shares = {holder: each[place] for holder, each in chosen.items()}
        assert join_shares(weights, shares) == secret


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32])
def test_extreme_secrets(secret: bytes) -> None:
    shares = dict(enumerate(split_secret(os.urandom, secret, 3, 5), 1))
    for chosen in itertools.combinations(shares, 3):
        assert joined({holder: shares[holder] for holder in chosen}) == secret


def test_one_share_less_fits_every_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a field of 11 all polynomials can be counted: what two of three see has one distribution.

    With a whole threshold it has not, so the test can fail.
    """
    monkeypatch.setattr(secret_sharing, "PRIME", 11)

    def views(secret: int, seen: int) -> Counter[tuple[bytes, ...]]:
        counted: Counter[tuple[bytes, ...]] = Counter()
        for draws in itertools.product(range(11), repeat=2):
            numbers = iter(draws)
            shares = split_secret(
                lambda size, numbers=numbers: next(numbers).to_bytes(size, "big"),
                secret.to_bytes(32, "big"),
                3,
                4,
            )
            counted[tuple(shares[:seen])] += 1
        return counted

    assert views(3, seen=2) == views(7, seen=2)
    assert views(3, seen=3) != views(7, seen=3)


def test_a_wrong_share_gives_another_secret_or_none() -> None:
    secret = os.urandom(32)
    shares = dict(enumerate(split_secret(os.urandom, secret, 3, 3), 1))
    shares[2] = (int.from_bytes(shares[2], "big") ^ 1).to_bytes(SHARE_BYTES, "big")
    assert joined(shares) != secret
    assert joined({1: (2**256).to_bytes(SHARE_BYTES, "big")}) is None


@settings(max_examples=60, deadline=None)
@given(threshold=st.integers(1, 9), pairs=st.integers(0, 4), odd=st.booleans(), data=st.data())
def test_false_shares_are_found_up_to_half_of_those_beyond_the_threshold(
    threshold: int, pairs: int, odd: bool, data: st.DataObject
) -> None:
    holders = data.draw(st.permutations(range(1, threshold + 2 * pairs + odd + 1)))
    split = split_secret(os.urandom, os.urandom(32), threshold, len(holders))
    shares = {holder: split[holder - 1] for holder in holders}
    wrong = data.draw(st.sets(st.sampled_from(holders), max_size=pairs))
    for holder in wrong:
        other = int.from_bytes(shares[holder], "big") + data.draw(st.integers(1, PRIME - 1))
        shares[holder] = (other % PRIME).to_bytes(SHARE_BYTES, "big")
    assert false_shares(threshold, shares) == wrong


def test_of_more_false_shares_it_says_that_it_cannot_tell() -> None:
    split = split_secret(os.urandom, os.urandom(32), 4, 9)
    shares = dict(enumerate(split, 1)) | {at: os.urandom(32).rjust(33, b"\0") for at in (1, 2, 3)}
    assert false_shares(4, shares) is None
    # As many as fit no threshold.
    assert false_shares(9, shares) == set()
