"""The protocols under test, and every role of one round of them."""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import NamedTuple

import numpy as np

from pride_jax.aggregation.books import Rules
from pride_jax.aggregation.lattice.parameters import Lattice, lattice_of
from pride_jax.aggregation.messages import question_of, sign_message
from pride_jax.aggregation.protocols.bfv import bfv
from pride_jax.aggregation.protocols.lattice import lattice
from pride_jax.aggregation.protocols.masking import masking
from pride_jax.aggregation.protocols.paillier import paillier
from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.protocols.threshold import threshold_paillier
from pride_jax.aggregation.protocols.two_servers import two_servers
from pride_jax.aggregation.round_keys import RoundKeys, round_keys_from_bytes, sign_round_keys
from pride_jax.aggregation.secure_sum import (
    Directory,
    Message,
    Prepared,
    Public,
    Question,
    Role,
    Secret,
    SecureSum,
    Share,
    Total,
)
from pride_jax.aggregation.signatures import SigningSecret, signing_key
from pride_jax.aggregation.terms import Terms


class Case(NamedTuple):
    """A protocol that the suite in ``test_secure_sum`` runs over.

    Attributes:
      make: the protocol; also called in another process.
      crowd: as large a cohort as the suite has time for.
      error: terms, contributors -> how far a value may be from the exact sum.
    """

    make: Callable[[], SecureSum]
    crowd: int = 256
    error: Callable[[Terms, int], float] = lambda terms, contributors: 0.0


def breakable_ring(terms: Terms) -> Lattice:
    """Of so small a degree that keys are quickly added."""
    return lattice_of(terms)._replace(degree=256)


def key_apart(make: Callable[[], SecureSum]) -> SecureSum:
    """Through that protocol."""
    return lattice(make(), breakable_ring)


_DIRECT = {
    "plain": Case(plain),
    "two_servers": Case(two_servers),
    "paillier": Case(partial(paillier, key_bits=1024)),
    "threshold": Case(partial(threshold_paillier, key_bits=1024, holders=3, threshold=2)),
    "bfv": Case(bfv),
    "masking": Case(masking, crowd=20),
    "masking-curious": Case(partial(masking, "curious", 1 / 10, 1 / 10), crowd=80),
}
_APART = {
    f"lattice({name})": Case(partial(key_apart, _DIRECT[name].make), crowd=20)
    for name in ("two_servers", "paillier", "masking")
}
CASES = _DIRECT | _APART
"""Add a line here to have a protocol tested."""


def rules(smallest_cohort: int) -> Rules:
    """What a holder lets a run ask: all but cohorts that are too small."""
    return Rules(rounds=2**31, releases=2**31, smallest_cohort=smallest_cohort, most_refused=2**31)


@functools.cache
def signing(client: int) -> SigningSecret:
    """The key that a client has enrolled, in all directories that ask for signatures."""
    return signing_key(os.urandom)


@dataclass
class Party:
    """A protocol with its key holder's keys, and the clients' keys of each round.

    With ``signed``, directories ask for signatures and ``protect`` gives signed messages.
    """

    protocol: SecureSum
    secret: Secret
    public: Public
    signed: bool = False
    crowd: int = 256
    error: Callable[[Terms, int], float] = lambda terms, contributors: 0.0
    _secrets: dict[bytes, dict[int, Secret]] = field(default_factory=dict)
    _written: dict[bytes, dict[int, tuple[Secret, Mapping[int, bytes]]]] = field(
        default_factory=dict
    )

    def announce(
        self,
        roster: Sequence[int],
        length: int,
        bits: int = 16,
        round: int = 3,
        smallest: int = 1,
        largest: int = 128,
    ) -> Directory:
        """A round before letters."""
        roster = tuple(roster)
        made = {client: self.protocol.keygen(os.urandom, Role.CLIENT) for client in roster}
        # Clients without a key are left out, so that a directory depends on nothing but its keys.
        keys = {client: public for client, (_, public) in made.items() if public != Public()}
        signers = {client: signing(client).public for client in roster} if self.signed else None
        directory = Directory(
            round,
            roster,
            Terms(length, bits, 1.0, smallest, largest),
            {Role.KEY_HOLDER: self.public, **keys},
            signers,
            self.signatures(round, keys),
        )
        secrets = self._secrets.setdefault(directory.fingerprint, {})
        secrets.update((client, made[client][0]) for client in roster)
        return directory

    def signatures(self, round: int, keys: Mapping[int, Public]) -> dict[int, bytes]:
        """Of the clients' keys of a round, by whose they are."""
        return {
            client: sign_round_keys(signing(client), b"", round, client, key)
            for client, key in keys.items()
        }

    def write(self, directory: Directory, writers: Sequence[int]) -> list[Message]:
        """Those clients' letters."""
        assert self.protocol.letters is not None
        secrets = self._secrets[directory.fingerprint]
        write = self.protocol.letters.write
        return [
            self.sign(write(os.urandom, directory, secrets[client], client)) for client in writers
        ]

    def exchange(
        self, directory: Directory, writers: Sequence[int], letters: Sequence[Message] = ()
    ) -> Directory:
        """The round with those clients' letters, which each of them has read."""
        assert self.protocol.letters is not None
        written = letters or self.write(directory, writers)
        collected = self.protocol.letters.collect(directory, written)
        mail = self.protocol.letters.deliver(written)
        secrets = self._secrets[directory.fingerprint]
        self._secrets[collected.fingerprint] = {
            client: self.read(collected, secrets[client], client, mail.get(client, {}))
            for client in writers
        }
        self._written[collected.fingerprint] = {
            client: (secrets[client], mail.get(client, {})) for client in writers
        }
        return collected

    def read(
        self, directory: Directory, secret: Secret, client: int, mail: Mapping[int, bytes]
    ) -> Secret:
        """The client in the sum of this directory: of a copy of its keys, which read once."""
        assert self.protocol.letters is not None
        assert isinstance(secret, RoundKeys)
        copy = round_keys_from_bytes(secret.to_bytes())
        return self.protocol.letters.read(directory, copy, client, mail)

    def directory(self, roster: Sequence[int], length: int, **settings: int) -> Directory:
        """A round in which everybody is ready to prepare."""
        directory = self.announce(roster, length, **settings)
        return directory if self.protocol.letters is None else self.exchange(directory, roster)

    def client_secret(self, directory: Directory, client: int) -> Secret:
        return self._secrets.get(directory.fingerprint, {}).get(client, Secret())

    def fewest(self, directory: Directory) -> int:
        """How many clients a sum needs."""
        opened_by_clients = self.protocol.openers == Role.CLIENT
        return max(2, self.protocol.quorum(directory)) if opened_by_clients else 1

    def prepare(self, directory: Directory, client: int) -> Prepared:
        """Again and again, as a client that keeps no books would."""
        secret = self.client_secret(directory, client)
        if client in self._written.get(directory.fingerprint, {}):
            keys, mail = self._written[directory.fingerprint][client]
            secret = self.read(directory, keys, client, mail)
        return self.protocol.prepare(os.urandom, directory, secret, client)

    def sign(self, message: Message) -> Message:
        """The message, signed as its client would."""
        return sign_message(signing(message.client), message) if self.signed else message

    def protect(self, directory: Directory, client: int, vector: np.ndarray) -> Message:
        return self.sign(self.protocol.protect(directory, self.prepare(directory, client), vector))

    def holders(self, directory: Directory, total: Total) -> list[Secret]:
        """Secrets of as many key holders as it takes to open a total, or of all its clients."""
        if self.protocol.openers == Role.CLIENT:
            return [self.client_secret(directory, client) for client in total.contributors]
        return list(self.protocol.deal(self.secret))[: self.protocol.quorum(directory)]

    def consents(self, directory: Directory, messages: Sequence[Message]) -> list[Message]:
        """What contributors say to those whom they help."""
        letters = self.protocol.letters
        assert letters is not None
        return [
            self.sign(letters.consent(directory, self.client_secret(directory, client), question))
            for client, question in letters.ask(directory, messages, []).items()
        ]

    def questions(self, directory: Directory, messages: Sequence[Message]) -> list[Question]:
        """What each of ``holders`` is asked about messages."""
        letters = self.protocol.letters
        if letters is not None:
            consents = self.consents(directory, messages)
            return list(letters.ask(directory, messages, consents).values())
        return [question_of(messages)] * self.protocol.quorum(directory)

    def shares(self, directory: Directory, messages: Sequence[Message]) -> list[Share]:
        total = self.protocol.combine(directory, messages)
        holders, questions = self.holders(directory, total), self.questions(directory, messages)
        return [
            self.protocol.share(directory, secret, question)
            for secret, question in zip(holders, questions, strict=True)
        ]

    def reveal(self, directory: Directory, messages: Sequence[Message]) -> np.ndarray:
        total = self.protocol.combine(directory, messages)
        return self.protocol.open(directory, total, self.shares(directory, messages))

    def sum(self, directory: Directory, vectors: Mapping[int, np.ndarray]) -> np.ndarray:
        messages = [self.protect(directory, client, vector) for client, vector in vectors.items()]
        return self.reveal(directory, messages)

    def check_sum(
        self, directory: Directory, vectors: Mapping[int, np.ndarray], summed: np.ndarray
    ) -> None:
        """Fails unless ``summed`` is the sum of the vectors."""
        expected = np.sum(list(vectors.values()), axis=0)
        assert summed.dtype == np.int64
        assert np.abs(summed - expected).max() <= self.error(directory.terms, len(vectors))


def party_of(protocol: SecureSum) -> Party:
    """A protocol whose messages are not signed: damage reaches its own checks."""
    return Party(protocol, *protocol.keygen(os.urandom, Role.KEY_HOLDER))


def party_apart(name: str) -> Party:
    """One of ``CASES`` through which keys are sent, with signatures."""
    return replace(party_of(key_apart(CASES[name].make)), signed=True)


def party_of_case(name: str) -> Party:
    """One of ``CASES``, with signatures."""
    case = CASES[name]
    return replace(party_of(case.make()), signed=True, crowd=case.crowd, error=case.error)
