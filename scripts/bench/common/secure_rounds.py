"""A round of a secure sum under the clock, and naive Paillier beside it."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import phe
from jaxtyping import Int64

from pride_jax.aggregation.messages import question_of, sign_message, to_bytes
from pride_jax.aggregation.secure_sum import (
    Directory,
    Message,
    Public,
    Role,
    Secret,
    SecureSum,
    Share,
    Terms,
    Total,
)
from pride_jax.aggregation.signatures import SigningSecret, signing_key
from pride_jax.errors import PrideError


class Lap(NamedTuple):
    """One pass through a round, in seconds a parameter, and bytes a parameter."""

    before: float
    online: float
    add: float
    decrypt: float
    bytes: float


class Round(NamedTuple):
    """A round that clients have been called to."""

    protocol: SecureSum
    directory: Directory
    secrets: Sequence[Secret]
    signing: Sequence[SigningSecret]
    vector: Int64[np.ndarray, "length"]


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
    if protocol.letters is not None:
        letters = [
            sign_message(signing[c], protocol.letters.write(os.urandom, directory, secrets[c], c))
            for c in roster
        ]
        directory = protocol.letters.collect(directory, letters)
    largest = terms.largest_value
    vector = np.random.default_rng(0).integers(-largest, largest + 1, terms.length)
    return Round(protocol, directory, secrets, signing, vector)


def protect(called: Round, client: int) -> tuple[Message, float, float]:
    """One client's message, the seconds before it had its update, and those after."""
    protocol, directory, secrets, signing, vector = called
    start = time.perf_counter()
    if protocol.letters is not None:
        # As in ``call``; what it writes now is not used.
        protocol.keygen(os.urandom, Role.CLIENT)
        sign_message(
            signing[client], protocol.letters.write(os.urandom, directory, secrets[client], client)
        )
    prepared = protocol.prepare(os.urandom, directory, secrets[client], client)
    ready = time.perf_counter()
    message = sign_message(signing[client], protocol.protect(directory, prepared, vector))
    return message, ready - start, time.perf_counter() - ready


def laps_of(
    called: Round, key_holder: tuple[Secret, Public], messages: Sequence[Message]
) -> Callable[[], Lap]:
    """A lap through the round; the first checks the sum, too."""
    protocol, directory, _, _, vector = called
    sent = bytes_sent(called, messages[0])
    is_checked = False

    def lap() -> Lap:
        nonlocal is_checked
        _, before, online = protect(called, 0)
        start = time.perf_counter()
        total = protocol.combine(directory, messages)
        added = time.perf_counter()
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
    shares, times = [], [time.perf_counter()]
    for share in shares_of(called, key_holder, messages):
        shares.append(share)
        times.append(time.perf_counter())
    summed = protocol.open(directory, total, shares)
    return float(np.diff(times).max()), time.perf_counter() - times[-1], summed


def shares_of(
    called: Round, key_holder: tuple[Secret, Public], messages: Sequence[Message]
) -> Iterator[Share]:
    """What as many holders as it takes give, one after another."""
    protocol, directory = called.protocol, called.directory
    holders, question = protocol.deal(key_holder[0]), question_of(messages)
    if protocol.openers == Role.CLIENT:
        holders, question = called.secrets, question._replace(enclosed=())
    for holder in holders[: protocol.quorum(directory)]:
        yield protocol.share(directory, holder, question)


def naive_lap(keys: tuple[phe.PaillierPublicKey, phe.PaillierPrivateKey], values: int) -> Lap:
    """Encrypts, adds and decrypts floats one by one."""
    public, private = keys
    floats = np.random.default_rng(0).normal(size=values).tolist()
    start = time.perf_counter()
    ciphertexts = [public.encrypt(value) for value in floats]
    encrypted = time.perf_counter()
    sums = [ciphertext + ciphertext for ciphertext in ciphertexts]
    added = time.perf_counter()
    for each in sums:
        private.decrypt(each)
    decrypted = time.perf_counter()
    return Lap(
        0.0,
        (encrypted - start) / values,
        (added - encrypted) / values,
        (decrypted - added) / values,
        2 * public.n.bit_length() / 8,
    )


def bytes_sent(called: Round, message: Message) -> int:
    """What a client sends in the round: its message, its key and its letter."""
    directory, client = called.directory, message.client
    sent = len(to_bytes(message)) + len(directory.keys[client].to_bytes())
    if client in directory.letters:
        sent += len(to_bytes(directory.letters[client]))
    return sent
