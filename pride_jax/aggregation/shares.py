"""Shares as bytes, signed by the holder that gives them.

They have the format of ``messages`` under a magic of their own. The client field is the holder; the
body begins with the contributors: how many 4 | id 8, each.
"""

import struct
from collections.abc import Mapping

from pride_jax.aggregation.messages import from_bytes, sign_message, signed_bytes, to_bytes
from pride_jax.aggregation.refusals import MalformedError
from pride_jax.aggregation.secure_sum import Message, Share
from pride_jax.aggregation.signatures import SigningSecret, is_signed_by
from pride_jax.errors import ProtocolError

_SHARE = b"PRIDEshr"
_COUNT = struct.Struct(">I")
_ID_BYTES = 8


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
    try:
        message = from_bytes(data, _SHARE)
    except MalformedError as error:
        raise ProtocolError(f"Refused a share: {error.reason}") from None
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
    if message.enclosed:
        raise ProtocolError(f"Refused a share of holder {message.client}: it encloses something")
    return Share(message.header, *_split(message.body), message.client)


def _contributors_bytes(contributors: tuple[int, ...]) -> bytes:
    ids = (client.to_bytes(_ID_BYTES, "big") for client in contributors)
    return _COUNT.pack(len(contributors)) + b"".join(ids)


def _split(body: bytes) -> tuple[tuple[int, ...], bytes]:
    """Contributors, and the body proper."""
    if len(body) >= _COUNT.size:
        (count,) = _COUNT.unpack_from(body)
        end = _COUNT.size + count * _ID_BYTES
        if end <= len(body):
            ids = struct.unpack_from(f">{count}Q", body, _COUNT.size)
            return tuple(ids), body[end:]
    raise ProtocolError(
        f"Refused a share: {len(body)} bytes do not hold the contributors that it announces"
    )
