"""One opening a round: what whoever helps to open sums remembers, and checks before it helps."""

from collections.abc import Mapping
from typing import NamedTuple

from pride_jax.aggregation.books import Books, Rules, answered, check_cohort, enter
from pride_jax.aggregation.secure_sum import Directory, Question, Secret, SecureSum, Share
from pride_jax.errors import ProtocolError


class Holder(NamedTuple):
    """A key holder, or a client that helps to open sums, between two rounds.

    Attributes:
      secret: its own.
      enrolled: the signing keys of the clients it knows, by id, from whoever enrols clients; not
        from the aggregator.
      rules: what a run may ask, whatever a round's terms allow.
      books: what it was asked so far.
    """

    secret: Secret
    enrolled: Mapping[int, bytes]
    rules: Rules
    books: Books = Books()


def help_open(
    protocol: SecureSum, holder: Holder, directory: Directory, question: Question
) -> tuple[Share, Holder]:
    """What a holder gives for a sum: one a round, of clients that it knows, and of enough of them.

    Args:
      protocol: the protocol; a key holder's ``share`` checks what each client signed.
      holder: the holder. Only the state returned may be used from here on, even if the share is
        lost on its way; after a refusal, what `burnt` returns.
      directory: the round.
      question: what is to be opened.

    Returns:
      Its share, and its state.

    Raises:
      MessageError: a message must not be added.
      ProtocolError: the round is over or not to be served, the directory names signers that the
        holder does not know, or the cohort is too small. Whoever asks gets no reason: it could
        learn something from one.
    """
    entered = enter(holder.rules, holder.books, directory.round)
    share = give_share(protocol, holder, directory, question)
    return share, holder._replace(books=answered(entered))


def give_share(
    protocol: SecureSum, holder: Holder, directory: Directory, question: Question
) -> Share:
    """As `help_open`, of a round that is in the holder's books already."""
    signers = directory.signers or {}
    for client in question.contributors:
        if client not in signers or holder.enrolled.get(client) != signers[client]:
            raise ProtocolError(
                f"Refused to open a sum of round {directory.round}: the directory's signing key of "
                f"client {client} is not the one that is enrolled"
            )
    check_cohort(holder.rules, directory.round, question.contributors)
    return protocol.share(directory, holder.secret, question)


def burnt(holder: Holder, directory: Directory) -> Holder:
    """The holder from its first question of a round on, unless it gives a share.

    A refusal costs the round: what is tried by asking again is never learnt.

    Raises:
      ProtocolError: no question of this round is considered.
    """
    return holder._replace(books=enter(holder.rules, holder.books, directory.round))
