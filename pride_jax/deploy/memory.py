"""What a role must remember from one message's process to the next, on disk before it answers."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pride_jax.aggregation.books import Books, Rules, answered, enter
from pride_jax.aggregation.messages import enclosed_to_bytes, header_bytes
from pride_jax.aggregation.owner_only import read_owner_only, write_owner_only
from pride_jax.aggregation.secure_sum import Question
from pride_jax.deploy.enrolment import SECRETS
from pride_jax.errors import ProtocolError

LETTERS, MESSAGES, SHARES = "letters", "messages", "shares"
"""Of what a role keeps books."""
_ASKED = b"PRIDEask"


class Kept(NamedTuple):
    """Books of one kind of answers, and the latest of these.

    Attributes:
      books: what was asked so far.
      asked: SHA-256 of the latest question that was considered.
      answer: what it was answered; empty before it was, and for ever if it was refused.
    """

    books: Books = Books()
    asked: str = ""
    answer: bytes = b""


def once(
    folder: Path, kind: str, rules: Rules, question: Question, answer: Callable[[], bytes]
) -> bytes:
    """The answer to the one question of a round that is considered.

    That the round is served is on disk before the answer is made, and the answer before it is
    returned. The same question gets the same answer, whose way may be long; who was killed before
    there was one makes it anew.

    Args:
      folder: the role's own.
      kind: of the answer.
      rules: what a run may ask.
      question: what is asked.
      answer: makes the answer.

    Raises:
      ProtocolError: another question of the round was considered, no more may be answered, or the
        file is damaged or open to others.
    """
    kept, asked = load_kept(folder, kind), digest_of(question)
    if asked != kept.asked:
        kept = Kept(enter(rules, kept.books, question.header.round), asked)
        _save(folder, kind, kept)
    if not kept.answer:
        kept = Kept(answered(kept.books), asked, answer())
        _save(folder, kind, kept)
    return kept.answer


def load_kept(folder: Path, kind: str) -> Kept:
    """What a role remembers.

    Raises:
      ProtocolError: its file is damaged or open to others.
    """
    path = folder / SECRETS / kind
    if not path.exists():
        return Kept()
    first, _, answer = read_owner_only(path).partition(b"\n")
    try:
        content = json.loads(first)
        books = Books(*(int(content["books"][name]) for name in Books._fields))
        return Kept(books, str(content["asked"]), answer)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise ProtocolError(
            f"{path} is damaged: restore it; without it a round could be served twice"
        ) from None


def _save(folder: Path, kind: str, kept: Kept) -> None:
    """Remembers; on disk when this returns."""
    first = json.dumps({"books": kept.books._asdict(), "asked": kept.asked}).encode()
    write_owner_only(folder / SECRETS / kind, first + b"\n" + kept.answer, replace=True)


def digest_of(question: Question) -> str:
    """Equal for equal questions about equal rounds only."""
    digest = hashlib.sha256(header_bytes(question.header, 0, _ASKED))
    digest.update(len(question.contributors).to_bytes(8, "big"))
    for client in question.contributors:
        digest.update(client.to_bytes(8, "big"))
    for each in map(enclosed_to_bytes, question.enclosed):
        digest.update(len(each).to_bytes(8, "big") + each)
    return digest.hexdigest()
