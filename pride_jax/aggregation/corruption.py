"""Random damage to everything that crosses a wire, and what becomes of it."""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from pride_jax.aggregation.consents import writers_of
from pride_jax.aggregation.holder_keys import key_from_bytes
from pride_jax.aggregation.letters import ids_from_bytes, ids_to_bytes
from pride_jax.aggregation.messages import (
    enclosed_from_bytes,
    enclosed_to_bytes,
    from_bytes,
    question_of,
    to_bytes,
)
from pride_jax.aggregation.refusals import DoesNotOpenError, WrongSignatureError
from pride_jax.aggregation.round_keys import (
    Member,
    RoundKeys,
    are_signed_by,
    public_from_bytes,
    unseal,
)
from pride_jax.aggregation.secure_sum import (
    Directory,
    Message,
    Note,
    Question,
    Secret,
    SecureSum,
    Share,
)
from pride_jax.aggregation.shares import share_from_bytes, signed_share
from pride_jax.aggregation.signatures import SIGNATURE_BYTES, SigningSecret
from pride_jax.errors import ProtocolError

ACCEPTED = "accepted"
_HEADER_BYTES, _ID_BYTES = 132, 8


class Wire(NamedTuple):
    """A kind of message.

    Attributes:
      intact: good ones of one round, as bytes.
      receive: one, as bytes -> whatever its receiver makes of it; it raises what it refuses by.
    """

    intact: Sequence[bytes]
    receive: Callable[[bytes], object]


def of_messages(protocol: SecureSum, directory: Directory, sent: Sequence[Message]) -> Wire:
    """Clients' messages, which the aggregator combines."""
    return Wire(
        [to_bytes(message) for message in sent],
        lambda data: protocol.combine(directory, [from_bytes(data)]),
    )


def of_enclosed(
    protocol: SecureSum, directory: Directory, holder: Secret, sent: Sequence[Message]
) -> Wire:
    """What clients enclose, which a key holder is asked about together with that of the others."""
    question = question_of(sent)

    def receive(data: bytes) -> object:
        damaged, asked = enclosed_from_bytes(data), list(question.enclosed)
        named = [place for place, each in enumerate(asked) if each.client == damaged.client]
        asked[named[0] if named else 0] = damaged
        clients = tuple(each.client for each in asked)
        return protocol.share(directory, holder, Question(question.header, clients, tuple(asked)))

    return Wire([enclosed_to_bytes(each) for each in question.enclosed], receive)


def of_shares(
    protocol: SecureSum,
    directory: Directory,
    sent: Sequence[Message],
    given: Sequence[Share],
    signing: Sequence[SigningSecret],
) -> Wire:
    """Holders' shares, each signed by one, with all of which the aggregator opens the sum."""
    total = protocol.combine(directory, sent)
    signers = {share.holder: key.public for share, key in zip(given, signing, strict=True)}

    def receive(data: bytes) -> object:
        damaged = share_from_bytes(data, signers)
        opening = [damaged if each.holder == damaged.holder else each for each in given]
        return protocol.open(directory, total, opening)

    return Wire(
        [signed_share(key, share) for share, key in zip(given, signing, strict=True)], receive
    )


def of_holder_keys(directory: Directory, signer: bytes, sent: Sequence[bytes]) -> Wire:
    """A key holder's signed keys of the round, which clients and aggregator read."""
    run, round_ = directory.run, directory.round
    return Wire(sent, lambda data: key_from_bytes(data, signer, run, round_))


def of_letters(protocol: SecureSum, directory: Directory, sent: Sequence[Message]) -> Wire:
    """Clients' letters, in protocols that have some, which the aggregator collects."""
    written = protocol.letters
    if written is None:
        raise ValueError(f"{protocol.name} has no letters")
    return Wire(
        [to_bytes(letter) for letter in sent],
        lambda data: written.collect(directory, [from_bytes(data)]),
    )


def of_consents(
    protocol: SecureSum, directory: Directory, sent: Sequence[Message], given: Sequence[Message]
) -> Wire:
    """Clients' consents to open the sum of the messages sent, which the aggregator passes on."""
    written = protocol.letters
    if written is None:
        raise ValueError(f"{protocol.name} has no consents")
    return Wire(
        [to_bytes(consent) for consent in given],
        lambda data: written.ask(directory, sent, [from_bytes(data)]),
    )


def of_round_keys(directory: Directory) -> Wire:
    """Clients' keys of the round, with their signatures: each behind whose it is said to be."""
    signers = directory.signers or {}

    def receive(data: bytes) -> object:
        (client,), rest = ids_from_bytes(data[:_ID_BYTES].rjust(_ID_BYTES)), data[_ID_BYTES:]
        signature, key = rest[:SIGNATURE_BYTES], public_from_bytes(rest[SIGNATURE_BYTES:])
        signer, run, round_ = signers.get(client, b""), directory.run, directory.round
        if not are_signed_by(signer, run, round_, client, key, signature):
            raise WrongSignatureError(client, "its keys are not signed by it for this round")
        return key

    return Wire(
        [
            ids_to_bytes([client]) + signature + directory.keys[client].to_bytes()
            for client, signature in directory.key_signatures.items()
        ],
        receive,
    )


def of_boxes(
    directory: Directory, reader: int, secret: RoundKeys, mail: Mapping[int, bytes]
) -> Wire:
    """What letters seal for one client: each behind who is said to have sealed it."""

    def receive(data: bytes) -> object:
        (writer,) = ids_from_bytes(data[:_ID_BYTES].rjust(_ID_BYTES))
        shares = unseal(secret.pair(directory, reader, writer), data[_ID_BYTES:])
        if shares is None:
            raise DoesNotOpenError(writer, "what is sealed in its letter does not open")
        return shares

    return Wire([ids_to_bytes([writer]) + box for writer, box in mail.items()], receive)


def of_notes(reader: Member, notes: Sequence[Note], word: bytes) -> Wire:
    """What clients tell one of them with each question: each behind who is said to have told it."""

    def receive(data: bytes) -> object:
        (writer,) = ids_from_bytes(data[:_ID_BYTES].rjust(_ID_BYTES))
        heard = writers_of(reader, [Note(writer, data[_ID_BYTES:])], word)
        if not heard:
            raise WrongSignatureError(writer, "it has not said so")
        return heard

    return Wire([ids_to_bytes([note.client]) + note.content for note in notes], receive)


def try_corruptions(wire: Wire, tries: int, seed: int) -> Counter[str]:
    """Damages messages at random, and has each received.

    Args:
      wire: which messages; where they are signed, nothing damaged should be accepted.
      tries: how many are damaged.
      seed: of the damage.

    Returns:
      How many were refused, by the name of the error, or ``ACCEPTED``. An error that is no refusal
      is raised.
    """
    rng = random.Random(seed)
    outcomes: Counter[str] = Counter()
    while outcomes.total() < tries:
        damaged = corrupt(rng, rng.choice(wire.intact), rng.choice(wire.intact))
        if damaged not in wire.intact:
            outcomes[_outcome(wire, damaged)] += 1
    return outcomes


def corrupt(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """A message with bytes changed, lost, added, or replaced by those of another message."""
    damaged = bytearray(data)
    at, size = rng.randrange(len(data)), rng.randint(1, 80)
    match rng.randrange(6):
        case 0:
            del damaged[at : at + size]
        case 1:
            damaged[at:at] = rng.randbytes(size)
        case 2:
            damaged[at : at + size] = other[at : at + size]
        case 3:
            damaged[at] ^= 1 << rng.randrange(8)
        case _:
            # As many changes to the header as to all the rest.
            end = rng.choice([len(data), min(len(data), _HEADER_BYTES)])
            for _ in range(rng.randint(1, 3)):
                damaged[rng.randrange(end)] = rng.randrange(256)
    return bytes(damaged)


def _outcome(wire: Wire, data: bytes) -> str:
    try:
        wire.receive(data)
    except ProtocolError as error:
        return type(error).__name__
    return ACCEPTED
