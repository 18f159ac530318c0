"""A round of masking with everybody played by this process, and one client of a larger round."""

import dataclasses
import os
import time
from collections.abc import Mapping

import numpy as np

from pride_jax.aggregation.messages import sign_message, to_bytes
from pride_jax.aggregation.neighbours import ServerModel
from pride_jax.aggregation.protocols.masking import masking
from pride_jax.aggregation.round_keys import (
    BOX_BYTES,
    RoundKeys,
    seal,
    sign_round_keys,
)
from pride_jax.aggregation.secret_sharing import SHARE_BYTES
from pride_jax.aggregation.secure_sum import (
    Directory,
    Letter,
    Public,
    Question,
    Role,
    Secret,
    SecureSum,
    header,
)
from pride_jax.aggregation.signatures import SigningSecret, signing_key
from pride_jax.aggregation.terms import Terms
from pride_jax.errors import PrideError


class Clock:
    """Processor seconds by step: each from the last mark to its own."""

    def __init__(self) -> None:
        self.steps: dict[str, float] = {}
        self._last = time.process_time()

    def mark(self, step: str) -> None:
        """Ends a step."""
        now = time.process_time()
        self.steps[step] = self.steps.get(step, 0.0) + now - self._last
        self._last = now


def played(
    server: ServerModel, silent: float, clients: int, gone: int, params: int, bits: int
) -> tuple[dict[str, float], int]:
    """Processor seconds of each step of a round, and the bytes that all clients send.

    Args:
      server: whom the protocol protects against.
      silent: the largest share of clients that it lets fall silent; a third may be corrupted.
      clients: in the round.
      gone: of these, how many fall silent once their letters are written.
      params: length of a vector.
      bits: of a value.

    Raises:
      PrideError: the sum is not the sum.
    """
    protocol, terms = masking(server, 1 / 3, silent), Terms(params, bits, 1.0, 2, clients)
    ways = protocol.letters
    assert ways is not None
    rng, largest = np.random.default_rng(0), terms.largest_value
    rows = rng.integers(-largest, largest, (clients, params), np.int32, endpoint=True)
    signing = [signing_key(os.urandom) for _ in range(clients)]
    clock = Clock()
    directory, secrets = _called(protocol, terms, signing)
    clock.mark("keys")
    letters = [
        sign_message(signing[client], ways.write(os.urandom, directory, secret, client))
        for client, secret in secrets.items()
    ]
    sent = sum(len(to_bytes(letter)) for letter in letters)
    clock.mark("letters")
    directory = ways.collect(directory, letters)
    mail = ways.deliver(letters)
    clock.mark("collecting")
    members = {c: ways.read(directory, secret, c, mail[c]) for c, secret in secrets.items()}
    clock.mark("reading")
    prepared = {
        c: protocol.prepare(os.urandom, directory, member, c) for c, member in members.items()
    }
    clock.mark("masks")
    messages = [
        sign_message(signing[c], protocol.protect(directory, each, rows[c]))
        for c, each in prepared.items()
    ][gone:]
    sent += sum(len(to_bytes(message)) for message in messages)
    clock.mark("messages")
    total = protocol.combine(directory, messages)
    clock.mark("combining")
    told = ways.ask(directory, messages, [])
    consents = [
        sign_message(signing[c], ways.consent(directory, members[c], question))
        for c, question in told.items()
    ]
    told = ways.ask(directory, messages, consents)
    clock.mark("consents")
    shares = [protocol.share(directory, members[c], question) for c, question in told.items()]
    clock.mark("shares")
    summed = protocol.open(directory, total, shares)
    clock.mark("opening")
    if not np.array_equal(summed, rows[gone:].sum(0, dtype=np.int64)):
        raise PrideError(f"{protocol.name} gave another sum than plain addition")
    keys = sum(len(each.to_bytes()) for c, each in directory.keys.items() if c in secrets)
    keys += sum(map(len, directory.key_signatures.values()))
    sent += keys + sum(len(to_bytes(each)) for each in consents)
    return clock.steps, sent + sum(len(share.body) for share in shares)


def one_client(clients: int, params: int, bits: int) -> tuple[dict[str, float], int, int]:
    """Processor seconds of one client's steps until its vector is sent, its bytes, letters read.

    Others make their keys, and as many as each helps on average seal boxes for it; what they seal
    opens no sum.
    """
    protocol, terms = masking(), Terms(params, bits, 1.0, 2, clients)
    ways, me = protocol.letters, 0
    assert ways is not None
    signing = [signing_key(os.urandom) for _ in range(clients)]
    directory, secrets = _called(protocol, terms, signing)
    clock = Clock()
    own, public = protocol.keygen(os.urandom, Role.CLIENT)
    signature = sign_round_keys(signing[me], b"", 0, me, public)
    clock.mark("keys")
    directory = dataclasses.replace(
        directory,
        keys={**directory.keys, me: public},
        key_signatures={**directory.key_signatures, me: signature},
    )
    letter = sign_message(signing[me], ways.write(os.urandom, directory, own, me))
    clock.mark("letter")
    helpers = len(letter.body) // BOX_BYTES
    writers = np.random.default_rng(0).choice(np.arange(1, clients), helpers - 1, replace=False)
    mail = {me: letter.body[:BOX_BYTES]} | _boxes(directory, secrets, writers.tolist(), me)
    # Of the others' letters a client is told the digests alone.
    there = {client: Letter(os.urandom(32)) for client in range(clients)}
    collected = dataclasses.replace(directory, letters=there)
    clock.mark("not its own")
    member = ways.read(collected, own, me, mail)
    clock.mark("reading")
    prepared = protocol.prepare(os.urandom, collected, member, me)
    clock.mark("masks")
    vector = np.zeros(params, np.int64)
    message = sign_message(signing[me], protocol.protect(collected, prepared, vector))
    clock.mark("message")
    question = Question(header(collected, protocol.name), tuple(range(clients)))
    consent = sign_message(signing[me], ways.consent(collected, member, question))
    clock.mark("consent")
    del clock.steps["not its own"]
    sent = len(public.to_bytes()) + len(signature)
    sent += sum(len(to_bytes(each)) for each in (letter, message, consent))
    return clock.steps, sent, len(mail)


def _called(
    protocol: SecureSum, terms: Terms, signing: list[SigningSecret]
) -> tuple[Directory, dict[int, Secret]]:
    """A round before letters, and its clients' secrets."""
    made = [protocol.keygen(os.urandom, Role.CLIENT) for _ in signing]
    directory = Directory(
        0,
        tuple(range(len(signing))),
        terms,
        {Role.KEY_HOLDER: Public(), **{c: public for c, (_, public) in enumerate(made)}},
        {c: key.public for c, key in enumerate(signing)},
        {
            c: sign_round_keys(key, b"", 0, c, public)
            for c, (key, (_, public)) in enumerate(zip(signing, made, strict=True))
        },
    )
    return directory, {c: secret for c, (secret, _) in enumerate(made)}


def _boxes(
    directory: Directory, secrets: Mapping[int, Secret], writers: list[int], reader: int
) -> dict[int, bytes]:
    """What some writers seal for one reader."""
    found = {}
    for writer in writers:
        keys = secrets[writer]
        assert isinstance(keys, RoundKeys)
        pair = keys.pair(directory, writer, reader)
        found[writer] = seal(pair, os.urandom(2 * SHARE_BYTES))
    return found
