"""T6, of scores: an active server asks for sums of held-out examples' scores without one party.

The difference of two such sums would be the scores of the party that one of them lacks, of a model
that the server has made to ask about its examples. So a sum is of all parties, or there is none.
"""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from active_server import FIVE, PARTIES, ActiveServer, fresh
from in_process import network

from pride_jax.aggregation.messages import from_bytes
from pride_jax.deploy import held_out, scores
from pride_jax.deploy.agreement import directory_from
from pride_jax.deploy.enrolment import load_examples
from pride_jax.deploy.gathering import Draw, gather, told
from pride_jax.deploy.introduction import PARTY, asking
from pride_jax.deploy.journal import journal
from pride_jax.deploy.local import enrol_all
from pride_jax.deploy.mail import notes_record
from pride_jax.deploy.roles import NOT_OPENED, respond
from pride_jax.deploy.testing import about_scores
from pride_jax.errors import ConfigError, ProtocolError, TooFewError
from pride_jax.reporting import metrics
from pride_jax.runs.refusals import REFUSALS
from pride_jax.settings.experiment import Partition

VICTIM = 2
OTHERS = [party for party in PARTIES if party != VICTIM]
HELD = replace(FIVE, partition=Partition("iid", clients=5, held_out=0.3))
MASKED = replace(HELD, aggregation=replace(HELD.aggregation, protocol="masking"))


class ServerOfScores(ActiveServer):
    """It asks for sums of scores."""

    subject = "scores "

    def agreed(self, agreement):
        return scores.of_scores(agreement)

    def scored(self, party):
        """A party's digits."""
        return digits(load_examples(self.roles / f"party-{party}", held_out=True), self.length)


def digits(held, length):
    seed = int(1000 * np.abs(held.inputs).sum())
    return np.random.default_rng(seed).integers(-30000, 30000, length)


@pytest.fixture(scope="module")
def all_enrolled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scores")
    enrol_all(HELD, folder / "two_servers")
    enrol_all(MASKED, folder / "masking")
    return folder


@pytest.fixture(autouse=True)
def scored_at_once(monkeypatch):
    """Parties come to their digits without a model."""

    def scoring(agreement, held):
        found = digits(held, agreement.terms.length)
        return lambda round_, params, called: (found, {"round": round_})

    monkeypatch.setattr(held_out, "scoring", scoring)


@pytest.fixture
def of_enough(monkeypatch):
    """Everybody takes a sum of two parties or more, as of updates: the remedy is off."""
    strict = scores.of_scores

    def lax(agreement):
        found = strict(agreement)
        return found._replace(
            terms=replace(found.terms, smallest_cohort=2),
            rules=found.rules._replace(smallest_cohort=2),
            plan=found.plan.opened_from(2),
        )

    monkeypatch.setattr(scores, "of_scores", lax)


@pytest.fixture
def begun(all_enrolled, tmp_path):
    """Starts the active server, once the remedy is on or off."""
    return lambda: ServerOfScores(fresh(all_enrolled / "two_servers", tmp_path)).hello()


def called_without(server):
    """Evaluations of one model, of all parties and of all but one."""
    return server.sum(0, PARTIES) - server.sum(1, OTHERS)


def opened_without(server):
    """All answer both times, and one's message is thrown away."""
    total, about = server.sum(0, PARTIES), server.about(1, PARTIES)
    sent = [server.train(party, about) for party in PARTIES]
    return total - server.open(about, [sent[party] for party in OTHERS])


def test_a_sum_is_of_all_parties(begun):
    server = begun()
    expected = sum(server.scored(party) for party in PARTIES)
    np.testing.assert_array_equal(server.sum(0, PARTIES), expected)


def test_a_party_takes_its_own_from_what_the_server_tells(begun):
    server = begun()
    others = sum(server.scored(party) for party in OTHERS)
    np.testing.assert_array_equal(server.sum(0, PARTIES) - server.scored(VICTIM), others)


class TestWithoutOneParty:
    """It gets no sum; it would get the party's scores."""

    def test_no_party_answers_where_another_is_not_called(self, begun):
        with pytest.raises(TooFewError, match="expected 5"):
            called_without(begun())

    def test_a_key_holder_opens_no_sum_without_one_of_the_messages(self, begun):
        server = begun()
        with pytest.raises(ProtocolError, match=NOT_OPENED):
            opened_without(server)
        assert (
            "expected at least 5"
            in metrics.read(server.roles / "key-holder" / REFUSALS)[-1]["reason"]
        )

    @pytest.mark.parametrize("attack", [called_without, opened_without])
    def test_of_sums_of_enough_the_difference_is_the_partys(self, attack, begun, of_enough):
        server = begun()
        np.testing.assert_array_equal(attack(server), server.scored(VICTIM))


def consents_without_the_victim(roles, folder):
    """With ``masking``: all messages are there, and the others are asked for a sum without one."""
    server = ServerOfScores(roles)
    agreement, params = server.agreement, server.params
    known = {(PARTY, party): party for party in PARTIES}
    ask = about_scores(asking(network(roles, respond), known, {}, 10.0, folder))
    draw = Draw(0, scores.SCORES, list(PARTIES))
    model = hashlib.sha256(params).digest()
    record = gather(agreement, ask, journal(folder / "sums", 1), folder, draw, model, params)
    directory = directory_from(agreement, record)
    messages = [each for each in map(from_bytes, record["messages"]) if each.client != VICTIM]
    about = told(record) | {"kind": "scores consent", "contributors": OTHERS}
    questions = agreement.protocol.letters.ask(directory, messages, [])
    return [
        respond(roles / f"party-{party}", about | notes_record(questions[party]))
        for party in OTHERS
    ]


def test_no_party_consents_to_a_sum_without_another(all_enrolled, tmp_path):
    roles = fresh(all_enrolled / "masking", tmp_path)
    with pytest.raises(ProtocolError, match=NOT_OPENED):
        consents_without_the_victim(roles, tmp_path)
    assert "smallest_cohort=5" in metrics.read(roles / "party-0" / REFUSALS)[-1]["reason"]


def test_to_a_sum_of_enough_parties_would_consent(all_enrolled, tmp_path, of_enough):
    roles = fresh(all_enrolled / "masking", tmp_path)
    assert len(consents_without_the_victim(roles, tmp_path)) == len(OTHERS)


def test_parties_without_held_out_examples_hide_nobody(begun):
    agreement = begun().agreement._replace(config=HELD)
    parties = tuple(
        party._replace(held_out=int(party.id == VICTIM)) for party in agreement.roster.parties
    )
    with pytest.raises(ConfigError, match="1 parties hold examples out"):
        scores.of_scores(agreement._replace(roster=agreement.roster._replace(parties=parties)))
