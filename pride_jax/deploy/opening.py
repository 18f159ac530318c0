"""A sum as the server has it opened, by whoever holds what opens it."""

import contextlib
import hashlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from pride_jax.aggregation.checks import open_sum
from pride_jax.aggregation.messages import enclosed_to_bytes, from_bytes, question_of
from pride_jax.aggregation.refusals import BurntError
from pride_jax.aggregation.secure_sum import Directory, Message, Role, Secret, Share, Total
from pride_jax.aggregation.shares import share_from_bytes
from pride_jax.deploy.agreement import Agreement, Record, directory_from
from pride_jax.deploy.gathering import Draw, bytes_in, gather, read_messages, taken, told
from pride_jax.deploy.introduction import KEY_HOLDER, PARTY, Ask, is_refusal
from pride_jax.deploy.journal import Done, Journal
from pride_jax.deploy.mail import notes_record
from pride_jax.errors import ProtocolError, RunError
from pride_jax.runs.refusals import REFUSALS, note, note_refusal


def sum_of(
    agreement: Agreement,
    ask: Ask,
    kept: Journal,
    notes: Path,
    draw: Draw,
    content: Callable[[], bytes],
) -> Done:
    """A round's sum: as it was opened before, else of the question that was asked, else anew.

    Args:
      agreement: what everyone knows.
      ask: reaches the others.
      kept: what was written down of the round, and will be.
      notes: folder of what is written down of refusals.
      draw: the round.
      content: the model that parties are sent.

    Raises:
      PrideError: as `gather` and `opened`.
    """
    done = kept.sum(draw.round, draw.name)
    if done is None:
        asked = kept.question(draw.round, draw.name)
        if asked is None:
            params = content()
            model = hashlib.sha256(params).digest()
            asked = gather(agreement, ask, kept, notes, draw, model, params)
            kept.ask(draw.round, draw.name, asked)
        done = opened(agreement, ask, notes, asked)
        kept.open(draw.round, draw.name, done)
    return done


def opened(agreement: Agreement, ask: Ask, notes: Path, asked: Record) -> Done:
    """The sum, from whoever holds what opens it.

    Raises:
      BurntError: it was refused, or a message spoils it.
      RunError: too few of them gave a share of it, and the others may still do.
      TooFewError: it has too few messages.
    """
    protocol, start = agreement.protocol, time.perf_counter()
    directory = directory_from(agreement, asked)
    messages = [from_bytes(message) for message in asked["messages"]]
    total = protocol.combine(directory, messages)
    shares = _shares(agreement, ask, notes, directory, total, messages, asked)
    try:
        summed, false = open_sum(protocol, directory, total, shares)
    except BurntError:
        raise
    except ProtocolError as error:
        # Which message spoils a sum, the sum does not show: to open parts of it would show more.
        raise BurntError(directory.round, total.contributors, str(error)) from None
    for each in false:
        note_refusal(notes, directory.round, each)
    sent: int = asked["bytes_sent"]
    if protocol.openers == Role.CLIENT:
        sent += sum(len(share.body) for share in shares)
    return Done(
        total=summed,
        contributors=total.contributors,
        called=asked["called"],
        bytes_sent=sent,
        training=asked["training"],
        combining=asked["combining"],
        opening=time.perf_counter() - start,
    )


def _shares(
    agreement: Agreement,
    ask: Ask,
    notes: Path,
    directory: Directory,
    total: Total,
    messages: Sequence[Message],
    asked: Record,
) -> list[Share]:
    """What opens a total, each holder's share signed by that holder; others are noted.

    Raises:
      BurntError: so many refuse that the sum is never opened.
      RunError: they are too few.
    """
    protocol, round_ = agreement.protocol, directory.round
    refused: set[int] = set()
    about, question = told(asked), question_of(messages)

    def good(
        role: str, keys: Mapping[int, bytes], replies: Iterable[tuple[int, Record]]
    ) -> Iterator[Share]:
        for number, reply in replies:
            if is_refusal(reply):
                refused.add(number)
                continue
            try:
                # Signed by the one who was asked: nobody answers for another.
                share = share_from_bytes(bytes_in(reply, "share"), {number: keys[number]})
                protocol.check_share(directory, total, share)
            except ProtocolError as error:
                note(notes, round_, number, f"{role}: {error}")
            else:
                yield share

    needed = protocol.quorum(directory)
    if protocol.openers == Role.CLIENT:
        who, signers = "parties", directory.signers or {}
        keys = {client: signers[client] for client in total.contributors}
        about |= {"contributors": list(keys)}
        questions = _agreed(agreement, ask, notes, directory, messages, about)
        replies = ask.parties("share", about, questions, needed)
        refused.update(replies.refused)
        shares = list(good(PARTY, keys, replies.given.items()))
    elif agreement.roster.key_holders:
        who = "key holders"
        keys = {holder.number: holder.signing_key for holder in agreement.roster.key_holders}
        request = about | {"enclosed": list(map(enclosed_to_bytes, question.enclosed))}
        with contextlib.closing(ask.key_holders("open", request)) as answers:
            shares = list(itertools.islice(good(KEY_HOLDER, keys, answers), needed))
    else:
        return [protocol.share(directory, Secret(), question)]
    if len(shares) < needed and len(keys) - len(refused) < needed:
        raise BurntError(
            round_, total.contributors, f"{len(refused)} of {len(keys)} {who} refuse to open it"
        )
    if len(shares) < needed:
        counted = f"{len(shares)} of {len(keys)} {who} helped to open the sum, expected at least"
        why = f"{counted} {needed}"
        if agreement.config.privacy.hides:
            # How many parties were called is for the run's owner.
            why = f"too few {who} helped to open the sum"
        raise RunError(
            f"Round {round_}: {why}; {notes / REFUSALS} tells why. Go on with --resume once they "
            "are back"
        )
    return shares


def _agreed(
    agreement: Agreement,
    ask: Ask,
    notes: Path,
    directory: Directory,
    messages: Sequence[Message],
    about: Record,
) -> dict[int, Record]:
    """What each contributor is told, once all have been asked which sum they open."""
    letters = agreement.protocol.letters
    assert letters is not None

    def told_of(consents: Sequence[Message]) -> dict[int, Record]:
        questions = letters.ask(directory, messages, consents)
        return {client: notes_record(question) for client, question in questions.items()}

    needed = agreement.protocol.quorum(directory)
    given = ask.parties("consent", about, told_of([]), needed).given
    consents = read_messages(given, "consent", notes, directory.round)
    accepted = taken(
        lambda directory, some: letters.ask(directory, messages, some), directory, consents, notes
    )
    return told_of(accepted)
