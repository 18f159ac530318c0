"""The key holder's BFV keys of one round."""

from dataclasses import dataclass, field
from typing import Any

from pride_jax.aggregation.seal import context_bytes, new_context, public_context, read_context
from pride_jax.aggregation.secure_sum import Public, Secret
from pride_jax.errors import ProtocolError

_LENGTH_BYTES = 8


@dataclass(frozen=True)
class BFVPublic(Public):
    """What clients encrypt under; the aggregator does without.

    Attributes:
      context: TenSEAL's context with the public key only.
    """

    context: bytes = field(repr=False)

    def to_bytes(self) -> bytes:
        """The context."""
        return self.context


@dataclass(frozen=True, repr=False)
class BFVSecret(Secret):
    """What the key holder has.

    Attributes:
      context: TenSEAL's context with the secret key.
      public: its public part.
    """

    context: Any
    public: BFVPublic

    def to_bytes(self) -> bytes:
        """The key pair, for its owner's own disk."""
        public = self.public.to_bytes()
        length = len(public).to_bytes(_LENGTH_BYTES, "big")
        return length + public + context_bytes(self.context, with_secret=True)


def generate() -> BFVSecret:
    """A new key pair."""
    context = new_context()
    return BFVSecret(context, BFVPublic(context_bytes(context, with_secret=False)))


def secret_from_bytes(data: bytes) -> BFVSecret:
    """The key pair that ``BFVSecret.to_bytes`` gave, from its owner's own disk."""
    end = _LENGTH_BYTES + int.from_bytes(data[:_LENGTH_BYTES], "big")
    return BFVSecret(read_context(data[end:]), BFVPublic(data[_LENGTH_BYTES:end]))


def public_from_bytes(data: bytes) -> BFVPublic:
    """The key in ``data``.

    TenSEAL reads it, in C++: give it only what the key holder signed.

    Raises:
      ProtocolError: it is none, or one with its secret part.
    """
    try:
        fits = bool(data) and not public_context(data).has_secret_key()
    except (RuntimeError, ValueError):
        fits = False
    if not fits:
        raise ProtocolError(
            f"{len(data)} bytes are no public BFV key, or hold its secret part: ask the key "
            "holder for its key of the round"
        )
    return BFVPublic(data)
