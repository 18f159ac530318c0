"""A round of a secure sum under the clock, and naive Paillier beside it."""

import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import phe
from jaxtyping import Int64

from pride_jax.aggregation.messages import question_of, sign_message, to_bytes
from pride_jax.aggregation.round_keys import (
    BOX_BYTES,
    TAG_BYTES,
    RoundKeys,
    round_keys_from_bytes,
    sign_round_keys,
)
from pride_jax.aggregation.secure_sum import (
    Directory,
    Message,
    Public,
    Role,
    Secret,
    SecureSum,
    Share,
    Total,
)
from pride_jax.aggregation.signatures import SigningSecret, signing_key
from pride_jax.aggregation.terms import Terms
from pride_jax.errors import PrideError


class Lap(NamedTuple):
    """One pass through a round, in seconds a parameter, and bytes a parameter."""

    before: float
    online: float
    add: float
    decrypt: float
    bytes: float


class Round(NamedTuple):
    """A round that clients have been called to.

    Attributes:
      protocol: how they add.
      directory: the round.
      secrets: the clients'.
      signing: what each signs with.
      vector: what each sends.
      keys: of the clients, before they wrote letters, where there are any; in bytes, since they
        write one.
      written: the same after they did.
      mail: what was sealed for each in others' letters.
      clock: seconds, of the processor where one core works alone: other work does not count then.
    """

    protocol: SecureSum
    directory: Directory
    secrets: Sequence[Secret]
    signing: Sequence[SigningSecret]
    vector: Int64[np.ndarray, "length"]
    keys: Sequence[bytes] = ()
    written: Sequence[bytes] = ()
    mail: Mapping[int, Mapping[int, bytes]] = {}
    clock: Callable[[], float] = time.process_time


def call(
    protocol: SecureSum, key_holder: tuple[Secret, Public], terms: Terms, clients: int
) -> Round:
    """Calls clients to a round: each has made its keys, and written its letter where there are any.

    Args:
      protocol: how they add.
      key_holder: what its ``keygen`` gave for the key holder.
      terms: what they add.
      clients: how many.
    """
    roster = tuple(range(clients))
    signing = [signing_key(os.urandom) for _ in roster]
    keys = [protocol.keygen(os.urandom, Role.CLIENT) for _ in roster]
    directory = Directory(
        0,
        roster,
        terms,
        {Role.KEY_HOLDER: key_holder[1], **{c: keys[c][1] for c in roster}},
        {c: signing[c].public for c in roster},
    )
    secrets = [secret for secret, _ in keys]
    largest = terms.largest_value
    vector = np.random.default_rng(0).integers(-largest, largest + 1, terms.length)
    if protocol.letters is None:
        return Round(protocol, directory, secrets, signing, vector)
    signatures = {c: sign_round_keys(signing[c], b"", 0, c, keys[c][1]) for c in roster}
    directory = dataclasses.replace(directory, key_signatures=signatures)
    fresh = [_bytes_of(secret) for secret in secrets]
    letters = [
        sign_message(signing[c], protocol.letters.write(os.urandom, directory, secrets[c], c))
        for c in roster
    ]
    written = [_bytes_of(secret) for secret in secrets]
    directory, mail = (
        protocol.letters.collect(directory, letters),
        protocol.letters.deliver(letters),
    )
    members = [protocol.letters.read(directory, secrets[c], c, mail[c]) for c in roster]
    return Round(protocol, directory, members, signing, vector, fresh, written, mail)


def _bytes_of(secret: Secret) -> bytes:
    assert isinstance(secret, RoundKeys)
    return secret.to_bytes()


def member_of(called: Round, client: int) -> Secret:
    """What a client of a protocol with letters knows once it has read them."""
    assert called.protocol.letters is not None
    written = round_keys_from_bytes(called.written[client])
    return called.protocol.letters.read(called.directory, written, client, called.mail[client])


def protect(called: Round, client: int) -> tuple[Message, float, float]:
    """One client's message, the seconds before it had its update, and those after."""
    protocol, directory, secrets, signing, vector, *_ = called
    start = called.clock()
    secret, letters = secrets[client], protocol.letters
    if letters is not None:
        # As in ``call``; what it writes now is not used.
        protocol.keygen(os.urandom, Role.CLIENT)
        keys = round_keys_from_bytes(called.keys[client])
        letter = letters.write(os.urandom, directory.before_letters, keys, client)
        sign_message(signing[client], letter)
        secret = member_of(called, client)
    prepared = protocol.prepare(os.urandom, directory, secret, client)
    ready = called.clock()
    message = sign_message(signing[client], protocol.protect(directory, prepared, vector))
    return message, ready - start, called.clock() - ready


def laps_of(
    called: Round, key_holder: tuple[Secret, Public], messages: Sequence[Message]
) -> Callable[[], Lap]:
    """A lap through the round; the first checks the sum, too."""
    protocol, directory, _, _, vector, *_ = called
    sent = bytes_sent(called, messages[0])
    is_checked = False

    def lap() -> Lap:
        nonlocal is_checked
        _, before, online = protect(called, 0)
        start = called.clock()
        total = protocol.combine(directory, messages)
        added = called.clock()
        share_seconds, open_seconds, summed = _open(called, key_holder, messages, total)
        if not is_checked and not np.array_equal(summed, len(messages) * vector):
            raise PrideError(
                f"{protocol.name} gave another sum than plain addition: its times mean nothing"
            )
        is_checked = True
        return Lap(
            before / len(vector),
            online / len(vector),
            (added - start) / len(messages) / len(vector),
            (share_seconds + open_seconds) / len(vector),
            sent / len(vector),
        )

    # Starts the workers and fills their tables.
    protect(called, 0)
    return lap


def _open(
    called: Round,
    key_holder: tuple[Secret, Public],
    messages: Sequence[Message],
    total: Total,
) -> tuple[float, float, Int64[np.ndarray, "length"]]:
    """Seconds of the slowest holder, seconds of opening, and the sum."""
    protocol, directory = called.protocol, called.directory
    shares, times = [], [called.clock()]
    for share in shares_of(called, key_holder, messages):
        shares.append(share)
        times.append(called.clock())
    summed = protocol.open(directory, total, shares)
    return float(np.diff(times).max()), called.clock() - times[-1], summed


def shares_of(
    called: Round, key_holder: tuple[Secret, Public], messages: Sequence[Message]
) -> Iterator[Share]:
    """What as many holders as it takes give, one after another."""
    protocol, directory = called.protocol, called.directory
    holders, questions = protocol.deal(key_holder[0]), itertools.repeat(question_of(messages))
    if protocol.letters is not None:
        told = protocol.letters.ask(directory, messages, [])
        holders = [called.secrets[client] for client in told]
        consents = [
            sign_message(
                called.signing[client],
                protocol.letters.consent(directory, called.secrets[client], question),
            )
            for client, question in told.items()
        ]
        questions = protocol.letters.ask(directory, messages, consents).values()
    for holder, question in zip(holders[: protocol.quorum(directory)], questions, strict=False):
        yield protocol.share(directory, holder, question)


def naive_lap(keys: tuple[phe.PaillierPublicKey, phe.PaillierPrivateKey], values: int) -> Lap:
    """Encrypts, adds and decrypts floats one by one."""
    public, private = keys
    floats = np.random.default_rng(0).normal(size=values).tolist()
    start = time.process_time()
    ciphertexts = [public.encrypt(value) for value in floats]
    encrypted = time.process_time()
    sums = [ciphertext + ciphertext for ciphertext in ciphertexts]
    added = time.process_time()
    for each in sums:
        private.decrypt(each)
    decrypted = time.process_time()
    return Lap(
        0.0,
        (encrypted - start) / values,
        (added - encrypted) / values,
        (decrypted - added) / values,
        2 * public.n.bit_length() / 8,
    )


def bytes_sent(called: Round, message: Message) -> int:
    """What a client sends in the round: its message, its signed key, its letter and its consent."""
    directory, client = called.directory, message.client
    sent = len(to_bytes(message)) + len(directory.keys[client].to_bytes())
    if client in directory.letters:
        overhead = len(to_bytes(message._replace(body=b"", enclosed=b"")))
        helpers = len(directory.letters[client].readers)
        helped = sum(client in letter.readers for letter in directory.letters.values())
        sent += len(directory.key_signatures[client]) + 2 * overhead
        sent += helpers * (BOX_BYTES + 8) + helped * TAG_BYTES
    return sent
