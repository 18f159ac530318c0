"""What a description of a protocol is made of, and what is learnt in every protocol alike."""

from typing import Literal, NamedTuple


class Sight(NamedTuple):
    """What one role, or several who collude, learns of a client's values, beyond who took part.

    Attributes:
      who: the role or roles.
      adversary: ``"curious"``, who follows the protocol and reads everything that reaches it, or
        ``"active"``, who sends what it likes.
      learns: what.
      shown_by: the test that mounts the attack, as pytest names it; no claim stands without one.
    """

    who: str
    adversary: Literal["curious", "active"]
    learns: str
    shown_by: str


AGGREGATOR, KEY_HOLDER, CLIENTS = "aggregator", "key holder", "other clients"

EVERYTHING = "every client's vector"
SUM = "the sum"
SUMS = "a sum a round, of smallest_cohort clients or more"
OTHERS = "the sum of the others' vectors"

_CLIENTS = "tests/adversary/test_other_clients.py::"
OTHER_CLIENTS = (
    Sight(CLIENTS, "curious", OTHERS, f"{_CLIENTS}test_take_their_own_away_from_the_sum"),
    Sight(CLIENTS, "active", OTHERS, f"{_CLIENTS}test_that_send_what_they_like_learn_no_more"),
)
"""Clients alone: they see the models that sums make, and nothing that others send."""

DIFFERENCES = Sight(
    AGGREGATOR,
    "active",
    "one vector, by calling the same clients but one in two rounds of nearly equal models",
    f"{_CLIENTS}test_who_calls_the_same_clients_but_one_learns_its_vector",
)
"""Inherent in sums without noise."""

OTHER_PARTY = Sight(
    CLIENTS,
    "curious",
    "the other party's update: of two, each takes its own from the sum",
    f"{_CLIENTS}test_of_two_parties_each_learns_the_others_update",
)
"""Instead, where there are two."""


def both(who: str, learns: str, shown_by: str) -> tuple[Sight, Sight]:
    """The same for who is curious and who is active, shown by one test."""
    return Sight(who, "curious", learns, shown_by), Sight(who, "active", learns, shown_by)


_SCORES = "tests/adversary/test_scores.py::"
OF_SCORES = (
    Sight(
        f"{AGGREGATOR}, of scores",
        "curious",
        "their sum over all clients, once an evaluation",
        f"{_SCORES}test_a_sum_is_of_all_parties",
    ),
    Sight(
        f"{AGGREGATOR}, of scores",
        "active",
        "such sums of models of its choice, and none that lacks a client",
        f"{_SCORES}TestWithoutOneParty",
    ),
    *both(
        f"{CLIENTS}, of scores",
        "the others' sum, since the aggregator tells that over all",
        f"{_SCORES}test_a_party_takes_its_own_from_what_the_server_tells",
    ),
)
"""Of scores of examples that clients hold out, where a protocol hides what it adds."""

OF_CLEAR_SCORES = both(
    f"{AGGREGATOR}, of scores",
    "every client's sums, once an evaluation",
    "tests/adversary/test_plain.py::test_the_aggregator_reads_every_vector",
)
"""Likewise, where it does not."""
