"""What clients learn of one another from the sums that they all get, in every protocol."""

import os
from dataclasses import replace

import numpy as np
import pytest
from parties import CASES

from pride_jax.aggregation.secure_sum import Role, SecureSum
from pride_jax.aggregation.simulation import Added, Aggregator, simulate
from pride_jax.aggregation.terms import Terms

LENGTH = 20
TERMS = Terms(LENGTH, 16, 1.0, smallest_cohort=2, largest_cohort=8)
HONEST, COLLUDERS = (1, 2), (5, 6, 7)


@pytest.fixture(scope="module", params=CASES)
def protocol(request: pytest.FixtureRequest) -> SecureSum:
    return CASES[request.param].make()


@pytest.fixture(scope="module")
def aggregator(protocol: SecureSum) -> Aggregator:
    return simulate(protocol, TERMS, protocol.keygen(os.urandom, Role.KEY_HOLDER), os.urandom)


def vectors_of(seed: int, clients: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-16000, 16001, (clients, LENGTH))


def added(aggregator: Aggregator, clients: tuple[int, ...], rows: np.ndarray, round_=0) -> Added:
    return aggregator.add(aggregator.announce(round_, clients, 2, b""), rows)


def test_take_their_own_away_from_the_sum(aggregator) -> None:
    """What is left is the others' sum; others with the same sum look the same to them."""
    own, honest = vectors_of(1, 3), vectors_of(2, 2)
    moved = honest + np.array([[1], [-1]]) * vectors_of(3, 1)
    seen = [
        added(aggregator, (*HONEST, *COLLUDERS), np.concatenate([rows, own])).total
        for rows in (honest, moved)
    ]
    assert (seen[0] - own.sum(0) == honest.sum(0)).all()
    assert (seen[0] == seen[1]).all()


def test_that_send_what_they_like_learn_no_more(aggregator) -> None:
    """Whatever they send, within the range or at its ends, the rest of the sum is the same."""
    honest = vectors_of(2, 2)
    for sent in (vectors_of(4, 3), np.full((3, LENGTH), 32767), np.zeros((3, LENGTH), np.int64)):
        total = added(aggregator, (*HONEST, *COLLUDERS), np.concatenate([honest, sent])).total
        assert (total - sent.sum(0) == honest.sum(0)).all()


def test_of_two_parties_each_learns_the_others_update(aggregator) -> None:
    """T12: no protocol can help it, so a run of two says so; a third party is what helps."""
    rows = vectors_of(2, 2)
    total = added(aggregator, HONEST, rows).total
    assert (total - rows[0] == rows[1]).all()
    third = vectors_of(5, 1)
    total = added(aggregator, (*HONEST, 3), np.concatenate([rows, third])).total
    assert not (total - rows[0] == rows[1]).any()


def test_who_calls_the_same_clients_but_one_learns_its_vector(protocol, aggregator) -> None:
    """In two rounds under nearly equal models: inherent in sums without noise, so it is stated."""
    rows = vectors_of(6, 5)
    first = added(aggregator, (1, 2, 3, 4, 5), rows, 0)
    second = added(aggregator, (1, 2, 3, 4), rows[:4], 1)
    assert (first.total - second.total == rows[4]).all()
    # A round of one is opened for nobody.
    strict = simulate(
        protocol,
        replace(TERMS, smallest_cohort=5),
        protocol.keygen(os.urandom, Role.KEY_HOLDER),
        os.urandom,
    )
    with pytest.raises(Exception, match="at least 5"):
        added(strict, (1, 2, 3, 4), rows[:4])
