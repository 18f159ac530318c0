"""What was refused, or missing, and why: one line each in ``refusals.jsonl``."""

from pathlib import Path

from pride_jax.aggregation.refusals import BurntError, MessageError
from pride_jax.errors import RunError
from pride_jax.reporting import metrics
from pride_jax.settings.experiment import Experiment

REFUSALS = "refusals.jsonl"
_LONGEST_REASON = 500
"""Characters: others may have written the reason."""
_MOST_CANDIDATES = 1000


def note(folder: Path, round_: int | None, who: int | None, reason: str) -> None:
    """Writes down what was refused, or missing.

    Args:
      folder: where.
      round_: of which round; None before the first.
      who: a client, or a holder's number, where it is known.
      reason: cut if it is long.
    """
    _append(folder, {"round": round_, "from": who, "reason": _cut(reason)})


def note_refusal(folder: Path, round_: int, refusal: MessageError | BurntError) -> None:
    """Writes down a refused message, or a refused sum with the clients of whom one is why."""
    if isinstance(refusal, MessageError):
        note(folder, round_, refusal.client, str(refusal))
        return
    row = {"round": round_, "from": None, "reason": _cut(f"No sum: {refusal.reason}")}
    _append(folder, row | {"candidates": list(refusal.candidates[:_MOST_CANDIDATES])})


def _append(folder: Path, row: metrics.Row) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    metrics.append(folder / REFUSALS, row)


def _cut(reason: str) -> str:
    left = len(reason) - _LONGEST_REASON
    return reason if left <= 0 else f"{reason[:_LONGEST_REASON]}… ({left} characters more)"


def refuse_more(config: Experiment, rows: list[metrics.Row], noted: Path) -> None:
    """Ends a run in which somebody spoils sum after sum.

    Raises:
      RunError: more sums were refused than may be.
    """
    refused = sum(row.get("refused_sums", 0) for row in rows)
    if refused > config.aggregation.most_refused:
        raise RunError(
            f"More than aggregation.most_refused={config.aggregation.most_refused} sums were "
            f"refused: {noted} tells whose messages may be why. Start anew without these clients"
        )
