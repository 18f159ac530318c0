"""A public key for one round, signed by its owner with the key that is enrolled.

The format: signature 64 | key. The signature is of ``"PRIDEkey"`` and the SHA-256 of run, round,
owner and key, the length of each before it: nobody's key of another round or run passes.
"""

import hashlib

from pride_jax.aggregation.secure_sum import Public
from pride_jax.aggregation.signatures import SIGNATURE_BYTES, SigningSecret, is_signed_by, sign
from pride_jax.errors import ProtocolError

_KEY = b"PRIDEkey"


def signed_key(secret: SigningSecret, run: bytes, round_: int, owner: str, public: Public) -> bytes:
    """A key of a round as bytes, with its owner's signature."""
    key = public.to_bytes()
    return sign(secret, _signed(run, round_, owner, key)) + key


def key_from_bytes(data: bytes, signer: bytes, run: bytes, round_: int, owner: str) -> bytes:
    """The key in ``data``, which its owner signed for this round.

    Args:
      data: as received.
      signer: the owner's enrolled Ed25519 key.
      run: as in the round's directory.
      round_: the round's number.
      owner: e.g. ``"key holder 0"``.

    Raises:
      ProtocolError: anything else.
    """
    signature, key = data[:SIGNATURE_BYTES], data[SIGNATURE_BYTES:]
    if not is_signed_by(signer, _signed(run, round_, owner, key), signature):
        raise ProtocolError(
            f"Refused a key of {owner} for round {round_}: it is not signed for this round with "
            "that owner's enrolled key"
        )
    return key


def _signed(run: bytes, round_: int, owner: str, key: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in (run, round_.to_bytes(8, "big"), owner.encode(), key):
        digest.update(len(part).to_bytes(8, "big") + part)
    return _KEY + digest.digest()
