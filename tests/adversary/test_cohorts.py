"""T6. An active server calls cohorts of its choice.

Books stop a cohort too small to hide in, one of clients without examples, and two of one round.
They cannot stop two rounds of overlapping cohorts under nearly the same parameters: the difference
of two means without noise tells of whoever is in one of them. That is inherent, shown last, and
what differential privacy is for.
"""

from dataclasses import replace

import numpy as np
import pytest
from active_server import PARTIES, ActiveServer, agree, vector
from parties import party_of, signing

from pride_jax.aggregation.books import Books, Rules
from pride_jax.aggregation.holder import Holder, help_open
from pride_jax.aggregation.messages import question_of
from pride_jax.aggregation.protocols.two_servers import two_servers
from pride_jax.deploy import memory
from pride_jax.errors import ProtocolError, TooFewError

VICTIM, COLLUDER = 2, 4


def test_a_party_trains_in_no_cohort_too_small_to_hide_in(server):
    """Half of five: three."""
    for cohort in ([VICTIM], [VICTIM, COLLUDER]):
        with pytest.raises(TooFewError, match="expected 3"):
            server.train(VICTIM, server.about(0, cohort))
    server.train(VICTIM, server.about(0, [VICTIM, COLLUDER, 0]))


def test_a_key_holder_opens_no_sum_of_too_few_who_did_train(server):
    about = server.about(0, PARTIES)
    sent = [server.train(party, about) for party in (VICTIM, COLLUDER)]
    with pytest.raises(ProtocolError, match="not opened"):
        server.open(about, sent)


def test_where_two_are_enough_one_colluder_gets_the_victims_vector(server):
    agree(server.roles, smallest_cohort=2)
    server = ActiveServer(server.roles).hello()
    got = server.sum(0, [VICTIM, COLLUDER]) - vector(COLLUDER, server.length)
    np.testing.assert_array_equal(got, vector(VICTIM, server.length))


def two_cohorts_of_a_round(server):
    """The difference of two sums of one round."""
    with_victim = server.sum(0, PARTIES)
    return with_victim - server.sum(0, [party for party in PARTIES if party != VICTIM])


def test_one_cohort_a_round_whatever_differs(server):
    with pytest.raises(ProtocolError, match="Round 0 is over"):
        two_cohorts_of_a_round(server)
    sent = server.about(0, PARTIES, np.ones(server.length, "<f4").tobytes())
    with pytest.raises(ProtocolError, match="Round 0 is over"):
        server.train(VICTIM, sent, np.ones(server.length, "<f4").tobytes())


def test_without_books_two_cohorts_of_a_round_tell_the_victims_vector(server, monkeypatch):
    monkeypatch.setattr(memory, "enter", lambda rules, books, round_: Books(round_ + 1, 1, 1))
    np.testing.assert_array_equal(two_cohorts_of_a_round(server), vector(VICTIM, server.length))


class TestClientsWithoutExamples:
    """They send zeros, so that a cohort of them hides nobody."""

    @pytest.fixture
    def asked(self):
        party = replace(party_of(two_servers()), signed=True)
        directory = party.directory(range(4), length=30, smallest=2)
        vectors = {client: vector(client, 30) * (client == VICTIM) for client in range(4)}
        sent = [party.protect(directory, client, each) for client, each in vectors.items()]
        return party, directory, sent

    def opened(self, asked, empty):
        party, directory, sent = asked
        enrolled = {client: signing(client).public for client in range(4)}
        rules = Rules(9, 9, smallest_cohort=2, most_refused=3, empty=frozenset(empty))
        holder = Holder(party.secret, enrolled, rules)
        share, _ = help_open(party.protocol, holder, directory, question_of(sent))
        return party.protocol.open(directory, party.protocol.combine(directory, sent), [share])

    def test_they_are_not_counted(self, asked):
        with pytest.raises(TooFewError, match="1 clients with examples"):
            self.opened(asked, [0, 1, 3])

    def test_counted_they_give_the_victim_away(self, asked):
        np.testing.assert_array_equal(self.opened(asked, []), vector(VICTIM, 30))


def test_inherent_overlapping_cohorts_of_two_rounds_tell_the_difference(server):
    """No attack on the protocol: a mean without noise of those and those gives this away."""
    got = server.sum(0, PARTIES) - server.sum(1, [party for party in PARTIES if party != VICTIM])
    np.testing.assert_array_equal(got, vector(VICTIM, server.length))
