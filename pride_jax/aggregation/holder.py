"""One opening a round: what whoever helps to open sums remembers, and checks before it helps."""

from collections.abc import Mapping
from typing import NamedTuple

from pride_jax.aggregation.secure_sum import Directory, Question, Secret, SecureSum, Share
from pride_jax.errors import ProtocolError, TooFewError


class Holder(NamedTuple):
    """A key holder, or a client that helps to open sums, between two rounds.

    Attributes:
      secret: its own.
      enrolled: the signing keys of the clients it knows, by id, from whoever enrols clients; not
        from the aggregator.
      smallest_cohort: it opens no sum of fewer contributions, whatever a round's terms allow.
      next_round: it opens no sum of an earlier round: all those are over.
    """

    secret: Secret
    enrolled: Mapping[int, bytes]
    smallest_cohort: int
    next_round: int = 0


def help_open(
    protocol: SecureSum, holder: Holder, directory: Directory, question: Question
) -> tuple[Share, Holder]:
    """What a holder gives for a sum: one a round, of clients that it knows, and of enough of them.

    Args:
      protocol: the protocol; a key holder's ``share`` checks what each client signed.
      holder: the holder. Only the state returned may be used from here on, even if the share is
        lost on its way.
      directory: the round.
      question: what is to be opened.

    Returns:
      Its share, and its state.

    Raises:
      MessageError: a message must not be added.
      ProtocolError: a sum of this round or a later one was opened, the directory names signers
        that the holder does not know, or the cohort is too small.
    """
    if directory.round < holder.next_round:
        raise ProtocolError(
            f"Refused to open a sum of round {directory.round}: one of round "
            f"{holder.next_round - 1} has been opened, and there is one opening a round"
        )
    signers = directory.signers or {}
    for client in question.contributors:
        if client not in signers or holder.enrolled.get(client) != signers[client]:
            raise ProtocolError(
                f"Refused to open a sum of round {directory.round}: the directory's signing key of "
                f"client {client} is not the one that is enrolled"
            )
    if len(question.contributors) < holder.smallest_cohort:
        raise TooFewError(
            f"Refused to open a sum of {len(question.contributors)} contributions in round "
            f"{directory.round}: this holder asks for at least {holder.smallest_cohort}"
        )
    share = protocol.share(directory, holder.secret, question)
    return share, holder._replace(next_round=directory.round + 1)
