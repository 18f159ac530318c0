"""What an aggregator that cheats gets out of a key holder."""

from dataclasses import replace

import numpy as np
import pytest
from parties import Party, signing

from pride_jax.aggregation import checks, plaintext_proofs
from pride_jax.aggregation.books import Rules
from pride_jax.aggregation.holder import Holder, burnt, help_open
from pride_jax.aggregation.messages import question_of, sign_message
from pride_jax.aggregation.paillier_keys import ciphertext_bytes
from pride_jax.aggregation.refusals import WrongSignatureError
from pride_jax.aggregation.secure_sum import Directory, Message
from pride_jax.errors import ProtocolError

CLIENTS = range(1, 5)
RULES = Rules(rounds=10, releases=10, smallest_cohort=3, most_refused=3)


@pytest.fixture(scope="module")
def party(small_paillier: Party) -> Party:
    return replace(small_paillier, signed=True)


@pytest.fixture
def directory(party: Party) -> Directory:
    return party.directory(CLIENTS, length=60, smallest=1)


@pytest.fixture
def holder(party: Party) -> Holder:
    enrolled = {client: signing(client).public for client in CLIENTS}
    return Holder(party.secret, enrolled, RULES)


@pytest.fixture
def messages(party: Party, directory: Directory) -> list[Message]:
    return [party.protect(directory, client, client * np.arange(60)) for client in CLIENTS]


def powers(party: Party, enclosed: bytes, exponent: int) -> bytes:
    """Both ciphertexts to a power: ``exponent`` times the vector and its count."""
    size = ciphertext_bytes(party.public)
    square = party.public.key.nsquare
    numbers = [int.from_bytes(enclosed[at : at + size], "big") for at in (0, size)]
    raised = b"".join(pow(number, exponent, square).to_bytes(size, "big") for number in numbers)
    return raised + enclosed[2 * size :]


def test_it_opens_the_sum_of_signed_messages(party, directory, holder, messages) -> None:
    share, after = help_open(party.protocol, holder, directory, question_of(messages))
    total = party.protocol.combine(directory, messages)
    summed = party.protocol.open(directory, total, [share])
    np.testing.assert_array_equal(summed, 10 * np.arange(60))
    assert after == holder._replace(books=(4, 1, 0))


class TestOneMessageForACohort:
    """The attack: a multiple of one message passes for the sum of a cohort."""

    def test_a_holder_that_checks_nothing_reveals_it(
        self, party, directory, holder, messages, monkeypatch
    ) -> None:
        """So the attack is real, and what follows stops it."""
        monkeypatch.setattr(checks, "_check_signature", lambda directory, message: None)
        monkeypatch.setattr(plaintext_proofs, "holds", lambda *claim: True)
        zero = party.protect(directory, 1, np.zeros(60, int))
        copy = messages[1]._replace(client=3)
        share, _ = help_open(
            party.protocol,
            holder._replace(rules=RULES._replace(smallest_cohort=2)),
            directory,
            question_of([zero, copy]),
        )
        total = party.protocol.combine(directory, [zero, copy])
        summed = party.protocol.open(directory, total, [share])
        np.testing.assert_array_equal(summed, 2 * np.arange(60))

    def test_sent_several_times(self, party, directory, holder, messages) -> None:
        with pytest.raises(ProtocolError, match="1 clients with examples"):
            help_open(party.protocol, holder, directory, question_of([messages[1]] * 3))

    def test_multiplied(self, party, directory, holder, messages) -> None:
        victim = messages[1]
        multiple = victim._replace(enclosed=powers(party, victim.enclosed, 2))
        with pytest.raises(WrongSignatureError, match="client 2"):
            help_open(
                party.protocol, holder, directory, question_of([messages[0], multiple, messages[2]])
            )

    def test_under_other_names(self, party, directory, holder, messages) -> None:
        copies = [messages[1]._replace(client=client) for client in (1, 2, 3)]
        with pytest.raises(WrongSignatureError, match="client 1"):
            help_open(party.protocol, holder, directory, question_of(copies))

    @pytest.mark.parametrize("invented", [[1, 3, 4], [97, 98, 99]])
    def test_among_clients_that_the_aggregator_plays(self, party, holder, invented) -> None:
        """Enrolled clients or new ones, whose messages it signs with keys of its own."""
        keys = {2: signing(2)} | {client: signing(1000 + client) for client in invented}
        sham = replace(
            party.directory([2, *invented], length=60),
            signers={client: key.public for client, key in keys.items()},
        )
        sent = [
            sign_message(key, party.protect(sham, client, np.arange(60) * (client == 2)))
            for client, key in keys.items()
        ]
        assert party.protocol.combine(sham, sent).contributors == tuple(sorted(keys))
        with pytest.raises(ProtocolError, match=f"signing key of client {invented[0]}"):
            help_open(party.protocol, holder, sham, question_of(sent))


def test_one_opening_a_round_and_none_of_earlier_rounds(party, directory, holder, messages) -> None:
    _, after = help_open(party.protocol, holder, directory, question_of(messages))
    for again in (messages, messages[:3]):
        with pytest.raises(ProtocolError, match="Round 3 is over"):
            help_open(party.protocol, after, directory, question_of(again))
    for round_, is_opened in ((2, False), (4, True)):
        other = party.directory(CLIENTS, length=60, round=round_)
        sent = [party.protect(other, client, np.arange(60)) for client in CLIENTS]
        if is_opened:
            help_open(party.protocol, after, other, question_of(sent))
        else:
            with pytest.raises(ProtocolError, match="Round 2 is over"):
                help_open(party.protocol, after, other, question_of(sent))


def test_its_own_smallest_cohort(party, directory, holder, messages) -> None:
    """The terms of the round would allow a sum of one."""
    with pytest.raises(ProtocolError, match="expected at least 3"):
        help_open(party.protocol, holder, directory, question_of(messages[:2]))
    help_open(party.protocol, holder, directory, question_of(messages[:3]))


def test_a_refusal_costs_the_round(party, directory, holder, messages) -> None:
    with pytest.raises(ProtocolError):
        help_open(party.protocol, holder, directory, question_of(messages[:2]))
    after = burnt(holder, directory)
    assert after.books == (4, 1, 1)
    with pytest.raises(ProtocolError, match="Round 3 is over"):
        help_open(party.protocol, after, directory, question_of(messages))


def test_a_run_that_is_over_opens_nothing(party, directory, holder, messages) -> None:
    for rules, books in (
        (RULES._replace(rounds=3), holder.books),
        (RULES._replace(releases=2), holder.books._replace(served=2)),
        (RULES, holder.books._replace(served=3, refused=3)),
    ):
        over = holder._replace(rules=rules, books=books)
        for ask in (
            lambda over=over: help_open(party.protocol, over, directory, question_of(messages)),
            lambda over=over: burnt(over, directory),
        ):
            with pytest.raises(ProtocolError):
                ask()


def test_a_round_without_signatures(party, directory, holder) -> None:
    unsigned = replace(directory, signers=None)
    sent = [party.protect(unsigned, client, np.arange(60)) for client in CLIENTS]
    with pytest.raises(ProtocolError, match="signing key of client 1"):
        help_open(party.protocol, holder, unsigned, question_of(sent))
