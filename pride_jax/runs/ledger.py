"""What a private run releases, written down before it is released, so that no crash hides it."""

import hmac
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pride_jax.errors import RunError
from pride_jax.files import write_atomically
from pride_jax.reporting import metrics


class Release(NamedTuple):
    """Rounds whose models are about to be released.

    Attributes:
      first: the first of the rounds.
      until: the round after the last.
      attempt: which sampling and noise keys they use; rounds done again with other keys are
        further releases.
      environment: `fingerprint` of what they run on.
      seed: `commitment` to what cohorts and noise are drawn from.
    """

    first: int
    until: int
    attempt: int
    environment: str
    seed: str


class Ledger(NamedTuple):
    """A run's ledger from one start of it to the next.

    Attributes:
      attempt: which sampling and noise keys the run must use from here on.
      announce: first round, the round after the last -> None, once it is on disk that their models
        will be released; it raises RunError if it cannot be written, and then nothing may be.
      releases: -> how many releases the accountant must count so far.
      releases_with: first round, the round after the last -> how many, if these were announced.
    """

    attempt: int
    announce: Callable[[int, int], None]
    releases: Callable[[], int]
    releases_with: Callable[[int, int], int]


def open_ledger(
    path: Path, round_: int, environment: str | None, seed: str, groups: int = 1
) -> Ledger:
    """The ledger in a file, which need not exist, for a run that goes on at ``round_``.

    Args:
      path: the file.
      round_: the first round to come.
      environment: `fingerprint` of what it goes on in; None if nothing can be done again to the
        same bits.
      seed: `commitment` to what cohorts and noise are drawn from.
      groups: of clients that take turns, see `count_releases`.

    Raises:
      RunError: the file cannot be read, lacks rounds before ``round_``, or is of another seed.
    """
    written = read(path)
    known = {number for entry in written for number in range(entry.first, entry.until)}
    if missing := set(range(round_)) - known:
        raise RunError(
            f"{path} lacks round {min(missing)}, whose model was released: restore the file, or "
            "start anew in another --workdir"
        )
    if any(entry.seed != seed for entry in written):
        raise RunError(
            f"{path} is of another seed of cohorts and noise than the one that is there now: "
            "restore the run's secrets, or start anew in another --workdir"
        )
    attempt = next_attempt(written, round_, environment)

    def entry(first: int, until: int) -> Release:
        return Release(first, until, attempt, environment or "", seed)

    def announce(first: int, until: int) -> None:
        lines = [json.dumps(each._asdict()) + "\n" for each in (*written, entry(first, until))]
        write_atomically(path, "".join(lines))
        written.append(entry(first, until))

    return Ledger(
        attempt,
        announce,
        lambda: count_releases(written, groups),
        lambda first, until: count_releases([*written, entry(first, until)], groups),
    )


def read(path: Path) -> list[Release]:
    """Everything written down so far; a line that a crash cut short was never released.

    Raises:
      RunError: it cannot be read.
    """
    return [Release(**row) for row in metrics.read(path)] if path.exists() else []


def count_releases(ledger: Sequence[Release], groups: int = 1) -> int:
    """How many releases the accountant must count: a round once for every attempt at it.

    Where groups of clients take turns, the accountant counts turns, and a round that was done again
    was another turn of the same group: as many releases are counted as if every group had had as
    many turns as the one that had most.
    """
    done = {
        (entry.attempt, number) for entry in ledger for number in range(entry.first, entry.until)
    }
    if groups == 1:
        return len(done)
    turns = Counter(number % groups for _, number in done)
    return groups * max(turns.values(), default=0)


def next_attempt(ledger: Sequence[Release], round_: int, environment: str | None) -> int:
    """Which keys a run may use that goes on at ``round_``.

    Rounds in the ledger that it would do again give the same bits, and so nothing new, only with
    the same keys, from the same parameters, in the same environment. Otherwise they need new keys:
    the same noise on another sum would give the difference away, and new noise on the same cohort
    is not what is accounted.

    Args:
      ledger: what was written down.
      round_: the first round to come.
      environment: `fingerprint` of what it goes on in; None if nothing can be done again to the
        same bits.
    """
    if not ledger:
        return 0
    latest = max(entry.attempt for entry in ledger)
    entries = [entry for entry in ledger if entry.attempt == latest]
    if round_ < min(entry.first for entry in entries):
        # The rounds before were another attempt's: it would come to other parameters.
        return latest + 1
    again = [entry for entry in entries if entry.until > round_]
    same = all(environment is not None and entry.environment == environment for entry in again)
    return latest if same else latest + 1


def fingerprint(environment: dict[str, Any], seed: bytes, **inputs: Any) -> str | None:
    """Equal where the same keys give the same bits; None where they may not.

    It is keyed by the seed, so that whoever reads the ledger cannot try out what the clients' data
    may be.

    Args:
      environment: as ``runs.environment.environment`` gives it. Nothing is known of code that was
        changed since its commit, and other devices than CPUs, or several processes, may add in
        another order each time.
      seed: of cohorts and noise; a secret.
      inputs: whatever else the released models depend on, as JSON has it.
    """
    unknown = environment["git_commit"] is None or environment["git_changes"]
    several = environment["num_processes"] > 1
    if unknown or several or environment["platform_of_device"] != "cpu":
        return None
    same = {name: value for name, value in environment.items() if name != "started"}
    return _keyed(seed, b"environment", json.dumps([same, inputs], sort_keys=True).encode())


def commitment(seed: bytes) -> str:
    """Equal for equal seeds only, and tells nothing of one that nobody can guess."""
    return _keyed(seed, b"seed", b"")


def _keyed(seed: bytes, purpose: bytes, content: bytes) -> str:
    return hmac.new(seed, b"pride_jax ledger: " + purpose + b"\0" + content, "sha256").hexdigest()
