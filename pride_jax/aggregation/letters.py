"""Letters of masking: each client's secrets, shared out among helpers of its own choice.

A letter has one box for each helper, the writer among them, in its body; encloses their ids in that
order, 8 bytes each, for the aggregator to deliver by; and leaves its digest in the directory.
"""

import hashlib
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pride_jax.aggregation.checks import check_messages
from pride_jax.aggregation.messages import signed_bytes
from pride_jax.aggregation.neighbours import Neighbourhood, draw_helpers
from pride_jax.aggregation.refusals import OutOfRangeError
from pride_jax.aggregation.round_keys import (
    BOX_BYTES,
    Member,
    Neighbour,
    RoundKeys,
    check_round_keys,
    public_of,
    seal,
    unseal,
)
from pride_jax.aggregation.secret_sharing import split_secrets
from pride_jax.aggregation.secure_sum import Directory, Letter, Message, Rng, Secret, header
from pride_jax.errors import ProtocolError

_ID_BYTES = 8


def places(directory: Directory) -> dict[int, int]:
    """At which number each client's shares are: its place in the roster, from 1."""
    return {client: place for place, client in enumerate(sorted(directory.roster), 1)}


def write_letter(
    rng: Rng, directory: Directory, name: str, hood: Neighbourhood, secret: Secret, client: int
) -> Message:
    """A client's letter to the helpers that it draws, once it has seen that their keys are theirs.

    Raises:
      ProtocolError: the secret is another's or has written before, or a helper's key is not signed
        by it, or none.
    """
    directory = directory.before_letters
    keys = owned(directory, secret, client)
    others = [other for other in directory.roster if other != client]
    helpers = draw_helpers(keys.ticket, client, others, hood.degree)
    # Before anything is checked: who learns that a helper's key was refused gets no other draw.
    keys.write_to(helpers, directory.round)
    for helper in helpers:
        public_of(directory, helper)
        check_round_keys(directory, helper)
    at = places(directory)
    shares = split_secrets(
        rng,
        [keys.own, keys.pairing_bytes],
        hood.threshold,
        [at[helper] for helper in helpers],
    )
    boxes = [
        seal(keys.pair(directory, client, helper), b"".join(parts))
        for helper, parts in zip(helpers, shares, strict=True)
    ]
    return Message(header(directory, name), client, b"".join(boxes), ids_to_bytes(helpers))


def collect_letters(
    directory: Directory, name: str, hood: Neighbourhood, letters: Sequence[Message]
) -> Directory:
    """The round with these letters.

    Raises:
      MessageError: a letter must not be taken.
      TooFewError: there is none.
    """
    before, size = directory.before_letters, hood.degree + 1
    found = {}
    for letter in check_messages(before, name, letters, size * BOX_BYTES, size * _ID_BYTES):
        readers = ids_from_bytes(letter.enclosed)
        in_roster = sorted(before.members.intersection(readers))
        if list(readers) != in_roster or letter.client not in readers:
            raise OutOfRangeError(
                letter.client, "it is not to itself and others of the roster, ascending"
            )
        found[letter.client] = Letter(hashlib.sha256(signed_bytes(letter)).digest(), readers)
    return replace(before, letters=found)


def deliver(letters: Sequence[Message]) -> Mapping[int, Mapping[int, bytes]]:
    """What is sealed for each client, by who sealed it."""
    mail: dict[int, dict[int, bytes]] = {}
    for letter in letters:
        for place, reader in enumerate(ids_from_bytes(letter.enclosed)):
            box = letter.body[place * BOX_BYTES : (place + 1) * BOX_BYTES]
            mail.setdefault(reader, {})[letter.client] = box
    return mail


def read_letters(
    directory: Directory,
    hood: Neighbourhood,
    secret: Secret,
    client: int,
    mail: Mapping[int, bytes],
) -> Member:
    """The client in the sum of this directory, with the shares that it holds for others.

    Raises:
      ProtocolError: the secret is another's, has written no letter or has read before; its letter
        or those of too many of its helpers are missing.
    """
    keys = owned(directory, secret, client)
    if client not in directory.letters:
        raise ProtocolError(
            f"Client {client}'s letter is not among those of round {directory.round}: sit this "
            "round out"
        )
    there = directory.members.intersection(keys.helpers)
    if len(there) < hood.threshold:
        raise ProtocolError(
            f"{len(there)} helpers of client {client} have written letters in round "
            f"{directory.round}, expected at least {hood.threshold}: too few to open its sum"
        )
    keys.read_once(directory.round)
    boxes = {writer: box for writer, box in mail.items() if writer in directory.letters}
    neighbours = {}
    for other in {*keys.helpers, *boxes}:
        pair = keys.pair(directory, client, other)
        shares = unseal(pair, boxes[other]) if other in boxes else None
        neighbours[other] = Neighbour(pair.tags, other in keys.helpers, other in boxes, shares)
    return Member(directory.fingerprint, client, neighbours, keys)


def owned(directory: Directory, secret: Secret, client: int) -> RoundKeys:
    """The secret, once it is that of the client's keys in the directory.

    Raises:
      ProtocolError: it is not.
    """
    if isinstance(secret, RoundKeys) and secret.public == public_of(directory, client):
        return secret
    raise ProtocolError(
        f"The secret is not that of client {client}'s key in the directory of round "
        f"{directory.round}: put what keygen returned under the client's id"
    )


def ids_to_bytes(clients: Sequence[int]) -> bytes:
    """Ids, 8 bytes each."""
    return struct.pack(f">{len(clients)}Q", *clients)


def ids_from_bytes(data: bytes) -> tuple[int, ...]:
    """What ``ids_to_bytes`` made."""
    return struct.unpack(f">{len(data) // _ID_BYTES}Q", data)
