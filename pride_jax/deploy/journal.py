"""What the server writes down of each sum, so that none is opened in two ways when it dies.

A round is opened, or found to have too few parties, for one draw of its cohort and noise: what was
written down for another draw is nothing, since another cohort's sum under new noise is not what is
accounted. A holder opens one sum a round. So the question to the holders is on disk before it is
asked, and a server that was killed asks that very question again; the opened sum, or that there is
none, is on disk before the model steps, and rounds since the last checkpoint are done again from
it. It holds what the server was sent, protected messages, and sums before the server's noise: only
the server's owner may read it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgpack
import numpy as np
from jaxtyping import Int64

from pride_jax.aggregation.owner_only import read_owner_only, write_owner_only
from pride_jax.deploy.agreement import Record
from pride_jax.errors import RunError
from pride_jax.files import explained


class Done(NamedTuple):
    """A sum that was opened.

    Attributes:
      total: the sum.
      contributors: whose integers are in it.
      called: how many parties were.
      bytes_sent: by all of them.
      training: seconds until their messages were there.
      combining: seconds to add them.
      opening: seconds until the sum was open.
    """

    total: Int64[np.ndarray, "length"]
    contributors: tuple[int, ...]
    called: int
    bytes_sent: int
    training: float
    combining: float
    opening: float


class Journal(NamedTuple):
    """A folder of questions and sums, each of a round and a draw.

    Attributes:
      announced: round, draw -> the parties' keys, and letters once they are there, or None.
      announce: round, draw, that -> None, once it is on disk.
      question: round, draw -> what the holders were to be asked, or None.
      ask: round, draw, that -> None, once it is on disk.
      sum: round, draw -> the opened sum, or None.
      open: round, draw, that -> None, once it is on disk; rounds that checkpoints cover are
        dropped.
      unopened: round, draw -> why it was given up, or None.
      give_up: round, draw, whether it was refused -> None, once it is on disk that its sum is never
        opened.
    """

    announced: Callable[[int, str], Record | None]
    announce: Callable[[int, str, Record], None]
    question: Callable[[int, str], Record | None]
    ask: Callable[[int, str, Record], None]
    sum: Callable[[int, str], Done | None]
    open: Callable[[int, str, Done], None]
    unopened: Callable[[int, str], Record | None]
    give_up: Callable[..., None]


def journal(folder: Path, every: int) -> Journal:
    """Opens a folder of questions and sums for nobody but its owner, making it if needed.

    Args:
      folder: the folder.
      every: rounds from one checkpoint to the next.

    Raises (all functions):
      PrideError: the folder cannot be written or is open to others, or a file in it is damaged.
    """
    with explained("write to", folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def file(round_: int, draw: str, what: str) -> Path:
        return folder / f"{round_}.{draw}.{what}"

    def announced(round_: int, draw: str) -> Record | None:
        return _read(file(round_, draw, "announced"))

    def announce(round_: int, draw: str, record: Record) -> None:
        _write(file(round_, draw, "announced"), record)

    def question(round_: int, draw: str) -> Record | None:
        return _read(file(round_, draw, "asked"))

    def ask(round_: int, draw: str, record: Record) -> None:
        _write(file(round_, draw, "asked"), record)

    def sum_(round_: int, draw: str) -> Done | None:
        content = _read(file(round_, draw, "sum"))
        if content is None:
            return None
        total = np.frombuffer(content.pop("total"), "<i8").astype(np.int64)
        contributors = tuple(content.pop("contributors"))
        return Done(total, contributors, **content)

    def open_(round_: int, draw: str, done: Done) -> None:
        content = done._asdict() | {
            "total": done.total.astype("<i8").tobytes(),
            "contributors": list(done.contributors),
        }
        _write(file(round_, draw, "sum"), content)
        drop_question(round_, draw)
        forget(round_)

    def unopened(round_: int, draw: str) -> Record | None:
        return _read(file(round_, draw, "unopened"))

    def give_up(round_: int, draw: str, *, refused: bool) -> None:
        _write(file(round_, draw, "unopened"), {"refused": refused})
        drop_question(round_, draw)
        forget(round_)

    def drop_question(round_: int, draw: str) -> None:
        with explained("write to", folder):
            for what in ("announced", "asked"):
                file(round_, draw, what).unlink(missing_ok=True)

    def forget(round_: int) -> None:
        with explained("write to", folder):
            for old in (*folder.glob("*.sum"), *folder.glob("*.unopened")):
                if int(old.name.partition(".")[0]) < round_ // every * every:
                    old.unlink()

    return Journal(announced, announce, question, ask, sum_, open_, unopened, give_up)


def _write(path: Path, content: Record) -> None:
    with explained("write", path):
        write_owner_only(path, msgpack.Packer().pack(content), replace=True)


def _read(path: Path) -> Record | None:
    if not path.exists():
        return None
    with explained("read", path):
        try:
            return msgpack.unpackb(read_owner_only(path))
        except ValueError as error:
            raise RunError(f"{path} is damaged ({error}): restore it, or start anew") from None
