"""What is refused: messages, questions to holders, totals and shares of another sum, or of none.

What the checks see where the directory names signers: any change at all, and any message that is
not from the client it names. Without signers: any change to the magic, version, protocol, round,
fingerprint, terms or lengths; a client outside the roster or named twice; a body that no vector
has; but neither a client id changed to that of a roster member who sends nothing, nor a body
changed to another possible body.
"""

from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Int, Int64

from pride_jax.aggregation.messages import signed_bytes
from pride_jax.aggregation.refusals import (
    DuplicateClientError,
    FalseShareError,
    FalseSharesError,
    ForeignSignatureError,
    MessageError,
    MissingSignatureError,
    NotInRosterError,
    UnknownSignerError,
    WrongBodySizeError,
    WrongKeyError,
    WrongProtocolError,
    WrongRoundError,
    WrongSignatureError,
    WrongTermsError,
)
from pride_jax.aggregation.secure_sum import (
    Directory,
    Enclosed,
    Header,
    Message,
    Question,
    SecureSum,
    Share,
    Total,
    header,
)
from pride_jax.aggregation.signatures import is_signed_by
from pride_jax.errors import ProtocolError, TooFewError


def check_vector(
    directory: Directory, client: int, vector: Int[np.ndarray, "length"]
) -> Int64[np.ndarray, "length"]:
    """A client's integers as int64, once they are what the terms ask for.

    Raises:
      ProtocolError: not integers, another length, or a value out of range.
    """
    terms = directory.terms
    values = np.asarray(vector)
    if values.dtype.kind not in "iu" or values.shape != (terms.length,):
        raise ProtocolError(
            f"Client {client}'s vector is {values.dtype}{list(values.shape)}, "
            f"expected integers of shape [{terms.length}]: quantise and flatten the update"
        )
    low, high = int(values.min()), int(values.max())
    if max(-low, high) > terms.largest_value:
        raise ProtocolError(
            f"Client {client}'s integers span {low} … {high}, expected ±{terms.largest_value} "
            f"({terms.bits} bits): fit the update to the limit before quantising it"
        )
    return values.astype(np.int64)


def check_messages(
    directory: Directory,
    protocol: str,
    messages: Sequence[Message],
    body_size: int,
    enclosed_size: int = 0,
) -> list[Message]:
    """The messages by ascending client, once headers, sizes and signatures are this round's.

    Args:
      directory: the round.
      protocol: the name of the protocol that is to add them.
      messages: at most one of each client in the roster.
      body_size: bytes of every body.
      enclosed_size: bytes of what each encloses.

    Raises:
      MessageError: the first message found that must not be added.
      TooFewError: no messages at all.
    """
    accepted = check_senders(directory, protocol, messages)
    for message in accepted:
        _check_size(directory, message.client, "body", message.body, body_size)
        _check_size(directory, message.client, "enclosed", message.enclosed, enclosed_size)
    return accepted


def check_senders(
    directory: Directory, protocol: str, messages: Sequence[Message]
) -> list[Message]:
    """As `check_messages`, of messages whose parts are still to be looked at.

    Raises:
      MessageError: the first message found that must not be added.
      TooFewError: no messages at all.
    """
    if not messages:
        raise TooFewError(f"Round {directory.round}: no messages to combine, expected at least 1")
    expected = header(directory, protocol)
    seen: set[int] = set()
    for message in messages:
        _check_header(message, expected)
        if message.client not in directory.members:
            raise NotInRosterError(
                message.client,
                f"it is not among the {len(directory.members)} clients of round {directory.round}",
            )
        if message.client in seen:
            raise DuplicateClientError(
                message.client, f"it already sent one in round {directory.round}; send one a round"
            )
        seen.add(message.client)
        if directory.signers is not None:
            _check_signature(directory, message)
    return sorted(messages, key=lambda message: message.client)


def _check_size(directory: Directory, client: int, what: str, part: bytes, size: int) -> None:
    if len(part) != size:
        raise WrongBodySizeError(
            client,
            f"{len(part)} bytes of {what}, expected {size} for {directory.terms.length} values of "
            f"{directory.terms.bits} bits",
        )


def _check_header(message: Message | Enclosed, expected: Header) -> None:
    about, client = message.header, message.client
    if about.protocol != expected.protocol:
        raise WrongProtocolError(
            client, f"made with {about.protocol!r}, expected {expected.protocol!r}"
        )
    if about.round != expected.round:
        raise WrongRoundError(client, f"made for round {about.round}, expected {expected.round}")
    if about.fingerprint != expected.fingerprint:
        raise WrongKeyError(
            client,
            f"made under the keys {about.fingerprint.hex()[:16]}…, expected "
            f"{expected.fingerprint.hex()[:16]}…: fetch the round's directory again",
        )
    if about.terms != expected.terms:
        raise WrongTermsError(client, f"made for {about.terms}, expected {expected.terms}")


def _check_signature(directory: Directory, message: Message | Enclosed) -> None:
    signers = directory.signers or {}
    client, signature = message.client, message.signature
    if not signature:
        raise MissingSignatureError(
            client, "it is not signed: sign every message with the client's enrolled key"
        )
    if client not in signers:
        raise UnknownSignerError(
            client, f"it has no signing key in the directory of round {directory.round}: enrol it"
        )
    signed = signed_bytes(message)
    if is_signed_by(signers[client], signed, signature):
        return
    for other in sorted(directory.members.intersection(signers)):
        if is_signed_by(signers[other], signed, signature):
            raise ForeignSignatureError(client, f"client {other} signed it in its name")
    raise WrongSignatureError(
        client, "its signature is not that of its bytes: they were changed on the way or forged"
    )


_Result = TypeVar("_Result", covariant=True)


class Sifted(NamedTuple, Generic[_Result]):
    """What came of messages, some of which may be bad.

    Attributes:
      result: what the check made of those that were accepted.
      accepted: these messages, at most one of each client.
      refused: why each of the others was not.
    """

    result: _Result
    accepted: tuple[Message, ...]
    refused: tuple[MessageError, ...]


def sift(
    check: Callable[[Sequence[Message]], _Result], messages: Sequence[Message]
) -> Sifted[_Result]:
    """What ``check`` makes of the messages that it does not refuse, and why it refuses the others.

    Of several good messages of one client the first is taken. A message in a client's name that is
    refused does not keep that client's own message out.

    Args:
      check: e.g. ``functools.partial(protocol.combine, directory)``.
      messages: as received.

    Raises:
      TooFewError: none is left; it says why each is refused.
    """
    try:
        return Sifted(check(messages), tuple(messages), ())
    except MessageError:
        # Only now is it worth the time to look at each message alone.
        pass
    accepted: dict[int, Message] = {}
    refused: list[MessageError] = []
    for message in messages:
        try:
            check([message])
        except MessageError as error:
            refused.append(error)
            continue
        if message.client in accepted:
            refused.append(
                DuplicateClientError(message.client, "an earlier one was taken; send one a round")
            )
        else:
            accepted[message.client] = message
    kept = tuple(accepted.values())
    if not kept:
        raise TooFewError(
            f"Not one of {len(messages)} messages can be taken: {'; '.join(map(str, refused))}"
        )
    return Sifted(check(kept), kept, tuple(refused))


class Opened(NamedTuple):
    """What came of shares, some of which may be false.

    Attributes:
      total: the sum.
      refused: why each share that the sum was opened without was refused.
    """

    total: Int64[np.ndarray, "length"]
    refused: tuple[FalseShareError, ...]


def open_sum(
    protocol: SecureSum, directory: Directory, total: Total, shares: Sequence[Share]
) -> Opened:
    """The sum that shares open, without those that the others show to be false.

    Raises:
      BurntError: the sum is never opened; it says because of whom.
      ProtocolError: too few shares are left, or the sum cannot be right.
    """
    refused: list[FalseShareError] = []
    while True:
        try:
            return Opened(protocol.open(directory, total, shares), tuple(refused))
        except FalseSharesError as error:
            refused.extend(error.refusals())
            shares = [share for share in shares if share.holder not in error.holders]


def check_question(directory: Directory, protocol: str, question: Question) -> None:
    """Refuses to help to open a sum that is another one, of strangers, or of too few clients.

    Raises:
      ProtocolError: as above.
      TooFewError: too few.
    """
    _check_sum(directory, protocol, "question", question.header, question.contributors)


def check_enclosed(
    directory: Directory, protocol: str, question: Question, enclosed_size: int
) -> None:
    """As `check_question`, of key holders, who look at what each contributor enclosed.

    Raises:
      MessageError: a message must not be added.
      ProtocolError: as `check_question`; or what is enclosed is not that of the contributors.
    """
    check_question(directory, protocol, question)
    if tuple(each.client for each in question.enclosed) != question.contributors:
        raise ProtocolError(
            f"Refused a question of round {directory.round}: expected what each contributor "
            "enclosed, in ascending order"
        )
    check_signed(directory, protocol, question.enclosed)
    for each in question.enclosed:
        _check_size(directory, each.client, "enclosed", each.enclosed, enclosed_size)


def check_signed(directory: Directory, protocol: str, enclosed: Sequence[Enclosed]) -> None:
    """Refuses what is enclosed for another sum, or is not signed by the client that it names.

    Raises:
      MessageError: the first that is found.
    """
    expected = header(directory, protocol)
    for each in enclosed:
        _check_header(each, expected)
        if directory.signers is not None:
            _check_signature(directory, each)


def check_total(directory: Directory, protocol: str, total: Total, body_size: int) -> None:
    """Refuses to open a total of another sum, size, of strangers, or of too few clients.

    Raises:
      ProtocolError: as above.
    """
    if len(total.body) != body_size:
        raise ProtocolError(
            f"Refused a total of round {directory.round}: {len(total.body)} bytes of body, "
            f"expected {body_size}"
        )
    _check_sum(directory, protocol, "total", total.header, total.contributors)


def _check_sum(
    directory: Directory, protocol: str, what: str, about: Header, contributors: tuple[int, ...]
) -> None:
    if about != header(directory, protocol):
        raise ProtocolError(
            f"Refused a {what} of round {about.round} of {about.protocol}: expected round "
            f"{directory.round} of {protocol} under this directory's keys and terms"
        )
    if list(contributors) != sorted(directory.members.intersection(contributors)):
        raise ProtocolError(
            f"Refused a {what} of round {directory.round}: its contributors are not distinct "
            "clients of the roster in ascending order"
        )
    if len(contributors) < directory.terms.smallest_cohort:
        raise TooFewError(
            f"Refused to open a {what} of {len(contributors)} contributions in round "
            f"{directory.round}, expected at least "
            f"smallest_cohort={directory.terms.smallest_cohort}: wait for more clients"
        )


def check_shares(total: Total, shares: Sequence[Share], count: int, body_size: int) -> None:
    """Refuses shares of another total or size, or another number of them than ``count``.

    Raises:
      ProtocolError: as above.
    """
    if len(shares) != count:
        raise ProtocolError(
            f"{len(shares)} shares for round {total.header.round}, expected {count}"
        )
    for share in shares:
        if (share.header, share.contributors) != (total.header, total.contributors):
            raise ProtocolError(
                f"Refused a share of another total than the one of round {total.header.round} "
                f"with {len(total.contributors)} contributions"
            )
        if len(share.body) != body_size:
            raise ProtocolError(
                f"Refused a share for round {total.header.round}: {len(share.body)} bytes of body, "
                f"expected {body_size}"
            )
