"""A round as the server gathers it: from the cohort's keys to the messages to be added."""

import contextlib
import functools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from pride_jax.aggregation.checks import sift
from pride_jax.aggregation.messages import from_bytes, to_bytes
from pride_jax.aggregation.refusals import BurntError, MessageError, NotInRosterError
from pride_jax.aggregation.round_keys import are_signed_by, public_from_bytes
from pride_jax.aggregation.secure_sum import Directory, Message, Role
from pride_jax.deploy.agreement import Agreement, Record, directory_from
from pride_jax.deploy.introduction import KEY_HOLDER, PARTY, Ask, Replies, to_all
from pride_jax.deploy.journal import Journal
from pride_jax.deploy.mail import keys_record, letters_record, mail_record
from pride_jax.errors import ProtocolError, RunError, TooFewError
from pride_jax.runs.refusals import REFUSALS, note, note_refusal


class Draw(NamedTuple):
    """A round of one draw of its cohort and noise.

    Attributes:
      round: its number.
      name: of the draw, see `journal`.
      called: the cohort.
    """

    round: int
    name: str
    called: list[int]


def gather(
    agreement: Agreement,
    ask: Ask,
    kept: Journal,
    notes: Path,
    draw: Draw,
    model: bytes,
    params: bytes,
) -> Record:
    """What the holders are to be asked: the round's directory, and the messages to be added.

    Args:
      agreement: what everyone knows.
      ask: reaches the parties.
      kept: what was written down of the round.
      notes: folder of what is written down of refusals.
      draw: the round.
      model: the digest of what parties train from.
      params: that.

    Raises:
      TooFewError: fewer good messages than a sum must have; the others may still come.
      BurntError: fewer, and those who might still answer would not be enough.
      RunError: the key holder gives no key for the round.
    """
    protocol, start = agreement.protocol, time.perf_counter()
    record = {"round": draw.round, "cohort": draw.called, "model": model}
    record |= _renewed(agreement, ask, notes, record)
    directory, sent = directory_from(agreement, record), 0
    mail = to_all(directory.roster)
    if protocol.letters is not None:
        record = _announced(agreement, ask, kept, notes, draw, record)
        directory = directory_from(agreement, record)
        sent = sum(
            len(each) for name in ("publics", "key_signatures", "letters") for each in record[name]
        )
        delivered = protocol.letters.deliver(list(map(from_bytes, record["letters"])))
        mail = {client: mail_record(delivered.get(client, {})) for client in directory.members}
    needed = directory.terms.smallest_cohort
    if protocol.openers == Role.CLIENT:
        needed = max(needed, protocol.quorum(directory))
    replies = ask.parties("train", told(record) | {"params": params}, mail, needed)
    trained = time.perf_counter()
    messages = read_messages(replies.given, "message", notes, draw.round)
    accepted = taken(protocol.combine, directory, messages, notes)
    if len(accepted) < needed:
        _stop(notes, draw, replies, directory.members, accepted, needed)
    kept_messages = [to_bytes(message) for message in accepted]
    return record | {
        "messages": kept_messages,
        "called": len(draw.called),
        "bytes_sent": sent + sum(map(len, kept_messages)),
        "training": trained - start,
        "combining": time.perf_counter() - trained,
    }


def _renewed(agreement: Agreement, ask: Ask, notes: Path, record: Record) -> Record:
    """The key holder's key for the round, where it makes one for every round.

    Raises:
      RunError: it gave none.
    """
    if not agreement.protocol.renews:
        return {}
    with contextlib.closing(ask.key_holders("keys", record)) as replies:
        for number, reply in replies:
            renewed: Record = {"holder_key": bytes_in(reply, "public")}
            try:
                directory_from(agreement, record | renewed)
            except ProtocolError as error:
                note(notes, record["round"], number, f"{KEY_HOLDER}, keys: {error}")
            else:
                return renewed
    raise RunError(
        f"Round {record['round']}: the key holder gave no key for the round; {notes / REFUSALS} "
        "tells why. Go on with --resume once it is back"
    )


def _announced(
    agreement: Agreement, ask: Ask, kept: Journal, notes: Path, draw: Draw, record: Record
) -> Record:
    """The record with the parties' keys and letters: those that they trained under, if any did.

    Raises:
      TooFewError: fewer letters than a sum must have messages; the others may still come.
      BurntError: fewer, and those who might still answer would not be enough.
    """
    letters = agreement.protocol.letters
    assert letters is not None
    before = kept.announced(draw.round, draw.name)
    if before is not None and before["model"] == record["model"]:
        record = before
    if "publics" not in record:
        needed = agreement.terms.smallest_cohort
        keys = ask.parties("keys", record, to_all(draw.called), needed)
        signed = _signed_keys(agreement, keys.given, notes, draw.round)
        if len(signed["keyed"]) < needed:
            _stop(notes, draw, keys, draw.called, signed["keyed"], needed)
        record = record | signed
        # Before a letter is written: there is one under a client's keys of a round.
        kept.announce(draw.round, draw.name, record)
    if "letters" not in record:
        directory = directory_from(agreement, record)
        needed = directory.terms.smallest_cohort
        replies = ask.parties("letter", record, to_all(directory.roster), needed)
        read = read_messages(replies.given, "letter", notes, draw.round)
        accepted = taken(letters.collect, directory, read, notes)
        if len(accepted) < needed:
            _stop(notes, draw, replies, directory.roster, accepted, needed)
        collected = letters.collect(directory, accepted)
        record = record | letters_record(collected)
        record |= {"letters": [to_bytes(letter) for letter in accepted]}
        kept.announce(draw.round, draw.name, record)
    return record


def _stop(
    notes: Path,
    draw: Draw,
    replies: Replies,
    asked: Iterable[int],
    accepted: Sequence[object],
    needed: int,
) -> NoReturn:
    """Says whether it helps to ask again."""
    heard = replies.refused.union(replies.given)
    silent = frozenset(asked) - heard
    counted = f"{len(accepted)} of {len(draw.called)} parties sent what can be added"
    if len(accepted) + len(silent) < needed:
        good = {getattr(each, "client", each) for each in accepted}
        raise BurntError(draw.round, sorted(heard - good), f"{counted}, expected at least {needed}")
    raise TooFewError(
        f"Round {draw.round}: {counted}, expected at least {needed}; {notes / REFUSALS} tells why. "
        "Go on with --resume once they are back"
    )


def read_messages(
    given: Mapping[int, Record], name: str, notes: Path, round_: int
) -> list[Message]:
    """The messages in parties' replies, without those that are none, or in another's name."""
    messages = []
    for client, reply in given.items():
        try:
            message = from_bytes(bytes_in(reply, name))
            if message.client != client:
                raise NotInRosterError(message.client, f"party {client} sent it")
            messages.append(message)
        except MessageError as error:
            note(notes, round_, client, str(error))
    return messages


def _signed_keys(
    agreement: Agreement, given: Mapping[int, Record], notes: Path, round_: int
) -> Record:
    """The keys for a round that are keys, and signed by whose they are; others are noted."""
    run, parties = agreement.run, agreement.roster.parties
    publics, signatures = {}, {}
    for client, reply in given.items():
        public, signature = bytes_in(reply, "public"), bytes_in(reply, "signature")
        try:
            key, signer = public_from_bytes(public), parties[client].signing_key
            if not are_signed_by(signer, run, round_, client, key, signature):
                raise ProtocolError("expected them signed with its enrolled key for this round")
        except ProtocolError as error:
            note(notes, round_, client, f"{PARTY}, keys: {error}")
        else:
            publics[client], signatures[client] = public, signature
    return keys_record(publics, signatures)


_TOLD = (
    "round",
    "cohort",
    "model",
    "holder_key",
    "keyed",
    "publics",
    "key_signatures",
    "lettered",
    "digests",
)


def told(record: Record) -> Record:
    """Of a round's record what everybody makes its directory from."""
    return {name: record[name] for name in _TOLD if name in record}


def bytes_in(reply: Record, name: str) -> bytes:
    """The bytes of that name in a reply, which can hold anything."""
    value = reply.get(name)
    return value if isinstance(value, bytes) else b""


def taken(
    take: Callable[[Directory, Sequence[Message]], object],
    directory: Directory,
    messages: Sequence[Message],
    notes: Path,
) -> Sequence[Message]:
    """The good messages; the others, and why, are noted."""
    try:
        _, accepted, refused = sift(functools.partial(take, directory), messages)
    except TooFewError as error:
        note(notes, directory.round, None, str(error))
        return ()
    for each in refused:
        note_refusal(notes, directory.round, each)
    return accepted
