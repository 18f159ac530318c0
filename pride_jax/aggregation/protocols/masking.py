"""Pairwise masks: every message looks random alone, and the masks cancel in the sum.

Every two clients agree on a mask that one adds and the other subtracts, modulo 256^width. A client
that falls silent leaves its masks in the others' messages, so clients have shared the keys of their
pairwise masks out among themselves (Shamir), and the survivors give those of the silent ones back.
If such a client was only late, its message would then be bare; so each adds a mask of its own, too,
whose seed is shared out in the same way and given back for clients that are in the sum. Nobody
gives both for one client.

Stages: each client makes three new keys for every round; writes a letter, with every client's
shares sealed for it; adds its masks (``prepare``) and its vector (``protect``); and, if it is in
the sum, helps to open it (``share``). It may fall silent at any stage, as long as more than
``threshold`` of the roster are left.

Formal guarantees:
  n clients are in the roster, t = quorum of them open a sum, c of them collude with the aggregator.
  Under the computational Diffie-Hellman assumption on Curve25519 in the random oracle model, with
  AES-256-CTR pseudorandom and AES-256-GCM authenticated encryption:

  - An aggregator that follows the protocol learns, for c < t, the sum, who is in it, and the
    colluding clients' vectors; for c = t every vector.
  - One that tells clients different things gets nobody's two secrets, for c < 2t - n: no client
    answers twice (``holder``), and two sets of t clients have 2t - n members in common. But
    survivors that see different sets of contributors can together open the sum of fewer than t
    clients, though of at least (n - c)·(2t - n - c)/(t - c) honest ones: Bonawitz et al.'s
    consistency round, which would make that t - c, is not included.
  - Letters are signed and name all keys of the round by their fingerprint. So where the directory
    has signers, an aggregator cannot put its own keys in the place of a client's.

Edge cases:
  A client uses a secret for one message only: with two vectors under the same masks, anyone can
  subtract one from the other. Clients are trusted to follow the protocol: one that writes false
  letters can stop a round (its share does not open, or the secret that shares give is not the one
  announced), and one that adds nonsense spoils the sum, which is seen if it leaves the range.
  Every client reads all letters, 94 bytes for each pair: above some hundred clients a sparser graph
  (Bell et al. 2020) is due. A sum of one is that one's vector, so a cohort has at least two.

References:
  Bonawitz, Ivanov, Kreuter, Marcedone, McMahan, Patel, Ramage, Segal & Seth 2017, Practical secure
  aggregation for privacy-preserving machine learning.
  Bell, Bonawitz, Gascón, Lepoint & Raykova 2020, Secure single-server aggregation with
  (poly)logarithmic overhead.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from jaxtyping import Int, Int64, UInt

from pride_jax.aggregation.checks import (
    check_messages,
    check_question,
    check_shares,
    check_total,
    check_vector,
)
from pride_jax.aggregation.secret_sharing import (
    SHARE_BYTES,
    join_shares,
    lagrange_weights,
    split_secret,
)
from pride_jax.aggregation.secure_sum import (
    Directory,
    Letters,
    Message,
    Prepared,
    Public,
    Question,
    Rng,
    Role,
    Secret,
    SecureSum,
    Share,
    Terms,
    Total,
    header,
)
from pride_jax.errors import ConfigError, ProtocolError

Threshold = Literal["half", "two-thirds"]

_KEY_BYTES = 32
_NONCE_BYTES = 12
_SEALED_BYTES = _NONCE_BYTES + 2 * SHARE_BYTES + 16


@dataclass(frozen=True)
class MaskingPublic(Public):
    """What everyone may see of a client's keys of one round.

    Attributes:
      sealing: X25519 key under which letters to this client are sealed.
      pairing: X25519 key from which its pairwise masks come.
      own: SHA-256 of the seed of its own mask.
    """

    sealing: bytes
    pairing: bytes
    own: bytes

    def to_bytes(self) -> bytes:
        """The three, one after another."""
        return self.sealing + self.pairing + self.own


def public_from_bytes(data: bytes) -> MaskingPublic:
    """The keys in ``data``, which is nothing but what ``to_bytes`` made of them.

    Raises:
      ProtocolError: anything else.
    """
    if len(data) != 3 * _KEY_BYTES:
        raise ProtocolError(
            f"Masking keys of {len(data)} bytes, expected {3 * _KEY_BYTES}: they were cut short or "
            "are of another protocol"
        )
    return MaskingPublic(*_thirds(data))


def secret_from_bytes(data: bytes) -> "MaskingSecret":
    """The keys that ``MaskingSecret.to_bytes`` gave.

    Raises:
      ProtocolError: anything else; it quotes nothing of them.
    """
    if len(data) != 3 * _KEY_BYTES:
        raise ProtocolError(f"Secret masking keys of {len(data)} bytes, expected {3 * _KEY_BYTES}")
    return MaskingSecret(*_thirds(data))


def _thirds(data: bytes) -> list[bytes]:
    return [data[at : at + _KEY_BYTES] for at in range(0, len(data), _KEY_BYTES)]


@dataclass(frozen=True, repr=False)
class MaskingSecret(Secret):
    """A client's keys of one round, 32 bytes each, for one message.

    Two keys agree with other clients, because one of them may be given back.
    """

    sealing: bytes
    pairing: bytes
    own: bytes

    @property
    def public(self) -> MaskingPublic:
        """Its public part."""
        return MaskingPublic(_public(self.sealing), _public(self.pairing), _digest(self.own))

    def to_bytes(self) -> bytes:
        """The three, to be kept until the round is over in a file that only its owner can read."""
        return self.sealing + self.pairing + self.own


def masking(threshold: Threshold = "half") -> SecureSum:
    """Bonawitz et al.'s secure aggregation; the holders are the clients in the sum.

    Args:
      threshold: clients that must be left to open a sum: more than ``"half"`` of the roster,
        against an aggregator that follows the protocol, or more than ``"two-thirds"``, against one
        that does not; see the guarantees.

    Returns:
      The protocol. ``keygen`` for ``Role.CLIENT`` gives a ``MaskingSecret``, for one round.

    Raises:
      ConfigError: another threshold.
    """
    if threshold not in ("half", "two-thirds"):
        raise ConfigError(f'masking: threshold={threshold!r}, expected "half" or "two-thirds"')
    name = f"masking-{threshold}"

    def quorum(directory: Directory) -> int:
        clients = len(directory.roster)
        return (clients // 2 if threshold == "half" else 2 * clients // 3) + 1

    def keygen(rng: Rng, role: Role) -> tuple[Secret, Public]:
        if role != Role.CLIENT:
            return Secret(), Public()
        secret = MaskingSecret(rng(_KEY_BYTES), rng(_KEY_BYTES), rng(_KEY_BYTES))
        return secret, secret.public

    def write_letter(rng: Rng, directory: Directory, secret: Secret, client: int) -> Message:
        directory = dataclasses.replace(directory, letters={})
        mine = _owned(directory, secret, client)
        readers = sorted(directory.roster)
        needed = quorum(directory)
        parts = zip(
            readers,
            split_secret(rng, mine.own, needed, len(readers)),
            split_secret(rng, mine.pairing, needed, len(readers)),
            strict=True,
        )
        about = header(directory, f"{name}-letter")
        sealed = []
        for reader, own, pairing in parts:
            key = _sealing_key(directory, mine, client, reader, (client, reader))
            nonce = rng(_NONCE_BYTES)
            sealed.append(nonce + AESGCM(key).encrypt(nonce, own + pairing, None))
        return Message(about, client, b"".join(sealed))

    def check_letters(directory: Directory, letters: Sequence[Message]) -> list[Message]:
        before = dataclasses.replace(directory, letters={})
        size = len(directory.roster) * _SEALED_BYTES
        return check_messages(before, f"{name}-letter", letters, size)

    def collect(directory: Directory, letters: Sequence[Message]) -> Directory:
        accepted = check_letters(directory, letters)
        return dataclasses.replace(
            directory, letters={letter.client: letter for letter in accepted}
        )

    def prepare(
        rng: Rng, directory: Directory, secret: Secret, client: int
    ) -> Prepared[UInt[np.ndarray, "length"]]:
        del rng
        mine = _owned(directory, secret, client)
        needed = max(quorum(directory), 2)
        if len(directory.letters) < needed:
            raise ProtocolError(
                f"{len(directory.letters)} letters in round {directory.round}, expected at least "
                f"{needed} from the {len(directory.roster)} clients of the roster"
            )
        check_letters(directory, list(directory.letters.values()))
        if client not in directory.letters:
            raise ProtocolError(
                f"Client {client}'s letter is not among those of round {directory.round}: sit this "
                "round out"
            )
        masks = np.zeros(directory.terms.length, _word(directory.terms))
        _add(masks, _own_key(mine.own), 1)
        for key, sign in _pairing_keys(directory, mine.pairing, client, directory.letters):
            _add(masks, key, sign)
        return Prepared(header(directory, name), client, masks)

    def protect(
        directory: Directory,
        prepared: Prepared[UInt[np.ndarray, "length"]],
        vector: Int[np.ndarray, "length"],
    ) -> Message:
        values = check_vector(directory, prepared.client, vector)
        about = header(directory, name)
        masks = prepared.take(about)
        masks += values.astype(masks.dtype)
        return Message(about, prepared.client, _to_bytes(directory.terms, masks))

    def combine(directory: Directory, messages: Sequence[Message]) -> Total:
        terms = directory.terms
        accepted = check_messages(directory, name, messages, _width(terms) * terms.length)
        total = np.zeros(terms.length, _word(terms))
        for message in accepted:
            total += _from_bytes(terms, message.body)
        contributors = tuple(message.client for message in accepted)
        return Total(header(directory, name), contributors, _to_bytes(terms, total))

    def check_count(directory: Directory, contributors: tuple[int, ...]) -> None:
        needed = max(quorum(directory), 2)
        if len(contributors) < needed:
            raise ProtocolError(
                f"Refused to open a total of {len(contributors)} contributions in round "
                f"{directory.round}, expected at least {needed}: with so many of the "
                f"{len(directory.roster)} clients silent, {name} protects nobody"
            )

    def share(directory: Directory, secret: Secret, question: Question) -> Share:
        check_question(directory, name, question)
        check_count(directory, question.contributors)
        mine, reader = _owner(directory, secret)
        if reader not in question.contributors:
            raise ProtocolError(
                f"Client {reader} is not in the total of round {directory.round}: only clients in "
                "it help to open it"
            )
        at = sorted(directory.roster).index(reader) * _SEALED_BYTES
        parts = []
        for writer, letter in sorted(directory.letters.items()):
            key = _sealing_key(directory, mine, reader, writer, (writer, reader))
            sealed = letter.body[at : at + _SEALED_BYTES]
            try:
                opened = AESGCM(key).decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], None)
            except InvalidTag:
                raise ProtocolError(
                    f"Client {writer}'s letter does not open for client {reader} in round "
                    f"{directory.round}: ask another client for its share"
                ) from None
            own, pairing = opened[:SHARE_BYTES], opened[SHARE_BYTES:]
            parts.append(own if writer in question.contributors else pairing)
        return Share(question.header, question.contributors, b"".join(parts), reader)

    def open_total(
        directory: Directory, total: Total, shares: Sequence[Share]
    ) -> Int64[np.ndarray, "length"]:
        check_total(directory, name, total, _width(directory.terms) * directory.terms.length)
        check_count(directory, total.contributors)
        check_shares(total, shares, len(shares), SHARE_BYTES * len(directory.letters))
        given = {share.holder: share.body for share in shares}
        needed = quorum(directory)
        if len(given) < max(needed, len(shares)) or not set(given).issubset(total.contributors):
            raise ProtocolError(
                f"{len(shares)} shares for round {directory.round}, expected those of at least "
                f"{needed} different clients in the total"
            )
        terms = directory.terms
        unmasked = _from_bytes(terms, total.body)
        for client, recovered in _recovered(directory, total, dict(list(given.items())[:needed])):
            if client in total.contributors:
                _add(unmasked, _own_key(recovered), -1)
            else:
                # What survivors added of the pair, the silent client would have subtracted.
                keys = _pairing_keys(directory, recovered, client, total.contributors)
                for key, sign in keys:
                    _add(unmasked, key, sign)
        summed = _signed(terms, unmasked)
        if np.abs(summed).max() > len(total.contributors) * terms.largest_value:
            raise ProtocolError(
                f"The sum of round {directory.round} holds a value that "
                f"{len(total.contributors)} clients within their range cannot reach: a message was "
                "forged or damaged; discard the round"
            )
        return summed

    letters = Letters(write_letter, collect)
    return SecureSum(
        name,
        keygen,
        prepare,
        protect,
        combine,
        share,
        open_total,
        letters=letters,
        openers=Role.CLIENT,
        quorum=quorum,
    )


def _recovered(
    directory: Directory, total: Total, given: dict[int, bytes]
) -> Iterator[tuple[int, bytes]]:
    """Of each client in the total the seed of its own mask, of each silent one its pairing key."""
    places = {client: place for place, client in enumerate(sorted(directory.roster), 1)}
    weights = lagrange_weights([places[holder] for holder in given])
    for row, client in enumerate(sorted(directory.letters)):
        cut = slice(row * SHARE_BYTES, (row + 1) * SHARE_BYTES)
        parts = {places[holder]: body[cut] for holder, body in given.items()}
        secret, public = join_shares(weights, parts), _public_of(directory, client)
        if client in total.contributors:
            is_right = secret is not None and _digest(secret) == public.own
        else:
            is_right = secret is not None and _public(secret) == public.pairing
        if secret is None or not is_right:
            raise ProtocolError(
                f"The shares of round {directory.round} do not give client {client}'s key: one of "
                "them is wrong, or its letter was; open with other clients' shares"
            )
        yield client, secret


def _owned(directory: Directory, secret: Secret, client: int) -> MaskingSecret:
    public = _public_of(directory, client)
    if isinstance(secret, MaskingSecret) and secret.public == public:
        return secret
    raise ProtocolError(
        f"The secret is not that of client {client}'s key in the directory of round "
        f"{directory.round}: put what keygen returned under the client's id"
    )


def _owner(directory: Directory, secret: Secret) -> tuple[MaskingSecret, int]:
    if isinstance(secret, MaskingSecret):
        public = secret.public
        for client in directory.roster:
            if directory.keys.get(client) == public:
                return secret, client
    raise ProtocolError(
        f"The secret is not that of a client in the directory of round {directory.round}: secrets "
        "are for one round"
    )


def _public_of(directory: Directory, client: int) -> MaskingPublic:
    public = directory.keys.get(client)
    if not isinstance(public, MaskingPublic) or client not in directory.roster:
        raise ProtocolError(
            f"The directory of round {directory.round} has no masking key of client {client}: put "
            "what keygen returned under the client's id"
        )
    return public


def _sealing_key(
    directory: Directory, mine: MaskingSecret, me: int, other: int, way: tuple[int, int]
) -> bytes:
    public = _public_of(directory, other).sealing
    return _agree(directory, mine.sealing, public, (me, other), b"letter %d %d" % way)


class _SignedKey(NamedTuple):
    key: bytes
    sign: int


def _pairing_keys(
    directory: Directory, pairing: bytes, me: int, others: Iterable[int]
) -> Iterator[_SignedKey]:
    """The key of each mask of ``me`` with another client, and whether it adds or subtracts it."""
    for other in others:
        if other != me:
            way = (min(me, other), max(me, other))
            public = _public_of(directory, other).pairing
            key = _agree(directory, pairing, public, (me, other), b"mask %d %d" % way)
            yield _SignedKey(key, 1 if me < other else -1)


def _agree(
    directory: Directory, secret: bytes, public: bytes, pair: tuple[int, int], purpose: bytes
) -> bytes:
    try:
        agreed = X25519PrivateKey.from_private_bytes(secret).exchange(
            X25519PublicKey.from_public_bytes(public)
        )
    except ValueError:
        raise ProtocolError(
            f"Client {pair[0]} cannot agree on a key with client {pair[1]} in round "
            f"{directory.round}: the latter's public key is not one"
        ) from None
    return _derive(agreed, b"%s in round %d" % (purpose, directory.round))


def _own_key(seed: bytes) -> bytes:
    return _derive(seed, b"own mask")


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), _KEY_BYTES, None, b"pride_jax masking 1: " + purpose).derive(secret)


def _public(secret: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def _digest(seed: bytes) -> bytes:
    return hashlib.sha256(b"pride_jax masking 1: own " + seed).digest()


def _width(terms: Terms) -> int:
    """Bytes of a masked value: sums are modulo 256^width, and no possible signed sum wraps."""
    largest_sum = terms.largest_cohort * terms.largest_value
    return -(-(largest_sum.bit_length() + 1) // 8)


def _word(terms: Terms) -> np.dtype[np.unsignedinteger]:
    """The smallest word that holds a masked value; its excess high bytes are not sent."""
    size = next(size for size in (1, 2, 4, 8) if size >= _width(terms))
    return np.dtype(f"<u{size}")


def _add(masked: UInt[np.ndarray, "length"], key: bytes, sign: int) -> None:
    """Adds or subtracts, in place, the AES-256-CTR stream of a key that has no other use."""
    stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    mask = np.frombuffer(stream.update(bytes(masked.nbytes)), masked.dtype)
    (np.add if sign > 0 else np.subtract)(masked, mask, out=masked)


def _to_bytes(terms: Terms, words: UInt[np.ndarray, "length"]) -> bytes:
    return words.view(np.uint8).reshape(terms.length, -1)[:, : _width(terms)].tobytes()


def _from_bytes(terms: Terms, body: bytes) -> UInt[np.ndarray, "length"]:
    word = _word(terms)
    table = np.zeros((terms.length, word.itemsize), np.uint8)
    table[:, : _width(terms)] = np.frombuffer(body, np.uint8).reshape(terms.length, -1)
    return table.view(word)[:, 0]


def _signed(terms: Terms, words: UInt[np.ndarray, "length"]) -> Int64[np.ndarray, "length"]:
    """The numbers closest to zero that the words are, modulo 256^width."""
    excess = 64 - 8 * _width(terms)
    return (words.astype(np.uint64) << np.uint64(excess)).view(np.int64) >> np.int64(excess)
