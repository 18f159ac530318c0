"""Keys apart from vectors: what each role, alone and with others, finds of client 2's vector.

Each attack is mounted as the protocol is, where it fails, and with its remedy switched off.
"""

import hashlib
import itertools
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from ciphertexts import (
    ask,
    ciphertexts_of,
    decrypted_by,
    enclosing,
    holders_of,
    multiplied,
    opened,
    raised,
    unblinded,
    vector_in,
)
from parties import Party, breakable_ring, key_apart, party_apart, party_of, party_of_case

from pride_jax.aggregation import plaintext_proofs
from pride_jax.aggregation.holder import help_open
from pride_jax.aggregation.lattice.ciphertexts import Polynomials, add, masked, reveal
from pride_jax.aggregation.lattice.drawn import draw_key, public_polynomials
from pride_jax.aggregation.lattice.parameters import Lattice, key_terms
from pride_jax.aggregation.lattice.transform import by_prime, matrices_of, values_of
from pride_jax.aggregation.lattice.wire import from_bytes, to_bytes
from pride_jax.aggregation.messages import enclosed_of, header_bytes, question_of
from pride_jax.aggregation.protocols import lattice as module
from pride_jax.aggregation.protocols import two_servers
from pride_jax.aggregation.protocols.threshold import threshold_paillier
from pride_jax.aggregation.refusals import BurntError, UnprovedError
from pride_jax.aggregation.round_keys import Member
from pride_jax.aggregation.secure_sum import Directory, Message, Prepared, Secret, Share, header
from pride_jax.aggregation.simulation import simulate
from pride_jax.aggregation.words import from_bytes as words_from_bytes
from pride_jax.aggregation.words import stream, to_signed, words_of
from pride_jax.aggregation.words import to_bytes as words_to_bytes
from pride_jax.errors import ProtocolError

CLIENTS, VICTIM, COLLUDER, LENGTH = (1, 2, 3, 4), 2, 4, 600
HOLDERS = ("two_servers", "paillier", "threshold")


@pytest.fixture(scope="module", params=[*HOLDERS, "masking"])
def party(request: pytest.FixtureRequest) -> Party:
    return party_apart(request.param)


@pytest.fixture(scope="module", params=HOLDERS)
def with_holder(request: pytest.FixtureRequest) -> Party:
    return party_apart(request.param)


@pytest.fixture(scope="module")
def through_paillier() -> Party:
    return party_apart("paillier")


@pytest.fixture(scope="module")
def through_two_servers() -> Party:
    return party_apart("two_servers")


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Every key that is drawn, in that order: the best that anybody could find out of keys."""
    drawn: list[np.ndarray] = []

    def noted(*given) -> np.ndarray:
        drawn.append(draw_key(*given))
        return drawn[-1]

    monkeypatch.setattr(module, "draw_key", noted)
    return drawn


def called(party: Party) -> Directory:
    return party.directory(CLIENTS, LENGTH, smallest=2)


def vector_of(client: int) -> np.ndarray:
    """Of the victim, the first block is known to all: the weights of pixels that are never lit."""
    vector = np.random.default_rng(client).integers(-32767, 32768, LENGTH)
    return np.where(in_first_block(), 0, vector)


def in_first_block() -> np.ndarray:
    """Which values lie in the first block, where a coefficient holds one."""
    ring = breakable_ring(party_of_case("plain").announce(CLIENTS, LENGTH).terms)
    assert ring.slots == 1
    return np.arange(LENGTH) % ring.lanes < ring.columns


def protected(party: Party, directory: Directory) -> list[Message]:
    return [party.protect(directory, client, vector_of(client)) for client in CLIENTS]


def sum_of(clients: Sequence[int]) -> np.ndarray:
    return np.sum([vector_of(client) for client in clients], axis=0)


def ring_of(directory: Directory) -> Lattice:
    return breakable_ring(directory.terms)


def of_keys(directory: Directory) -> Directory:
    """The sum of the keys, for who looks into the inner protocol's messages."""
    terms = replace(key_terms(directory.terms), length=ring_of(directory).degree)
    return replace(directory, terms=terms)


def public_of(party: Party, directory: Directory) -> Polynomials:
    about = header_bytes(header(directory, party.protocol.name), 0, module._PUBLIC)
    return public_polynomials(ring_of(directory), hashlib.sha256(about).digest())


def hidden_in(message: Message) -> bytes:
    return message.body[: breakable_ring(message.header.terms).size]


def key_part(message: Message) -> Message:
    """The message's part for the inner protocol."""
    return message._replace(body=message.body[len(hidden_in(message)) :])


def read(
    party: Party, directory: Directory, key: np.ndarray, hidden: bytes, count: int = 1
) -> np.ndarray:
    """What is hidden there, if that is the key.

    Raises:
      ProtocolError: it is not.
    """
    return reveal(ring_of(directory), public_of(party, directory), key, hidden, count)


def less(ring: Lattice, one: bytes, other: bytes) -> bytes:
    """The difference of two hidden vectors."""
    residues = (from_bytes(ring, body).astype(np.int64) for body in (one, other))
    first, second = residues
    return to_bytes(((first - second) % by_prime(ring.primes)).astype(np.uint32))


def summed_key(party: Party, directory: Directory, sent: list[Message], shares: list[Share]):
    """What the aggregator learns of the keys, which it opens as the protocol does."""
    found: list[np.ndarray] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            module, "reveal", lambda ring, public, key, *rest: found.append(key) or np.zeros(1)
        )
        total = party.protocol.combine(directory, sent)
        party.protocol.open(directory, total, shares)
    return found[0]


def is_readable(party: Party, directory: Directory, key: np.ndarray, hidden: bytes) -> bool:
    try:
        return bool((read(party, directory, key, hidden) == vector_of(VICTIM)).all())
    except ProtocolError:
        return False


def tells(ring: Lattice, hidden: bytes) -> bool:
    """Whether residues go with the victim's vector by more than chance, modulo any prime: five
    standard deviations of a correlation of independent values."""
    victim = vector_of(VICTIM)
    for residues in from_bytes(ring, hidden):
        numbers = residues.reshape(-1)[:LENGTH].astype(float)
        if abs(np.corrcoef(numbers, victim)[0, 1]) > 5 / LENGTH**0.5:
            return True
    return False


def without_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy switched off."""
    errors = "pride_jax.aggregation.lattice.ciphertexts.draw_errors"
    monkeypatch.setattr(errors, lambda ring, rng: np.zeros((ring.rows, ring.lanes), np.int8))


class TestTheAggregatorReads:
    """It follows the protocol, and has everything that anybody sends it."""

    def test_hidden_vectors_and_the_sum_of_keys(self, party: Party) -> None:
        directory = called(party)
        ring, sent = ring_of(directory), protected(party, directory)
        key = summed_key(party, directory, sent, party.shares(directory, sent))
        for one in (key, np.zeros_like(key)):
            for message in sent:
                assert not is_readable(party, directory, one, hidden_in(message))
        assert not any(tells(ring, hidden_in(message)) for message in sent)
        for one, other in itertools.combinations(map(hidden_in, sent), 2):
            assert not tells(ring, less(ring, one, other))
        total = add(ring, [hidden_in(message) for message in sent])
        assert (read(party, directory, key, total, len(CLIENTS)) == sum_of(CLIENTS)).all()

    def test_without_a_key_the_vector_stands_there(
        self, through_two_servers: Party, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "draw_key", lambda ring, rng: np.zeros(ring.degree, np.int64))
        directory = called(through_two_servers)
        hidden = hidden_in(protected(through_two_servers, directory)[VICTIM - 1])
        zeros = np.zeros(ring_of(directory).degree, np.int64)
        assert is_readable(through_two_servers, directory, zeros, hidden)

    def test_together_with_clients_what_is_left_without_theirs(
        self, party: Party, keys: list[np.ndarray]
    ) -> None:
        """Clients 3 and 4 collude: of the two others, the sum, and neither."""
        directory = called(party)
        sent = protected(party, directory)
        left = summed_key(party, directory, sent, party.shares(directory, sent)) - sum(keys[2:])
        honest = [hidden_in(message) for message in sent[:2]]
        both = read(party, directory, left, add(ring_of(directory), honest), 2)
        assert (both == sum_of((1, 2))).all()
        for key in (left, *keys[2:]):
            assert not is_readable(party, directory, key, honest[1])

    def test_together_with_key_holders_below_the_threshold(self, keys: list[np.ndarray]) -> None:
        """One of three holders, of whom two find the victim's key."""
        party = party_apart("threshold")
        directory = called(party)
        inside, message = of_keys(directory), party.protect(directory, VICTIM, vector_of(VICTIM))
        ciphertexts = ciphertexts_of(party, inside, message)
        one, other, _ = party.protocol.deal(party.secret)

        def found(*holders: Secret) -> np.ndarray:
            plaintexts = decrypted_by(holders, ciphertexts)
            seed = key_part(message).body
            return vector_in(inside, unblinded(party, plaintexts, [(1, seed)]))

        with pytest.raises(ProtocolError, match="do not fit one another"):
            found(one)
        assert (found(one, other) == keys[-1]).all()

    def solved(self, party: Party, directory: Directory, hidden: bytes) -> np.ndarray:
        """The key, from a block whose values are known to be 0, as if it held no errors."""
        ring, public = ring_of(directory), public_of(party, directory)
        block = from_bytes(ring, hidden)[:, :, : ring.columns].astype(np.int64)
        values = np.stack([values_of(ring, each.reshape(-1))[k] for k, each in enumerate(block)])
        primes, (_, back) = by_prime(ring.primes), matrices_of(ring.degree, ring.primes)
        inverses = np.array(
            [
                [pow(int(each), -1, prime) for each in row.reshape(-1)]
                for row, prime in zip(public[0], ring.primes, strict=True)
            ]
        ).reshape(values.shape)
        at_roots = values * inverses % primes @ back.columns % primes * back.factors % primes
        key = (back.rows @ at_roots % primes)[0].reshape(-1)
        return np.where(key > ring.primes[0] // 2, key - ring.primes[0], key)

    def test_values_that_it_knows_do_not_tell_the_key(
        self, through_two_servers: Party, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With a whole block of them it has N equations of N unknowns, but for the errors."""
        party = through_two_servers
        directory = called(party)
        hidden = hidden_in(protected(party, directory)[VICTIM - 1])
        assert not is_readable(party, directory, self.solved(party, directory, hidden), hidden)
        without_errors(monkeypatch)
        hidden = hidden_in(protected(party, directory)[VICTIM - 1])
        assert is_readable(party, directory, self.solved(party, directory, hidden), hidden)


class TestTheAggregatorCheats:
    def test_two_sets_of_one_round(self, with_holder: Party) -> None:
        """Two sums of keys, whose difference is the victim's."""
        party, directory = with_holder, called(with_holder)
        sent = protected(party, directory)
        others = [message for message in sent if message.client != VICTIM]
        for holder in holders_of(party, directory)[: party.protocol.quorum(directory)]:
            _, after = help_open(party.protocol, holder, directory, question_of(sent))
            with pytest.raises(ProtocolError, match="is over"):
                help_open(party.protocol, after, directory, question_of(others))
        # Holders that remember nothing.
        all_keys, their_keys = (
            summed_key(party, directory, some, ask(party, directory, some))
            for some in (sent, others)
        )
        hidden = hidden_in(sent[VICTIM - 1])
        assert is_readable(party, directory, all_keys - their_keys, hidden)

    def test_two_lists_of_one_round(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As above, where clients open the sums: each consents to one list."""
        party = party_apart("masking")
        directory = party.directory((1, 2, 3, 4, 5), LENGTH, smallest=2)
        sent = [party.protect(directory, c, vector_of(c)) for c in directory.roster]
        others = [message for message in sent if message.client != VICTIM]
        all_keys = summed_key(party, directory, sent, party.shares(directory, sent))
        with pytest.raises(ProtocolError, match="has agreed to open the sum of other contributors"):
            party.shares(directory, others)
        # Clients that remember nothing.
        forget = lambda member, digest, round_: setattr(member, "_agreed", digest)  # noqa: E731
        monkeypatch.setattr(Member, "agree_to", forget)
        their_keys = summed_key(party, directory, others, party.shares(directory, others))
        hidden = hidden_in(sent[VICTIM - 1])
        assert is_readable(party, directory, all_keys - their_keys, hidden)

    def test_two_sets_together_with_a_key_holder(self) -> None:
        """Three of four holders, the default, open a sum of keys: one that cheats opens no second
        one. Of three, two do: they open both, whose difference is the victim's key."""
        for holders, threshold in ((4, 3), (3, 2)):
            make = partial(threshold_paillier, 1024, holders, threshold)
            party = replace(party_of(key_apart(make)), signed=True)
            directory = called(party)
            sent = protected(party, directory)
            others = [message for message in sent if message.client != VICTIM]
            corrupt, *honest = holders_of(party, directory)
            found = []
            for messages, asked in (
                (sent, honest[: threshold - 1]),
                (others, honest[threshold - 1 :]),
            ):
                answering = [corrupt, *asked]
                found.append(
                    [
                        help_open(party.protocol, each, directory, question_of(messages))[0]
                        for each in answering
                    ]
                )
            all_keys = summed_key(party, directory, sent, found[0])
            if len(found[1]) < threshold:
                with pytest.raises(ProtocolError, match="2 shares"):
                    summed_key(party, directory, others, found[1])
                continue
            their_keys = summed_key(party, directory, others, found[1])
            hidden = hidden_in(sent[VICTIM - 1])
            assert is_readable(party, directory, all_keys - their_keys, hidden)

    def test_two_messages_under_one_key(self, party: Party) -> None:
        """The key is gone from their difference."""
        directory = called(party)
        prepared = party.prepare(directory, VICTIM)
        (material,) = prepared._material
        vectors = vector_of(VICTIM), np.zeros(LENGTH, np.int64)
        first = party.protocol.protect(directory, prepared, vectors[0])
        with pytest.raises(ProtocolError, match="already protected"):
            party.protocol.protect(directory, prepared, vectors[1])
        again = Prepared(prepared.header, VICTIM, material)
        second = party.protocol.protect(directory, again, vectors[1])
        ring = ring_of(directory)
        difference = less(ring, hidden_in(first), hidden_in(second))
        assert is_readable(party, directory, np.zeros(ring.degree, np.int64), difference)
        # Of two that were prepared one by one, not even that.
        third = party.protect(directory, VICTIM, vectors[1])
        difference = less(ring, hidden_in(first), hidden_in(third))
        assert not is_readable(party, directory, np.zeros(ring.degree, np.int64), difference)

    def test_keys_of_others_than_whose_vectors_it_added(self, party: Party) -> None:
        directory = called(party)
        sent = protected(party, directory)
        key = summed_key(party, directory, sent, party.shares(directory, sent))
        ring, hidden = ring_of(directory), [hidden_in(message) for message in sent]
        for some in (hidden[:3], hidden[1:], hidden[1:2], [*hidden, hidden[1]]):
            with pytest.raises(ProtocolError, match="summed error"):
                read(party, directory, key, add(ring, some), len(some))

    @pytest.mark.parametrize("kind", ["copy", "multiple", "inverse of all others"])
    def test_a_client_that_sends_what_others_hid(
        self, party: Party, keys: list[np.ndarray], kind: str
    ) -> None:
        """Under a key of its own, as it must know that: the sum is spoilt. The two of them have
        the sum of the others' keys, and so of their vectors, and of no part of these."""
        directory = called(party)
        ring, sent = ring_of(directory), protected(party, directory)
        hidden = [hidden_in(message) for message in sent]
        zero = less(ring, hidden[0], hidden[0])
        made = {
            "copy": hidden[VICTIM - 1],
            "multiple": add(ring, 100 * [hidden[VICTIM - 1]]),
            "inverse of all others": less(ring, less(ring, zero, hidden[0]), hidden[2]),
        }[kind]
        forged = party.sign(sent[3]._replace(body=made + key_part(sent[3]).body, signature=b""))
        messages = [*sent[:3], forged]
        total = party.protocol.combine(directory, messages)
        shares = party.shares(directory, messages)
        with pytest.raises(ProtocolError, match="summed error"):
            party.protocol.open(directory, total, shares)
        left = summed_key(party, directory, messages, shares) - keys[3]
        assert not is_readable(party, directory, left, hidden[VICTIM - 1])
        theirs = read(party, directory, left, add(ring, hidden[:3]), 3)
        assert (theirs == sum_of((1, 2, 3))).all()

    def test_a_client_that_sends_what_it_makes_of_others_keys(
        self, through_paillier: Party, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """All others' keys but the victim's, taken away: without a proof that it knows them."""
        party, directory = through_paillier, called(through_paillier)
        inside, sent = of_keys(directory), protected(through_paillier, directory)
        theirs = [ciphertexts_of(party, inside, message) for message in sent]
        made = multiplied(party, raised(party, theirs[0], -1), raised(party, theirs[2], -1))
        forged = enclosing(party, sent[3], made, sent[3])
        messages = [*sent[:3], forged]
        with pytest.raises(UnprovedError, match=f"client {COLLUDER}"):
            ask(party, directory, messages)
        monkeypatch.setattr(plaintext_proofs, "holds", lambda *claim: True)
        blinded = opened(party, ask(party, directory, messages))
        seed = key_part(sent[VICTIM - 1]).body
        # The others' offsets and counts went away with their keys.
        key = vector_in(inside, unblinded(party, blinded, [(1, seed)]))
        assert is_readable(party, directory, key, hidden_in(sent[VICTIM - 1]))


class TestWithoutTheAggregator:
    """Key holders and clients, who have every key, if it comes to the worst, and nothing hidden."""

    def test_keys_open_nothing_that_holders_get(
        self, with_holder: Party, keys: list[np.ndarray]
    ) -> None:
        party, directory = with_holder, called(with_holder)
        ring, sent = ring_of(directory), protected(party, directory)

        def found(parts: list[bytes]) -> bool:
            fitting = [part[: ring.size] for part in parts if len(part) >= ring.size]
            return any(is_readable(party, directory, key, part) for part in fitting for key in keys)

        told = [part for each in question_of(sent).enclosed for part in each[2:]]
        assert not found(told)
        assert not any(hidden_in(message) in part for message in sent for part in told)
        assert found([message.body for message in sent])

    def guessed(self, party: Party, directory: Directory, message: Message, key: np.ndarray):
        """Whether the digest that a holder sees is that of the vector that it guesses, under the
        key that it knows, with what else it knows of the body."""
        ring, public = ring_of(directory), public_of(party, directory)
        zeros = np.zeros((ring.rows, ring.lanes), np.int8)
        mask = masked(ring, public, key, zeros)
        body = module.hide(ring, mask, vector_of(VICTIM)) + key_part(message).body
        return hashlib.sha256(body).digest() == enclosed_of(message).digest

    def test_a_vector_that_they_guess_cannot_be_tried(
        self, with_holder: Party, keys: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The digest is of errors, too, that nobody else knows."""
        party, directory = with_holder, called(with_holder)
        message = party.protect(directory, VICTIM, vector_of(VICTIM))
        assert not self.guessed(party, directory, message, keys[-1])
        without_errors(monkeypatch)
        message = party.protect(directory, VICTIM, vector_of(VICTIM))
        assert self.guessed(party, directory, message, keys[-1])

    def test_a_sum_that_a_holder_shifts_is_seen(self, through_two_servers: Party) -> None:
        """The same lie passes where vectors are behind streams: see ``test_two_servers``."""
        party, directory = through_two_servers, called(through_two_servers)
        sent = protected(party, directory)
        (share,) = party.shares(directory, sent)
        words = words_of(of_keys(directory).terms)
        one = np.zeros(words.length, words.dtype)
        one[0] = 1
        streams = words_from_bytes(words, share.body)
        total = party.protocol.combine(directory, sent)
        for lie in (streams + one, streams - one):
            shifted = share._replace(body=words_to_bytes(words, lie))
            with pytest.raises(ProtocolError, match="summed error"):
                party.protocol.open(directory, total, [shifted])

    def test_a_lie_is_not_put_down_to_clients_alone(self, through_two_servers: Party) -> None:
        """Who reads why a round was given up learns that it may have been a key holder."""
        party = through_two_servers

        def lie(*given) -> Share:
            share = party.protocol.share(*given)
            return share._replace(body=bytes(len(share.body)))

        terms, lying = called(party).terms, party.protocol._replace(share=lie)
        aggregator = simulate(lying, terms, (party.secret, party.public), os.urandom)
        announced = aggregator.announce(3, CLIENTS, 2, b"model")
        with pytest.raises(BurntError, match="and who opens sums"):
            aggregator.add(announced, np.stack([vector_of(client) for client in CLIENTS]))

    def test_a_lie_of_a_paillier_holder_is_seen(self, through_paillier: Party) -> None:
        party, directory = through_paillier, called(through_paillier)
        sent = protected(party, directory)
        (share,) = party.shares(directory, sent)
        # One more in the first value of the first plaintext, beside its count.
        number = int.from_bytes(share.body[:128], "big") + 256
        lie = share._replace(body=number.to_bytes(128, "big") + share.body[128:])
        total = party.protocol.combine(directory, sent)
        with pytest.raises(ProtocolError, match="summed error"):
            party.protocol.open(directory, total, [lie])


def key_found(party: Party, directory: Directory, message: Message, keys: list[np.ndarray]):
    """The victim's key, by who can have it: the aggregator with who opens sums of keys."""
    inside, part = of_keys(directory), key_part(message)
    name = party.protocol.name
    if "two_servers" in name:
        words = words_of(inside.terms)
        # Sealed as part of the sum of keys.
        about = header(inside, "two_servers")
        sealed = enclosed_of(part)._replace(header=about)
        behind = words_from_bytes(words, part.body[two_servers._SALT_BYTES :])
        seed = two_servers._unsealed(party.secret, sealed)
        return to_signed(words, behind - stream(words, seed))
    if "masking" in name:
        # As many helpers as open a sum have every secret: see ``test_t3_masking``.
        return keys[-1]
    holders = party.protocol.deal(party.secret)[: party.protocol.quorum(directory)]
    plaintexts = decrypted_by(holders, ciphertexts_of(party, inside, message))
    return vector_in(inside, unblinded(party, plaintexts, [(1, part.body)]))


def test_who_learns_a_key_reads_what_it_hides(party: Party, keys: list[np.ndarray]) -> None:
    directory = called(party)
    message = party.protect(directory, VICTIM, vector_of(VICTIM))
    key = key_found(party, directory, message, keys)
    assert (key == keys[-1]).all()
    assert is_readable(party, directory, key, hidden_in(message))


def test_a_client_that_hides_its_vector_under_another_key_spoils_the_sum(
    party: Party, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is among those that may be why; the sum does not show who."""
    count, mask = itertools.count(), module.mask

    def under_another(ring, public, key, rng):
        return mask(ring, public, -key if next(count) == 2 else key, rng)

    monkeypatch.setattr(module, "mask", under_another)
    terms = called(party).terms
    aggregator = simulate(party.protocol, terms, (party.secret, party.public), os.urandom)
    announced = aggregator.announce(3, CLIENTS, 2, b"model")
    rows = np.stack([vector_of(client) for client in CLIENTS])
    with pytest.raises(BurntError, match="summed error") as burnt:
        aggregator.add(announced, rows)
    assert burnt.value.candidates == CLIENTS
