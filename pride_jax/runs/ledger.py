"""What a private run releases, written down before it is released, so that no crash hides it."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pride_jax.reporting import metrics
from pride_jax.runs.files import write_atomically


class Release(NamedTuple):
    """Rounds whose models are about to be released.

    Attributes:
      first: the first of the rounds.
      until: the round after the last.
      attempt: which sampling and noise keys they use; rounds done again with other keys are
        further releases.
      environment: `fingerprint` of what they run on.
    """

    first: int
    until: int
    attempt: int
    environment: str


class Ledger(NamedTuple):
    """A run's ledger from one start of it to the next.

    Attributes:
      attempt: which sampling and noise keys the run must use from here on.
      announce: first round, the round after the last -> None, once it is on disk that their models
        will be released; it raises RunError if it cannot be written, and then nothing may be.
      releases: -> how many releases the accountant must count so far.
    """

    attempt: int
    announce: Callable[[int, int], None]
    releases: Callable[[], int]


def open_ledger(path: Path, round_: int, environment: str | None) -> Ledger:
    """The ledger in a file, which need not exist, for a run that goes on at ``round_``.

    Args:
      path: the file.
      round_: the first round to come.
      environment: `fingerprint` of what it goes on in; None if nothing can be done again to the
        same bits.

    Raises:
      RunError: the file cannot be read.
    """
    written = read(path)
    attempt = next_attempt(written, round_, environment)

    def announce(first: int, until: int) -> None:
        release = Release(first, until, attempt, environment or "")
        lines = [json.dumps(entry._asdict()) + "\n" for entry in (*written, release)]
        write_atomically(path, "".join(lines))
        written.append(release)

    return Ledger(attempt, announce, lambda: count_releases(written))


def read(path: Path) -> list[Release]:
    """Everything written down so far; a line that a crash cut short was never released.

    Raises:
      RunError: it cannot be read.
    """
    return [Release(**row) for row in metrics.read(path)] if path.exists() else []


def count_releases(ledger: Sequence[Release]) -> int:
    """How many releases the accountant must count: a round once for every attempt at it."""
    return len(
        {(entry.attempt, round_) for entry in ledger for round_ in range(entry.first, entry.until)}
    )


def next_attempt(ledger: Sequence[Release], round_: int, environment: str | None) -> int:
    """Which keys a run may use that goes on at ``round_``.

    Rounds in the ledger that it would do again give the same bits, and so nothing new, only with
    the same keys in the same environment. Otherwise they need new keys: the same noise on another
    sum would give the difference away, and new noise on the same cohort is not what is accounted.

    Args:
      ledger: what was written down.
      round_: the first round to come.
      environment: `fingerprint` of what it goes on in; None if nothing can be done again to the
        same bits.
    """
    if not ledger:
        return 0
    latest = max(entry.attempt for entry in ledger)
    again = [entry for entry in ledger if entry.attempt == latest and entry.until > round_]
    same = all(environment is not None and entry.environment == environment for entry in again)
    return latest if same else latest + 1


def fingerprint(environment: dict[str, Any]) -> str | None:
    """Equal for environments in which the same keys give the same bits; None if that is unknown.

    Args:
      environment: as ``runs.environment.environment`` gives it. Nothing is known of code that was
        changed since its commit.
    """
    if environment["git_commit"] is None or environment["git_changes"]:
        return None
    same = {name: value for name, value in environment.items() if name != "started"}
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()
