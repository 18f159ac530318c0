"""Ed25519: who may sign, and whether they did.

A client makes its key once and enrols the public half where the aggregator cannot change it.

References:
  Bernstein, Duif, Lange, Schwabe & Yang 2011, High-speed high-security signatures.
  RFC 8032.
"""

from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pride_jax.aggregation.secure_sum import Rng, Secret

SIGNATURE_BYTES = 64
_KEY_BYTES = 32


@dataclass(frozen=True, repr=False)
class SigningSecret(Secret):
    """What a client signs with.

    Attributes:
      key: the private key.
      public: 32 bytes, to be enrolled in ``Directory.signers``.
    """

    key: Ed25519PrivateKey
    public: bytes


def signing_key(rng: Rng) -> SigningSecret:
    """A new key.

    Args:
      rng: a cryptographic source of bytes.
    """
    key = Ed25519PrivateKey.from_private_bytes(rng(_KEY_BYTES))
    return SigningSecret(key, key.public_key().public_bytes_raw())


def sign(secret: SigningSecret, data: bytes) -> bytes:
    """The signature of ``data``, the same every time."""
    return secret.key.sign(data)


def is_signed_by(public: bytes, data: bytes, signature: bytes) -> bool:
    """Whether the owner of ``public`` signed ``data``; a key that is none has signed nothing."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True
