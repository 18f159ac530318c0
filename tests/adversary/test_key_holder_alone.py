"""T1: key holders receive every client's ciphertexts, and their key opens them."""

from dataclasses import replace

import numpy as np
import pytest
from ciphertexts import (
    BYTES,
    ask,
    called,
    ciphertexts_of,
    decrypted_by,
    holders_of,
    opened,
    packed,
    party_of_name,
    unblinded,
    vector_in,
)
from gmpy2 import mpz
from parties import Party, party_of
from scipy import stats

from pride_jax.aggregation import packed_paillier, paillier_keys
from pride_jax.aggregation.holder import help_open
from pride_jax.aggregation.messages import question_of
from pride_jax.aggregation.protocols.threshold import (
    decrypt_together,
    partial_decryptions,
    threshold_paillier,
)
from pride_jax.aggregation.secure_sum import Directory, Message
from pride_jax.errors import ProtocolError, TooFewError

CLIENTS = (1, 2, 3, 4)
LENGTH = 200


@pytest.fixture(scope="module", params=["paillier", "threshold"])
def party(request: pytest.FixtureRequest) -> Party:
    return party_of_name(request.param)


@pytest.fixture(scope="module")
def three() -> Party:
    """Two of three holders open."""
    return party_of_name("threshold")


@pytest.fixture
def directory(party: Party) -> Directory:
    return called(party, CLIENTS, LENGTH)


def vector_of(client: int) -> np.ndarray:
    return np.random.default_rng(client).integers(-32767, 32768, LENGTH)


def messages_of(party: Party, directory: Directory) -> list[Message]:
    return [party.protect(directory, client, vector_of(client)) for client in CLIENTS]


def looked_into(party: Party, directory: Directory, sent: list[Message]) -> list[list[mpz]]:
    """What all key holders together find in what they are asked to add."""
    secrets = party.protocol.deal(party.secret)[:2]
    return [
        decrypted_by(secrets, ciphertexts_of(party, directory, each))
        for each in question_of(sent).enclosed
    ]


class TestBlinds:
    def test_key_holders_find_uniform_numbers(self, party: Party, directory: Directory) -> None:
        """In single messages as in their sum, however often the same vector is sent."""
        sent = messages_of(party, directory)
        found = looked_into(party, directory, sent)
        n = party.public.key.n
        for client, plaintexts in zip(CLIENTS, found, strict=True):
            assert not set(plaintexts) & set(packed(directory, vector_of(client)))
            with pytest.raises(ProtocolError):
                vector_in(directory, [int(each) for each in plaintexts])
        again = looked_into(party, directory, messages_of(party, directory))
        numbers = [each for plaintexts in found + again for each in plaintexts]
        assert len(set(numbers)) == len(numbers)
        assert stats.kstest([float(mpz(each) / n) for each in numbers], "uniform").pvalue > 1e-6
        with pytest.raises(ProtocolError):
            blinded = opened(party, ask(party, directory, sent))
            vector_in(directory, [int(each) for each in blinded], len(CLIENTS))

    def test_clients_help_them_no_further(self, party: Party, directory: Directory) -> None:
        """All clients but one tell the key holders their vectors and seeds."""
        sent = messages_of(party, directory)
        blinded = opened(party, ask(party, directory, sent))
        known = [(1, message.body) for message in sent[1:]]
        rest = np.array(unblinded(party, blinded, known), object)
        for client in CLIENTS[1:]:
            rest = rest - np.array(packed(directory, vector_of(client)), object)
        n = party.public.key.n
        with pytest.raises(ProtocolError):
            vector_in(directory, [int(each % n) for each in rest])

    def test_a_key_made_to_cheat_shows_no_more(self, three: Party, monkeypatch) -> None:
        """Obfuscators that are ±1, so that whoever sees a ciphertext reads what is in it."""
        monkeypatch.setattr(paillier_keys, "obfuscation_base", lambda n: n * n - 1)
        round_ = called(three, CLIENTS, LENGTH)
        sent = messages_of(three, round_)
        n = mpz(three.public.key.n)
        for client, message in zip(CLIENTS, sent, strict=True):
            ciphertexts = ciphertexts_of(three, round_, message)
            found = [int((c if c % n == 1 else n * n - c) // n) for c in ciphertexts]
            with pytest.raises(ProtocolError):
                vector_in(round_, found)
            read = vector_in(round_, unblinded(three, found, [(1, message.body)]))
            np.testing.assert_array_equal(read, vector_of(client))

    def test_a_single_key_holder_can_shift_the_sum_and_learns_nothing(self) -> None:
        """Nothing proves that it decrypted: so integrity is not claimed."""
        one = party_of_name("paillier")
        round_ = called(one, CLIENTS, LENGTH)
        sent = messages_of(one, round_)
        (share,) = ask(one, round_, sent)
        by = np.arange(LENGTH) % 7
        slots = [
            int(each) for each in np.array(packed(round_, by), object) - packed(round_, 0 * by)
        ]
        shifted = [
            (int.from_bytes(share.body[at : at + BYTES], "big") + slot) % one.public.key.n
            for at, slot in zip(range(0, len(share.body), BYTES), slots, strict=True)
        ]
        body = b"".join(int(each).to_bytes(BYTES, "big") for each in shifted)
        total = one.protocol.combine(round_, sent)
        found = one.protocol.open(round_, total, [share._replace(body=body)])
        np.testing.assert_array_equal(found, sum(map(vector_of, CLIENTS)) + by)
        for plaintexts in looked_into(one, round_, sent):
            with pytest.raises(ProtocolError):
                vector_in(round_, [int(each) for each in plaintexts])

    def test_without_blinds_they_read_every_vector(
        self, party: Party, directory: Directory, monkeypatch
    ) -> None:
        monkeypatch.setattr(packed_paillier, "blinds", lambda n, seed, count: [mpz(0)] * count)
        found = looked_into(party, directory, messages_of(party, directory))
        for client, plaintexts in zip(CLIENTS, found, strict=True):
            read = vector_in(directory, [int(each) for each in plaintexts])
            np.testing.assert_array_equal(read, vector_of(client))

    def test_with_the_aggregator_they_read_every_vector(
        self, party: Party, directory: Directory
    ) -> None:
        """The seeds are all that keys lack: these two must not collude."""
        sent = messages_of(party, directory)
        for message, plaintexts in zip(sent, looked_into(party, directory, sent), strict=True):
            read = vector_in(directory, unblinded(party, plaintexts, [(1, message.body)]))
            np.testing.assert_array_equal(read, vector_of(message.client))


class TestBelowTheThreshold:
    """The aggregator, which has the seeds, and one of three holders, of whom it takes two."""

    @pytest.fixture
    def round_(self, three: Party) -> Directory:
        return called(three, CLIENTS, LENGTH)

    def test_one_holders_powers_open_nothing(self, three: Party, round_: Directory) -> None:
        corrupt = three.protocol.deal(three.secret)[0]
        message = three.protect(round_, 1, vector_of(1))
        powers = partial_decryptions(corrupt, ciphertexts_of(three, round_, message))
        for pretended in ({1: powers}, {1: powers, 2: powers}, {1: powers, 2: [mpz(1)] * 9}):
            with pytest.raises((ProtocolError, ValueError)):
                plaintexts = decrypt_together(three.public, pretended)
                vector_in(round_, unblinded(three, plaintexts, [(1, message.body)]))

    def test_an_honest_holder_opens_no_single_message_and_no_second_sum(
        self, three: Party, round_: Directory
    ) -> None:
        sent = messages_of(three, round_)
        honest = holders_of(three, round_)[1]
        with pytest.raises(TooFewError):
            help_open(three.protocol, honest, round_, question_of(sent[:1]))
        _, after = help_open(three.protocol, honest, round_, question_of(sent))
        with pytest.raises(ProtocolError, match="is over"):
            help_open(three.protocol, after, round_, question_of(sent[1:]))

    def test_a_second_honest_holder_is_asked_for_another_sum(
        self, three: Party, round_: Directory
    ) -> None:
        """Of three holders, two open a sum: with one of them corrupted, two sums of one round are
        opened, and their difference is one client's vector. So choose 2t > n + corrupted."""
        sent = messages_of(three, round_)
        corrupt, second, third = holders_of(three, round_)
        read = []
        for honest, messages in ((second, sent), (third, sent[1:])):
            question = question_of(messages)
            shares = [
                help_open(three.protocol, holder, round_, question)[0]
                for holder in (corrupt, honest)
            ]
            total = three.protocol.combine(round_, messages)
            read.append(three.protocol.open(round_, total, shares))
        np.testing.assert_array_equal(read[0] - read[1], vector_of(1))

    def test_too_few_honest_holders_are_left_for_a_second_sum(self) -> None:
        """Three of four, the default: the corrupted holder answers twice, and two honest ones have
        answered for the first sum."""
        party = replace(party_of(threshold_paillier(1024)), signed=True)
        directory = called(party, CLIENTS, 30)
        sent = [party.protect(directory, c, vector_of(c)[:30]) for c in CLIENTS]
        corrupt, second, third, fourth = holders_of(party, directory)
        afterwards = [
            help_open(party.protocol, holder, directory, question_of(sent))[1]
            for holder in (second, third)
        ]
        for after in afterwards:
            with pytest.raises(ProtocolError, match="is over"):
                help_open(party.protocol, after, directory, question_of(sent[1:]))
        left = [
            help_open(party.protocol, holder, directory, question_of(sent[1:]))[0]
            for holder in (corrupt, fourth)
        ]
        total = party.protocol.combine(directory, sent[1:])
        with pytest.raises(ProtocolError, match="2 shares"):
            party.protocol.open(directory, total, left)


def test_seeds_stay_out_of_what_holders_get() -> None:
    party = party_of_name("paillier")
    directory = called(party, CLIENTS, 30)
    sent = [party.protect(directory, c, vector_of(c)[:30]) for c in CLIENTS]
    for message, enclosed in zip(sent, question_of(sent).enclosed, strict=True):
        assert len(message.body) == 32
        assert message.body not in b"".join(
            (enclosed.digest, enclosed.enclosed, enclosed.signature)
        )
