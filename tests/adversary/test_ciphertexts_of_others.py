"""T2: the aggregator and a client who sends what it makes of other clients' ciphertexts."""

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from ciphertexts import (
    ask,
    called,
    ciphertexts_of,
    enclosing,
    holders_of,
    multiplied,
    opened,
    party_of_name,
    raised,
    slots,
    unblinded,
    vector_in,
    where,
)
from gmpy2 import mpz
from parties import Party, signing

from pride_jax.aggregation import plaintext_proofs
from pride_jax.aggregation.holder import help_open
from pride_jax.aggregation.messages import header_bytes, question_of, sign_message
from pride_jax.aggregation.packed_paillier import exponent_bits
from pride_jax.aggregation.plaintext_proofs import Proving, draw_mask, prove
from pride_jax.aggregation.refusals import UnprovedError
from pride_jax.aggregation.secure_sum import Directory, Message
from pride_jax.errors import ProtocolError
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.mechanism import Setting
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.sampling import Full
from pride_jax.privacy.values import Integers

VICTIM, COLLUDER = 1, 4
HONEST = (VICTIM, 2, 3)
LENGTH = 60
FACTOR = 2**17


@pytest.fixture(scope="module", params=["paillier", "threshold"])
def party(request: pytest.FixtureRequest) -> Party:
    return party_of_name(request.param)


@pytest.fixture(scope="module")
def one_holder() -> Party:
    return party_of_name("paillier")


@pytest.fixture
def directory(party: Party) -> Directory:
    return called(party, (*HONEST, COLLUDER), LENGTH)


def vector_of(client: int) -> np.ndarray:
    return np.random.default_rng(client).integers(-32767, 32768, LENGTH)


@pytest.fixture
def sent(party: Party, directory: Directory) -> dict[int, Message]:
    """What honest clients send, and the colluder's own good message."""
    return {
        client: party.protect(directory, client, vector_of(client)) for client in directory.roster
    }


@pytest.fixture
def unproved(monkeypatch: pytest.MonkeyPatch) -> None:
    """The remedy switched off."""
    monkeypatch.setattr(plaintext_proofs, "holds", lambda *claim: True)


def made(kind: str, party: Party, directory: Directory, sent: dict[int, Message]) -> list[mpz]:
    """The colluder's ciphertexts."""
    theirs = {client: ciphertexts_of(party, directory, sent[client]) for client in sent}
    match kind:
        case "copy":
            return theirs[VICTIM]
        case "multiple":
            return raised(party, theirs[VICTIM], FACTOR)
        case "inverse of all others":
            others = [raised(party, theirs[client], -1) for client in HONEST if client != VICTIM]
            return multiplied(party, *others, theirs[COLLUDER])
    raise ValueError(kind)


def read(
    kind: str, party: Party, directory: Directory, sent: dict[int, Message], blinded: list[mpz]
) -> np.ndarray:
    """What the coalition, which knows all seeds and its own vector, makes of the opened sum."""
    seeds = {client: sent[client].body for client in sent}
    offset = where(directory).offset
    match kind:
        case "copy":
            times = [(2 if client == VICTIM else 1, seeds[client]) for client in HONEST]
            total = vector_in(directory, unblinded(party, blinded, times), count=4)
            return total - sum(vector_of(client) for client in HONEST[1:])
        case "multiple":
            times = [(FACTOR + 1 if client == VICTIM else 1, seeds[client]) for client in HONEST]
            found = slots(directory, unblinded(party, blinded, times))[:, 1:].reshape(-1)[:LENGTH]
            return found // (FACTOR + 1) - offset
        case "inverse of all others":
            times = [(1, seeds[VICTIM]), (1, seeds[COLLUDER])]
            both = vector_in(directory, unblinded(party, blinded, times), count=2)
            return both - vector_of(COLLUDER)
    raise ValueError(kind)


KINDS = ["copy", "multiple", "inverse of all others"]


class TestOneClient:
    @pytest.mark.parametrize("kind", KINDS)
    def test_it_cannot_prove_that_it_knows_them(
        self, party: Party, directory: Directory, sent: dict[int, Message], kind: str
    ) -> None:
        """With the victim's proof, its own, or a new one for what it would like to know: honest
        holders open nothing, and an honest aggregator names it."""
        ciphertexts = made(kind, party, directory, sent)
        forgeries = [
            enclosing(party, sent[COLLUDER], ciphertexts, sent[VICTIM]),
            enclosing(party, sent[COLLUDER], ciphertexts, sent[COLLUDER]),
            enclosing(
                party,
                sent[COLLUDER],
                ciphertexts,
                sent[COLLUDER]._replace(
                    enclosed=sent[COLLUDER].enclosed[: len(ciphertexts) * 256]
                    + guessed(party, sent[COLLUDER], ciphertexts)
                ),
            ),
        ]
        for forged in forgeries:
            messages = [*(sent[client] for client in HONEST), forged]
            with pytest.raises(UnprovedError, match=f"client {COLLUDER}"):
                ask(party, directory, messages)
            with pytest.raises(UnprovedError, match=f"client {COLLUDER}"):
                party.protocol.combine(directory, messages)

    @pytest.mark.parametrize("kind", KINDS)
    def test_without_proofs_it_reads_the_victims_vector(
        self,
        party: Party,
        directory: Directory,
        sent: dict[int, Message],
        unproved: None,
        kind: str,
    ) -> None:
        """All of it, in one round; a copy counts the victim twice."""
        ciphertexts = made(kind, party, directory, sent)
        forged = enclosing(party, sent[COLLUDER], ciphertexts, sent[COLLUDER])
        messages = [*(sent[client] for client in HONEST), forged]
        blinded = opened(party, ask(party, directory, messages))
        found = read(kind, party, directory, sent, blinded)
        twice = 2 if kind == "copy" else 1
        np.testing.assert_array_equal(found, twice * vector_of(VICTIM))

    def test_a_proof_is_for_one_round_one_directory_and_one_client(
        self, party: Party, directory: Directory, sent: dict[int, Message]
    ) -> None:
        """A message of the victim's own, sent again: relabelled for another round, model or run,
        with a signature that fits."""
        others = [
            called(party, directory.roster, LENGTH),
            replace(directory, round=directory.round + 1),
            replace(directory, model=b"another model"),
            replace(directory, run=b"another run"),
        ]
        for other in others[1:]:
            again = [party.protect(other, client, vector_of(client)) for client in HONEST]
            stale = sent[COLLUDER]._replace(header=again[0].header)
            stale = sign_message(signing(COLLUDER), stale)
            with pytest.raises(UnprovedError, match=f"client {COLLUDER}"):
                ask(party, other, [*again, stale])
        assert others[0].fingerprint == directory.fingerprint

    def test_the_colluders_own_plaintext_is_all_that_it_can_send(
        self, party: Party, directory: Directory, sent: dict[int, Message]
    ) -> None:
        """So what the coalition reads is the sum of the honest clients."""
        messages = [sent[client] for client in directory.roster]
        blinded = opened(party, ask(party, directory, messages))
        times = [(1, sent[client].body) for client in directory.roster]
        total = vector_in(directory, unblinded(party, blinded, times), count=4)
        expected = sum(vector_of(client) for client in HONEST)
        np.testing.assert_array_equal(total - vector_of(COLLUDER), expected)


class TestTheAggregatorAlone:
    """It has all messages and seeds, and asks the holders what it likes."""

    def test_opens_no_single_message_and_no_second_sum(
        self, party: Party, directory: Directory, sent: dict[int, Message]
    ) -> None:
        victims = sent[VICTIM]
        in_another_name = victims._replace(client=2)
        for shown in ([victims], [victims, victims], [victims, in_another_name]):
            with pytest.raises(ProtocolError):
                ask(party, directory, shown)
        everyone = question_of([sent[client] for client in directory.roster])
        others = question_of([sent[client] for client in directory.roster if client != VICTIM])
        for holder in holders_of(party, directory):
            _, after = help_open(party.protocol, holder, directory, everyone)
            with pytest.raises(ProtocolError, match="is over"):
                help_open(party.protocol, after, directory, others)

    def test_holders_without_books_open_two_sums_that_differ_by_one_vector(
        self, party: Party, directory: Directory, sent: dict[int, Message]
    ) -> None:
        everyone = [sent[client] for client in directory.roster]
        sums = [
            party.protocol.open(
                directory,
                party.protocol.combine(directory, messages),
                ask(party, directory, messages),
            )
            for messages in (everyone, [each for each in everyone if each.client != VICTIM])
        ]
        np.testing.assert_array_equal(sums[0] - sums[1], vector_of(VICTIM))


def guessed(party: Party, message: Message, ciphertexts: Sequence[mpz]) -> bytes:
    """A new proof that 0, under exponents of 0, is in the ciphertexts."""
    public = party.public
    size = exponent_bits(1024, "default") // 8
    proving = Proving(public.key.n, public.obfuscation_base, size)
    context = header_bytes(message.header, message.client, b"PRIDEpok")
    mask = draw_mask(os.urandom, proving)
    zeros = [mpz(0)] * len(ciphertexts)
    return prove(proving, context, ciphertexts, zeros, [bytes(size)] * len(zeros), mask)


@pytest.mark.parametrize("colluders", [3, 4])
class TestNoiseInsideTheSum:
    """Skellam shares of a cohort of 8, sized for 3 or 4 colluders: what the honest clients' shares
    hold is at least what is accounted for, and no colluder can cancel one of them. Updates are 0,
    so sums are noise."""

    COHORT, LENGTH = 8, 1200

    @pytest.fixture
    def mechanism(self, colluders: int) -> Skellam:
        return Skellam(1.0, Integers(self.LENGTH, 6), colluders=colluders)

    @pytest.fixture
    def round_(self, one_holder: Party, mechanism: Skellam) -> Directory:
        bits = 6 + mechanism.shares(self.setting, os.urandom).extra_bits
        return one_holder.directory(
            range(self.COHORT), self.LENGTH, bits=bits, smallest=self.COHORT
        )

    @pytest.fixture
    def messages(
        self, one_holder: Party, mechanism: Skellam, round_: Directory, colluders: int
    ) -> dict[int, Message]:
        """Honest clients' shares of noise; the last clients collude, and add none."""
        noise = mechanism.shares(self.setting, os.urandom).draw(self.COHORT, self.COHORT)
        noise[-colluders:] = 0
        return {c: one_holder.protect(round_, c, noise[c]) for c in round_.roster}

    @property
    def setting(self) -> Setting:
        return Setting(Full(self.COHORT), Flat(1.0), 1, False)

    def cancelling(
        self, one_holder: Party, round_: Directory, messages: dict[int, Message], colluders: int
    ) -> Message:
        """A colluder's message with the inverse of all honest clients' but the first."""
        theirs = {c: ciphertexts_of(one_holder, round_, messages[c]) for c in round_.roster}
        others = [raised(one_holder, theirs[c], -1) for c in range(1, self.COHORT - colluders)]
        last = self.COHORT - 1
        return enclosing(
            one_holder,
            messages[last],
            multiplied(one_holder, *others, theirs[last]),
            messages[last],
        )

    def test_it_holds_and_cancelling_it_is_refused(
        self,
        one_holder: Party,
        mechanism: Skellam,
        round_: Directory,
        messages: dict[int, Message],
        colluders: int,
    ) -> None:
        forged = self.cancelling(one_holder, round_, messages, colluders)
        with pytest.raises(UnprovedError, match="client 7"):
            ask(one_holder, round_, [*(messages[c] for c in range(7)), forged])
        noise = one_holder.reveal(round_, [messages[c] for c in round_.roster])
        assert noise.var() > mechanism.noise_variance * (1 - 5 * np.sqrt(2 / self.LENGTH))

    def test_without_proofs_one_clients_share_is_left(
        self,
        one_holder: Party,
        mechanism: Skellam,
        round_: Directory,
        messages: dict[int, Message],
        unproved: None,
        colluders: int,
    ) -> None:
        forged = self.cancelling(one_holder, round_, messages, colluders)
        blinded = opened(
            one_holder, ask(one_holder, round_, [*(messages[c] for c in range(7)), forged])
        )
        known = [0, *range(self.COHORT - colluders, self.COHORT)]
        plaintexts = unblinded(one_holder, blinded, [(1, messages[c].body) for c in known])
        noise = vector_in(round_, plaintexts, count=len(known))
        share = mechanism.total_variance(Full(self.COHORT)) / self.COHORT
        assert abs(noise.var() / share - 1) < 5 * np.sqrt(2 / self.LENGTH)
        assert noise.var() < 0.5 * mechanism.noise_variance
