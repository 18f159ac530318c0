"""Two servers: what each, alone and with clients, finds of the vector of client 2, the victim.

Each attack is mounted as the protocol is, where it fails, and with its remedy switched off.
"""

import hashlib
import itertools
from dataclasses import replace

import numpy as np
import pytest
from parties import Party, party_of_case, rules, signing

from pride_jax.aggregation import checks
from pride_jax.aggregation.holder import Holder, help_open
from pride_jax.aggregation.messages import enclosed_of, question_of, sign_message
from pride_jax.aggregation.protocols import two_servers
from pride_jax.aggregation.refusals import DoesNotOpenError, WrongSignatureError
from pride_jax.aggregation.secure_sum import Directory, Message, Question, Secret, Share, header
from pride_jax.aggregation.words import Words, from_bytes, stream, to_bytes, to_signed, words_of
from pride_jax.errors import ProtocolError, TooFewError

CLIENTS, VICTIM, LENGTH = (1, 2, 3, 4), 2, 400
SALT = two_servers._SALT_BYTES


@pytest.fixture(scope="module")
def party() -> Party:
    return party_of_case("two_servers")


@pytest.fixture
def directory(party: Party) -> Directory:
    return party.directory(CLIENTS, LENGTH, smallest=2)


@pytest.fixture
def holder(party: Party) -> Holder:
    enrolled = {client: signing(client).public for client in CLIENTS}
    return Holder(party.secret, enrolled, rules(2))


def vector_of(client: int) -> np.ndarray:
    return np.random.default_rng(client).integers(-32767, 32768, LENGTH)


def protect(party: Party, directory: Directory, client: int) -> Message:
    return party.protect(directory, client, vector_of(client))


def protected(party: Party, directory: Directory) -> list[Message]:
    return [protect(party, directory, client) for client in CLIENTS]


def masked_in(message: Message) -> np.ndarray:
    return from_bytes(words_of(message.header.terms), message.body[SALT:])


def streams_in(share: Share) -> np.ndarray:
    return from_bytes(words_of(share.header.terms), share.body)


def is_found(directory: Directory, words: list[np.ndarray]) -> bool:
    """Whether sums and differences of what somebody has tell the victim's vector.

    The vector itself, or numbers that go with it by more than chance: five standard deviations of a
    correlation of independent values.
    """
    victim, form = vector_of(VICTIM), words_of(directory.terms)
    for signs in itertools.product((-1, 0, 1), repeat=len(words)):
        signed = [each.astype(np.int64) * sign for each, sign in zip(words, signs, strict=True)]
        guess = to_signed(form, np.sum(signed, axis=0).astype(form.dtype))
        if guess.any() and abs(np.corrcoef(guess, victim)[0, 1]) > 5 / LENGTH**0.5:
            return True
    return False


def message_of(party: Party, directory: Directory, client: int, seed: bytes, box: bytes) -> Message:
    """Zeros of a client that colludes, behind that seed's stream, with that box, signed by it."""
    words = words_of(directory.terms)
    body = bytes(SALT) + to_bytes(words, stream(words, seed))
    about = header(directory, party.protocol.name)
    return sign_message(signing(client), Message(about, client, body, box))


def boxed(directory: Directory, client: int, seed: bytes) -> bytes:
    """A seed that the attacker knows, sealed as a client would."""
    key = two_servers.X25519PublicKey.from_public_bytes(two_servers._public_of(directory).key)
    info = two_servers._info(header(directory, "two_servers"), client)
    return two_servers._SUITE.encrypt(seed, key, info=info)


class TestTheAggregatorReads:
    def test_masked_vectors_and_the_sum_of_streams(self, party, directory, holder) -> None:
        """It follows the protocol, and has everything that anybody sends it."""
        sent = protected(party, directory)
        share, _ = help_open(party.protocol, holder, directory, question_of(sent))
        assert not is_found(directory, [masked_in(message) for message in sent])
        assert not is_found(directory, [masked_in(sent[1]), streams_in(share)])
        total = party.protocol.combine(directory, sent)
        everything = sum(map(vector_of, CLIENTS))
        assert (party.protocol.open(directory, total, [share]) == everything).all()

    def test_without_the_stream_it_reads_the_vector(self, party, directory, monkeypatch) -> None:
        monkeypatch.setattr(two_servers, "stream", lambda words, seed: words.zeros())
        assert is_found(directory, [masked_in(protect(party, directory, VICTIM))])

    def test_together_with_clients_what_is_left_without_theirs(
        self, party, directory, holder
    ) -> None:
        """Clients 3 and 4 collude: of the two others, the sum, and neither."""
        sent = protected(party, directory)
        share, _ = help_open(party.protocol, holder, directory, question_of(sent))
        own = [two_servers._unsealed(party.secret, enclosed_of(message)) for message in sent[2:]]
        words = words_of(directory.terms)
        left = streams_in(share) - sum(stream(words, seed) for seed in own)
        honest = [masked_in(message) for message in sent[:2]]
        assert not is_found(directory, [honest[1], left])
        assert not is_found(directory, honest)
        both = to_signed(words, sum(honest) - left)
        assert (both == vector_of(1) + vector_of(2)).all()


class TestTheKeyHolder:
    def unmasked(self, party: Party, directory: Directory, sent: list[Message], parts: list[bytes]):
        """Whether the holder finds the vector in parts, which it unmasks by every stream."""
        words = words_of(directory.terms)
        seeds = [two_servers._unsealed(party.secret, enclosed_of(message)) for message in sent]
        read = [from_bytes(words, part) for part in parts if len(part) == words.size]
        return any(
            is_found(directory, [each - stream(words, seed)]) for each in read for seed in seeds
        )

    def test_has_every_stream_and_nothing_to_unmask(self, party, directory) -> None:
        sent = protected(party, directory)
        parts = [part for each in question_of(sent).enclosed for part in each[2:]]
        assert not self.unmasked(party, directory, sent, parts)
        # The attack is real: with what the aggregator has, it is the vector.
        assert self.unmasked(party, directory, sent, [message.body[SALT:] for message in sent])

    def guessed(self, party: Party, directory: Directory, sent: Message) -> bool:
        """Whether the digest that the holder sees is that of the vector that it guesses."""
        enclosed, words = enclosed_of(sent), words_of(directory.terms)
        seed = two_servers._unsealed(party.secret, enclosed)
        guess = two_servers.to_words(words, vector_of(VICTIM)) + stream(words, seed)
        salts = (b"", bytes(SALT))
        return any(
            hashlib.sha256(salt + to_bytes(words, guess)).digest() == enclosed.digest
            for salt in salts
        )

    def test_cannot_try_a_vector_that_it_guesses(self, party, directory, monkeypatch) -> None:
        """Who knows the stream knows each possible message, but for its salt."""
        assert not self.guessed(party, directory, protect(party, directory, VICTIM))
        monkeypatch.setattr(two_servers, "Drawn", lambda seed, salt: (seed, bytes(len(salt))))
        assert self.guessed(party, directory, protect(party, directory, VICTIM))

    def test_can_shift_the_sum_unnoticed_and_learns_nothing_from_it(
        self, party, directory, holder
    ) -> None:
        """What the table says of its integrity; a share is all that it can choose."""
        sent = protected(party, directory)
        share, _ = help_open(party.protocol, holder, directory, question_of(sent))
        words = words_of(directory.terms)
        one = np.zeros(LENGTH, words.dtype)
        one[0] = 1
        shifted = share._replace(body=to_bytes(words, streams_in(share) - one))
        total = party.protocol.combine(directory, sent)
        opened = party.protocol.open(directory, total, [shifted])
        assert (opened - sum(map(vector_of, CLIENTS)) == one).all()


def test_the_two_servers_together_have_every_vector(party, directory) -> None:
    for client in CLIENTS:
        message, words = protect(party, directory, client), words_of(directory.terms)
        seed = two_servers._unsealed(party.secret, enclosed_of(message))
        found = to_signed(words, masked_in(message) - stream(words, seed))
        assert (found == vector_of(client)).all()


class TestTheAggregatorAndClientsCheat:
    """Clients 3 and 4 send what the aggregator likes; the holder is asked to open these two."""

    @pytest.fixture(params=["client", "round", "run", "model"])
    def elsewhere(self, request: pytest.FixtureRequest, party: Party, directory: Directory):
        """The round in which the victim sealed the box that is copied."""
        match request.param:
            case "client":
                return directory
            case "round":
                return party.directory(CLIENTS, LENGTH, smallest=2, round=2)
            case name:
                return replace(directory, **{name: b"another"})

    def attack(self, party: Party, directory: Directory, holder: Holder, elsewhere: Directory):
        """Client 3 sends a copy of the victim's box: the share tells its stream."""
        victim = protect(party, elsewhere, VICTIM)
        seed = bytes(range(32))
        sent = [
            message_of(party, directory, 3, seed, victim.enclosed),
            message_of(party, directory, 4, seed, boxed(directory, 4, seed)),
        ]
        share, _ = help_open(party.protocol, holder, directory, question_of(sent))
        words = words_of(directory.terms)
        return is_found(directory, [masked_in(victim) - (streams_in(share) - stream(words, seed))])

    def test_a_box_does_not_open_for_another_client_round_run_or_model(
        self, party, directory, holder, elsewhere
    ) -> None:
        with pytest.raises(DoesNotOpenError, match="client 3"):
            self.attack(party, directory, holder, elsewhere)

    def test_a_box_that_did_would_tell_the_vector(
        self, party, directory, holder, elsewhere, monkeypatch
    ) -> None:
        monkeypatch.setattr(two_servers, "_info", lambda about, client: b"the same for all")
        assert self.attack(party, directory, holder, elsewhere)


class TestTheAggregatorCheats:
    def invented(self, party: Party, directory: Directory) -> list[Message]:
        """The victim's message, and others' with seeds of the aggregator's, signed as it can."""
        seed = bytes(range(32))
        sent = [
            message_of(party, directory, client, seed, boxed(directory, client, seed))._replace(
                signature=bytes(64)
            )
            for client in (1, 3, 4)
        ]
        return sorted([protect(party, directory, VICTIM), *sent], key=lambda each: each.client)

    def found(self, directory: Directory, share: Share, message: Message) -> bool:
        """The vector, once the streams that the aggregator knows are taken away."""
        words = words_of(directory.terms)
        known = sum(stream(words, bytes(range(32))) for _ in range(3))
        return is_found(directory, [masked_in(message) - (streams_in(share) - known)])

    def test_seeds_that_it_invents_for_the_others(
        self, party, directory, holder, monkeypatch
    ) -> None:
        sent = self.invented(party, directory)
        with pytest.raises(WrongSignatureError):
            help_open(party.protocol, holder, directory, question_of(sent))
        monkeypatch.setattr(checks, "_check_signature", lambda *given: None)
        share, _ = help_open(party.protocol, holder, directory, question_of(sent))
        assert self.found(directory, share, sent[1])

    def test_clients_that_it_enrols_itself(self, party, directory, holder) -> None:
        keys = {1: signing(1001), 2: signing(2), 3: signing(1003), 4: signing(1004)}
        sham = replace(directory, signers={client: key.public for client, key in keys.items()})
        sent = self.invented(party, sham)
        sent = [sign_message(keys[message.client], message) for message in sent]
        with pytest.raises(ProtocolError, match="not the one that is enrolled"):
            help_open(party.protocol, holder, sham, question_of(sent))
        trusting = holder._replace(enrolled=sham.signers)
        share, _ = help_open(party.protocol, trusting, sham, question_of(sent))
        assert self.found(sham, share, sent[1])

    def test_the_victim_counted_three_times(self, party, directory, holder, monkeypatch) -> None:
        message = protect(party, directory, VICTIM)
        question = question_of([message])
        thrice = Question(question.header, (2, 2, 2), 3 * question.enclosed)
        for careful in (holder, holder._replace(rules=rules(1))):
            with pytest.raises(ProtocolError, match=r"expected at least 2|distinct clients"):
                help_open(party.protocol, careful, directory, thrice)
        monkeypatch.setattr(checks, "_check_sum", lambda *given: None)
        careless = holder._replace(rules=rules(1))
        share, _ = help_open(party.protocol, careless, directory, thrice)
        words = words_of(directory.terms)
        third = words.dtype.type(pow(3, -1, 2**words.bits))
        assert is_found(directory, [masked_in(message) - third * streams_in(share)])

    def test_a_cohort_of_one(self, party, directory, holder) -> None:
        """By the round's terms, and where the aggregator writes those, by the holder's own."""
        message = protect(party, directory, VICTIM)
        with pytest.raises(TooFewError, match="smallest_cohort=2"):
            party.protocol.share(directory, holder.secret, question_of([message]))
        lax = party.directory(CLIENTS, LENGTH, smallest=1)
        message = protect(party, lax, VICTIM)
        with pytest.raises(TooFewError, match="expected at least 2"):
            help_open(party.protocol, holder, lax, question_of([message]))
        careless = holder._replace(rules=rules(1))
        share, _ = help_open(party.protocol, careless, lax, question_of([message]))
        assert is_found(directory, [masked_in(message) - streams_in(share)])

    def test_two_sums_of_one_round(self, party, directory, holder) -> None:
        sent = protected(party, directory)
        first, after = help_open(party.protocol, holder, directory, question_of(sent))
        without = question_of([sent[0], *sent[2:]])
        with pytest.raises(ProtocolError, match="is over"):
            help_open(party.protocol, after, directory, without)
        # A holder that does not remember opens the second, and the difference is one stream.
        second, _ = help_open(party.protocol, holder, directory, without)
        assert is_found(directory, [masked_in(sent[1]) - (streams_in(first) - streams_in(second))])

    def test_a_key_of_its_own_for_clients_to_seal_for(self, party, directory, holder) -> None:
        """Clients who are shown another key seal for it, and the holder opens nothing for them."""
        own, public = party.protocol.keygen(lambda size: bytes(range(1, size + 1)), "key holder")
        shown = replace(directory, keys={"key holder": public})
        message = protect(party, shown, VICTIM)
        with pytest.raises(ProtocolError, match="secret is not that"):
            careless = holder._replace(rules=rules(1))
            help_open(party.protocol, careless, shown, question_of([message, message]))
        words: Words = words_of(shown.terms)
        seed = two_servers._unsealed(own, enclosed_of(message))
        # So a client takes the key from who enrols clients, and never from the aggregator.
        assert is_found(shown, [masked_in(message) - stream(words, seed)])


def test_a_holder_without_the_key_opens_nothing(party, directory) -> None:
    with pytest.raises(ProtocolError, match="secret is not that"):
        party.protocol.share(directory, Secret(), question_of(protected(party, directory)))
