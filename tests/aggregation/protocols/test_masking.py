import itertools
import os
from dataclasses import replace

import numpy as np
import pytest
from jaxtyping import TypeCheckError
from parties import Party, party_of, signing

from pride_jax.aggregation.holder import Holder, help_open_total
from pride_jax.aggregation.protocols import masking as module
from pride_jax.aggregation.protocols.masking import MaskingPublic, MaskingSecret, masking
from pride_jax.aggregation.refusals import MessageError, WrongKeyError, WrongSignatureError
from pride_jax.aggregation.secret_sharing import SHARE_BYTES, join_shares, lagrange_weights
from pride_jax.aggregation.secure_sum import Directory, Message, Public, Role, Secret, Terms, Total
from pride_jax.errors import ConfigError, ProtocolError

LENGTH = 40


@pytest.fixture
def party() -> Party:
    return replace(party_of(masking()), signed=True)


def vector_of(client: int) -> np.ndarray:
    return np.random.default_rng(client).integers(-32767, 32768, LENGTH)


def message_of(party: Party, directory: Directory, client: int) -> Message:
    return party.protect(directory, client, vector_of(client))


def total_of(party: Party, directory: Directory, clients: list[int]) -> Total:
    messages = [message_of(party, directory, client) for client in clients]
    return party.protocol.combine(directory, messages)


def share_of(party: Party, directory: Directory, client: int, total: Total):
    return party.protocol.share(directory, party.client_secret(directory, client), total)


class TestDropOuts:
    """Among five clients, three are enough."""

    @pytest.mark.parametrize("silent", range(3))
    def test_any_clients_fall_silent_after_their_letters(self, party: Party, silent: int) -> None:
        for gone in itertools.combinations(range(5), silent):
            directory = party.directory(range(5), LENGTH)
            present = [client for client in range(5) if client not in gone]
            vectors = {client: vector_of(client) for client in present}
            party.check_sum(directory, vectors, party.sum(directory, vectors))

    def test_some_at_every_stage(self, party: Party) -> None:
        """0 writes no letter, 1 sends no message, 2 gives no share."""
        directory = party.exchange(party.announce(range(7), LENGTH), [1, 2, 3, 4, 5, 6])
        total = total_of(party, directory, [2, 3, 4, 5, 6])
        shares = [share_of(party, directory, client, total) for client in (6, 3, 5, 4)]
        summed = party.protocol.open(directory, total, shares)
        party.check_sum(directory, {client: vector_of(client) for client in range(2, 7)}, summed)

    def test_any_quorum_of_survivors_opens(self, party: Party) -> None:
        directory = party.directory(range(5), LENGTH)
        total = total_of(party, directory, [0, 1, 3, 4])
        shares = [share_of(party, directory, client, total) for client in (0, 1, 3, 4)]
        expected = sum(vector_of(client) for client in (0, 1, 3, 4))
        for chosen in itertools.permutations(shares, 3):
            summed = party.protocol.open(directory, total, chosen)
            np.testing.assert_array_equal(summed, expected)
        np.testing.assert_array_equal(party.protocol.open(directory, total, shares), expected)

    @pytest.mark.parametrize("threshold", ["half", "two-thirds"])
    @pytest.mark.parametrize("clients", range(2, 13))
    def test_quorum(self, threshold, clients: int) -> None:
        quorum = masking(threshold).quorum(party_of(masking()).announce(range(clients), 1))
        share = {"half": 1 / 2, "two-thirds": 2 / 3}[threshold]
        assert quorum - 1 <= share * clients + 1e-9 < quorum <= clients

    def test_below_the_threshold_every_step_refuses(self, party: Party) -> None:
        few_letters = party.exchange(party.announce(range(5), LENGTH), [0, 1])
        with pytest.raises(ProtocolError, match="2 letters in round 3, expected at least 3"):
            party.prepare(few_letters, 0)
        directory = party.directory(range(5), LENGTH)
        total = total_of(party, directory, [0, 1])
        with pytest.raises(ProtocolError, match="2 contributions in round 3, expected at least 3"):
            share_of(party, directory, 0, total)
        with pytest.raises(ProtocolError, match="expected at least 3"):
            party.protocol.open(directory, total, [])
        total = total_of(party, directory, [0, 1, 2])
        shares = [share_of(party, directory, client, total) for client in (0, 1)]
        with pytest.raises(ProtocolError, match="2 shares"):
            party.protocol.open(directory, total, shares)
        with pytest.raises(ProtocolError, match="3 shares"):
            party.protocol.open(directory, total, [*shares, shares[0]])

    def test_nobody_is_summed_alone(self, party: Party) -> None:
        with pytest.raises(ProtocolError, match="at least 2"):
            party.prepare(party.directory([1], LENGTH), 1)

    def test_a_client_without_a_letter_is_not_added(self, party: Party) -> None:
        announced = party.announce(range(4), LENGTH)
        directory = party.exchange(announced, [0, 1, 2])
        with pytest.raises(ProtocolError, match="sit this round out"):
            party.prepare(directory, 3)
        stray = message_of(party, directory, 0)._replace(client=3)
        with pytest.raises(MessageError, match="client 3: it is not among the 3 clients"):
            party.protocol.combine(directory, [party.sign(stray)])


class TestOneSecretOfEachClient:
    """Of nobody are both secrets given: the seed of its own mask and its pairing key."""

    def test_a_share_holds_one_secret_of_each_client(self, party: Party) -> None:
        directory = party.directory(range(5), LENGTH)
        total = total_of(party, directory, [0, 2, 3])
        bodies = [share_of(party, directory, client, total).body for client in (0, 2, 3)]
        weights = lagrange_weights([1, 3, 4])
        for client in range(5):
            cut = slice(client * SHARE_BYTES, (client + 1) * SHARE_BYTES)
            parts = dict(zip([1, 3, 4], (body[cut] for body in bodies), strict=True))
            secret = party.client_secret(directory, client)
            assert isinstance(secret, MaskingSecret)
            given = secret.own if client in (0, 2, 3) else secret.pairing
            assert join_shares(weights, parts) == given
        assert {len(body) for body in bodies} == {5 * SHARE_BYTES}

    def holder(self, party: Party, directory: Directory, client: int) -> Holder:
        enrolled = {each: signing(each).public for each in directory.roster}
        return Holder(party.client_secret(directory, client), enrolled, smallest_cohort=2)

    def test_a_survivor_helps_with_one_set_of_survivors_a_round(self, party: Party) -> None:
        """Else the first set gives 4's own mask, the second its pairwise ones: its vector."""
        directory = party.directory(range(5), LENGTH)
        with_4 = total_of(party, directory, [0, 1, 2, 4])
        without_4 = total_of(party, directory, [0, 1, 2])
        for first, second in itertools.permutations([with_4, without_4]):
            holder = self.holder(party, directory, 0)
            share, after = help_open_total(party.protocol, holder, directory, first)
            assert share.contributors == first.contributors
            for total in (first, second):
                with pytest.raises(ProtocolError, match="one opening a round"):
                    help_open_total(party.protocol, after, directory, total)
        # The next round, with its new keys, is opened.
        later = party.directory(range(5), LENGTH, round=4)
        fresh = after._replace(secret=party.client_secret(later, 0))
        help_open_total(party.protocol, fresh, later, total_of(party, later, [0, 1, 2]))

    def test_survivors_told_of_different_sets_do_not_open_either(self, party: Party) -> None:
        """No two quorums are disjoint, and their shares do not mix."""
        directory = party.directory(range(5), LENGTH)
        one, other = (total_of(party, directory, [0, 1, 2, last]) for last in (3, 4))
        shares = [share_of(party, directory, client, one) for client in (0, 3)]
        shares.append(share_of(party, directory, 1, other))
        with pytest.raises(ProtocolError, match="another total"):
            party.protocol.open(directory, one, shares)

    def test_a_late_message_stays_masked(self, party: Party) -> None:
        """The recovered pairing key takes all masks off it but its own."""
        directory = party.directory(range(3), LENGTH)
        late = message_of(party, directory, 2)
        secret = party.client_secret(directory, 2)
        assert isinstance(secret, MaskingSecret)
        words = module._from_bytes(directory.terms, late.body)
        for key, sign in module._pairing_keys(directory, secret.pairing, 2, [0, 1]):
            module._add(words, key, -sign)
        assert np.abs(module._signed(directory.terms, words)).max() > 32767
        module._add(words, module._own_key(secret.own), -1)
        np.testing.assert_array_equal(module._signed(directory.terms, words), vector_of(2))

    def test_only_survivors_help(self, party: Party) -> None:
        directory = party.directory(range(4), LENGTH)
        total = total_of(party, directory, [0, 1, 2])
        with pytest.raises(ProtocolError, match="Client 3 is not in the total"):
            share_of(party, directory, 3, total)
        shares = [share_of(party, directory, client, total) for client in (0, 1)]
        with pytest.raises(ProtocolError, match="different clients in the total"):
            party.protocol.open(directory, total, [*shares, shares[1]._replace(holder=3)])


class TestMasks:
    @pytest.mark.parametrize("bits", [2, 8, 16, 24, 32])
    @pytest.mark.parametrize("largest", [2, 3, 5, 127, 128, 300, 2**20])
    def test_width_is_the_least_that_never_wraps(self, bits: int, largest: int) -> None:
        terms = Terms(1, bits, 1.0, 1, largest)
        largest_sum = largest * terms.largest_value
        width = module._width(terms)
        assert 2 * largest_sum < 256**width
        assert width == 1 or 2 * largest_sum >= 256 ** (width - 1)
        for value in (largest_sum, -largest_sum, 0, 1, -1):
            words = np.array([value]).astype(module._word(terms))
            there = module._to_bytes(terms, words)
            assert len(there) == width
            assert module._signed(terms, module._from_bytes(terms, there)) == [value]

    def test_sixteen_bits_take_three_bytes_a_value(self, party: Party) -> None:
        directory = party.directory(range(3), 1000)
        assert len(party.protect(directory, 0, np.zeros(1000, int)).body) == 3000

    def test_known_bytes(self) -> None:
        terms = Terms(4, 16, 1.0, 1, 128)
        words = np.array([1, -1, 128 * 32767, -128 * 32767]).astype(module._word(terms))
        assert module._to_bytes(terms, words).hex() == "010000ffffff80ff3f8000c0"

    def test_messages_are_uniform_bytes(self, party: Party) -> None:
        """Whatever the vector; that of a plain vector is far from it."""
        directory = party.directory(range(2), 40_000)
        body = party.protect(directory, 0, np.zeros(40_000, int)).body
        counts = np.bincount(np.frombuffer(body, np.uint8), minlength=256)
        expected = len(body) / 256
        assert ((counts - expected) ** 2 / expected).sum() < 255 + 6 * np.sqrt(2 * 255)

    def test_same_vector_in_another_round_gives_other_bytes(self, party: Party) -> None:
        bodies = [
            message_of(party, party.directory(range(3), LENGTH, round=round), 0).body
            for round in (3, 3, 4)
        ]
        assert len(set(bodies)) == 3

    def test_known_mask(self) -> None:
        """AES-256 of the block of zeros under the key 00 01 … 1f, as little-endian words."""
        masked = np.zeros(4, np.dtype("<u4"))
        module._add(masked, bytes(range(32)), 1)
        assert masked.tobytes().hex() == "f29000b62a499fd0a9f39a6add2e7780"
        module._add(masked, bytes(range(32)), -1)
        assert not masked.any()

    def test_randomness_is_the_argument(self) -> None:
        protocol = masking()
        one, other = (
            protocol.keygen(np.random.default_rng(0).bytes, Role.CLIENT)[1] for _ in range(2)
        )
        assert one == other != protocol.keygen(os.urandom, Role.CLIENT)[1]


class TestRefusals:
    def test_letter_of_other_keys(self, party: Party) -> None:
        """A client that was shown another key than its neighbour's own is not served."""
        shown = party.announce(range(3), LENGTH)
        _, false = party.protocol.keygen(os.urandom, Role.CLIENT)
        forged = replace(shown, keys={**shown.keys, 1: false})
        letters = party.protocol.letters
        assert letters is not None
        letter = letters.write(os.urandom, forged, party.client_secret(shown, 0), 0)
        with pytest.raises(WrongKeyError, match="client 0"):
            letters.collect(shown, [party.sign(letter)])
        with pytest.raises(ProtocolError, match="not that of client 1's key"):
            letters.write(os.urandom, forged, party.client_secret(shown, 1), 1)

    def test_forged_letter_is_seen_by_the_aggregator_and_by_clients(self, party: Party) -> None:
        directory = party.directory(range(3), LENGTH)
        letter = directory.letters[1]
        forged = letter._replace(body=letter.body[:-1] + bytes([letter.body[-1] ^ 1]))
        letters = party.protocol.letters
        assert letters is not None
        with pytest.raises(WrongSignatureError, match="client 1"):
            letters.collect(directory, [forged])
        spoilt = replace(directory, letters={**directory.letters, 1: forged})
        secret = party.client_secret(directory, 0)
        with pytest.raises(WrongSignatureError, match="client 1"):
            party.protocol.prepare(os.urandom, spoilt, secret, 0)

    def test_letter_that_does_not_open(self, party: Party) -> None:
        """Its writer is named, and those who can read theirs open the sum."""
        directory = party.announce(range(3), LENGTH)
        good = party.exchange(directory, range(3)).letters
        body = bytearray(good[1].body)
        body[20] ^= 1
        spoilt = {**good, 1: party.sign(good[1]._replace(body=bytes(body)))}
        letters = party.protocol.letters
        assert letters is not None
        collected = letters.collect(directory, list(spoilt.values()))
        party._secrets[collected.fingerprint] = party._secrets[directory.fingerprint]
        total = total_of(party, collected, [0, 1, 2])
        with pytest.raises(ProtocolError, match="Client 1's letter does not open for client 0"):
            share_of(party, collected, 0, total)
        shares = [share_of(party, collected, client, total) for client in (1, 2)]
        summed = party.protocol.open(collected, total, shares)
        np.testing.assert_array_equal(summed, sum(vector_of(client) for client in range(3)))

    def test_letters_are_no_messages(self, party: Party) -> None:
        directory = party.directory(range(3), LENGTH)
        with pytest.raises(MessageError, match="letter"):
            party.protocol.combine(directory, [directory.letters[1]])

    @pytest.mark.parametrize("row", range(3))
    def test_a_wrong_share_is_seen_for_certain(self, party: Party, row: int) -> None:
        directory = party.directory(range(3), 1)
        messages = [party.protect(directory, client, np.array([5])) for client in (0, 1)]
        total = party.protocol.combine(directory, messages)
        shares = [share_of(party, directory, client, total) for client in (0, 1)]
        body = bytearray(shares[1].body)
        body[(row + 1) * SHARE_BYTES - 1] ^= 1
        wrong = shares[1]._replace(body=bytes(body))
        with pytest.raises(ProtocolError, match=f"do not give client {row}'s key"):
            party.protocol.open(directory, total, [shares[0], wrong])

    def test_a_vector_out_of_range_is_seen_when_the_sum_is_opened(self, party: Party) -> None:
        directory = party.directory(range(3), LENGTH)
        prepared = party.prepare(directory, 0)
        prepared._material[0] += np.full(LENGTH, 100_000, np.uint32)
        cheating = party.sign(party.protocol.protect(directory, prepared, vector_of(0)))
        honest = [message_of(party, directory, client) for client in (1, 2)]
        with pytest.raises(ProtocolError, match="cannot reach"):
            party.reveal(directory, [cheating, *honest])

    def test_a_public_key_that_is_none(self, party: Party) -> None:
        """The point of small order 0, with which every agreement would be 0."""
        directory = party.announce(range(3), LENGTH)
        zero = MaskingPublic(bytes(32), bytes(32), bytes(32))
        weak = replace(directory, keys={**directory.keys, 1: zero})
        letters = party.protocol.letters
        assert letters is not None
        with pytest.raises(ProtocolError, match="with client 1 in round 3: the latter's"):
            letters.write(os.urandom, weak, party.client_secret(directory, 0), 0)

    @pytest.mark.parametrize("key", [None, Public()])
    def test_directory_without_a_key(self, party: Party, key: Public | None) -> None:
        directory = party.announce(range(3), LENGTH)
        keys = {**directory.keys, 1: key}
        if key is None:
            del keys[1]
        letters = party.protocol.letters
        assert letters is not None
        with pytest.raises(ProtocolError, match="no masking key of client 1"):
            letters.write(
                os.urandom, replace(directory, keys=keys), party.client_secret(directory, 0), 0
            )

    @pytest.mark.parametrize("secret", [Secret(), MaskingSecret(bytes(32), bytes(32), bytes(32))])
    def test_other_secrets(self, party: Party, secret: Secret) -> None:
        directory = party.directory(range(3), LENGTH)
        with pytest.raises(ProtocolError, match="not that of client 0's key"):
            party.protocol.prepare(os.urandom, directory, secret, 0)
        with pytest.raises(ProtocolError, match="secrets are for one round"):
            party.protocol.share(directory, secret, total_of(party, directory, [0, 1]))

    def test_impossible_threshold(self) -> None:
        with pytest.raises((ConfigError, TypeCheckError), match="threshold"):
            masking("third")  # pyright: ignore[reportArgumentType]
