"""Two servers that must collude: the vector behind a stream here, the stream's seed sealed there.

A client adds the stream of a fresh 32-byte seed to its vector, for the aggregator, and seals the
seed for the key holder. The key holder returns the sum of the streams of all contributors, which
the aggregator takes away. Nobody computes with ciphertexts, and nobody has both halves: this is the
row that every other protocol must justify itself against.

The client signs a digest of the masked vector, which the key holder sees and knows the stream of.
So a salt, for the aggregator alone, stands before the masked vector: without the salt, the key
holder could try whether a vector that it guesses has that digest.

Formal guarantees:
  In the random oracle model, with X25519's gap Diffie–Hellman assumption and AES as a pseudorandom
  permutation: the aggregator learns the sum; the key holder learns who took part. Either, also
  together with clients and sending what it likes, learns no more than that and the sum of the
  honest clients' vectors: what is sealed names protocol, round, fingerprint and client, so that no
  other box and no copy of one is opened in its place, and the client signs both halves together.
  The two servers together learn every vector. The key holder can shift the sum unnoticed.

References:
  Corrigan-Gibbs & Boneh 2017, Prio: private, robust, and scalable computation of aggregate
  statistics, for the split.
  RFC 9180, Hybrid public key encryption.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from jaxtyping import Int, Int64

from pride_jax.aggregation.checks import (
    check_enclosed,
    check_messages,
    check_shares,
    check_total,
    check_vector,
)
from pride_jax.aggregation.messages import header_bytes
from pride_jax.aggregation.owner_only import read_owner_only, write_owner_only
from pride_jax.aggregation.refusals import DoesNotOpenError, OutOfRangeError
from pride_jax.aggregation.secure_sum import (
    Directory,
    Enclosed,
    Header,
    Message,
    Prepared,
    Public,
    Question,
    Rng,
    Role,
    Secret,
    SecureSum,
    Share,
    Total,
    header,
)
from pride_jax.aggregation.sights import (
    AGGREGATOR,
    DIFFERENCES,
    EVERYTHING,
    KEY_HOLDER,
    OTHER_CLIENTS,
    OTHERS,
    SUM,
    SUMS,
    Sight,
    both,
)
from pride_jax.aggregation.words import (
    SEED_BYTES,
    from_bytes,
    is_canonical,
    stream,
    sum_of_streams,
    to_bytes,
    to_signed,
    to_words,
    words_of,
)
from pride_jax.errors import ProtocolError

_NAME = "two_servers"
_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
_KEY_BYTES = 32
_SEALED_BYTES = _KEY_BYTES + SEED_BYTES + 16
_FILE = "two-servers-key"
_CONTEXT = b"PRIDEbox"
_SALT_BYTES = 16


@dataclass(frozen=True)
class BoxPublic(Public):
    """What clients seal for.

    Attributes:
      key: X25519, 32 bytes.
    """

    key: bytes

    def to_bytes(self) -> bytes:
        """The key."""
        return self.key


@dataclass(frozen=True, repr=False)
class BoxSecret(Secret):
    """What the key holder opens with.

    Attributes:
      key: the private key.
    """

    key: X25519PrivateKey

    @property
    def public(self) -> BoxPublic:
        """Its public part."""
        return BoxPublic(self.key.public_key().public_bytes_raw())


class Drawn(NamedTuple):
    """What a client draws for a message.

    Attributes:
      seed: of the stream.
      salt: keeps the digest of the masked vector from whoever knows the stream.
    """

    seed: bytes
    salt: bytes


def two_servers() -> SecureSum:
    """A masked vector for the aggregator, the mask's seed sealed for the key holder.

    Returns:
      The protocol. ``keygen`` for ``Role.KEY_HOLDER`` gives a ``BoxSecret``; clients hold no key.
    """
    return SecureSum(_NAME, _keygen, _prepare, _protect, _combine, _share, _open, sights=_SIGHTS)


_TESTS = "tests/adversary/test_two_servers.py::"
_SIGHTS = (
    Sight(
        AGGREGATOR,
        "curious",
        SUM,
        f"{_TESTS}TestTheAggregatorReads::test_masked_vectors_and_the_sum_of_streams",
    ),
    Sight(AGGREGATOR, "active", SUMS, f"{_TESTS}TestTheAggregatorCheats"),
    DIFFERENCES,
    Sight(
        KEY_HOLDER,
        "curious",
        "nothing",
        f"{_TESTS}TestTheKeyHolder::test_has_every_stream_and_nothing_to_unmask",
    ),
    Sight(KEY_HOLDER, "active", "nothing; it can shift the sum", f"{_TESTS}TestTheKeyHolder"),
    *OTHER_CLIENTS,
    Sight(
        f"{AGGREGATOR} and clients",
        "curious",
        OTHERS,
        f"{_TESTS}TestTheAggregatorReads::test_together_with_clients_what_is_left_without_theirs",
    ),
    Sight(
        f"{AGGREGATOR} and clients",
        "active",
        f"as the {AGGREGATOR}, and what is left of a sum without theirs",
        f"{_TESTS}TestTheAggregatorAndClientsCheat",
    ),
    *both(
        f"{AGGREGATOR} and {KEY_HOLDER}",
        EVERYTHING,
        f"{_TESTS}test_the_two_servers_together_have_every_vector",
    ),
)


def _keygen(rng: Rng, role: Role) -> tuple[Secret, Public]:
    if role != Role.KEY_HOLDER:
        return Secret(), Public()
    secret = BoxSecret(X25519PrivateKey.from_private_bytes(rng(_KEY_BYTES)))
    return secret, secret.public


def _prepare(rng: Rng, directory: Directory, secret: Secret, client: int) -> Prepared[Drawn]:
    del secret
    return Prepared(header(directory, _NAME), client, Drawn(rng(SEED_BYTES), rng(_SALT_BYTES)))


def _protect(
    directory: Directory, prepared: Prepared[Drawn], vector: Int[np.ndarray, "length"]
) -> Message:
    values = check_vector(directory, prepared.client, vector)
    about, words = header(directory, _NAME), words_of(directory.terms)
    key = X25519PublicKey.from_public_bytes(_public_of(directory).key)
    seed, salt = prepared.take(about)
    sealed = _SUITE.encrypt(seed, key, info=_info(about, prepared.client))
    masked = to_words(words, values) + stream(words, seed)
    return Message(about, prepared.client, salt + to_bytes(words, masked), sealed)


def _combine(directory: Directory, messages: Sequence[Message]) -> Total:
    words = words_of(directory.terms)
    size = _SALT_BYTES + words.size
    accepted = check_messages(directory, _NAME, messages, size, _SEALED_BYTES)
    total = words.zeros()
    for message in accepted:
        masked = message.body[_SALT_BYTES:]
        if not is_canonical(words, masked):
            raise OutOfRangeError(message.client, "bits after its last value are not 0")
        total += from_bytes(words, masked)
    contributors = tuple(message.client for message in accepted)
    return Total(header(directory, _NAME), contributors, to_bytes(words, total))


def _share(directory: Directory, secret: Secret, question: Question) -> Share:
    if not isinstance(secret, BoxSecret) or secret.public != _public_of(directory):
        raise ProtocolError(
            f"The secret is not that of the key holder's public key in the directory of round "
            f"{directory.round}: load the key that the directory was made with"
        )
    check_enclosed(directory, _NAME, question, _SEALED_BYTES)
    words = words_of(directory.terms)
    streams = sum_of_streams(words, [_unsealed(secret, each) for each in question.enclosed])
    return Share(question.header, question.contributors, to_bytes(words, streams))


def _unsealed(secret: BoxSecret, sent: Enclosed) -> bytes:
    """The seed that a client sealed for this round."""
    try:
        return _SUITE.decrypt(sent.enclosed, secret.key, info=_info(sent.header, sent.client))
    except (InvalidTag, ValueError):
        raise DoesNotOpenError(
            sent.client, "what it sealed does not open as its own for this round"
        ) from None


def _open(
    directory: Directory, total: Total, shares: Sequence[Share]
) -> Int64[np.ndarray, "length"]:
    terms = directory.terms
    words = words_of(terms)
    check_total(directory, _NAME, total, words.size)
    check_shares(total, shares, 1, words.size)
    masked, streams = (from_bytes(words, body) for body in (total.body, shares[0].body))
    summed = to_signed(words, masked - streams)
    if np.abs(summed).max() > len(total.contributors) * terms.largest_value:
        raise ProtocolError(
            f"The sum of round {directory.round} holds a value that {len(total.contributors)} "
            "clients within their range cannot reach: a message was forged or damaged; discard "
            "the round"
        )
    return summed


def _info(about: Header, client: int) -> bytes:
    """What a box is for: it does not open for anything else."""
    return header_bytes(about, client, _CONTEXT)


def _public_of(directory: Directory) -> BoxPublic:
    public = directory.keys.get(Role.KEY_HOLDER)
    if not isinstance(public, BoxPublic):
        raise ProtocolError(
            f"The directory of round {directory.round} has no key to seal for: put what keygen "
            "returned under Role.KEY_HOLDER"
        )
    return public


def public_from_bytes(data: bytes) -> BoxPublic:
    """The key in ``data``.

    Raises:
      ProtocolError: it is none.
    """
    if len(data) != _KEY_BYTES:
        raise ProtocolError(
            f"A key to seal for of {len(data)} bytes, expected {_KEY_BYTES}: enrol it again"
        )
    return BoxPublic(data)


def save_secret(folder: Path, secret: BoxSecret) -> None:
    """Keeps a key in a folder that only its owner can enter.

    Args:
      folder: made with mode 0700 if it is missing; the file in it gets mode 0600.
      secret: the key.

    Raises:
      ProtocolError: the folder holds a key already, or is open to others.
    """
    write_owner_only(Path(folder) / _FILE, secret.key.private_bytes_raw())


def load_secret(folder: Path) -> BoxSecret:
    """The key that ``save_secret`` kept.

    Raises:
      ProtocolError: no such key, damaged, or others could read it.
    """
    path = Path(folder) / _FILE
    data = read_owner_only(path)
    if len(data) != _KEY_BYTES:
        raise ProtocolError(
            f"{path} does not hold a key: restore it from a copy; what was sealed for it cannot be "
            "opened without"
        )
    return BoxSecret(X25519PrivateKey.from_private_bytes(data))
