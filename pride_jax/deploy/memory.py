"""What a role must remember from one message's process to the next, on disk before it answers."""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from pride_jax.aggregation.messages import enclosed_to_bytes
from pride_jax.aggregation.owner_only import read_owner_only, write_owner_only
from pride_jax.aggregation.secure_sum import Directory, Question
from pride_jax.deploy.enrolment import SECRETS
from pride_jax.errors import ProtocolError

_OPENED = "opened.json"


class Opened(NamedTuple):
    """The latest sum that a role helped to open.

    Attributes:
      next_round: as of ``holder.Holder``.
      asked: SHA-256 of what it was asked.
      answer: what it answered: the same question gets the same answer, whose way may be long.
    """

    next_round: int = 0
    asked: str = ""
    answer: bytes = b""


def load_opened(folder: Path) -> Opened:
    """What a role remembers.

    Raises:
      ProtocolError: its file is damaged or open to others.
    """
    path = folder / SECRETS / _OPENED
    if not path.exists():
        return Opened()
    try:
        content = json.loads(read_owner_only(path))
        return Opened(content["next_round"], content["asked"], bytes.fromhex(content["answer"]))
    except (ValueError, KeyError, TypeError):
        raise ProtocolError(
            f"{path} is damaged: restore it; without it a sum could be opened twice"
        ) from None


def save_opened(folder: Path, opened: Opened) -> None:
    """Remembers; on disk when this returns."""
    content = opened._asdict() | {"answer": opened.answer.hex()}
    write_owner_only(folder / SECRETS / _OPENED, json.dumps(content).encode(), replace=True)


def digest_of(directory: Directory, question: Question) -> str:
    """Equal for equal questions about equal rounds only."""
    digest = hashlib.sha256(directory.fingerprint)
    for client in question.contributors:
        digest.update(client.to_bytes(8, "big"))
    for each in map(enclosed_to_bytes, question.enclosed):
        digest.update(len(each).to_bytes(8, "big") + each)
    return digest.hexdigest()
