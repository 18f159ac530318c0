"""Messages as bytes, signed, and what of them is for holders.

The format, all numbers big-endian::

    magic "PRIDEsum" 8 | version 2 | protocol 32 (ASCII, zero-padded) | round 8 | client 8 |
    key fingerprint 32 | length 8 | bits 2 | limit 8 (IEEE double) | smallest cohort 4 |
    largest cohort 4 | body length 8 | enclosed length 8 | body | enclosed |
    signature 64, or nothing

What a holder gets of a message has the magic "PRIDEenc" and, in the body's place, the SHA-256 of
the body. Shares travel in the same format under another magic, see ``shares``. There is exactly one
encoding of a message: ``to_bytes(from_bytes(data)) == data``. The signature is the client's Ed25519
signature of ``"PRIDEsum"`` and the SHA-256 of the header, the body's SHA-256 and what is enclosed:
who has the digest in place of the body can check it, too.
"""

import hashlib
import struct
from collections.abc import Sequence

from pride_jax.aggregation.refusals import MalformedError
from pride_jax.aggregation.secure_sum import Enclosed, Header, Message, Question
from pride_jax.aggregation.signatures import SIGNATURE_BYTES, SigningSecret, sign
from pride_jax.aggregation.terms import Terms
from pride_jax.errors import ConfigError

MESSAGE = b"PRIDEsum"
"""The magic of clients' messages; nothing signed under it can pass for anything else."""
_ENCLOSED = b"PRIDEenc"
_VERSION = 3
_HEADER = struct.Struct(">8sH32sQQ32sQHdII")
_LENGTHS = struct.Struct(">QQ")
_START = _HEADER.size + _LENGTHS.size
_DIGEST_BYTES = 32


def to_bytes(message: Message, magic: bytes = MESSAGE) -> bytes:
    """A message as bytes."""
    lengths = _LENGTHS.pack(len(message.body), len(message.enclosed))
    start = header_bytes(message.header, message.client, magic) + lengths
    return start + message.body + message.enclosed + message.signature


def sign_message(secret: SigningSecret, message: Message, magic: bytes = MESSAGE) -> Message:
    """The message with its sender's signature over header, body and what is enclosed."""
    return message._replace(signature=sign(secret, signed_bytes(message, magic)))


def signed_bytes(message: Message | Enclosed, magic: bytes = MESSAGE) -> bytes:
    """What its sender signs: the magic, and a SHA-256 that needs the body's digest alone."""
    digest = message.digest if isinstance(message, Enclosed) else _digest(message.body)
    signed = hashlib.sha256(header_bytes(message.header, message.client, magic))
    signed.update(digest)
    signed.update(_digest(message.enclosed))
    return magic + signed.digest()


def enclosed_of(message: Message) -> Enclosed:
    """What a holder gets of a message."""
    about, client, body, enclosed, signature = message
    return Enclosed(about, client, _digest(body), enclosed, signature)


def question_of(messages: Sequence[Message]) -> Question:
    """What key holders are asked: to open the sum of these messages, one at least.

    Args:
      messages: of one round and different clients, as ``combine`` accepted them.
    """
    ordered = sorted(messages, key=lambda message: message.client)
    clients = tuple(message.client for message in ordered)
    return Question(ordered[0].header, clients, tuple(map(enclosed_of, ordered)))


def enclosed_to_bytes(enclosed: Enclosed) -> bytes:
    """What is enclosed as bytes."""
    return to_bytes(Message(*enclosed), _ENCLOSED)


def enclosed_from_bytes(data: bytes) -> Enclosed:
    """What ``enclosed_to_bytes`` made.

    Raises:
      MalformedError: anything else.
    """
    message = from_bytes(data, _ENCLOSED)
    if len(message.body) != _DIGEST_BYTES:
        raise MalformedError(
            message.client, f"a digest of {len(message.body)} bytes, expected {_DIGEST_BYTES}"
        )
    return Enclosed(*message)


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def header_bytes(about: Header, client: int, magic: bytes) -> bytes:
    """Which sum and client something belongs to, under a magic for what it is."""
    terms = about.terms
    return _HEADER.pack(
        magic,
        _VERSION,
        about.protocol.encode("ascii"),
        about.round,
        client,
        about.fingerprint,
        terms.length,
        terms.bits,
        terms.limit,
        terms.smallest_cohort,
        terms.largest_cohort,
    )


def from_bytes(data: bytes, magic: bytes = MESSAGE) -> Message:
    """The message in ``data``, which is nothing but that message.

    Raises:
      MalformedError: anything else.
    """
    if len(data) < _START:
        raise MalformedError(
            None, f"{len(data)} bytes, expected at least {_START}: it was truncated"
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
    ) = _HEADER.unpack_from(data)
    if (found, version) != (magic, _VERSION):
        raise MalformedError(
            None,
            f"it starts with {found!r} version {version}, expected {magic!r} version {_VERSION}: "
            "sender and receiver need the same release",
        )
    body_length, enclosed_length = _LENGTHS.unpack_from(data, _HEADER.size)
    body_end = _START + body_length
    end = body_end + enclosed_length
    if len(data) not in (end, end + SIGNATURE_BYTES):
        raise MalformedError(
            client,
            f"{len(data) - _START} bytes after its header, expected the {body_length} of body and "
            f"{enclosed_length} enclosed that it announces, and a signature: bytes were lost or "
            "added on the way",
        )
    name = protocol.rstrip(b"\0")
    if b"\0" in name or not name.isascii():
        raise MalformedError(client, f"its protocol name {name!r} is not a name")
    try:
        terms = Terms(length, bits, limit, smallest_cohort, largest_cohort)
    except ConfigError as error:
        raise MalformedError(client, f"impossible terms ({error})") from None
    about = Header(name.decode(), round_number, fingerprint, terms)
    parts = (data[_START:body_end], data[body_end:end], data[end:])
    return Message(about, client, *map(bytes, parts))
