"""T7. An active server goes on for more rounds than the run has, or than its ε accounts for."""

import numpy as np
import pytest
from active_server import PARTIES, agree, vector

from pride_jax.aggregation.books import Books, Rules, answered, enter
from pride_jax.deploy import memory, training
from pride_jax.deploy.memory import MESSAGES, SHARES, load_kept
from pride_jax.errors import ProtocolError


def test_no_round_beyond_the_last(server):
    for round_ in (4, 10**9):
        with pytest.raises(ProtocolError, match="the run has the rounds 0 … 3"):
            server.train(0, server.about(round_, PARTIES))


def test_the_key_holder_opens_none_either(server, monkeypatch):
    real = memory.enter
    monkeypatch.setattr(memory, "enter", lambda rules, books, round_: Books(round_ + 1, 1, 1))
    about = server.about(10**9, PARTIES)
    sent = [server.train(party, about) for party in PARTIES]
    monkeypatch.setattr(memory, "enter", real)
    with pytest.raises(ProtocolError, match="not opened"):
        server.open(about, sent)


def test_without_books_round_a_thousand_million_is_opened(server, monkeypatch):
    monkeypatch.setattr(memory, "enter", lambda rules, books, round_: Books(round_ + 1, 1, 1))
    expected = sum(vector(party, server.length) for party in PARTIES)
    np.testing.assert_array_equal(server.sum(10**9, PARTIES), expected)


def test_no_more_rounds_than_are_accounted_for(server):
    agree(server.roles, releases=2)
    for round_ in range(2):
        server.sum(round_, PARTIES)
    with pytest.raises(ProtocolError, match="no more are accounted for"):
        server.train(0, server.about(2, PARTIES))
    agree(server.roles, releases=3)
    about = server.about(2, PARTIES)
    sent = [server.train(party, about) for party in PARTIES]
    agree(server.roles, releases=2)
    with pytest.raises(ProtocolError, match="not opened"):
        server.open(about, sent)


def test_books_are_on_disk_before_an_answer_is_made(server, monkeypatch):
    """Who dies while it answers has the round in its books, and answers the same question only."""

    def dies(*_):
        raise KeyboardInterrupt

    real = training.trainer
    monkeypatch.setattr(training, "trainer", dies)
    about = server.about(0, PARTIES)
    with pytest.raises(KeyboardInterrupt):
        server.train(0, about)
    assert load_kept(server.roles / "party-0", MESSAGES).books == (1, 1, 1)
    monkeypatch.setattr(training, "trainer", real)
    with pytest.raises(ProtocolError, match="Round 0 is over"):
        server.train(0, server.about(0, [0, 1, 2]))
    first = server.train(0, about)
    assert load_kept(server.roles / "party-0", MESSAGES).books == (1, 1, 0)
    # Never a second message, which would have other noise, or other randomness at least.
    assert server.train(0, about) == first


def test_a_round_is_served_once_and_rounds_may_be_left_out():
    rules = Rules(rounds=10, releases=3, smallest_cohort=2, most_refused=2)
    books = Books()
    for round_ in (0, 4):
        books = answered(enter(rules, books, round_))
        for over in range(round_ + 1):
            with pytest.raises(ProtocolError, match=f"Round {over} is over"):
                enter(rules, books, over)
    books = enter(rules, books, 9)
    assert books == (10, 3, 1)
    with pytest.raises(ProtocolError, match="rounds 0 … 9"):
        enter(rules, books, 10)
    with pytest.raises(ProtocolError, match="3 rounds were served"):
        enter(rules, Books(5, 3, 0), 6)
    with pytest.raises(ProtocolError, match="2 sums were refused"):
        enter(rules, Books(5, 2, 2), 6)


def test_each_kind_of_answer_has_books_of_its_own(server):
    server.sum(0, PARTIES)
    assert load_kept(server.roles / "key-holder", SHARES).books == (1, 1, 0)
    assert load_kept(server.roles / "key-holder", MESSAGES).books == Books()
