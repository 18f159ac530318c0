"""Messages as bytes, signed, and every reason to refuse one.

The format, all numbers big-endian::

    magic "PRIDEsum" 8 | version 2 | protocol 32 (ASCII, zero-padded) | round 8 | client 8 |
    key fingerprint 32 | length 8 | bits 2 | limit 8 (IEEE double) | smallest cohort 4 |
    largest cohort 4 | body length 8 | body | signature 64, or nothing

Totals and shares travel in the same format under other magics, see ``totals``. There is exactly one
encoding of a message: ``to_bytes(from_bytes(data)) == data``. The signature is the client's Ed25519
signature of ``"PRIDEsum"`` and the SHA-256 of all bytes before it.

What the checks see where the directory names signers: any change at all, and any message that is
not from the client it names. Without signers: any change to the magic, version, protocol, round,
fingerprint, terms or lengths; a client outside the roster or named twice; a body that no vector
has; but neither a client id changed to that of a roster member who sends nothing, nor a body
changed to another possible body.
"""

import hashlib
import struct
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Int, Int64

from pride_jax.aggregation.secure_sum import Directory, Header, Message, Share, Terms, Total, header
from pride_jax.aggregation.signatures import (
    SIGNATURE_BYTES,
    SigningSecret,
    is_signed_by,
    sign,
)
from pride_jax.errors import ConfigError, ProtocolError, TooFewError

MESSAGE = b"PRIDEsum"
"""The magic of clients' messages; nothing signed under it can pass for anything else."""
_VERSION = 2
_FORMAT = struct.Struct(">8sH32sQQ32sQHdIIQ")


class MessageError(ProtocolError):
    """A client's message that must not be added; the round may go on without it.

    Attributes:
      client: the id that the message carries, ``None`` where it is too damaged to carry one.
      reason: what was found and what was expected.
    """

    def __init__(self, client: int | None, reason: str) -> None:
        super().__init__(client, reason)
        self.client = client
        self.reason = reason

    def __str__(self) -> str:
        sender = "an unreadable sender" if self.client is None else f"client {self.client}"
        return f"Refused the message of {sender}: {self.reason}"


class MalformedError(MessageError):
    """Not the bytes of a message: truncated, trailing bytes, unknown format or impossible terms."""


class WrongProtocolError(MessageError):
    """Made with another protocol or key size."""


class WrongRoundError(MessageError):
    """Made for another round: late, early or replayed."""


class WrongKeyError(MessageError):
    """Made under other public keys."""


class WrongTermsError(MessageError):
    """Another vector length, value width, limit or cohort."""


class NotInRosterError(MessageError):
    """From a client that was not announced for the round."""


class DuplicateClientError(MessageError):
    """A second message from one client."""


class WrongBodySizeError(MessageError):
    """Too few or too many values or ciphertexts."""


class OutOfRangeError(MessageError):
    """A value or ciphertext outside its range."""


class NotInvertibleError(MessageError):
    """A ciphertext that shares a factor with the modulus."""


class MissingSignatureError(MessageError):
    """Not signed, in a round whose messages must be."""


class UnknownSignerError(MessageError):
    """From a client of the roster that has enrolled no signing key."""


class ForeignSignatureError(MessageError):
    """Signed by another client of the roster than the one it names."""


class WrongSignatureError(MessageError):
    """Signed by nobody in the roster: changed on the way, or forged."""


def to_bytes(message: Message, magic: bytes = MESSAGE) -> bytes:
    """A message as bytes."""
    return _header_bytes(message, magic) + message.body + message.signature


def sign_message(secret: SigningSecret, message: Message, magic: bytes = MESSAGE) -> Message:
    """The message with its sender's signature over header and body."""
    return message._replace(signature=sign(secret, signed_bytes(message, magic)))


def _header_bytes(message: Message, magic: bytes) -> bytes:
    about, terms = message.header, message.header.terms
    return _FORMAT.pack(
        magic,
        _VERSION,
        about.protocol.encode("ascii"),
        about.round,
        message.client,
        about.fingerprint,
        terms.length,
        terms.bits,
        terms.limit,
        terms.smallest_cohort,
        terms.largest_cohort,
        len(message.body),
    )


def signed_bytes(message: Message, magic: bytes = MESSAGE) -> bytes:
    """What its sender signs: the magic and the SHA-256 of header and body."""
    digest = hashlib.sha256(_header_bytes(message, magic))
    digest.update(message.body)
    return magic + digest.digest()


def from_bytes(data: bytes, magic: bytes = MESSAGE) -> Message:
    """The message in ``data``, which is nothing but that message.

    Raises:
      MalformedError: anything else.
    """
    if len(data) < _FORMAT.size:
        raise MalformedError(
            None, f"{len(data)} bytes, expected at least {_FORMAT.size}: it was truncated"
        )
    (
        found,
        version,
        protocol,
        round_number,
        client,
        fingerprint,
        length,
        bits,
        limit,
        smallest_cohort,
        largest_cohort,
        body_length,
    ) = _FORMAT.unpack_from(data)
    if (found, version) != (magic, _VERSION):
        raise MalformedError(
            None,
            f"it starts with {found!r} version {version}, expected {magic!r} version {_VERSION}: "
            "sender and receiver need the same release",
        )
    end = _FORMAT.size + body_length
    if len(data) not in (end, end + SIGNATURE_BYTES):
        raise MalformedError(
            client,
            f"{len(data) - _FORMAT.size} bytes after its header, expected the {body_length} of "
            "body that it announces and a signature: bytes were lost or added on the way",
        )
    name = protocol.rstrip(b"\0")
    if b"\0" in name or not name.isascii():
        raise MalformedError(client, f"its protocol name {name!r} is not a name")
    try:
        terms = Terms(length, bits, limit, smallest_cohort, largest_cohort)
    except ConfigError as error:
        raise MalformedError(client, f"impossible terms ({error})") from None
    about = Header(name.decode(), round_number, fingerprint, terms)
    return Message(about, client, bytes(data[_FORMAT.size : end]), bytes(data[end:]))


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
    directory: Directory, protocol: str, messages: Sequence[Message], body_size: int
) -> list[Message]:
    """The messages by ascending client, once headers, sizes and signatures are this round's.

    Args:
      directory: the round.
      protocol: the name of the protocol that is to add them.
      messages: at most one of each client in the roster.
      body_size: bytes of every body.

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
        if len(message.body) != body_size:
            raise WrongBodySizeError(
                message.client,
                f"{len(message.body)} bytes of body, expected {body_size} for "
                f"{directory.terms.length} values of {directory.terms.bits} bits",
            )
        if directory.signers is not None:
            _check_signature(directory, message)
    return sorted(messages, key=lambda message: message.client)


def _check_header(message: Message, expected: Header) -> None:
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


def _check_signature(directory: Directory, message: Message) -> None:
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


def check_total(directory: Directory, protocol: str, total: Total, body_size: int) -> None:
    """Refuses to open a total of another sum, size, of strangers, or of too few clients.

    Raises:
      ProtocolError: as above.
    """
    if total.header != header(directory, protocol):
        raise ProtocolError(
            f"Refused a total of round {total.header.round} of {total.header.protocol}: expected "
            f"round {directory.round} of {protocol} under this directory's keys and terms"
        )
    if len(total.body) != body_size:
        raise ProtocolError(
            f"Refused a total of round {directory.round}: {len(total.body)} bytes of body, "
            f"expected {body_size}"
        )
    contributors = total.contributors
    if list(contributors) != sorted(directory.members.intersection(contributors)):
        raise ProtocolError(
            f"Refused a total of round {directory.round}: its contributors are not "
            "distinct clients of the roster in ascending order"
        )
    if len(contributors) < directory.terms.smallest_cohort:
        raise TooFewError(
            f"Refused to open a total of {len(contributors)} contributions in round "
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
