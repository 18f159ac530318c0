import itertools
import os
import pickle
from collections.abc import Iterable, Sequence

import gmpy2
import numpy as np
import phe
import pytest
from gmpy2 import mpz
from hypothesis import given, settings
from hypothesis import strategies as st
from parties import party_of

from pride_jax.aggregation.decryption_proofs import proof_bytes
from pride_jax.aggregation.messages import question_of
from pride_jax.aggregation.packed_paillier import split
from pride_jax.aggregation.paillier_keys import PaillierSecret, ciphertext_bytes
from pride_jax.aggregation.protocols.paillier import decrypt, paillier
from pride_jax.aggregation.protocols.threshold import (
    ShareError,
    decrypt_together,
    lagrange,
    partial_decryptions,
    threshold_paillier,
)
from pride_jax.aggregation.refusals import OutOfRangeError
from pride_jax.aggregation.secure_sum import Directory, Message, Public, Role, Share, Total
from pride_jax.aggregation.terms import Terms
from pride_jax.aggregation.threshold_keys import DealtSecrets, HolderSecret, ThresholdPublic, deal
from pride_jax.errors import ConfigError, ProtocolError

LENGTH = 60


class Round:
    """A 1024-bit key and a round in which three clients sent vectors."""

    def __init__(self, holders: int, threshold: int) -> None:
        self.party = party_of(threshold_paillier(1024, holders, threshold))
        self.protocol = self.party.protocol
        assert isinstance(self.party.secret, DealtSecrets)
        assert isinstance(self.party.public, ThresholdPublic)
        self.secrets = self.party.secret.holders
        self.public = self.party.public
        self.directory = self.party.directory([1, 2, 3], LENGTH, smallest=2)
        self.vectors = {client: np.arange(LENGTH) * client - 50 for client in (1, 2, 3)}
        self.expected = sum(self.vectors.values())
        self.messages = self.protect(self.directory)
        self.total = self.protocol.combine(self.directory, self.messages)
        self.shares = {secret.index: self.share(secret.index) for secret in self.secrets}

    def protect(self, directory: Directory, clients: Iterable[int] = (1, 2, 3)) -> list[Message]:
        return [self.party.protect(directory, c, self.vectors[c]) for c in clients]

    def add(self, directory: Directory, clients: Iterable[int] = (1, 2, 3)) -> Total:
        return self.protocol.combine(directory, self.protect(directory, clients))

    def share(self, holder: int) -> Share:
        question = question_of(self.messages)
        return self.protocol.share(self.directory, self.secrets[holder - 1], question)

    def check(self, share: Share, total: Total | None = None) -> None:
        self.protocol.check_share(self.directory, total or self.total, share)

    @property
    def products(self) -> list[mpz]:
        """The ciphertexts in the total, which are two."""
        size = ciphertext_bytes(self.public)
        return split(self.total.body[: 2 * size], size)

    def open(self, shares: Sequence[Share]) -> np.ndarray:
        return self.protocol.open(self.directory, self.total, shares)

    def opens(self, *shares: Share) -> bool:
        return bool((self.open(shares) == self.expected).all())


@pytest.fixture(scope="module")
def three_of_five() -> Round:
    return Round(5, 3)


@pytest.fixture(scope="module")
def two_of_three() -> Round:
    return Round(3, 2)


def primes_of(round_: Round) -> tuple[int, int]:
    """Found from two shares as any t colluding holders could."""
    first, second = round_.secrets[:2]
    assert round_.public.threshold == 2
    # The polynomial at 0 is a multiple of the order of all squares of nth residues.
    multiple = 4 * (2 * first.share - second.share)
    n = round_.public.key.n
    for base in range(2, 100):
        odd = abs(multiple)
        while odd % 2 == 0:
            odd //= 2
        power = pow(base, odd, n)
        while power != 1 and pow(power, 2, n) != 1:
            power = pow(power, 2, n)
        factor = int(gmpy2.gcd(power - 1, n))
        if 1 < factor < n:
            return factor, n // factor
    raise AssertionError("not a multiple of the order")


class TestOpening:
    @pytest.mark.parametrize("chosen", list(itertools.combinations(range(1, 6), 3)))
    def test_any_threshold_of_them(self, three_of_five: Round, chosen: tuple[int, ...]) -> None:
        assert three_of_five.opens(*(three_of_five.shares[holder] for holder in chosen))
        assert three_of_five.opens(*(three_of_five.shares[holder] for holder in chosen[::-1]))

    @pytest.mark.parametrize("chosen", [(1, 2, 3, 4), (5, 4, 3, 1), (5, 1, 2, 3, 4)])
    def test_more_than_needed(self, three_of_five: Round, chosen: tuple[int, ...]) -> None:
        assert three_of_five.opens(*(three_of_five.shares[holder] for holder in chosen))

    @pytest.mark.parametrize("holders", [2, 3, 7])
    def test_all_of_them(self, holders: int) -> None:
        everyone = Round(holders, holders)
        shares = list(everyone.shares.values())
        assert everyone.opens(*shares)
        for absent in range(holders):
            with pytest.raises(ProtocolError, match=f"{holders - 1} shares"):
                everyone.open(shares[:absent] + shares[absent + 1 :])

    def test_many_holders(self) -> None:
        crowd = Round(13, 7)
        assert crowd.opens(*(crowd.shares[holder] for holder in (13, 2, 3, 11, 7, 5, 1)))

    @settings(max_examples=15, deadline=None)
    @given(
        bits=st.integers(2, 32),
        length=st.integers(1, 70),
        chosen=st.permutations([1, 2, 3, 4, 5]),
        data=st.data(),
    )
    def test_any_integers(self, three_of_five: Round, bits, length, chosen, data) -> None:
        directory = three_of_five.party.directory(range(4), length, bits=bits)
        largest = directory.terms.largest_value
        clients = data.draw(st.integers(1, 4))
        seed = data.draw(st.integers(0, 2**32))
        vectors = np.random.default_rng(seed).integers(-largest, largest + 1, (clients, length))
        vectors[:, 0] = data.draw(st.sampled_from([-largest, largest]))
        protocol = three_of_five.protocol
        messages = [three_of_five.party.protect(directory, c, v) for c, v in enumerate(vectors)]
        total = protocol.combine(directory, messages)
        shares = [
            protocol.share(directory, three_of_five.secrets[holder - 1], question_of(messages))
            for holder in chosen[:3]
        ]
        np.testing.assert_array_equal(protocol.open(directory, total, shares), vectors.sum(0))

    def test_with_threads(self, two_of_three: Round) -> None:
        threads = threshold_paillier(1024, 3, 2, workers=2)
        shares = [
            threads.share(two_of_three.directory, secret, question_of(two_of_three.messages))
            for secret in two_of_three.secrets
        ]
        assert shares == list(two_of_three.shares.values())
        opened = threads.open(two_of_three.directory, two_of_three.total, shares)
        np.testing.assert_array_equal(opened, two_of_three.expected)

    def test_a_share_is_the_same_every_time(self, two_of_three: Round) -> None:
        """So no two proofs of different statements can share their random number."""
        assert two_of_three.share(1) == two_of_three.shares[1]

    def test_quorum_and_holders(self, three_of_five: Round) -> None:
        protocol = three_of_five.protocol
        assert protocol.quorum(three_of_five.directory) == 3
        assert protocol.deal(three_of_five.party.secret) == three_of_five.secrets

    @pytest.mark.parametrize("holders", [2, 5, 20])
    def test_lagrange(self, holders: int) -> None:
        delta = int(gmpy2.fac(holders))
        chosen = dict.fromkeys(range(1, holders + 1, 2))
        coefficients = {holder: lagrange(delta, holder, chosen) for holder in chosen}
        for degree in range(len(chosen)):
            at_zero = sum(c * (7 + holder**degree) for holder, c in coefficients.items())
            assert at_zero == delta * (7 + (degree == 0))


class TestPaillier:
    """The key is an ordinary Paillier key to whoever knows its primes."""

    def test_plain_paillier_opens_the_same_total(self, two_of_three: Round) -> None:
        p, q = primes_of(two_of_three)
        key = two_of_three.public.key
        secret = PaillierSecret(phe.PaillierPrivateKey(key, p, q))
        shares = [two_of_three.shares[holder] for holder in (1, 3)]
        start, size = proof_bytes(two_of_three.public), ciphertext_bytes(two_of_three.public)
        powers = {share.holder: split(share.body[start:], size) for share in shares}
        together = decrypt_together(two_of_three.public, powers)
        assert decrypt(secret, two_of_three.products) == together

    def test_any_plaintext(self, two_of_three: Round) -> None:
        key = two_of_three.public.key
        plaintexts = [0, 1, 12345, key.n // 2, key.n - 1]
        ciphertexts = [mpz(key.raw_encrypt(plaintext)) for plaintext in plaintexts]
        powers = {
            secret.index: partial_decryptions(secret, ciphertexts)
            for secret in two_of_three.secrets[1:]
        }
        assert decrypt_together(two_of_three.public, powers) == plaintexts


def change_number(round_: Round, share: Share, change, which: int = 0) -> Share:
    """The share with one of its powers changed; powers are at the end."""
    size = ciphertext_bytes(round_.public)
    start = proof_bytes(round_.public) + which * size
    power = int.from_bytes(share.body[start : start + size], "big")
    changed = (change(power) % 256**size).to_bytes(size, "big")
    return share._replace(body=share.body[:start] + changed + share.body[start + size :])


class TestWrongShares:
    def test_wrong_power_is_detected_and_its_holder_named(self, two_of_three: Round) -> None:
        square = two_of_three.public.key.nsquare
        for which, change in itertools.product(
            (0, 1),
            (
                lambda power: power + 1,
                lambda power: power * (1 + two_of_three.public.key.n) % square,
                lambda power: power * power % square,
                lambda power: pow(power, -1, square),
                lambda _: 1,
            ),
        ):
            bad = change_number(two_of_three, two_of_three.shares[2], change, which)
            with pytest.raises(ShareError, match="holder 2: its proof does not hold") as refusal:
                two_of_three.check(bad)
            assert refusal.value.holder == 2
            with pytest.raises(ProtocolError, match=r"1 shares .*holder 2"):
                two_of_three.open([two_of_three.shares[1], bad])

    def test_errors_that_cancel_out(self, two_of_three: Round) -> None:
        """Their product is right, so only the random exponents tell."""
        square = two_of_three.public.key.nsquare
        bad = change_number(two_of_three, two_of_three.shares[2], lambda p: p * 4 % square, 0)
        bad = change_number(two_of_three, bad, lambda p: p * pow(4, -1, square) % square, 1)
        with pytest.raises(ShareError, match="proof does not hold"):
            two_of_three.check(bad)

    def test_dishonest_holder_with_a_proof_of_another_exponent(self, two_of_three: Round) -> None:
        secret = two_of_three.secrets[1]
        other = HolderSecret(secret.index, secret.share + 1, secret.public)
        bad = two_of_three.protocol.share(
            two_of_three.directory, other, question_of(two_of_three.messages)
        )
        with pytest.raises(ShareError, match="holder 2: its proof does not hold"):
            two_of_three.check(bad)

    def test_every_byte_of_the_proof_counts(self, two_of_three: Round) -> None:
        share = two_of_three.shares[1]
        for at in range(0, proof_bytes(two_of_three.public), 5):
            body = bytearray(share.body)
            body[at] ^= 1
            with pytest.raises(ShareError, match="holder 1"):
                two_of_three.check(share._replace(body=body))

    def test_goes_on_with_enough_valid_ones(self, two_of_three: Round) -> None:
        bad = change_number(two_of_three, two_of_three.shares[2], lambda power: power + 1)
        with pytest.warns(UserWarning, match="holder 2: its proof does not hold"):
            assert two_of_three.opens(bad, two_of_three.shares[1], two_of_three.shares[3])

    def test_wrong_share_in_anothers_name_does_not_keep_it_out(self, two_of_three: Round) -> None:
        forged = two_of_three.shares[1]._replace(holder=2)
        with pytest.warns(UserWarning, match="holder 2: its proof does not hold"):
            assert two_of_three.opens(forged, two_of_three.shares[1], two_of_three.shares[2])

    def test_duplicates_count_once(self, two_of_three: Round) -> None:
        first, second = two_of_three.shares[1], two_of_three.shares[2]
        with pytest.raises(ProtocolError, match=r"1 shares .*holder 1: it has given one"):
            two_of_three.open([first, first])
        with pytest.raises(ProtocolError, match="1 shares"):
            two_of_three.open([first, first._replace(holder=3)])
        with pytest.warns(UserWarning, match="holder 1: it has given one"):
            assert two_of_three.opens(first, first, second)

    @pytest.mark.parametrize("count", [0, 1, 2])
    def test_fewer_than_the_threshold(self, three_of_five: Round, count: int) -> None:
        with pytest.raises(ProtocolError, match=f"{count} shares .*expected at least 3: wait"):
            three_of_five.open(list(three_of_five.shares.values())[:count])

    @pytest.mark.parametrize("holder", [0, -1, 4, 2**40])
    def test_no_such_holder(self, two_of_three: Round, holder: int) -> None:
        stranger = two_of_three.shares[1]._replace(holder=holder)
        with pytest.raises(ShareError, match=f"holder {holder}: expected a holder from 1 to 3"):
            two_of_three.check(stranger)

    @pytest.mark.parametrize("change", [lambda b: b[1:], lambda b: b + b"\0", lambda b: b""])
    def test_size(self, two_of_three: Round, change) -> None:
        share = two_of_three.shares[1]
        with pytest.raises(ShareError, match=r"holder 1: .* bytes of body"):
            two_of_three.check(share._replace(body=change(share.body)))

    def test_powers_that_are_not_invertible_or_in_range(self, two_of_three: Round) -> None:
        n = two_of_three.public.key.n
        for power in (0, n, 5 * n, n * n, 256**256 - 1):
            bad = change_number(two_of_three, two_of_three.shares[3], lambda _, p=power: p)
            with pytest.raises(ShareError, match="holder 3: a power is not"):
                two_of_three.check(bad)

    def test_replay_from_another_round(self, two_of_three: Round) -> None:
        """Not even if the total has the same bytes and the share is relabelled."""
        later = two_of_three.party.directory([1, 2, 3], LENGTH, smallest=2, round=4)
        total = two_of_three.add(later)
        same_bytes = two_of_three.total._replace(header=total.header)
        stale = two_of_three.shares[1]
        check = two_of_three.protocol.check_share
        with pytest.raises(ShareError, match="holder 1: it opens another total"):
            check(later, total, stale)
        relabelled = stale._replace(header=total.header)
        for claimed in (total, same_bytes):
            with pytest.raises(ShareError, match="holder 1: its proof does not hold"):
                check(later, claimed, relabelled)
            with pytest.raises(ProtocolError, match="0 shares for round 4 are valid"):
                two_of_three.protocol.open(later, claimed, [relabelled])

    def test_of_another_total(self, two_of_three: Round) -> None:
        part = two_of_three.add(two_of_three.directory, (1, 2))
        share = two_of_three.shares[1]
        with pytest.raises(ShareError, match="another total"):
            two_of_three.check(share, part)
        relabelled = share._replace(contributors=part.contributors)
        with pytest.raises(ShareError, match="proof does not hold"):
            two_of_three.check(relabelled, part)

    def test_of_another_key(self, two_of_three: Round) -> None:
        other = Round(3, 2)
        with pytest.raises(ShareError, match="another total"):
            two_of_three.check(other.shares[1])
        with pytest.raises(ProtocolError, match="not one holder's"):
            two_of_three.protocol.share(
                two_of_three.directory, other.secrets[0], question_of(two_of_three.messages)
            )

    def test_refusals_travel_between_processes(self) -> None:
        refusal = pickle.loads(pickle.dumps(ShareError(2, "it is late")))
        assert (refusal.holder, str(refusal)) == (2, "Refused the share of holder 2: it is late")


class TestFewerHoldersThanTheThreshold:
    def test_their_powers_are_not_the_sum(self, three_of_five: Round) -> None:
        """Interpolating through two of three shares gives no plaintext at all."""

        start, size = proof_bytes(three_of_five.public), ciphertext_bytes(three_of_five.public)
        chosen = {
            holder: split(three_of_five.shares[holder].body[start:], size) for holder in (2, 5)
        }
        with pytest.raises(ProtocolError, match="do not fit"):
            decrypt_together(three_of_five.public, chosen)


class TestTotals:
    def test_smallest_cohort(self, two_of_three: Round) -> None:
        question = question_of(two_of_three.messages[:1])
        with pytest.raises(ProtocolError, match="smallest_cohort=2"):
            two_of_three.protocol.share(two_of_three.directory, two_of_three.secrets[0], question)

    def test_what_is_not_a_ciphertext(self, two_of_three: Round) -> None:
        n = two_of_three.public.key.n
        for bad in (b"\0" * 256, b"\xff" * 256, n.to_bytes(256, "big")):
            total = two_of_three.total._replace(body=bad + two_of_three.total.body[256:])
            with pytest.raises(ProtocolError, match="not a ciphertext"):
                two_of_three.protocol.open(two_of_three.directory, total, [])

    def test_a_sum_without_one_of_its_contributors_blinds(self, two_of_three: Round) -> None:
        part = two_of_three.protocol.combine(two_of_three.directory, two_of_three.messages[:2])
        swapped = two_of_three.total.body[:512] + part.body[512:]
        total = two_of_three.total._replace(body=swapped)
        with pytest.raises(ProtocolError, match="above its slots"):
            two_of_three.protocol.open(
                two_of_three.directory, total, list(two_of_three.shares.values())
            )

    def test_messages_are_checked_as_in_paillier(self, two_of_three: Round) -> None:
        message = two_of_three.party.protect(two_of_three.directory, 2, np.arange(LENGTH))
        bad = message._replace(enclosed=b"\xff" * len(message.enclosed))
        with pytest.raises(OutOfRangeError, match="client 2"):
            two_of_three.protocol.combine(two_of_three.directory, [bad])


class TestSettings:
    @pytest.mark.parametrize(
        ("setting", "reason"),
        [
            ({"holders": 2, "threshold": 1}, "threshold=1, holders=2"),
            ({"threshold": 5}, "threshold=5, holders=4"),
            ({"threshold": 2}, "more than half of the holders"),
            ({"holders": 101}, "holders=101"),
            ({"key_bits": 4095}, "key_bits=4095"),
            ({"workers": 0}, "workers=0"),
        ],
    )
    def test_impossible(self, setting: dict[str, int], reason: str) -> None:
        with pytest.raises(ConfigError, match=reason):
            threshold_paillier(**setting)

    def test_directory_without_a_fitting_key(self, two_of_three: Round) -> None:
        terms = two_of_three.directory.terms
        plain = party_of(paillier(1024)).public
        for keys in ({}, {Role.KEY_HOLDER: Public()}, {Role.KEY_HOLDER: plain}):
            with pytest.raises(ProtocolError, match=r"ThresholdPublic.*Role\.KEY_HOLDER"):
                two_of_three.protocol.combine(Directory(0, (1,), terms, keys), [])
        with pytest.raises(ProtocolError, match="opened by 2 of 3 holders, expected 3 of 3"):
            threshold_paillier(1024, 3, 3).open(two_of_three.directory, two_of_three.total, [])

    def test_small_keys_are_labelled(self) -> None:
        assert threshold_paillier(1024).name == "threshold-1024-unsafe"
        assert threshold_paillier(3072).name == "threshold-3072"

    def test_every_number_of_the_key_is_in_the_fingerprint(self, two_of_three: Round) -> None:
        public = two_of_three.public
        terms = Terms(LENGTH, 16, 1.0, 1, 128)
        others = [
            ThresholdPublic(**{**vars(public), **change})
            for change in (
                {"threshold": 3},
                {"verification_keys": public.verification_keys[:2]},
                {"verification_keys": public.verification_keys[::-1]},
            )
        ]
        prints = {
            Directory(0, (1,), terms, {Role.KEY_HOLDER: key}).fingerprint
            for key in (public, *others)
        }
        assert len(prints) == 4


@pytest.mark.parametrize(
    ("holders", "threshold", "one_sum"), [(2, 2, 1), (3, 2, 0), (3, 3, 2), (4, 3, 1), (5, 4, 2)]
)
def test_how_many_corrupted_holders_get_a_second_sum(
    holders: int, threshold: int, one_sum: int
) -> None:
    """By trying: the corrupted answer both questions, every other holder answers one."""
    most = -1
    for corrupted in range(threshold):
        honest = holders - corrupted
        if not any(
            corrupted + first >= threshold and corrupted + honest - first >= threshold
            for first in range(honest + 1)
        ):
            most = corrupted
    assert most == one_sum
    sights = threshold_paillier(1024, holders, threshold).sights
    told = {sight.who for sight in sights if sight.learns == "as the aggregator and clients"}
    up_to = {f"aggregator, clients, and up to {one_sum} key holders"}
    assert told == (up_to if one_sum else set())
    several = {sight.who for sight in sights if "several" in sight.learns}
    beyond = {f"aggregator, clients, and {one_sum + 1} to {threshold - 1} key holders"}
    assert several == (beyond if one_sum < threshold - 1 else set())


class TestSecrecy:
    def test_nothing_secret_is_printed_or_pickled(self, two_of_three: Round) -> None:
        dealt = two_of_three.party.secret
        for secret in (dealt, *two_of_three.secrets):
            assert repr(secret) == str(secret) == f"<{type(secret).__name__}: secret>"
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
                with pytest.raises(TypeError, match="secrets stay"):
                    pickle.dumps(secret, protocol)

    def test_nothing_public_holds_a_share_or_a_prime(self, two_of_three: Round) -> None:
        public = pickle.dumps(
            (two_of_three.directory, two_of_three.total, list(two_of_three.shares.values()))
        )
        numbers = [*primes_of(two_of_three), *(secret.share for secret in two_of_three.secrets)]
        for number in numbers:
            for order in ("little", "big"):
                assert number.to_bytes(256, order).strip(b"\0")[8:24] not in public
            assert str(number).encode()[:16] not in public

    def test_the_dealer_keeps_nothing_but_the_shares(self) -> None:
        dealt = deal(os.urandom, 512, holders=3, threshold=2)
        assert set(vars(dealt)) == {"holders"}
        assert set(vars(dealt.holders[0])) == {"index", "share", "public"}
