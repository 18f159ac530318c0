import itertools
import os
from dataclasses import replace

import numpy as np
import pytest
from parties import Party, party_of, signing

from pride_jax.aggregation.books import Rules
from pride_jax.aggregation.holder import Holder, help_open
from pride_jax.aggregation.protocols.masking import masking
from pride_jax.aggregation.refusals import (
    BurntError,
    MessageError,
    WrongKeyError,
    WrongSignatureError,
)
from pride_jax.aggregation.round_keys import MaskingPublic, Member, RoundKeys, pair_mask
from pride_jax.aggregation.secret_sharing import SHARE_BYTES, join_shares, lagrange_weights
from pride_jax.aggregation.secure_sum import Directory, Message, Public, Role, Secret, Share
from pride_jax.aggregation.simulation import simulate
from pride_jax.aggregation.words import from_bytes, sum_of_streams, to_signed, words_of
from pride_jax.errors import ConfigError, ProtocolError

LENGTH = 40
ROW_BYTES = 8 + SHARE_BYTES
RULES = Rules(rounds=10, releases=10, smallest_cohort=2, most_refused=1)


@pytest.fixture
def party() -> Party:
    return replace(party_of(masking()), signed=True)


def vector_of(client: int) -> np.ndarray:
    return np.random.default_rng(client).integers(-32767, 32768, LENGTH)


def message_of(party: Party, directory: Directory, client: int) -> Message:
    return party.protect(directory, client, vector_of(client))


def messages_of(party: Party, directory: Directory, clients) -> list[Message]:
    return [message_of(party, directory, client) for client in clients]


def rows_of(share: Share) -> dict[int, bytes]:
    rows = [share.body[at : at + ROW_BYTES] for at in range(0, len(share.body), ROW_BYTES)]
    return {int.from_bytes(row[:8], "big"): row[8:] for row in rows}


class TestDropOuts:
    """Among seven clients, of whom two may be corrupted, five are enough."""

    @pytest.mark.parametrize("silent", range(3))
    def test_any_clients_fall_silent_after_their_letters(self, party: Party, silent: int) -> None:
        for gone in list(itertools.combinations(range(7), silent))[::3]:
            directory = party.directory(range(7), LENGTH)
            vectors = {c: vector_of(c) for c in range(7) if c not in gone}
            party.check_sum(directory, vectors, party.sum(directory, vectors))

    def test_some_at_every_stage(self, party: Party) -> None:
        """0 writes no letter, 1 sends no message, 2 does not consent, 3 gives no share."""
        directory = party.exchange(party.announce(range(10), LENGTH), range(1, 10))
        messages = messages_of(party, directory, range(2, 10))
        total = party.protocol.combine(directory, messages)
        letters = party.protocol.letters
        assert letters is not None
        told = letters.ask(directory, messages, [])
        consents = [
            party.sign(letters.consent(directory, party.client_secret(directory, c), told[c]))
            for c in range(3, 10)
        ]
        told = letters.ask(directory, messages, consents)
        shares = [
            party.protocol.share(directory, party.client_secret(directory, c), told[c])
            for c in (9, 4, 6, 5, 8, 7)
        ]
        with pytest.raises(ProtocolError, match="6 shares of client 1's key in round 3"):
            party.protocol.open(directory, total, shares)
        three = party.protocol.share(directory, party.client_secret(directory, 3), told[3])
        summed = party.protocol.open(directory, total, [*shares, three])
        party.check_sum(directory, {c: vector_of(c) for c in range(2, 10)}, summed)

    def test_any_threshold_of_survivors_opens(self, party: Party) -> None:
        directory = party.directory(range(5), LENGTH)
        messages = messages_of(party, directory, range(5))
        total, shares = (
            party.protocol.combine(directory, messages),
            party.shares(directory, messages),
        )
        expected = sum(vector_of(client) for client in range(5))
        for chosen in itertools.permutations(shares, 4):
            summed = party.protocol.open(directory, total, chosen)
            np.testing.assert_array_equal(summed, expected)

    def test_below_the_threshold_every_step_refuses(self, party: Party) -> None:
        with pytest.raises(ProtocolError, match=r"3 helpers of client 0 .* expected at least 4"):
            party.exchange(party.announce(range(5), LENGTH), [0, 1, 2])
        directory = party.directory(range(5), LENGTH)
        messages = messages_of(party, directory, range(3))
        with pytest.raises(ProtocolError, match="3 contributions in round 3, expected at least 4"):
            party.shares(directory, messages)
        total = party.protocol.combine(directory, messages)
        with pytest.raises(ProtocolError, match="expected at least 4"):
            party.protocol.open(directory, total, [])

    def test_nobody_is_summed_alone(self, party: Party) -> None:
        with pytest.raises(ProtocolError, match="expected at least 2"):
            party.directory([1], LENGTH)

    def test_a_client_without_a_letter_is_not_added(self, party: Party) -> None:
        announced = party.announce(range(5), LENGTH)
        directory = party.exchange(announced, range(4))
        letters = party.protocol.letters
        assert letters is not None
        (secret,) = (party._secrets[announced.fingerprint][4],)
        letters.write(os.urandom, announced, secret, 4)
        with pytest.raises(ProtocolError, match="sit this round out"):
            letters.read(directory, secret, 4, {})
        stray = message_of(party, directory, 0)._replace(client=4)
        with pytest.raises(MessageError, match="client 4: it is not among the 4 clients"):
            party.protocol.combine(directory, [party.sign(stray)])

    @pytest.mark.parametrize(("server", "silent"), [("active", 1 / 10), ("curious", 1 / 3)])
    def test_a_share_of_many_falls_silent(self, server, silent: float) -> None:
        """With a graph: 150 clients, whose helpers are 79 or fewer than all."""
        clients = 150 if server == "active" else 240
        protocol = masking(server, 1 / 3, silent)
        terms, gone = self.terms(clients), int(silent * clients)
        keys = protocol.keygen(os.urandom, Role.KEY_HOLDER)
        aggregator = simulate(protocol, terms, keys, os.urandom, lambda sent: sent[gone:])
        rows = np.random.default_rng(0).integers(-7, 8, (clients, 3))
        announced = aggregator.announce(0, range(clients), 2, b"")
        readers = [len(letter.readers) for letter in announced.directory.letters.values()]
        assert max(readers) < clients
        added = aggregator.add(announced, rows)
        np.testing.assert_array_equal(added.total, rows[gone:].sum(0))
        assert added.transport.lost == gone

    def terms(self, clients: int):
        from pride_jax.aggregation.terms import Terms

        return Terms(3, 4, 1.0, 2, clients)


class TestOneSecretOfEachClient:
    """Of nobody are both secrets given: the seed of its own mask and its pairing key."""

    def test_a_share_holds_one_secret_of_each_client(self, party: Party) -> None:
        directory = party.directory(range(5), LENGTH)
        secrets = party._secrets[directory.before_letters.fingerprint]
        given = party.shares(directory, messages_of(party, directory, [0, 1, 2, 3]))
        weights = lagrange_weights([1, 2, 3, 4])
        for client in range(5):
            parts = {share.holder + 1: rows_of(share)[client] for share in given}
            secret = secrets[client]
            assert isinstance(secret, RoundKeys)
            expected = secret.own if client < 4 else secret.pairing_bytes
            assert join_shares(weights, parts) == expected
        assert {len(share.body) for share in given} == {5 * ROW_BYTES}

    def test_a_survivor_helps_with_one_set_of_survivors_a_round(self, party: Party) -> None:
        """Else the first set gives 4's own mask, the second its pairwise ones: its vector."""
        directory = party.directory(range(5), LENGTH)
        messages = messages_of(party, directory, range(5))
        enrolled = {each: signing(each).public for each in directory.roster}
        holder = Holder(party.client_secret(directory, 0), enrolled, RULES)
        (asked, *_) = party.questions(directory, messages)
        share, after = help_open(party.protocol, holder, directory, asked)
        assert share.contributors == (0, 1, 2, 3, 4)
        with pytest.raises(ProtocolError, match="a round is served once"):
            help_open(party.protocol, after, directory, asked)
        letters = party.protocol.letters
        assert letters is not None
        other = letters.ask(directory, messages[:4], [])[0]
        with pytest.raises(ProtocolError, match="has not agreed to the sum of these"):
            help_open(party.protocol, holder, directory, other)

    def test_a_late_message_stays_masked(self, party: Party) -> None:
        """The recovered pairing key takes all masks off it but its own."""
        directory = party.directory(range(3), LENGTH)
        late = message_of(party, directory, 2)
        secret = party._secrets[directory.before_letters.fingerprint][2]
        assert isinstance(secret, RoundKeys)
        words = words_of(directory.terms)
        seeds = [pair_mask(directory, secret.pairing, 2, other) for other in (0, 1)]
        bare = from_bytes(words, late.body) + sum_of_streams(words, seeds)
        assert np.abs(to_signed(words, bare)).max() > 32767
        from pride_jax.aggregation.round_keys import own_mask

        bare = bare - sum_of_streams(words, [own_mask(secret.own)])
        np.testing.assert_array_equal(to_signed(words, bare), vector_of(2))

    def test_only_survivors_help(self, party: Party) -> None:
        directory = party.directory(range(5), LENGTH)
        messages = messages_of(party, directory, range(4))
        asked = party.questions(directory, messages)[0]
        with pytest.raises(ProtocolError, match="Client 4 is not in the total"):
            party.protocol.share(directory, party.client_secret(directory, 4), asked)
        total = party.protocol.combine(directory, messages)
        shares = party.shares(directory, messages)
        with pytest.raises(ProtocolError, match="different clients in the total"):
            party.protocol.open(directory, total, [*shares, shares[1]._replace(holder=4)])


class TestMasks:
    def test_sixteen_bits_take_23_bits_a_value_and_a_note_a_helper(self, party: Party) -> None:
        directory = party.directory(range(3), 1000)
        message = party.protect(directory, 0, np.zeros(1000, int))
        assert (len(message.body), len(message.enclosed)) == (2875, 3 * 16)

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

    def test_randomness_is_the_argument(self) -> None:
        protocol = masking()
        one, other = (
            protocol.keygen(np.random.default_rng(0).bytes, Role.CLIENT)[1] for _ in range(2)
        )
        assert one == other != protocol.keygen(os.urandom, Role.CLIENT)[1]

    def test_a_secret_masks_one_vector(self, party: Party) -> None:
        """Another time under the same masks, and anyone subtracts one vector from the other."""
        directory = party.directory(range(3), LENGTH)
        secret = party.client_secret(directory, 0)
        party.protocol.prepare(os.urandom, directory, secret, 0)
        with pytest.raises(ProtocolError, match="has masked a vector with these keys"):
            party.protocol.prepare(os.urandom, directory, secret, 0)


class TestRefusals:
    def test_letter_of_other_keys(self, party: Party) -> None:
        """A client that was shown another key than its neighbour's own is not served."""
        shown = party.announce(range(3), LENGTH)
        other = party.announce(range(3), LENGTH)
        letters = party.protocol.letters
        assert letters is not None
        (letter,) = party.write(other, [0])
        with pytest.raises(WrongKeyError, match="client 0"):
            letters.collect(shown, [letter])
        with pytest.raises(ProtocolError, match="not that of client 1's key"):
            letters.write(os.urandom, shown, party.client_secret(other, 1), 1)

    def test_forged_letter_is_seen_by_the_aggregator(self, party: Party) -> None:
        directory = party.announce(range(3), LENGTH)
        letters = party.protocol.letters
        assert letters is not None
        (letter,) = party.write(directory, [1])
        forged = letter._replace(body=letter.body[:-1] + bytes([letter.body[-1] ^ 1]))
        with pytest.raises(WrongSignatureError, match="client 1"):
            letters.collect(directory, [forged])

    @pytest.mark.parametrize("readers", [(0, 1, 7), (0, 2, 1), (0, 1, 1), (0, 2, 2)])
    def test_letter_to_others_than_the_roster(self, party: Party, readers) -> None:
        directory = party.announce(range(3), LENGTH)
        letters = party.protocol.letters
        assert letters is not None
        (letter,) = party.write(directory, [1])
        ids = b"".join(reader.to_bytes(8, "big") for reader in readers)
        with pytest.raises(MessageError, match="client 1: it is not to itself and others"):
            letters.collect(directory, [party.sign(letter._replace(enclosed=ids))])

    def test_letter_that_does_not_open(self, party: Party) -> None:
        """Its reader has no share of it, and the others open the sum."""
        before = party.announce(range(5), LENGTH)
        written = party.write(before, range(5))
        body = bytearray(written[1].body)
        body[20] ^= 1
        written[1] = party.sign(written[1]._replace(body=bytes(body)))
        directory = party.exchange(before, range(5), written)
        messages = messages_of(party, directory, range(5))
        shares = party.shares(directory, messages)
        assert [1 in rows_of(share) for share in shares] == [False, True, True, True, True]
        total = party.protocol.combine(directory, messages)
        summed = party.protocol.open(directory, total, shares)
        np.testing.assert_array_equal(summed, sum(vector_of(client) for client in range(5)))
        with pytest.raises(BurntError, match="3 of its 4 helpers that answered") as refused:
            party.protocol.open(directory, total, shares[:4])
        # The writer comes first, beside the helper that could have kept the share to itself.
        assert refused.value.candidates == (1, 0)

    def test_letters_are_no_messages(self, party: Party) -> None:
        before = party.announce(range(3), LENGTH)
        written = party.write(before, range(3))
        directory = party.exchange(before, range(3), written)
        with pytest.raises(MessageError, match="letter"):
            party.protocol.combine(directory, [written[1]])

    @pytest.mark.parametrize("row", range(3))
    def test_a_wrong_share_is_seen_for_certain(self, party: Party, row: int) -> None:
        directory = party.directory(range(3), 1)
        messages = [party.protect(directory, client, np.array([5])) for client in range(3)]
        total = party.protocol.combine(directory, messages)
        shares = party.shares(directory, messages)
        body = bytearray(shares[1].body)
        body[(row + 1) * ROW_BYTES - 1] ^= 1
        wrong = shares[1]._replace(body=bytes(body))
        with pytest.raises(ProtocolError, match=f"do not give client {row}'s key"):
            party.protocol.open(directory, total, [shares[0], wrong, shares[2]])

    @pytest.mark.parametrize(
        "change", [lambda body: body[:-1], lambda body: body + body, lambda body: body[::-1]]
    )
    def test_a_share_of_other_secrets(self, party: Party, change) -> None:
        directory = party.directory(range(3), LENGTH)
        messages = messages_of(party, directory, range(3))
        total = party.protocol.combine(directory, messages)
        share = party.shares(directory, messages)[0]
        with pytest.raises(ProtocolError, match="one row for each client that it helps"):
            party.protocol.check_share(directory, total, share._replace(body=change(share.body)))

    def test_a_vector_out_of_range_is_seen_when_the_sum_is_opened(self, party: Party) -> None:
        directory = party.directory(range(3), LENGTH)
        prepared = party.prepare(directory, 0)
        masks = prepared._material[0].masks
        masks += np.full(LENGTH, 100_000, masks.dtype)
        cheating = party.sign(party.protocol.protect(directory, prepared, vector_of(0)))
        honest = messages_of(party, directory, (1, 2))
        with pytest.raises(ProtocolError, match="cannot reach"):
            party.reveal(directory, [cheating, *honest])

    def test_a_public_key_that_is_none(self, party: Party) -> None:
        """The point of small order 0, with which every agreement would be 0."""
        directory = party.announce(range(3), LENGTH)
        zero = MaskingPublic(bytes(32), bytes(32), bytes(32))
        weak = replace(
            directory,
            keys={**directory.keys, 1: zero},
            key_signatures={**directory.key_signatures, **party.signatures(3, {1: zero})},
        )
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

    @pytest.mark.parametrize("secret", [Secret(), RoundKeys(bytes(32), bytes(32), bytes(32))])
    def test_other_secrets(self, party: Party, secret: Secret) -> None:
        directory = party.directory(range(3), LENGTH)
        with pytest.raises(ProtocolError, match="not that of client 0 in the sum"):
            party.protocol.prepare(os.urandom, directory, secret, 0)
        asked = party.questions(directory, messages_of(party, directory, range(3)))[0]
        with pytest.raises(ProtocolError, match="and with no other"):
            party.protocol.share(directory, secret, asked)

    def test_a_member_survives_its_file(self, party: Party) -> None:
        from pride_jax.aggregation.round_keys import member_from_bytes

        directory = party.directory(range(4), LENGTH)
        member = party.client_secret(directory, 1)
        assert isinstance(member, Member)
        again = member_from_bytes(member.to_bytes())
        assert again.to_bytes() == member.to_bytes()
        assert (again.client, again.neighbours) == (1, member.neighbours)
        for data in (b"", member.to_bytes()[:-1]):
            with pytest.raises(ProtocolError, match="damaged"):
                member_from_bytes(data)

    def test_impossible_shares(self) -> None:
        with pytest.raises(ConfigError, match="corrupted"):
            masking("active", 1 / 3, 1 / 3)
