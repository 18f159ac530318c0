"""All roles of a secure sum in one process, for simulation: who would do what, in order, timed."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int64

from pride_jax.aggregation.books import Rules, check_cohort
from pride_jax.aggregation.checks import open_sum, sift
from pride_jax.aggregation.holder import Holder, help_open
from pride_jax.aggregation.messages import from_bytes, question_of, sign_message, to_bytes
from pride_jax.aggregation.refusals import BurntError, MessageError
from pride_jax.aggregation.round_keys import sign_round_keys
from pride_jax.aggregation.secure_sum import (
    Directory,
    Message,
    Prepared,
    Public,
    Question,
    Rng,
    Role,
    Secret,
    SecureSum,
    Share,
)
from pride_jax.aggregation.signatures import SigningSecret, signing_key
from pride_jax.aggregation.terms import Terms
from pride_jax.errors import ProtocolError, TooFewError
from pride_jax.progress import Tell, counted, silent

_RUN_BYTES = 16

Network = Callable[[Sequence[bytes]], Sequence[bytes]]
"""The messages that clients send -> those that the aggregator receives."""


class Transport(NamedTuple):
    """What a sum cost; times are in seconds.

    In a simulation one process plays every role. Of real clients nobody else knows their times,
    which are None, and the time to combine and open includes their answers.

    Attributes:
      lost: clients that were announced and are not in the sum.
      bytes_sent: by all clients: keys of the round, letters, messages, consents and shares.
      prepare_seconds: of all clients, before they have their updates.
      protect_seconds: of all clients.
      combine_seconds: of the aggregator.
      open_seconds: of the holders and the aggregator; key holders combine the messages, too.
    """

    lost: int
    bytes_sent: int
    prepare_seconds: float | None
    protect_seconds: float | None
    combine_seconds: float
    open_seconds: float

    def seconds(self) -> list[tuple[str, float]]:
        """Each stage's name and time."""
        return [
            (name.removesuffix("_seconds"), value)
            for name, value in self._asdict().items()
            if name.endswith("_seconds") and value is not None
        ]


class Client(NamedTuple):
    """A client that was called to a sum."""

    id: int
    secret: Secret
    signing: SigningSecret
    prepared: Prepared


class Announced(NamedTuple):
    """A sum that clients have been called to, what they prepared for it, and what that cost.

    ``dealt`` is what the key holder's ``keygen`` made.
    """

    directory: Directory
    dealt: Secret
    clients: tuple[Client, ...]
    bytes_sent: int
    seconds: float


class Added(NamedTuple):
    """A sum, and who is in it.

    Attributes:
      total: the sum of the contributors' rows.
      contributors: ascending; of those announced, the others are not in the sum.
      refused: why each message that arrived and was not added, or share that did not fit, was
        refused.
      transport: what it cost.
    """

    total: Int64[np.ndarray, "length"]
    contributors: tuple[int, ...]
    refused: tuple[MessageError, ...]
    transport: Transport


class Aggregator(NamedTuple):
    """A secure sum as two calls.

    Attributes:
      announce: round, client ids, the fewest whose sum is opened, SHA-256 of what clients train
        from -> clients prepare; it can run while the device trains.
      add: the announced sum, one row of integers a client in the order announced -> their exact
        sum, without those whose messages were lost or refused, as far as the protocol allows. It
        raises TooFewError, and opens nothing, when fewer are left than were asked for, and
        BurntError where a message spoils the sum.
    """

    announce: Callable[[int, Sequence[int], int, bytes], Announced]
    add: Callable[[Announced, Int[np.ndarray, "clients length"]], Added]


def perfect(messages: Sequence[bytes]) -> Sequence[bytes]:
    """A network that delivers everything."""
    return messages


def simulate(
    protocol: SecureSum,
    terms: Terms,
    key_holder: tuple[Secret, Public],
    rng: Rng,
    network: Network = perfect,
    empty: frozenset[int] = frozenset(),
    tell: Tell = silent,
) -> Aggregator:
    """Plays clients, aggregator and holders.

    Clients enrol a new signing key, and everyone's books begin, with every ``announce``: so a round
    can be played again from the same state, which real clients and holders would refuse.

    Args:
      protocol: how the sum is protected.
      terms: what is summed; a round may ask for more clients than ``smallest_cohort``.
      key_holder: its keys, from ``protocol.keygen(rng, Role.KEY_HOLDER)``; a protocol that renews
        them does so with every ``announce``.
      rng: of the clients; ``os.urandom``.
      network: what it does to the clients' messages.
      empty: clients without examples, who do not count for ``smallest_cohort``.
      tell: told how many clients have done their part, and so how many were called.
    """
    run = rng(_RUN_BYTES)

    def rules(round_: int, smallest_cohort: int) -> Rules:
        return Rules(round_ + 1, 1, smallest_cohort, 1, empty)

    def announce(
        round_: int, clients: Sequence[int], smallest_cohort: int, model: bytes
    ) -> Announced:
        start = time.perf_counter()
        check_cohort(rules(round_, smallest_cohort), round_, clients)
        asked = dataclasses.replace(terms, smallest_cohort=smallest_cohort)
        dealt, public = protocol.keygen(rng, Role.KEY_HOLDER) if protocol.renews else key_holder
        signing = {client: signing_key(rng) for client in clients}
        signers = {client: key.public for client, key in signing.items()}
        keys = {client: protocol.keygen(rng, Role.CLIENT) for client in clients}
        publics = {client: key for client, (_, key) in keys.items()}
        directory = Directory(
            round_,
            tuple(clients),
            asked,
            {Role.KEY_HOLDER: public, **publics},
            signers,
            model=model,
            run=run,
        )
        secrets = {client: secret for client, (secret, _) in keys.items()}
        sent = sum(len(key.to_bytes()) for key in publics.values())
        if protocol.letters is not None:
            signatures = {
                client: sign_round_keys(signing[client], run, round_, client, key)
                for client, key in publics.items()
            }
            directory = dataclasses.replace(directory, key_signatures=signatures)
            directory, secrets, letters = exchange(directory, secrets, signing)
            sent += letters + sum(map(len, signatures.values()))
        called = tuple(
            Client(
                client,
                secrets[client],
                signing[client],
                protocol.prepare(rng, directory, secrets[client], client),
            )
            for client in counted(tell, "clients prepare", clients)
        )
        return Announced(directory, dealt, called, sent, time.perf_counter() - start)

    def exchange(
        directory: Directory, secrets: dict[int, Secret], signing: dict[int, SigningSecret]
    ) -> tuple[Directory, dict[int, Secret], int]:
        """Clients' letters written and read: the directory, their secrets, the bytes."""
        assert protocol.letters is not None
        letters = [
            sign_message(signing[client], protocol.letters.write(rng, directory, secret, client))
            for client, secret in counted(tell, "letters written", secrets.items())
        ]
        directory = protocol.letters.collect(directory, letters)
        mail = protocol.letters.deliver(letters)
        read = {
            client: protocol.letters.read(directory, secret, client, mail.get(client, {}))
            for client, secret in counted(tell, "letters read", secrets.items())
        }
        return directory, read, sum(len(to_bytes(letter)) for letter in letters)

    def add(announced: Announced, rows: Int[np.ndarray, "clients length"]) -> Added:
        directory = announced.directory
        pairs = list(zip(announced.clients, rows, strict=True))
        times = [time.perf_counter()]
        sent = [
            to_bytes(
                sign_message(client.signing, protocol.protect(directory, client.prepared, row))
            )
            for client, row in counted(tell, "clients protect their updates", pairs)
        ]
        times.append(time.perf_counter())
        messages, unreadable = _read(network(sent))
        tell("adding messages", 0, 0)
        total, accepted, refused = sift(partial(protocol.combine, directory), messages)
        times.append(time.perf_counter())
        tell("opening the sum", 0, 0)
        try:
            shares, consents = ask_holders(announced, accepted)
            summed, false = open_sum(protocol, directory, total, shares)
        except (TooFewError, BurntError):
            raise
        except ProtocolError as error:
            # A holder that refuses has seen whose message it is; a sum does not show it.
            named = error.client if isinstance(error, MessageError) else None
            candidates = total.contributors if named is None else (named,)
            raise BurntError(directory.round, candidates, str(error)) from error
        times.append(time.perf_counter())
        bytes_sent = announced.bytes_sent + sum(map(len, sent)) + consents
        if protocol.openers == Role.CLIENT:
            bytes_sent += sum(len(share.body) for share in shares)
        lost = len(announced.clients) - len(total.contributors)
        transport = Transport(lost, bytes_sent, announced.seconds, *np.diff(times).tolist())
        return Added(summed, total.contributors, (*unreadable, *refused, *false), transport)

    def ask_holders(announced: Announced, accepted: Sequence[Message]) -> tuple[list[Share], int]:
        """The shares of as many holders as it takes, or of all clients; bytes of consents.

        Each holder has books of its own.
        """
        directory = announced.directory

        def help_with(secret: Secret, question: Question) -> Share:
            own = rules(directory.round, terms.smallest_cohort)
            holder = Holder(secret, directory.signers or {}, own)
            return help_open(protocol, holder, directory, question)[0]

        if protocol.letters is None:
            holders = protocol.deal(announced.dealt)[: protocol.quorum(directory)]
            asked = counted(tell, "key holders open the sum", holders)
            return [help_with(secret, question_of(accepted)) for secret in asked], 0
        questions = protocol.letters.ask(directory, accepted, [])
        asked = [client for client in announced.clients if client.id in questions]
        consents = [
            sign_message(
                client.signing,
                protocol.letters.consent(directory, client.secret, questions[client.id]),
            )
            for client in asked
        ]
        questions = protocol.letters.ask(directory, accepted, consents)
        helping = counted(tell, "clients open the sum", asked)
        shares = [help_with(client.secret, questions[client.id]) for client in helping]
        return shares, sum(len(to_bytes(consent)) for consent in consents)

    return Aggregator(announce, add)


def _read(received: Sequence[bytes]) -> tuple[list[Message], list[MessageError]]:
    messages, unreadable = [], []
    for data in received:
        try:
            messages.append(from_bytes(data))
        except MessageError as error:
            unreadable.append(error)
    return messages, unreadable
