"""One opening a round: what whoever helps to open sums remembers, and checks before it helps."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pride_jax.aggregation.secure_sum import Directory, Message, Secret, SecureSum, Share, Total
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
    protocol: SecureSum, holder: Holder, directory: Directory, messages: Sequence[Message]
) -> tuple[Share, Holder]:
    """What a key holder gives for a sum of messages that it adds itself.

    So it opens a sum of signed messages, each once, and nothing that an aggregator made of them.

    Args:
      protocol: the protocol.
      holder: the key holder. Only the state returned may be used from here on, even if the share
        is lost on its way.
      directory: the round.
      messages: those to be added, as their clients signed them.

    Returns:
      Its share, of the total that ``combine`` makes of the messages, and its state.

    Raises:
      MessageError: a message must not be added.
      ProtocolError: another sum of this round or a later one was opened, the directory names
        signers that the holder does not know, or the cohort is too small.
    """
    return help_open_total(protocol, holder, directory, protocol.combine(directory, messages))


def help_open_total(
    protocol: SecureSum, holder: Holder, directory: Directory, total: Total
) -> tuple[Share, Holder]:
    """What a holder gives for a sum that the aggregator made: as ``help_open``, but trusting it.

    It is for protocols whose holders are the clients themselves, where what a dishonest total
    opens is bounded by the protocol; a key holder calls ``help_open``.
    """
    if directory.round < holder.next_round:
        raise ProtocolError(
            f"Refused to open a sum of round {directory.round}: one of round "
            f"{holder.next_round - 1} has been opened, and there is one opening a round"
        )
    signers = directory.signers or {}
    for client in total.contributors:
        if client not in signers or holder.enrolled.get(client) != signers[client]:
            raise ProtocolError(
                f"Refused to open a sum of round {directory.round}: the directory's signing key of "
                f"client {client} is not the one that is enrolled"
            )
    if len(total.contributors) < holder.smallest_cohort:
        raise TooFewError(
            f"Refused to open a sum of {len(total.contributors)} contributions in round "
            f"{directory.round}: this holder asks for at least {holder.smallest_cohort}"
        )
    share = protocol.share(directory, holder.secret, total)
    return share, holder._replace(next_round=directory.round + 1)
