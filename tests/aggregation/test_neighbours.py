"""The degree and threshold of masking's graph, against slow sums of whole numbers."""

import math
import os
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pride_jax.aggregation import neighbours
from pride_jax.aggregation.neighbours import ServerModel, draw_helpers, neighbourhood
from pride_jax.errors import ConfigError

LIMIT = Fraction(1, 2**40)
THIRD, TENTH = 1 / 3, 1 / 10


def tail(others: int, marked: int, drawn: int, is_bad) -> Fraction:
    """Probability that the number of marked ones among those drawn is bad, exactly."""
    ways = sum(
        math.comb(marked, x) * math.comb(others - marked, drawn - x)
        for x in range(drawn + 1)
        if is_bad(x) and x <= marked and drawn - x <= others - marked
    )
    return Fraction(ways, math.comb(others, drawn))


@pytest.mark.parametrize(
    ("corrupted", "silent", "server", "degrees"),
    [
        (THIRD, THIRD, "curious", (190, 350, 560)),
        (THIRD, 1 / 5, "curious", (130, 200, 280)),
        (THIRD, 1 / 5, "active", (220, 580, 1440)),
        (THIRD, TENTH, "curious", (90, 130, 160)),
        (THIRD, TENTH, "active", (140, 280, 420)),
        (TENTH, TENTH, "curious", (50, 60, 80)),
        (TENTH, TENTH, "active", (90, 130, 180)),
    ],
)
def test_degrees_are_those_of_the_threat_model(
    corrupted: float, silent: float, server: ServerModel, degrees: tuple[int, ...]
) -> None:
    """At 300, 1,000 and 10,000 clients, as the project's list of threats rounds them to tens."""
    for clients, expected in zip((300, 1_000, 10_000), degrees, strict=True):
        found = neighbourhood(server, corrupted, silent, clients).degree
        assert expected - 11 <= found <= expected + 7


@pytest.mark.parametrize("server", ["curious", "active"])
@pytest.mark.parametrize("clients", [150, 300])
def test_failure_is_below_the_limit_and_one_helper_less_is_not_enough(
    server: ServerModel, clients: int
) -> None:
    bad, gone = clients // 3, clients // 10

    def failure(degree: int, threshold: int) -> Fraction:
        holders = degree + 1
        reached = (
            (lambda x: x >= threshold)
            if server == "curious"
            else (lambda x: 2 * threshold <= holders + x)
        )
        corrupted = tail(clients - 1, bad, degree, reached)
        silent = tail(clients - 1, gone, degree, lambda x: degree - x < threshold)
        return clients * max(corrupted, silent)

    degree, threshold, corrupted = neighbourhood(server, THIRD, TENTH, clients)
    assert 2 * failure(degree, threshold) < LIMIT
    # What is computed with logarithms is what is counted, and the worst number is the smallest.
    assert 3 * clients * tail(clients - 1, bad, degree, lambda x: x > corrupted) < LIMIT
    assert 3 * clients * tail(clients - 1, bad, degree, lambda x: x >= corrupted) >= LIMIT
    assert all(3 * failure(degree - 1, other) >= LIMIT for other in range(1, degree))


@settings(max_examples=50, deadline=None)
@given(
    server=st.sampled_from(["curious", "active"]),
    corrupted=st.floats(0, 0.4),
    silent=st.floats(0, 0.25),
    clients=st.integers(2, 400),
)
def test_a_threshold_is_above_the_corrupted_and_not_above_who_is_left(
    server: ServerModel, corrupted: float, silent: float, clients: int
) -> None:
    try:
        degree, threshold, worst = neighbourhood(server, corrupted, silent, clients)
    except ConfigError as error:
        # Whole clients leave less room than shares: a third of three is one.
        assert clients < 60
        assert "no threshold" in str(error)
        return
    assert 1 <= degree <= clients - 1
    assert max(worst + 1, 2) <= threshold <= degree + 1
    if server == "active":
        assert 2 * threshold > degree + 1 + worst
    if degree == clients - 1:
        assert threshold <= clients - math.floor(silent * clients)


def test_all_help_all_where_nothing_is_left_to_chance() -> None:
    """Bonawitz et al.'s threshold: the smallest t with 2t > clients + corrupted."""
    for clients in range(2, 101):
        degree, threshold, worst = neighbourhood("active", THIRD, TENTH, clients)
        assert (degree, worst) == (clients - 1, clients // 3)
        assert threshold == max(2, (clients + clients // 3) // 2 + 1)


def test_a_sparse_graph_falls_apart_and_a_dense_one_does_not() -> None:
    """The bound on it, against graphs that are drawn."""
    clients, honest, rng = 60, 20, np.random.default_rng(0)
    logs = neighbours.gammaln(np.arange(clients + 1) + 1.0)

    def is_parted(degree: int) -> bool:
        reached = np.eye(honest, dtype=bool)
        for client in range(honest):
            drawn = rng.choice(clients - 1, degree, replace=False)
            drawn = drawn + (drawn >= client)
            reached[client, drawn[drawn < honest]] = True
        reached |= reached.T
        seen = np.zeros(honest, bool)
        seen[0] = True
        for _ in range(honest):
            seen = reached[seen].any(0)
        return not seen.all()

    for degree in (3, 5):
        found = np.mean([is_parted(degree) for _ in range(2000)])
        bound = neighbours._parted(logs, clients, honest, degree)
        assert found <= bound + 4 * np.sqrt(max(found, 1e-3) / 2000)
    assert found > 0 or bound < 0.01
    assert neighbours._parted(logs, clients, honest, 40) < 2.0**-40


@pytest.mark.parametrize(
    ("server", "corrupted", "silent", "message"),
    [
        ("active", THIRD, THIRD, r"expected corrupted \+ 2 silent < 1"),
        ("curious", 0.5, 0.5, r"expected corrupted \+ silent < 1"),
        ("active", -0.1, 0.0, "from 0 to below 1"),
        ("active", 0.0, 1.0, "from 0 to below 1"),
    ],
)
def test_shares_between_which_there_is_no_threshold(server, corrupted, silent, message) -> None:
    with pytest.raises(ConfigError, match=message):
        neighbourhood(server, corrupted, silent, 100)


def test_helpers_are_drawn_uniformly_and_by_the_tickets_alone() -> None:
    def drawn_at_random() -> list[int]:
        return draw_helpers(lambda other: os.urandom(16), 2, [0, 1, 3, 4, 5], 2)

    drawn = Counter(tuple(drawn_at_random()) for _ in range(4000))
    assert len(drawn) == 10
    assert all(2 in helpers and list(helpers) == sorted(helpers) for helpers in drawn)
    # Ten sets, 400 each: chi-squared with 9 degrees of freedom.
    assert sum((count - 400) ** 2 / 400 for count in drawn.values()) < 40
    assert draw_helpers(lambda other: bytes([99 - other]), 2, range(3, 30), 3) == [2, 27, 28, 29]
