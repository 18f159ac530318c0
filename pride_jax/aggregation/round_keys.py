"""A client's keys for one round of masking: signed, agreed on in pairs, and used once.

``RoundKeys`` write one letter. With what other clients' letters bring they become a ``Member`` of
the sum of one directory: it masks one vector, consents to one set of contributors, and opens no
other. Both can be kept in a file from one message to the next.
"""

import hashlib
import hmac
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pride_jax.aggregation.secret_sharing import SHARE_BYTES
from pride_jax.aggregation.secure_sum import Directory, Header, Public, Rng, Secret
from pride_jax.aggregation.signatures import SigningSecret, is_signed_by, sign
from pride_jax.errors import ProtocolError

KEY_BYTES = 32
_ANYBODY = X25519PrivateKey.from_private_bytes(bytes(range(KEY_BYTES)))
TAG_BYTES = 16
BOX_BYTES = 2 * SHARE_BYTES + 16
_SIGNED = b"PRIDEkey"
_INFO = b"pride_jax masking 2: "
_ONCE = bytes(12)
"""The nonce of a key that seals one box."""
_MEMBER = struct.Struct(">Q32s32sI")
_PAIR = struct.Struct(">Q?32s?66s")
_NOTHING = bytes(2 * SHARE_BYTES)


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
    if len(data) != 3 * KEY_BYTES:
        raise ProtocolError(
            f"Masking keys of {len(data)} bytes, expected {3 * KEY_BYTES}: they were cut short or "
            "are of another protocol"
        )
    public = MaskingPublic(*_cut(data, KEY_BYTES))
    for key in (public.sealing, public.pairing):
        try:
            _ANYBODY.exchange(X25519PublicKey.from_public_bytes(key))
        except ValueError:
            # Before anybody else meets it: whoever cannot agree with it would have to stop.
            raise ProtocolError("A masking key with which nobody can agree: make another") from None
    return public


def sign_round_keys(
    secret: SigningSecret, run: bytes, round_: int, client: int, public: Public
) -> bytes:
    """A client's signature of its keys for a round, with its enrolled key."""
    return sign(secret, _signed(run, round_, client, public))


def are_signed_by(
    signer: bytes, run: bytes, round_: int, client: int, public: Public, signature: bytes
) -> bool:
    """Whether the client whose enrolled key is ``signer`` signed these keys for this round."""
    return _is_signed_by(signer, _signed(run, round_, client, public), signature)


def check_round_keys(directory: Directory, client: int) -> None:
    """Refuses keys that the client which they are said to be of has not signed for this round.

    In a round without signers, all keys pass.

    Raises:
      ProtocolError: as above.
    """
    if directory.signers is None:
        return
    signer = directory.signers.get(client, b"")
    signature = directory.key_signatures.get(client, b"")
    public = directory.keys[client]
    if not are_signed_by(signer, directory.run, directory.round, client, public, signature):
        raise ProtocolError(
            f"The keys of client {client} in the directory of round {directory.round} are not "
            "signed by that client for this round: somebody may have put others in their place"
        )


_is_signed_by = lru_cache(maxsize=2**14)(is_signed_by)
"""One process may play many clients, all of whom check the same signatures."""


def _signed(run: bytes, round_: int, client: int, public: Public) -> bytes:
    content = public.to_bytes()
    return _SIGNED + hashlib.sha256(run).digest() + struct.pack(">QQ", round_, client) + content


class PairKeys(NamedTuple):
    """What two clients derive from their sealing keys, 32 bytes each.

    Attributes:
      sends: seals the one box to the other.
      receives: seals the one box from the other.
      tags: of notes, both ways.
    """

    sends: bytes
    receives: bytes
    tags: bytes


class RoundKeys(Secret):
    """A client's keys of one round, from which one letter is written.

    Two keys agree with other clients, because one of them may be given back.
    """

    def __init__(
        self, sealing: bytes, pairing: bytes, own: bytes, helpers: Sequence[int] = ()
    ) -> None:
        self._bytes = (sealing, pairing)
        self._sealing = X25519PrivateKey.from_private_bytes(sealing)
        self._pairs: dict[int, PairKeys] = {}
        self.pairing = X25519PrivateKey.from_private_bytes(pairing)
        self.own = own
        self.helpers = tuple(helpers)
        self.public = MaskingPublic(
            self._sealing.public_key().public_bytes_raw(),
            self.pairing.public_key().public_bytes_raw(),
            own_digest(own),
        )
        self._was_read = False
        self._tickets = b""

    @property
    def pairing_bytes(self) -> bytes:
        """The pairing key as it is shared out."""
        return self._bytes[1]

    def to_bytes(self) -> bytes:
        """The keys and who helps, for a file that only their owner can read."""
        helpers = struct.pack(f">{len(self.helpers)}Q", *self.helpers)
        return b"".join(self._bytes) + self.own + helpers

    def ticket(self, other: int) -> bytes:
        """16 bytes by which another client is drawn as a helper: of these keys always the same."""
        if not self._tickets:
            self._tickets = derive(self.own, b"helpers")
        return _tag(self._tickets, other, b"")

    def write_to(self, helpers: list[int], round_: int) -> None:
        """Fixes to whom the only letter goes.

        Raises:
          ProtocolError: one has been written.
        """
        if self.helpers:
            raise ProtocolError(
                f"A letter of round {round_} has been written with these keys: another one, to "
                "others, would give a second set of shares away; make new keys"
            )
        self.helpers = tuple(helpers)

    def read_once(self, round_: int) -> None:
        """Fixes that letters have been read.

        Raises:
          ProtocolError: they were before, or this client has not written one.
        """
        if self._was_read or not self.helpers:
            raise ProtocolError(
                f"The keys of round {round_} have written no letter, or have read others' letters "
                "before: they join one sum; make new keys"
            )
        self._was_read = True

    def pair(self, directory: Directory, me: int, other: int) -> PairKeys:
        """The keys that this client has in common with another.

        Raises:
          ProtocolError: the other's key is none.
        """
        if other not in self._pairs:
            agreed = agree(directory, self._sealing, me, other, public_of(directory, other).sealing)
            about = b"pair " + directory.before_letters.fingerprint + _pair_bytes(me, other)
            low, high, tags = _cut(derive(agreed, about, 3 * KEY_BYTES), KEY_BYTES)
            # To itself, a client sends what it receives.
            sends, receives = (low if me <= other else high), (high if me < other else low)
            self._pairs[other] = PairKeys(sends, receives, tags)
        return self._pairs[other]


def round_keys_from_bytes(data: bytes) -> RoundKeys:
    """What ``RoundKeys.to_bytes`` gave.

    Raises:
      ProtocolError: anything else; it quotes nothing of them.
    """
    keys, helpers = data[: 3 * KEY_BYTES], data[3 * KEY_BYTES :]
    if len(keys) != 3 * KEY_BYTES or len(helpers) % 8:
        raise ProtocolError(
            f"Secret masking keys of {len(data)} bytes, expected {3 * KEY_BYTES} and helpers"
        )
    sealing, pairing, own = _cut(keys, KEY_BYTES)
    return RoundKeys(sealing, pairing, own, struct.unpack(f">{len(helpers) // 8}Q", helpers))


class Neighbour(NamedTuple):
    """Another client, to one that has read its letters.

    Attributes:
      tags: key of the notes between the two.
      helps: whether it holds shares of this client's secrets.
      shares: of its own secrets, the seed's and the pairing key's; None where this client does not
        help it, or where what it sealed does not open.
      is_helped: whether this client was to hold shares of its secrets.
    """

    tags: bytes
    helps: bool
    is_helped: bool
    shares: bytes | None


class Member(Secret):
    """A client in the sum of one directory, from its letters to its share.

    Attributes:
      fingerprint: of the directory whose sum it is in.
      client: its id.
      neighbours: whom it shares secrets with, either way, by id.
    """

    def __init__(
        self,
        fingerprint: bytes,
        client: int,
        neighbours: Mapping[int, Neighbour],
        keys: RoundKeys | None = None,
        agreed: bytes = b"",
    ) -> None:
        self.fingerprint = fingerprint
        self.client = client
        self.neighbours = dict(sorted(neighbours.items()))
        self._keys = [] if keys is None else [keys]
        self._agreed = agreed

    def take_keys(self) -> RoundKeys:
        """The keys that masks come from, once.

        Raises:
          ProtocolError: they have masked a vector.
        """
        if not self._keys:
            raise ProtocolError(
                f"Client {self.client} has masked a vector with these keys: with two under the "
                "same masks, anyone could subtract one from the other"
            )
        return self._keys.pop()

    def is_of(self, about: Header) -> bool:
        """Whether this is the sum whose letters the client has read."""
        return about.fingerprint == self.fingerprint

    def agree_to(self, digest: bytes, round_: int) -> None:
        """Fixes the contributors whose sum is opened.

        Raises:
          ProtocolError: others were.
        """
        if self._agreed not in (b"", digest):
            raise ProtocolError(
                f"Client {self.client} has agreed to open the sum of other contributors in round "
                f"{round_}: it opens no second one"
            )
        self._agreed = digest

    def has_agreed_to(self, digest: bytes) -> bool:
        """Whether these are the contributors that the client consented to."""
        return hmac.compare_digest(self._agreed, digest)

    def tag(self, other: int, content: bytes) -> bytes:
        """What shows another client, and no one else, that this one says ``content``."""
        return _tag(self.neighbours[other].tags, self.client, content)

    def is_from(self, other: int, content: bytes, tag: bytes) -> bool:
        """Whether that client said it, to this one."""
        return hmac.compare_digest(_tag(self.neighbours[other].tags, other, content), tag)

    def to_bytes(self) -> bytes:
        """All but the keys, for a file that only its owner can read, once the vector is masked."""
        agreed = self._agreed or bytes(KEY_BYTES)
        head = _MEMBER.pack(self.client, self.fingerprint, agreed, len(self.neighbours))
        pairs = [
            _PAIR.pack(other, each.helps, each.tags, each.is_helped, each.shares or _NOTHING)
            for other, each in self.neighbours.items()
        ]
        return head + b"".join(pairs)


def member_from_bytes(data: bytes) -> Member:
    """What ``Member.to_bytes`` gave.

    Raises:
      ProtocolError: anything else; it quotes nothing of it.
    """
    pairs = len(data) - _MEMBER.size
    if pairs < 0 or pairs % _PAIR.size:
        raise ProtocolError(f"What a client remembers of a round has {len(data)} bytes: damaged")
    client, fingerprint, agreed, _ = _MEMBER.unpack_from(data)
    neighbours = {
        other: Neighbour(tags, helps, is_helped, None if shares == _NOTHING else shares)
        for other, helps, tags, is_helped, shares in _PAIR.iter_unpack(data[_MEMBER.size :])
    }
    return Member(fingerprint, client, neighbours, agreed=agreed.strip(b"\0") and agreed)


def new_round_keys(rng: Rng) -> RoundKeys:
    """New ones."""
    return RoundKeys(rng(KEY_BYTES), rng(KEY_BYTES), rng(KEY_BYTES))


def seal(keys: PairKeys, content: bytes) -> bytes:
    """The one box for the other of a pair."""
    return AESGCM(keys.sends).encrypt(_ONCE, content, None)


def unseal(keys: PairKeys, box: bytes) -> bytes | None:
    """What the other sealed; None where it did not, or not so many bytes."""
    try:
        opened = AESGCM(keys.receives).decrypt(_ONCE, box, None)
    except InvalidTag:
        return None
    return opened if len(opened) == 2 * SHARE_BYTES else None


def own_digest(seed: bytes) -> bytes:
    """What is public of the seed of a client's own mask."""
    return hashlib.sha256(_INFO + b"own " + seed).digest()


def own_mask(seed: bytes) -> bytes:
    """The seed of the stream that is a client's own mask."""
    return derive(seed, b"own mask")


def pair_mask(directory: Directory, pairing: X25519PrivateKey, me: int, other: int) -> bytes:
    """The seed of the stream that two clients have in common in the sum of this directory.

    Raises:
      ProtocolError: the other's key is none.
    """
    agreed = agree(directory, pairing, me, other, public_of(directory, other).pairing)
    return derive(agreed, b"mask " + directory.fingerprint + _pair_bytes(me, other))


def pairing_key(secret: bytes) -> X25519PrivateKey:
    """The key of a client's pairwise masks, from what its helpers gave back."""
    return X25519PrivateKey.from_private_bytes(secret)


def pairing_public(secret: bytes) -> bytes:
    """What is public of it."""
    return pairing_key(secret).public_key().public_bytes_raw()


def public_of(directory: Directory, client: int) -> MaskingPublic:
    """A client's keys of the round.

    Raises:
      ProtocolError: it has none.
    """
    public = directory.keys.get(client)
    if not isinstance(public, MaskingPublic):
        raise ProtocolError(
            f"The directory of round {directory.round} has no masking key of client {client}: put "
            "what keygen returned under the client's id"
        )
    return public


def agree(
    directory: Directory, secret: X25519PrivateKey, me: int, other: int, public: bytes
) -> bytes:
    """The secret that two clients have in common.

    Raises:
      ProtocolError: the other's key is none.
    """
    try:
        return secret.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise ProtocolError(
            f"Client {me} cannot agree on a key with client {other} in round {directory.round}: "
            "the latter's public key is not one"
        ) from None


def derive(secret: bytes, purpose: bytes, size: int = KEY_BYTES) -> bytes:
    """A key for one purpose."""
    return HKDF(SHA256(), size, None, _INFO + purpose).derive(secret)


def _tag(key: bytes, writer: int, content: bytes) -> bytes:
    return hmac.digest(key, writer.to_bytes(8, "big") + content, "sha256")[:TAG_BYTES]


def _pair_bytes(one: int, other: int) -> bytes:
    return struct.pack(">QQ", min(one, other), max(one, other))


def _cut(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]
