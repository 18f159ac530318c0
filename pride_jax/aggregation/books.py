"""The books that everyone keeps who is asked for something in a run, and looks up before answering.

Nobody but the aggregator sees all that is asked of the others. So each counts for itself what a run
has asked of it, against its own copy of what the run may ask: a round once, no round beyond the
last, no more rounds than are accounted for, no cohort too small to hide in.
"""

from collections.abc import Iterable
from typing import NamedTuple

from pride_jax.errors import ProtocolError, TooFewError


class Rules(NamedTuple):
    """What a run may ask, by everyone's own copy of its settings.

    Attributes:
      rounds: of the run, from 0.
      releases: the most rounds that are served: as many as a plan accounts for.
      smallest_cohort: the fewest clients with examples that are called, or opened, together.
      most_refused: after so many sums that were refused no other is opened.
      empty: clients known to hold no examples, who hide nobody.
    """

    rounds: int
    releases: int
    smallest_cohort: int
    most_refused: int
    empty: frozenset[int] = frozenset()


class Books(NamedTuple):
    """What one client or holder was asked for so far.

    Attributes:
      next_round: every earlier round is over.
      served: rounds that were served, or refused.
      refused: of these, the refused.
    """

    next_round: int = 0
    served: int = 0
    refused: int = 0


def enter(rules: Rules, books: Books, round_: int) -> Books:
    """The books with a round in them, as refused: what whoever answers keeps before it answers.

    Raises:
      ProtocolError: the round is over or not of the run, or no other may be served.
    """
    if round_ < books.next_round:
        raise ProtocolError(
            f"Round {round_} is over: round {books.next_round - 1} has been served, and a round "
            "is served once"
        )
    if round_ >= rules.rounds:
        raise ProtocolError(f"Round {round_}: the run has the rounds 0 … {rules.rounds - 1}")
    if books.served >= rules.releases:
        raise ProtocolError(
            f"Round {round_}: {books.served} rounds were served, and no more are accounted for"
        )
    if books.refused >= rules.most_refused:
        raise ProtocolError(
            f"Round {round_}: {books.refused} sums were refused, after which none is opened"
        )
    return Books(round_ + 1, books.served + 1, books.refused + 1)


def answered(books: Books) -> Books:
    """The books once the round that was entered last is answered."""
    return books._replace(refused=books.refused - 1)


def check_cohort(rules: Rules, round_: int, clients: Iterable[int]) -> None:
    """Refuses a cohort in which a client could not hide.

    Raises:
      TooFewError: too few of the clients have examples.
    """
    counted = len(set(clients) - rules.empty)
    if counted < rules.smallest_cohort:
        raise TooFewError(
            f"Round {round_}: {counted} clients with examples, expected at least "
            f"{rules.smallest_cohort}"
        )
