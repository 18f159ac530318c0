"""T3: what an active server gets out of masking, alone and with as many clients as it may have.

Each attack is mounted twice: on the protocol, and with its remedy switched off, where it succeeds.
The server computes with everything that reaches it, and sends each client what it likes.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from parties import Party, party_of, signing

from pride_jax.aggregation import consents, letters, round_keys
from pride_jax.aggregation.books import Rules
from pride_jax.aggregation.checks import Opened, open_sum
from pride_jax.aggregation.holder import Holder, help_open
from pride_jax.aggregation.neighbours import ServerModel, neighbourhood
from pride_jax.aggregation.protocols import masking as module
from pride_jax.aggregation.protocols.masking import masking
from pride_jax.aggregation.refusals import BurntError
from pride_jax.aggregation.round_keys import (
    Member,
    RoundKeys,
    own_mask,
    pair_mask,
    pairing_key,
    round_keys_from_bytes,
    sign_round_keys,
)
from pride_jax.aggregation.secret_sharing import (
    PRIME,
    SHARE_BYTES,
    join_shares,
    lagrange_weights,
    split_secrets,
)
from pride_jax.aggregation.secure_sum import Directory, Message, Question, Role, Secret, header
from pride_jax.aggregation.words import from_bytes, sum_of_streams, to_signed, words_of
from pride_jax.errors import ProtocolError

LENGTH, VICTIM = 6, 0
RULES = Rules(rounds=10, releases=10, smallest_cohort=2, most_refused=1)


def vector_of(client: int) -> np.ndarray:
    return np.random.default_rng(client).integers(-32767, 32768, LENGTH)


def sum_of(clients: Iterable[int]) -> np.ndarray:
    return np.sum([vector_of(client) for client in clients], axis=0)


def party_with(server: ServerModel = "active", corrupted: float = 1 / 3) -> Party:
    return replace(party_of(masking(server, corrupted)), signed=True)


def copy(secret: Secret) -> RoundKeys:
    """A secret from its owner's file."""
    assert isinstance(secret, RoundKeys)
    return round_keys_from_bytes(secret.to_bytes())


def copied(member: Member) -> Member:
    """A corrupted client's, which consents to whatever it likes."""
    return round_keys.member_from_bytes(member.to_bytes())


def joined(
    party: Party, directory: Directory, secrets: Mapping[int, RoundKeys]
) -> tuple[Directory, dict[int, Member]]:
    """Letters of all these clients, and each in the sum."""
    ways = party.protocol.letters
    assert ways is not None
    written = [
        party.sign(ways.write(os.urandom, directory, secret, client))
        for client, secret in secrets.items()
    ]
    return read(party, directory, secrets, written)


def read(
    party: Party,
    directory: Directory,
    secrets: Mapping[int, RoundKeys],
    written: list[Message],
) -> tuple[Directory, dict[int, Member]]:
    ways = party.protocol.letters
    assert ways is not None
    collected, mail = ways.collect(directory, written), ways.deliver(written)
    members = {
        client: ways.read(collected, secret, client, mail[client])
        for client, secret in secrets.items()
    }
    assert all(isinstance(member, Member) for member in members.values())
    return collected, members  # pyright: ignore[reportReturnType]


def announced(party: Party, clients: int) -> tuple[Directory, dict[int, RoundKeys]]:
    directory = party.announce(range(clients), LENGTH, largest=max(clients, 128))
    return directory, {c: copy(party.client_secret(directory, c)) for c in range(clients)}


def protect(party: Party, directory: Directory, client: int, member: Member) -> Message:
    prepared = party.protocol.prepare(os.urandom, directory, member, client)
    return party.sign(party.protocol.protect(directory, prepared, vector_of(client)))


def question(party: Party, directory: Directory, contributors: Iterable[int]) -> Question:
    return Question(header(directory, party.protocol.name), tuple(sorted(contributors)))


def rows(share) -> dict[int, bytes]:
    """What a share holds of each client's secret, by client."""
    size = 8 + SHARE_BYTES
    cut = [share.body[at : at + size] for at in range(0, len(share.body), size)]
    return {int.from_bytes(row[:8], "big"): row[8:] for row in cut}


def shares_held(member: Member, of: int) -> tuple[bytes, bytes]:
    """Both shares that a corrupted helper holds of a client: the seed's, the pairing key's."""
    shares = member.neighbours[of].shares
    assert shares is not None
    return shares[:SHARE_BYTES], shares[SHARE_BYTES:]


def secret_from(given: Mapping[int, bytes], threshold: int) -> bytes | None:
    """What shares give, by client; a client's shares are at its id + 1."""
    if len(given) < threshold:
        return None
    chosen = {client + 1: given[client] for client in list(given)[:threshold]}
    return join_shares(lagrange_weights(list(chosen)), chosen)


def unmasked(
    directory: Directory,
    messages: Iterable[Message],
    seeds: Mapping[int, bytes],
    pairing: Mapping[int, bytes],
) -> np.ndarray:
    """The sum of messages, less the masks that these seeds and pairing keys give."""
    words, sent = words_of(directory.terms), {each.client: each.body for each in messages}
    total = np.sum([from_bytes(words, body) for body in sent.values()], axis=0, dtype=np.uint64)
    plus, minus = [], [own_mask(seeds[client]) for client in sent if client in seeds]
    for gone, key in pairing.items():
        for client in sent:
            seed = pair_mask(directory, pairing_key(key), gone, client)
            (minus if client < gone else plus).append(seed)
    return to_signed(words, total + sum_of_streams(words, plus, minus))


def off(monkeypatch: pytest.MonkeyPatch, where, name: str, value) -> None:
    monkeypatch.setattr(where, name, value)


class TestItsOwnKeysInTheOthersPlaces:
    """The server plays everybody but the victim."""

    def attack(self, party: Party) -> np.ndarray:
        real, secrets = announced(party, 5)
        played = {c: party.protocol.keygen(os.urandom, Role.CLIENT) for c in range(1, 5)}
        keys = {**real.keys, **{client: public for client, (_, public) in played.items()}}
        # It has no enrolled key but may sign with others.
        signatures = {
            client: sign_round_keys(signing(100 + client), b"", 3, client, public)
            for client, (_, public) in played.items()
        }
        sham = replace(real, keys=keys, key_signatures={**real.key_signatures, **signatures})
        actors = {VICTIM: secrets[VICTIM], **{c: copy(each) for c, (each, _) in played.items()}}
        directory, members = joined(party, sham, actors)
        message = protect(party, directory, VICTIM, members[VICTIM])
        held = {c: shares_held(members[c], VICTIM)[0] for c in played}
        threshold = party.protocol.quorum(directory)
        seed = secret_from(held, threshold)
        assert seed is not None
        # The masks with it, it knows: a client that it plays gives its own pairing key.
        pairing = {client: actors[client].pairing_bytes for client in played}
        return unmasked(directory, [message], {VICTIM: seed}, pairing)

    @pytest.mark.parametrize("server", ["active", "curious"])
    def test_keys_that_their_clients_have_not_signed_are_refused(self, server) -> None:
        with pytest.raises(ProtocolError, match="are not signed by that client for this round"):
            self.attack(party_with(server))

    def test_without_the_check_it_has_the_vector(self, monkeypatch) -> None:
        off(monkeypatch, letters, "check_round_keys", lambda *_: None)
        np.testing.assert_array_equal(self.attack(party_with()), vector_of(VICTIM))

    @pytest.mark.parametrize("other", ["round", "run", "client"])
    def test_signed_for_something_else(self, other: str) -> None:
        """An old round's keys, another run's, another client's: replayed, the server knows none,
        but an attack on one of them must not reach this round."""
        party = party_with()
        directory, secrets = announced(party, 5)
        run, round_, client = b"", 3, 1
        if other == "round":
            round_ = 2
        elif other == "run":
            run = b"another"
        else:
            client = 2
        key = directory.keys[1]
        replayed = sign_round_keys(signing(1), run, round_, client, key)
        sham = replace(directory, key_signatures={**directory.key_signatures, 1: replayed})
        with pytest.raises(ProtocolError, match="client 1"):
            joined(party, sham, secrets)


class TestManyLettersFromOneSecret:
    """Two letters, two sums: in one the victim is there, in the other it is silent."""

    def attack(self, party: Party) -> np.ndarray:
        first, secrets = announced(party, 5)
        directory, members = joined(party, first, secrets)
        message = protect(party, directory, VICTIM, members[VICTIM])
        # The same keys, another model: another directory.
        again, others = joined(party, replace(first, model=b"another"), secrets)
        threshold, everyone = party.protocol.quorum(directory), range(5)
        seeds = self.shares(party, directory, members, everyone)
        silent = {client: each for client, each in others.items() if client != VICTIM}
        pairings = self.shares(party, again, silent, range(1, 5))
        seed = secret_from({c: each[VICTIM] for c, each in seeds.items()}, threshold)
        pairing = secret_from({c: each[VICTIM] for c, each in pairings.items()}, threshold)
        assert seed is not None
        assert pairing is not None
        words, streams = words_of(directory.terms), [own_mask(seed)]
        masks = sum_of_streams(words, streams)
        for other in range(1, 5):
            stream = pair_mask(directory, pairing_key(pairing), VICTIM, other)
            masks = masks + sum_of_streams(words, [stream])
        return to_signed(words, from_bytes(words, message.body) - masks)

    def shares(self, party, directory, members, contributors) -> dict[int, dict[int, bytes]]:
        """What each member gives for a sum, by a holder without a memory of the other sum."""
        ways = party.protocol.letters
        enrolled = directory.signers
        messages = [
            Message(header(directory, party.protocol.name), client, b"", b"".join(notes))
            for client, notes in (
                (client, self.notes(directory, members, client)) for client in contributors
            )
        ]
        told = ways.ask(directory, messages, [])
        given = [
            party.sign(ways.consent(directory, member, told[client]))
            for client, member in members.items()
        ]
        told = ways.ask(directory, messages, given)
        return {
            client: rows(
                help_open(party.protocol, Holder(member, enrolled, RULES), directory, told[client])[
                    0
                ]
            )
            for client, member in members.items()
        }

    def notes(self, directory, members, client) -> list[bytes]:
        about = header(directory, "any")
        word = consents.included_word(about)
        return [members[client].tag(each, word) for each in directory.letters[client].readers]

    def test_a_secret_writes_once(self) -> None:
        with pytest.raises(ProtocolError, match="A letter of round 3 has been written"):
            self.attack(party_with())

    def test_and_reads_once(self, monkeypatch) -> None:
        off(monkeypatch, RoundKeys, "write_to", write_again)
        with pytest.raises(ProtocolError, match="have read others' letters before"):
            self.attack(party_with())

    def test_with_many_it_has_the_vector(self, monkeypatch) -> None:
        off(monkeypatch, RoundKeys, "write_to", write_again)
        off(monkeypatch, RoundKeys, "read_once", lambda *_: None)
        off(monkeypatch, RoundKeys, "pair", pair_anew)
        np.testing.assert_array_equal(self.attack(party_with()), vector_of(VICTIM))


def write_again(self: RoundKeys, helpers: list[int], round_: int) -> None:
    self.helpers = tuple(helpers)


_pair = RoundKeys.pair


def pair_anew(self: RoundKeys, directory: Directory, me: int, other: int):
    self._pairs.clear()
    return _pair(self, directory, me, other)


class TestAskingForALetterAgain:
    """The server shows a false signature of one client's keys, and asks the victim for its letter
    until that client is not among the helpers that it draws: so it would choose the helpers."""

    def tries(self, party: Party) -> set[bool]:
        """Whether tries, each from the victim's own file, got a letter: until some did not."""
        real, secrets = announced(party, 150)
        signatures = {**real.key_signatures, 7: real.key_signatures[8]}
        sham = replace(real, key_signatures=signatures)
        ways, got = party.protocol.letters, set()
        assert ways is not None
        for _ in range(40):
            if len(got) == 2:
                break
            try:
                ways.write(os.urandom, sham, copy(secrets[VICTIM]), VICTIM)
            except ProtocolError as error:
                assert "client 7" in str(error)
                got.add(False)
            else:
                got.add(True)
        return got

    @pytest.fixture
    def party(self) -> Party:
        """Each draws some two thirds of all clients: in 40 tries one is drawn and is not."""
        assert 70 <= neighbourhood("active", 1 / 3, 1 / 10, 150).degree <= 110
        return party_with()

    def test_the_same_helpers_are_drawn(self, party: Party) -> None:
        assert len(self.tries(party)) == 1

    def test_drawn_anew_a_letter_comes_without_that_client(self, party: Party, monkeypatch) -> None:
        off(monkeypatch, RoundKeys, "ticket", lambda self, other: os.urandom(16))
        assert len(self.tries(party)) == 2

    def test_a_secret_that_was_refused_does_not_write_to_others(self, party: Party) -> None:
        real, secrets = announced(party, 5)
        sham, ways = replace(real, key_signatures={}), party.protocol.letters
        assert ways is not None
        with pytest.raises(ProtocolError, match="not signed"):
            ways.write(os.urandom, sham, secrets[VICTIM], VICTIM)
        with pytest.raises(ProtocolError, match="A letter of round 3 has been written"):
            ways.write(os.urandom, real, secrets[VICTIM], VICTIM)


class TestFalseShares:
    """Helpers that lie about secrets, and a client whose letter is false: both are named."""

    CLIENTS = 12

    def opened(
        self, party: Party, liars: Iterable[int], false_letter: Callable | None = None
    ) -> Opened:
        before, secrets = announced(party, self.CLIENTS)
        ways, everyone = party.protocol.letters, range(self.CLIENTS)
        assert ways is not None
        if false_letter is not None:
            # Boxes that open, with shares of something else.
            off(self.monkeypatch, letters, "split_secrets", false_letter)
        written = [party.sign(ways.write(os.urandom, before, secrets[VICTIM], VICTIM))]
        self.monkeypatch.undo()
        written += [party.sign(ways.write(os.urandom, before, secrets[c], c)) for c in everyone[1:]]
        directory, members = read(party, before, secrets, written)
        messages = [protect(party, directory, c, member) for c, member in members.items()]
        told = ways.ask(directory, messages, [])
        given = [party.sign(ways.consent(directory, each, told[c])) for c, each in members.items()]
        told = ways.ask(directory, messages, given)
        shares = [party.protocol.share(directory, each, told[c]) for c, each in members.items()]
        for liar in liars:
            body = bytearray(shares[liar].body)
            for row in range(0, len(body), 8 + SHARE_BYTES):
                body[row + 12] ^= 1
            shares[liar] = shares[liar]._replace(body=bytes(body))
        total = party.protocol.combine(directory, messages)
        return open_sum(party.protocol, directory, total, shares)

    @pytest.fixture(autouse=True)
    def switch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    @pytest.mark.parametrize("liars", [(), (3,), (0,)])
    def test_a_lying_helper_is_named_and_the_sum_opens(self, liars: tuple[int, ...]) -> None:
        found = self.opened(party_with("active"), liars)
        np.testing.assert_array_equal(found.total, sum_of(range(self.CLIENTS)))
        assert [each.client for each in found.refused] == list(liars)

    def test_as_many_as_half_of_those_beyond_the_threshold(self) -> None:
        party = party_with("curious", 0.1)
        spare = self.CLIENTS - party.protocol.quorum(party.announce(range(self.CLIENTS), 1))
        liars = range(spare // 2)
        found = self.opened(party, liars)
        assert len(liars) >= 4
        np.testing.assert_array_equal(found.total, sum_of(range(self.CLIENTS)))
        assert [each.client for each in found.refused] == list(liars)

    def test_a_writer_cannot_put_the_blame_on_a_helper_alone(self) -> None:
        """It seals a false share to one honest helper, which gives what it got."""
        found = self.opened(party_with("active"), (), false_to_client_3)
        np.testing.assert_array_equal(found.total, sum_of(range(self.CLIENTS)))
        (refused,) = found.refused
        assert refused.client == 3
        assert f"or client {VICTIM} sealed it one" in str(refused)

    def test_of_a_false_letter_the_writer_is_named_first(self) -> None:
        with pytest.raises(BurntError, match="do not give client 0's key: its letter") as refused:
            self.opened(party_with(), (), shares_of_nothing)
        assert refused.value.candidates[0] == VICTIM

    def test_with_more_liars_one_of_them_is_among_the_candidates(self) -> None:
        with pytest.raises(BurntError) as refused:
            self.opened(party_with(), (1, 2, 3, 4))
        assert {1, 2, 3, 4} <= set(refused.value.candidates)


def shares_of_nothing(rng, secrets, threshold, holders) -> list[list[bytes]]:
    return [[b"\0" + os.urandom(32) for _ in secrets] for _ in holders]


def false_to_client_3(rng, secrets, threshold, holders) -> list[list[bytes]]:
    shares = split_secrets(rng, secrets, threshold, holders)
    # Of client c, the number is c + 1.
    shares[holders.index(4)] = shares_of_nothing(rng, secrets, threshold, holders)[0]
    return shares


class TestDifferentListsOfContributors:
    """Nine clients, three of whom may be corrupted; the server tells each what it likes."""

    def asked(
        self, party: Party, directory: Directory, members: Mapping[int, Member], lists
    ) -> dict[int, dict[int, bytes]]:
        """What each honest member gives for its own list, to which the corrupted consent, too."""
        ways = party.protocol.letters
        assert ways is not None
        messages = {c: protect(party, directory, c, member) for c, member in members.items()}
        self.messages = messages
        told = {
            client: ways.ask(directory, [messages[each] for each in chosen], [])[client]
            for client, chosen in lists.items()
        }
        given = {c: party.sign(ways.consent(directory, members[c], told[c])) for c in lists}
        answers = {}
        for client, chosen in lists.items():
            sent = [messages[each] for each in chosen]
            among = [given[each] for each in chosen if each in given]
            among += [
                party.sign(ways.consent(directory, copied(members[each]), told[client]))
                for each in chosen
                if each not in lists
            ]
            full = ways.ask(directory, sent, among)[client]
            holder = Holder(members[client], directory.signers or {}, RULES)
            try:
                share, _ = help_open(party.protocol, holder, directory, full)
            except ProtocolError as error:
                assert "have agreed to the sum of these contributors" in str(error)
                continue
            answers[client] = rows(share)
        return answers

    def both_secrets(self, party: Party) -> np.ndarray | None:
        """Some are told that the victim is in the sum, others that it is silent."""
        directory, secrets = announced(party, 9)
        directory, members = joined(party, directory, secrets)
        honest, corrupted = range(6), range(6, 9)
        without = [client for client in range(9) if client != VICTIM]
        lists = {c: range(9) if c < 3 else without for c in honest}
        answers = self.asked(party, directory, members, lists)
        seeds = {c: answers[c][VICTIM] for c in answers if VICTIM in lists[c]}
        pairings = {c: answers[c][VICTIM] for c in answers if VICTIM not in lists[c]}
        for client in corrupted:
            seeds[client], pairings[client] = shares_held(members[client], VICTIM)
        threshold = party.protocol.quorum(directory)
        seed, pairing = secret_from(seeds, threshold), secret_from(pairings, threshold)
        if seed is None or pairing is None:
            return None
        words = words_of(directory.terms)
        masks = sum_of_streams(words, [own_mask(seed)])
        for other in range(1, 9):
            masks = masks + sum_of_streams(
                words, [pair_mask(directory, pairing_key(pairing), VICTIM, other)]
            )
        return to_signed(words, from_bytes(words, self.messages[VICTIM].body) - masks)

    def test_an_active_threshold_gives_one_secret_only(self, monkeypatch) -> None:
        """Even of clients that do not look at consents: 2t > 9 + 3."""
        assert self.both_secrets(party_with("active")) is None
        off(monkeypatch, module, "check_agreement", lambda *_: None)
        assert self.both_secrets(party_with("active")) is None

    def test_a_curious_threshold_gives_both(self) -> None:
        """So the sights of server='curious' say of an active server: any one's values."""
        found = self.both_secrets(party_with("curious"))
        np.testing.assert_array_equal(found, vector_of(VICTIM))

    def smaller_sum(self, party: Party) -> np.ndarray | None:
        """All lists have seven contributors; the vectors of 0, 1 and 2 come out without more."""
        directory, secrets = announced(party, 9)
        directory, members = joined(party, directory, secrets)
        silent = {0: (3, 4), 1: (4, 5), 2: (3, 5), 3: (4, 5), 4: (3, 5), 5: (3, 4)}
        lists = {c: [each for each in range(9) if each not in silent[c]] for c in range(6)}
        answers = self.asked(party, directory, members, lists)
        threshold = party.protocol.quorum(directory)
        found: dict[int, bytes | None] = {}
        for of in range(6):
            wanted = [c for c in answers if (of in lists[c]) == (of < 3)]
            given = {c: answers[c][of] for c in wanted}
            for client in range(6, 9):
                given[client] = shares_held(members[client], of)[0 if of < 3 else 1]
            found[of] = secret_from(given, threshold)
        if None in found.values():
            return None
        pairing = {c: key for c, key in found.items() if c >= 3 and key is not None}
        pairing |= {c: secrets[c].pairing_bytes for c in range(6, 9)}
        seeds = {c: seed for c, seed in found.items() if c < 3 and seed is not None}
        sent = [self.messages[client] for client in range(3)]
        return unmasked(directory, sent, seeds, pairing)

    def test_shares_are_given_for_one_list_that_the_helpers_agree_on(self) -> None:
        assert self.smaller_sum(party_with()) is None

    def test_without_consents_fewer_than_t_minus_c_are_summed(self, monkeypatch) -> None:
        """t - c is 4 of nine clients, three of them corrupted: here are three."""
        off(monkeypatch, module, "check_agreement", lambda *_: None)
        party = party_with()
        assert party.protocol.quorum(party.announce(range(9), 1)) - 3 == 4
        np.testing.assert_array_equal(self.smaller_sum(party), sum_of(range(3)))

    def test_a_client_consents_to_one_list(self) -> None:
        party = party_with()
        directory, secrets = announced(party, 9)
        directory, members = joined(party, directory, secrets)
        ways = party.protocol.letters
        assert ways is not None
        ways.consent(directory, members[1], question(party, directory, range(9)))
        again = Member.to_bytes(members[1])
        for member in (members[1], round_keys.member_from_bytes(again)):
            ways.consent(directory, member, question(party, directory, range(9)))
            with pytest.raises(ProtocolError, match="agreed to open the sum of other contributors"):
                ways.consent(directory, member, question(party, directory, range(1, 9)))


class TestAnotherDirectory:
    """The victim is shown letters of the corrupted alone, everyone else all letters."""

    def attack(self, party: Party) -> np.ndarray | None:
        before, secrets = announced(party, 9)
        ways = party.protocol.letters
        assert ways is not None
        written = {c: party.sign(ways.write(os.urandom, before, secrets[c], c)) for c in range(9)}
        few = [written[client] for client in (0, 6, 7, 8)]
        apart, alone = read(party, before, {VICTIM: secrets.pop(VICTIM)}, few)
        message = protect(party, apart, VICTIM, alone[VICTIM])
        directory, members = read(party, before, secrets, list(written.values()))
        messages = [protect(party, directory, c, member) for c, member in members.items()]
        messages.append(party.sign(message._replace(header=messages[0].header)))
        told = ways.ask(directory, messages, [])
        given = [party.sign(ways.consent(directory, each, told[c])) for c, each in members.items()]
        told = ways.ask(directory, messages, given)
        holders = {c: Holder(each, directory.signers or {}, RULES) for c, each in members.items()}
        answers = {
            c: rows(help_open(party.protocol, holder, directory, told[c])[0])
            for c, holder in holders.items()
        }
        held = {c: each[VICTIM] for c, each in answers.items() if VICTIM in each}
        seed = secret_from(held, party.protocol.quorum(directory))
        if seed is None:
            return None
        pairing = {client: secrets[client].pairing_bytes for client in (6, 7, 8)}
        return unmasked(apart, [message], {VICTIM: seed}, pairing)

    def test_the_seed_is_given_to_who_is_in_this_very_sum(self) -> None:
        """A curious threshold, that the attack gets so far; the note alone stops it."""
        assert self.attack(party_with("curious")) is None

    def test_without_the_note_it_has_the_vector(self, monkeypatch) -> None:
        def all_said(me, notes, word):
            return {note.client for note in notes}

        off(monkeypatch, module, "writers_of", all_said)
        np.testing.assert_array_equal(self.attack(party_with("curious")), vector_of(VICTIM))

    def test_an_active_threshold_refuses_so_few_letters(self) -> None:
        with pytest.raises(ProtocolError, match="4 helpers of client 0 have written letters"):
            self.attack(party_with())

    @pytest.mark.parametrize("what", ["letters", "model", "run", "keys"])
    def test_a_client_helps_under_the_directory_that_it_trained_with(self, what: str) -> None:
        party = party_with()
        directory, members = joined(party, *announced(party, 5))
        shown = {
            "letters": {"letters": dict(list(directory.letters.items())[:4])},
            "model": {"model": b"another"},
            "run": {"run": b"another"},
            "keys": {"keys": {**directory.keys, 4: directory.keys[3]}},
        }
        other = replace(directory, **shown[what])
        asked, ways = question(party, other, range(4)), party.protocol.letters
        assert ways is not None
        for step in (ways.consent, party.protocol.share):
            with pytest.raises(ProtocolError, match="and with no other"):
                step(other, members[1], asked)


class TestCollusion:
    """Of nine clients seven open a secret: with six the server has nothing, with seven all."""

    def secrets_of(self, party: Party, colluding: int) -> list[bytes | None]:
        directory, secrets = announced(party, 9)
        directory, members = joined(party, directory, secrets)
        held = {c: shares_held(members[c], VICTIM) for c in range(9 - colluding, 9)}
        threshold = party.protocol.quorum(directory)
        found = [secret_from({c: both[k] for c, both in held.items()}, threshold) for k in (0, 1)]
        keys = secrets[VICTIM]
        assert all(
            one in (None, other)
            for one, other in zip(found, (keys.own, keys.pairing_bytes), strict=True)
        )
        return found

    @pytest.mark.parametrize("colluding", [3, 6])
    def test_the_shares_of_the_corrupted_are_too_few(self, colluding: int) -> None:
        assert self.secrets_of(party_with(), colluding) == [None, None]

    def test_as_many_as_the_threshold_have_every_secret(self) -> None:
        assert None not in self.secrets_of(party_with(), 7)

    def test_one_share_less_says_nothing(self) -> None:
        """Six shares fit every secret: with a seventh that is made up, any one comes out."""
        party = party_with()
        _, members = joined(party, *announced(party, 9))
        held = {c + 1: shares_held(members[c], VICTIM)[0] for c in range(3, 9)}
        wanted, weights = os.urandom(32), lagrange_weights([1, *held])
        missing = int.from_bytes(wanted, "big") - sum(
            weights[at] * int.from_bytes(share, "big") for at, share in held.items()
        )
        made_up = missing * pow(weights[1], -1, PRIME) % PRIME
        shares = {1: made_up.to_bytes(SHARE_BYTES, "big"), **held}
        assert join_shares(weights, shares) == wanted


class TestCurious:
    """A server that follows the protocol reads all of it, and learns the sum."""

    def test_its_view_fits_every_split_of_the_sum(self) -> None:
        """Messages are the vectors plus masks of which it gets own seeds, not pairwise keys: two
        cohorts with the same sum, and masks to match, look the same."""
        party = party_with("curious", 0.1)
        directory, members = joined(party, *announced(party, 4))
        messages = [protect(party, directory, c, member) for c, member in members.items()]
        self_masks = [own_mask(keys.own) for keys in self.keys(party, directory)]
        words = words_of(directory.terms)
        bare = [
            to_signed(words, from_bytes(words, each.body) - sum_of_streams(words, [mask]))
            for each, mask in zip(messages, self_masks, strict=True)
        ]
        assert all(np.abs(each).max() > 32767 for each in bare)
        total = np.sum(bare, axis=0)
        assert (to_signed(words, total.astype(np.uint64)) == sum_of(range(4))).all()

    def keys(self, party: Party, directory: Directory) -> list[RoundKeys]:
        found = party._secrets[directory.before_letters.fingerprint]
        return [copy(found[client]) for client in directory.roster]
