"""The seam every aggregation protocol fills: integers in, their exact sum out.

One round, and who does what::

    secret, public = protocol.keygen(rng, Role.KEY_HOLDER)             # a key holder, once
    directory = Directory(round, roster, terms, {Role.KEY_HOLDER: public}, signers, model=digest)
    prepared = protocol.prepare(rng, directory, client_secret, client)   # a client, while it trains
    message = protocol.protect(directory, prepared, vector)              # a client
    message = sign_message(signing_secret, message)                      # a client
    total = protocol.combine(directory, messages)                        # the aggregator: no secret
    question = question_of(messages)                                     # the aggregator
    share = protocol.share(directory, secret, question)                  # a holder, see ``holder``
    summed = protocol.open(directory, total, [share])                    # the aggregator

Where clients open the sums, as in ``masking``, each makes a new key for every round and signs it,
and speaks with its neighbours through the aggregator twice: in a letter before ``prepare``, after
which ``directory`` means the one with letters, and in a consent before ``share``::

    directory = Directory(round, roster, terms, {client: public, …}, signers, key_signatures=…)
    letter = protocol.letters.write(rng, directory, client_secret, client)      # a client; signed
    directory = protocol.letters.collect(directory, letters)                     # the aggregator
    mail = protocol.letters.deliver(letters)[client]                             # the aggregator
    client_secret = protocol.letters.read(directory, client_secret, client, mail)    # a client
    …
    question = protocol.letters.ask(directory, messages, [])[client]             # the aggregator
    consent = protocol.letters.consent(directory, client_secret, question)      # a client; signed
    question = protocol.letters.ask(directory, messages, consents)[client]       # the aggregator

What a role may see is in the types. ``Secret`` stays with its owner. A ``Message`` has two parts:
the ``body`` is for the aggregator alone, what is ``enclosed`` for those who help to open the sum.
They get an ``Enclosed``, with a digest in the body's place: no key holder gets a client's vector.
"""

import hashlib
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

import numpy as np
from jaxtyping import Int, Int64

from pride_jax.aggregation.sights import Sight
from pride_jax.aggregation.terms import Terms
from pride_jax.errors import ConfigError, ProtocolError

Rng = Callable[[int], bytes]
"""Number of bytes -> that many random bytes. In production always ``os.urandom``."""


class Role(StrEnum):
    """Who may hold a key; the aggregator never does."""

    CLIENT = "client"
    KEY_HOLDER = "key holder"


class Secret:
    """What only its owner may see: not printed, pickled or copied. Itself: nothing to hide."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: secret>"

    def __reduce_ex__(self, protocol: Any, /) -> NoReturn:
        raise TypeError(
            f"Refusing to pickle or copy a {type(self).__name__}: secrets stay with their owner; "
            "keep one on disk with the protocol's own save function"
        )


@dataclass(frozen=True)
class Public:
    """What everyone may see of a key; the class itself stands for having no key."""

    def to_bytes(self) -> bytes:
        """The key as bytes, equal for equal keys only."""
        return b""


class Header(NamedTuple):
    """Which sum something belongs to: two headers are equal for the same sum only.

    Attributes:
      protocol: the protocol's name.
      round: the round's number.
      fingerprint: ``Directory.fingerprint`` of the round.
      terms: what is summed.
    """

    protocol: str
    round: int
    fingerprint: bytes
    terms: Terms


class Message(NamedTuple):
    """One client's protected vector, or its letter to the other clients.

    Attributes:
      header: the sum it belongs to.
      client: who sent it.
      body: the protocol's own bytes, for the aggregator alone.
      enclosed: the protocol's own bytes, for whoever helps to open the sum.
      signature: the client's, over all of the above; empty before it has signed.
    """

    header: Header
    client: int
    body: bytes
    enclosed: bytes = b""
    signature: bytes = b""


class Enclosed(NamedTuple):
    """What a holder gets of a client's message.

    Attributes:
      header: the sum it belongs to.
      client: who sent it.
      digest: SHA-256 of the body, which the holder does not get.
      enclosed: as in the message.
      signature: the message's: the holder can check it.
    """

    header: Header
    client: int
    digest: bytes
    enclosed: bytes
    signature: bytes = b""


class Note(NamedTuple):
    """What one client tells another, which nobody else could have written.

    Attributes:
      client: who wrote it.
      content: the protocol's own bytes.
    """

    client: int
    content: bytes


class Question(NamedTuple):
    """What a holder is asked to help to open.

    Attributes:
      header: the sum.
      contributors: ids of the clients whose messages are in it, ascending.
      enclosed: in protocols with key holders, of each of them in that order; else empty.
      included: where clients open the sums: notes of contributors to the one who is asked, that
        their vectors are in this very sum.
      agreed: notes of clients to the one who is asked, that they help to open this sum only.
    """

    header: Header
    contributors: tuple[int, ...]
    enclosed: tuple[Enclosed, ...] = ()
    included: tuple[Note, ...] = ()
    agreed: tuple[Note, ...] = ()


class Letter(NamedTuple):
    """What everyone knows of a client's letter.

    Attributes:
      digest: SHA-256 of what its writer signed.
      readers: ids of those for whom there is something sealed in it, ascending. Only the
        aggregator needs them of all letters.
    """

    digest: bytes
    readers: tuple[int, ...] = ()


@dataclass(frozen=True)
class Directory:
    """What everyone knows about one round.

    Attributes:
      round: the round's number, from 0.
      roster: ids of the clients announced for this round, each once.
      terms: what is summed.
      keys: the protocol's public keys, by client id or by ``Role.KEY_HOLDER``.
      signers: Ed25519 keys of the clients enrolled, by id; every message must then be signed. None
        asks for no signatures: whoever can send bytes can then pass for any client.
      key_signatures: where clients' keys are for one round: each client's signature of its keys.
      letters: what clients have told one another for this round, by sender; empty in protocols
        without letters.
      model: SHA-256 of all that the clients are sent to train from. It is in the fingerprint, so
        that no sum has clients in it who were sent different models.
      run: what names the run: nothing of another run, with the same keys, passes for this one's.

    Raises:
      ConfigError: a negative round or id, a repeated id, more clients than the terms allow, or a
        letter from or to a client that is not in the roster.
    """

    round: int
    roster: tuple[int, ...]
    terms: Terms
    keys: Mapping[int | Role, Public] = field(default_factory=dict)
    signers: Mapping[int, bytes] | None = None
    key_signatures: Mapping[int, bytes] = field(default_factory=dict)
    letters: Mapping[int, Letter] = field(default_factory=dict)
    model: bytes = b""
    run: bytes = b""

    def __post_init__(self) -> None:
        roster = tuple(operator.index(client) for client in self.roster)
        object.__setattr__(self, "roster", roster)
        object.__setattr__(self, "keys", dict(self.keys))
        object.__setattr__(self, "key_signatures", dict(self.key_signatures))
        object.__setattr__(self, "letters", dict(self.letters))
        if not 0 <= self.round < 2**63:
            raise ConfigError(f"Directory: round={self.round}, expected 0 … 2^63 - 1")
        if any(not 0 <= client < 2**63 for client in roster):
            raise ConfigError("Directory: the roster holds an id outside 0 … 2^63 - 1")
        if len(set(roster)) < len(roster):
            repeated = next(client for client in roster if roster.count(client) > 1)
            raise ConfigError(f"Directory: the roster names client {repeated} more than once")
        if len(roster) > self.terms.largest_cohort:
            raise ConfigError(
                f"Directory: {len(roster)} clients in the roster, expected at most "
                f"largest_cohort={self.terms.largest_cohort}: raise it or announce fewer"
            )
        readers = {reader for letter in self.letters.values() for reader in letter.readers}
        strangers = readers.union(self.letters).difference(roster)
        if strangers:
            raise ConfigError(
                f"Directory: letters from or to clients {sorted(strangers)}, expected those of the "
                f"{len(roster)} clients in the roster of round {self.round} only"
            )

    @cached_property
    def members(self) -> frozenset[int]:
        """Whose vectors may be added: the roster, or those of it whose letters are here."""
        return frozenset(self.letters or self.roster)

    @cached_property
    def before_letters(self) -> "Directory":
        """The same round as its letters' writers knew it."""
        return replace(self, letters={}) if self.letters else self

    @cached_property
    def fingerprint(self) -> bytes:
        """SHA-256 of run and model, of all public keys, signing keys and letters with their owners.

        32 bytes.
        """
        digest = hashlib.sha256(b"pride_jax directory, version 3")
        for part in (self.run, self.model):
            digest.update(len(part).to_bytes(8, "big") + part)
        keys = {str(owner): key.to_bytes() for owner, key in self.keys.items()}
        signers = {str(client): key for client, key in (self.signers or {}).items()}
        letters = {str(client): each.digest for client, each in self.letters.items()}
        for entries in (keys, signers, letters):
            digest.update(len(entries).to_bytes(8, "big"))
            for owner, value in sorted(entries.items()):
                for part in (owner.encode(), value):
                    digest.update(len(part).to_bytes(8, "big") + part)
        return digest.digest()


class Total(NamedTuple):
    """The sum of several messages, still protected, as the aggregator keeps it.

    Attributes:
      header: the sum it belongs to.
      contributors: ids of the clients whose messages were added, ascending.
      body: the protocol's own bytes.
    """

    header: Header
    contributors: tuple[int, ...]
    body: bytes


class Share(NamedTuple):
    """What one holder gives to open one total.

    Attributes:
      header: the sum it belongs to.
      contributors: those of the sum that it opens.
      body: the protocol's own bytes.
      holder: who gives it, where there are several: a key holder's number, or a client's id.
    """

    header: Header
    contributors: tuple[int, ...]
    body: bytes
    holder: int = 0


Material = TypeVar("Material")


class Prepared(Secret, Generic[Material]):
    """What a client made before it had its vector, good for one message.

    Whoever sees it can open that message; used twice, it would let anyone subtract one message from
    the other. So it is a secret, and ``take`` hands its content out once.
    """

    def __init__(self, header: Header, client: int, material: Material) -> None:
        self.header = header
        self.client = client
        self._material = [material]

    def take(self, header: Header) -> Material:
        """Hands the content out, once, for the sum that it was prepared for.

        Raises:
          ProtocolError: it was prepared for another sum, or has been used.
        """
        if header != self.header:
            raise ProtocolError(
                f"Client {self.client} prepared for round {self.header.round} of "
                f"{self.header.protocol} under other keys or terms than round {header.round} of "
                f"{header.protocol} has: prepare again from the round's directory"
            )
        try:
            return self._material.pop()
        except IndexError:
            raise ProtocolError(
                f"Client {self.client} has already protected a vector with what it prepared for "
                f"round {header.round}: prepare again for every message"
            ) from None


class Letters(NamedTuple):
    """How clients who open sums hear from one another, through the aggregator.

    Attributes:
      write: rng, directory, the client's secret, its id -> its letter, what is secret in it sealed
        for its readers. A secret writes one letter.
      collect: directory, letters of different clients -> the directory with them in it. It checks
        each letter and needs no secret.
      deliver: letters -> for each client what is sealed for it, by writer.
      read: directory with letters, the client's secret, its id, what was delivered to it -> the
        secret with which it goes on, for the sum of this directory only. A secret reads once.
      ask: directory, messages, consents given so far -> what each of their senders is asked. It
        checks the consents.
      consent: directory, the client's secret, question -> its word to its neighbours that it opens
        this sum and no other. A secret consents to one set of contributors.
    """

    write: Callable[[Rng, Directory, Secret, int], Message]
    collect: Callable[[Directory, Sequence[Message]], Directory]
    deliver: Callable[[Sequence[Message]], Mapping[int, Mapping[int, bytes]]]
    read: Callable[[Directory, Secret, int, Mapping[int, bytes]], Secret]
    ask: Callable[[Directory, Sequence[Message], Sequence[Message]], Mapping[int, Question]]
    consent: Callable[[Directory, Secret, Question], Message]


class SecureSum(NamedTuple):
    """An aggregation protocol: integers in, their exact sum out.

    Integers are signed and lie in ±(2^(bits-1) - 1), the sum is int64; anything else is refused by
    a ``ProtocolError``, never wrapped or clamped. A role that holds no key in a protocol gets an
    empty ``Secret`` and ``Public`` from ``keygen``, so that one loop runs every protocol.

    Attributes:
      name: the protocol and its key size, as in ``Header.protocol``.
      keygen: rng, role -> that role's own secret and public key. A client's are for one round.
      prepare: rng, directory, the client's secret, its id -> all that needs no data yet. Every
        random number that a message depends on has been drawn when it returns.
      protect: directory, what was prepared, vector -> the client's message, to be signed.
      combine: directory, messages of different clients, in any order -> their total. It checks each
        message and needs no secret.
      share: directory, a holder's secret, question -> its part in opening that sum. It checks the
        question: nothing that the aggregator says is believed. Holders call it through ``holder``,
        which adds what they must remember.
      open: directory, total, shares -> the sum.
      letters: what clients tell one another; None where they need not hear from one another.
      openers: who the holders are: key holders, or the clients whose messages were added.
      quorum: directory -> how many holders' shares open a total.
      check_share: directory, total, share -> nothing; it refuses a share that can be seen by itself
        to be wrong, so that others can take its place. ``open`` checks again.
      deal: what ``keygen`` made for the key holder -> each single holder's secret.
      renews: whether the key holder makes new keys for every round, as clients do.
      sights: who learns what, curious or active, alone or together.
    """

    name: str
    keygen: Callable[[Rng, Role], tuple[Secret, Public]]
    prepare: Callable[[Rng, Directory, Secret, int], Prepared]
    protect: Callable[[Directory, Prepared, Int[np.ndarray, "length"]], Message]
    combine: Callable[[Directory, Sequence[Message]], Total]
    share: Callable[[Directory, Secret, Question], Share]
    open: Callable[[Directory, Total, Sequence[Share]], Int64[np.ndarray, "length"]]
    letters: Letters | None = None
    openers: Role = Role.KEY_HOLDER
    quorum: Callable[[Directory], int] = lambda directory: 1
    check_share: Callable[[Directory, Total, Share], None] = lambda directory, total, share: None
    deal: Callable[[Secret], Sequence[Secret]] = lambda secret: (secret,)
    renews: bool = False
    sights: tuple[Sight, ...] = ()


def header(directory: Directory, protocol: str) -> Header:
    """What tells this directory's sum from all others."""
    return Header(protocol, directory.round, directory.fingerprint, directory.terms)
