"""The key holder's public key for one round, signed with the key that it has enrolled.

The format: signature 64 | key. The signature is of ``"PRIDEhky"`` and the SHA-256 of run, round and
key, the length of each before it: no key of another round or run passes.
"""

import hashlib

from pride_jax.aggregation.secure_sum import Public
from pride_jax.aggregation.signatures import SIGNATURE_BYTES, SigningSecret, is_signed_by, sign
from pride_jax.errors import ProtocolError

_KEY = b"PRIDEhky"


def signed_key(secret: SigningSecret, run: bytes, round_: int, public: Public) -> bytes:
    """A key of a round as bytes, with the key holder's signature."""
    key = public.to_bytes()
    return sign(secret, _signed(run, round_, key)) + key


def key_from_bytes(data: bytes, signer: bytes, run: bytes, round_: int) -> bytes:
    """The key in ``data``, which the key holder signed for this round.

    Args:
      data: as received.
      signer: the key holder's enrolled Ed25519 key.
      run: as in the round's directory.
      round_: the round's number.

    Raises:
      ProtocolError: anything else.
    """
    signature, key = data[:SIGNATURE_BYTES], data[SIGNATURE_BYTES:]
    if not is_signed_by(signer, _signed(run, round_, key), signature):
        raise ProtocolError(
            f"Refused a key of the key holder for round {round_}: it is not signed for this round "
            "with the key that the key holder has enrolled"
        )
    return key


def _signed(run: bytes, round_: int, key: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in (run, round_.to_bytes(8, "big"), key):
        digest.update(len(part).to_bytes(8, "big") + part)
    return _KEY + digest.digest()
