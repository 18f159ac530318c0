"""Totals and shares as bytes, shares signed by the holder that gives them.

Both have the format of ``messages`` under magics of their own. Its client field is the holder of a
share and 0 of a total; its body begins with the contributors: how many 4 | id 8, each.
"""

import struct
from collections.abc import Mapping

from pride_jax.aggregation.messages import (
    MalformedError,
    from_bytes,
    sign_message,
    signed_bytes,
    to_bytes,
)
from pride_jax.aggregation.secure_sum import Message, Share, Total
from pride_jax.aggregation.signatures import SigningSecret, is_signed_by
from pride_jax.errors import ProtocolError

_TOTAL = b"PRIDEtot"
_SHARE = b"PRIDEshr"
_COUNT = struct.Struct(">I")
_ID_BYTES = 8


def total_to_bytes(total: Total) -> bytes:
    """A total as bytes."""
    body = _contributors_bytes(total.contributors) + total.body
    return to_bytes(Message(total.header, 0, body), _TOTAL)


def total_from_bytes(data: bytes) -> Total:
    """The total in ``data``, which is nothing but that total.

    Raises:
      ProtocolError: anything else.
    """
    message = _read(data, _TOTAL, "total")
    if message.client or message.signature:
        raise ProtocolError("Refused a total: it names a client or is signed, expected neither")
    return Total(message.header, *_split(message.body, "total"))


def signed_share(secret: SigningSecret, share: Share) -> bytes:
    """A share as bytes, with its holder's signature."""
    body = _contributors_bytes(share.contributors) + share.body
    message = Message(share.header, share.holder, body)
    return to_bytes(sign_message(secret, message, _SHARE), _SHARE)


def share_from_bytes(data: bytes, signers: Mapping[int, bytes]) -> Share:
    """The share in ``data``, which is nothing but a share that the holder it names has signed.

    Args:
      data: as received.
      signers: the enrolled Ed25519 keys of those who may help to open the sum, by holder.

    Raises:
      ProtocolError: anything else.
    """
    message = _read(data, _SHARE, "share")
    public = signers.get(message.client)
    if public is None:
        raise ProtocolError(
            f"Refused a share of holder {message.client}: expected one of {sorted(signers)}"
        )
    if not is_signed_by(public, signed_bytes(message, _SHARE), message.signature):
        raise ProtocolError(
            f"Refused a share of holder {message.client}: it is not signed with that holder's "
            "enrolled key"
        )
    return Share(message.header, *_split(message.body, "share"), message.client)


def _read(data: bytes, magic: bytes, what: str) -> Message:
    try:
        return from_bytes(data, magic)
    except MalformedError as error:
        raise ProtocolError(f"Refused a {what}: {error.reason}") from None


def _contributors_bytes(contributors: tuple[int, ...]) -> bytes:
    ids = (client.to_bytes(_ID_BYTES, "big") for client in contributors)
    return _COUNT.pack(len(contributors)) + b"".join(ids)


def _split(body: bytes, what: str) -> tuple[tuple[int, ...], bytes]:
    """Contributors, and the body proper."""
    if len(body) >= _COUNT.size:
        (count,) = _COUNT.unpack_from(body)
        end = _COUNT.size + count * _ID_BYTES
        if end <= len(body):
            ids = struct.unpack_from(f">{count}Q", body, _COUNT.size)
            return tuple(ids), body[end:]
    raise ProtocolError(
        f"Refused a {what}: {len(body)} bytes do not hold the contributors that it announces"
    )
