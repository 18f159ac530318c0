"""BFV for honest clients: what blinds and a key a round stop, and what nothing stops.

Client 2 is the victim; client 4 colludes where a client does.
"""

from dataclasses import replace

import numpy as np
import pytest
from parties import Party, party_of_case, rules, signing
from tenseal import sealapi

from pride_jax.aggregation import checks, seal
from pride_jax.aggregation.bfv_keys import BFVSecret, generate
from pride_jax.aggregation.holder import Holder, help_open
from pride_jax.aggregation.holder_keys import key_from_bytes, signed_key
from pride_jax.aggregation.messages import question_of, sign_message
from pride_jax.aggregation.protocols import bfv as protocol
from pride_jax.aggregation.protocols.bfv import Layout, bfv, blinds, layout
from pride_jax.aggregation.refusals import WrongSignatureError
from pride_jax.aggregation.seal import MODULUS, PLAIN_MODULUS, SLOTS, from_fixed_width
from pride_jax.aggregation.secure_sum import Directory, Message, Role, Secret, Share
from pride_jax.aggregation.simulation import simulate
from pride_jax.aggregation.terms import Terms
from pride_jax.errors import ProtocolError

CLIENTS, VICTIM, COLLUDER, LENGTH = (1, 2, 3, 4), 2, 4, 500
HALF = PLAIN_MODULUS // 2


@pytest.fixture(scope="module")
def party() -> Party:
    return party_of_case("bfv")


@pytest.fixture
def directory(party: Party) -> Directory:
    return party.directory(CLIENTS, LENGTH, smallest=2)


@pytest.fixture
def holder(party: Party) -> Holder:
    enrolled = {client: signing(client).public for client in CLIENTS}
    return Holder(party.secret, enrolled, rules(2))


def vector_of(client: int) -> np.ndarray:
    return np.random.default_rng(client).integers(-32767, 32768, LENGTH)


def protected(party: Party, directory: Directory) -> list[Message]:
    return [party.protect(directory, client, vector_of(client)) for client in CLIENTS]


def decrypted(secret: Secret, enclosed: bytes) -> np.ndarray:
    """What one ciphertext decrypts to, residues around zero."""
    assert isinstance(secret, BFVSecret)
    return seal.decrypted(secret.context, from_fixed_width(enclosed).reshape(1, -1))[0, :LENGTH]


def unblinded(directory: Directory, residues: np.ndarray, *seeds: bytes) -> np.ndarray:
    taken = sum(blinds(layout(directory.terms), seed)[0] for seed in seeds)
    return (residues - taken + HALF) % PLAIN_MODULUS - HALF


def residues_in(directory: Directory, share: Share) -> np.ndarray:
    return protocol._residues_in(layout(directory.terms), share.body)[0]


def goes_with(guess: np.ndarray, vector: np.ndarray) -> bool:
    """Correlated by more than five standard deviations of that of independent values."""
    return bool(abs(np.corrcoef(guess, vector)[0, 1]) > 5 / LENGTH**0.5)


class TestTheKeyHolder:
    def test_decrypts_every_ciphertext_and_finds_noise(self, party, directory, monkeypatch) -> None:
        for sent in protected(party, directory):
            assert not goes_with(decrypted(party.secret, sent.enclosed), vector_of(sent.client))
        monkeypatch.setattr(protocol, "blinds", lambda where, seed: np.zeros((1, LENGTH), np.int64))
        for sent in protected(party, directory):
            assert (decrypted(party.secret, sent.enclosed) == vector_of(sent.client)).all()

    def test_has_no_seed(self, party, directory) -> None:
        """Of the part that the seed is in it has a digest of 32 uniform bytes."""
        sent = protected(party, directory)
        asked = repr(question_of(sent)).encode("latin1")
        for message in sent:
            assert repr(message.body)[2:-1].encode() not in asked
            residues = decrypted(party.secret, message.enclosed)
            found = unblinded(directory, residues, message.body)
            assert (found == vector_of(message.client)).all()

    def test_what_it_decrypts_with_its_errors_is_that_of_any_vector(
        self, party, directory, monkeypatch
    ) -> None:
        """The same blinded digits make the same encryption, whatever vector is under them."""
        made = []
        monkeypatch.setattr(
            protocol, "encrypted", lambda context, row: made.append(row) or Added(row)
        )
        monkeypatch.setattr(protocol, "coefficients_of", lambda added: added.row % PLAIN_MODULUS)
        monkeypatch.setattr(protocol, "to_fixed_width", lambda row: row.tobytes())
        where, seed = layout(directory.terms), bytes(range(32))
        uniform = blinds(where, seed)
        for vector in (vector_of(1), vector_of(2)):
            monkeypatch.setattr(
                protocol, "blinds", lambda where, seed, vector=vector: uniform - vector
            )
            party.protect(directory, 1, vector)
        sums = [
            row[:LENGTH] + vector
            for row, vector in zip(made, (vector_of(1), vector_of(2)), strict=True)
        ]
        assert (sums[0] == sums[1]).all()


class Added:
    """Stands for TenSEAL's vector: what would be encrypted."""

    def __init__(self, row: np.ndarray) -> None:
        self.row = row

    def add_(self, values: list[int]) -> None:
        self.row = self.row + np.array(values)


class TestTheAggregator:
    def test_reads_seeds_ciphertexts_and_the_blinded_sum(self, party, directory, holder) -> None:
        """It follows the protocol; a key of its own opens nothing, the holder's every vector."""
        sent = protected(party, directory)
        share, _ = help_open(party.protocol, holder, directory, question_of(sent))
        own = generate()
        for message in sent:
            vector = vector_of(message.client)
            guess = unblinded(directory, decrypted(own, message.enclosed), message.body)
            assert not goes_with(guess, vector)
            coefficients = from_fixed_width(message.enclosed)[:LENGTH].astype(float)
            assert not goes_with(coefficients, vector)
            guess = unblinded(directory, residues_in(directory, share), message.body)
            assert not goes_with(guess, vector)
            guess = unblinded(directory, decrypted(party.secret, message.enclosed), message.body)
            assert (guess == vector).all()

    def test_shows_one_message_as_a_cohort(self, party, directory, holder, monkeypatch) -> None:
        """The victim's ciphertext in others' names: their signatures are missing."""
        victim = protected(party, directory)[1]
        sent = [victim._replace(client=client) for client in (1, 2, 3)]
        with pytest.raises(WrongSignatureError):
            help_open(party.protocol, holder, directory, question_of(sent))
        monkeypatch.setattr(checks, "_check_signature", lambda *given: None)
        share, _ = help_open(party.protocol, holder, directory, question_of(sent))
        guess = unblinded(directory, residues_in(directory, share), *(3 * [victim.body]))
        assert (guess == 3 * vector_of(VICTIM)).all()


class TestTheAggregatorAndAClient:
    def test_have_what_is_left_without_its_vector(self, party, directory, holder) -> None:
        """They follow the protocol."""
        sent = protected(party, directory)
        share, _ = help_open(party.protocol, holder, directory, question_of(sent))
        seeds = [message.body for message in sent]
        left = unblinded(directory, residues_in(directory, share), *seeds) - vector_of(COLLUDER)
        assert (left == vector_of(1) + vector_of(2) + vector_of(3)).all()
        for client in (1, 2, 3):
            guess = unblinded(directory, residues_in(directory, share), sent[client - 1].body)
            assert not goes_with(guess, vector_of(client))

    def cheated(self, party: Party, directory: Directory, holder: Holder, enclosed: bytes):
        """The share of a sum in which the colluder encloses what the aggregator likes."""
        sent = protected(party, directory)
        about = sent[3]._replace(body=bytes(32), enclosed=enclosed)
        sent[3] = sign_message(signing(COLLUDER), about)
        share, _ = help_open(party.protocol, holder, directory, question_of(sent))
        return sent, residues_in(directory, share)

    def by_a_multiple(self, party: Party, holder: Holder) -> float:
        """Which part of the victim's values a multiple of its ciphertext tells."""
        few = party.directory(CLIENTS, LENGTH, smallest=2, bits=8)
        small = {client: vector_of(client) // 2**9 for client in CLIENTS}
        sent = [party.protect(few, client, small[client]) for client in CLIENTS]
        times = 2**10
        copied = from_fixed_width(sent[1].enclosed).astype(object) * times % MODULUS
        enclosed = seal.to_fixed_width(copied.astype(np.uint64))
        sent[3] = sign_message(signing(COLLUDER), sent[3]._replace(enclosed=enclosed))
        share, _ = help_open(party.protocol, holder, few, question_of(sent))
        seeds = [message.body for message in sent[:3]] + times * [sent[1].body]
        found = unblinded(few, residues_in(few, share), *seeds)
        return float((np.rint(found / (times + 1)) == small[VICTIM]).mean())

    def test_get_any_vector_by_a_multiple_of_its_ciphertext(self, party, holder) -> None:
        """What the table says: nothing proves that a sender knows what it encrypts."""
        assert self.by_a_multiple(party, holder) > 0.99

    def key_of_a_round(self, party: Party, holder: Holder) -> tuple[np.ndarray, Message]:
        """The holder's key, and the victim's message of that round.

        A ciphertext whose second polynomial is a constant decrypts to the ternary key. The holder
        refuses nothing, since what it opens is uniform to it.
        """
        wide = party.directory(CLIENTS, SLOTS, smallest=2)
        vectors = {client: wide_vector_of(client) for client in CLIENTS}
        sent = [party.protect(wide, client, vectors[client]) for client in CLIENTS]
        forged = np.zeros(2 * SLOTS, np.uint64)
        # Δ = ⌊q/t⌋ at X^0 of the polynomial that is multiplied by the key.
        forged[SLOTS] = MODULUS // PLAIN_MODULUS
        body = bytes(32)
        sent[3] = sign_message(
            signing(COLLUDER),
            sent[3]._replace(body=body, enclosed=seal.to_fixed_width(forged)),
        )
        share, _ = help_open(party.protocol, holder, wide, question_of(sent))
        where = layout(wide.terms)
        opened = protocol._residues_in(where, share.body)[0]
        taken = sum(blinds(where, message.body)[0] for message in sent[:3])
        slots = (opened - taken) % PLAIN_MODULUS
        known = sum(vectors[client] for client in (1, 2, 3))
        return coefficients_of_slots((slots - known) % PLAIN_MODULUS), sent[1]

    def decrypted_share(self, key: np.ndarray, message: Message) -> float:
        """Which part of the victim's blinded plaintext the key decrypts."""
        where = layout(message.header.terms)
        blinded = blinds(where, message.body)[0] + wide_vector_of(VICTIM)
        # Slots and coefficients of a plaintext tell one another.
        expected = coefficients_of_slots(blinded % PLAIN_MODULUS)
        return float((decrypted_with(key, message.enclosed) == expected).mean())

    def next_message(self, party: Party) -> Message:
        """The victim's in the next round."""
        later = party.directory(CLIENTS, SLOTS, smallest=2, round=4)
        return party.protect(later, VICTIM, wide_vector_of(VICTIM))

    def renewed(self, party: Party) -> Party:
        """With the key of another round."""
        return replace(party, secret=(pair := generate()), public=pair.public)

    def test_get_the_key_of_the_round_and_of_no_other(self, party, holder) -> None:
        """T4: what is learnt ends with the round, since the next one's key is another."""
        key, message = self.key_of_a_round(party, holder)
        assert set(key.tolist()) == {-1, 0, 1}
        assert self.decrypted_share(key, message) == 1
        assert self.decrypted_share(key, self.next_message(self.renewed(party))) < 0.01
        # The attack is real: a key that stays opens the next round, too.
        assert self.decrypted_share(key, self.next_message(party)) == 1


def wide_vector_of(client: int) -> np.ndarray:
    return np.random.default_rng(client).integers(-99, 99, SLOTS)


def coefficients_of_slots(slots: np.ndarray) -> np.ndarray:
    """The polynomial that SEAL encodes slots as, coefficients around zero."""
    parameters = sealapi.EncryptionParameters(sealapi.SCHEME_TYPE.BFV)
    parameters.set_poly_modulus_degree(SLOTS)
    parameters.set_coeff_modulus(sealapi.CoeffModulus.Create(SLOTS, [48, 60]))
    parameters.set_plain_modulus(PLAIN_MODULUS)
    context = sealapi.SEALContext(parameters, True, sealapi.SEC_LEVEL_TYPE.TC128)
    plain = sealapi.Plaintext()
    sealapi.BatchEncoder(context).encode([int(value) for value in slots], plain)
    found = np.zeros(SLOTS, np.int64)
    for place in range(plain.coeff_count()):
        found[place] = plain[place]
    return np.where(found > HALF, found - PLAIN_MODULUS, found)


def decrypted_with(key: np.ndarray, enclosed: bytes) -> np.ndarray:
    """BFV's decryption with a ternary key, coefficients around zero."""
    first, second = from_fixed_width(enclosed).reshape(2, SLOTS)
    total = first.astype(object) + product(second, key == 1) - product(second, key == -1)
    scaled = [round(PLAIN_MODULUS * (value % MODULUS) / MODULUS) for value in total]
    return (np.array(scaled) + HALF) % PLAIN_MODULUS - HALF


def product(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Of polynomials modulo X^4096 + 1, as one product of integers whose digits they are."""
    numbers = (int.from_bytes(each.astype("<u8").tobytes(), "little") for each in (one, other))
    digits = (next(numbers) * next(numbers)).to_bytes(2 * 8 * SLOTS, "little")
    low, high = np.frombuffer(digits, "<u8").reshape(2, SLOTS).astype(object)
    return low - high


class TestAKeyARound:
    def test_the_simulations_holder_makes_one(self) -> None:
        made = bfv()
        aggregator = simulate(
            made,
            Terms(5, 16, 1.0, 2, 4),
            made.keygen(bytes, Role.KEY_HOLDER),
            lambda size: bytes(size),
        )
        called = [aggregator.announce(0, [1, 2], 2, b"") for _ in range(2)]
        keys = [each.directory.keys[Role.KEY_HOLDER] for each in called]
        assert keys[0] != keys[1]

    def test_the_aggregator_puts_a_key_of_its_own_in_its_place(self) -> None:
        """Clients take the key that the holder signed for this round and run."""
        holder, aggregator = signing(100), signing(101)
        public = generate().public
        good = signed_key(holder, b"run", 3, public)
        assert key_from_bytes(good, holder.public, b"run", 3) == public.to_bytes()
        bad = [
            (signed_key(aggregator, b"run", 3, public), b"run", 3),
            (good[:64] + generate().public.to_bytes(), b"run", 3),
            (good, b"run", 4),
            (good, b"another", 3),
            (good[:-1], b"run", 3),
            (b"", b"run", 3),
        ]
        for data, run, round_ in bad:
            with pytest.raises(ProtocolError, match="not signed for this round"):
                key_from_bytes(data, holder.public, run, round_)


def test_blinds_of_a_layout_are_those_of_all_its_digits() -> None:
    """So no digit of a wide value is left in the clear."""
    where = Layout(3, 8, 128, 7)
    assert blinds(where, bytes(32)).shape == (3, 7)
    assert len(set(blinds(where, bytes(32)).ravel().tolist())) == 21
