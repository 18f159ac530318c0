"""How a server without examples tests a model: by the sums of its parties' scores."""

from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
from jax.flatten_util import ravel_pytree

from pride_jax.aggregation.refusals import BurntError
from pride_jax.deploy.agreement import Agreement
from pride_jax.deploy.derived import ANSWERS
from pride_jax.deploy.gathering import Draw
from pride_jax.deploy.introduction import Ask
from pride_jax.deploy.journal import Journal
from pride_jax.deploy.opening import sum_of
from pride_jax.deploy.scores import SCORES, from_digits
from pride_jax.engine.evaluation import Metrics, of_means, untold
from pride_jax.errors import RunError, TooFewError
from pride_jax.runs.refusals import note, note_refusal
from pride_jax.types import Params


def tested_by_parties(
    agreement: Agreement, ask: Ask, kept: Journal, notes: Path
) -> Callable[[Params, int], Metrics]:
    """How a server without examples tests a model: by the sums of its parties' scores.

    Args:
      agreement: of scores.
      ask: reaches the others.
      kept: what was written down of sums of scores.
      notes: folder of what is written down of refusals.

    Returns:
      A function of parameters and the rounds that are done. Where a party does not answer, or the
      sum is refused, its figures are untold, and for good: the run goes on.

    Raises (the function):
      PrideError: too few of those who open sums answer, or parties have answered nothing.
    """
    everyone = [party.id for party in agreement.roster.parties]
    asking = about_scores(ask)

    def test(params: Params, round_: int) -> Metrics:
        draw = Draw(round_, SCORES, everyone)

        def flat() -> bytes:
            return np.asarray(ravel_pytree(jax.device_get(params))[0]).astype("<f4").tobytes()

        unknown = untold(name for name in agreement.scores if name != ANSWERS)
        if kept.unopened(round_, draw.name) is not None:
            return unknown
        try:
            done = sum_of(agreement, asking, kept, notes, draw, flat)
        except TooFewError as error:
            note(notes, round_, None, f"{SCORES}: {error}")
            kept.give_up(round_, draw.name, refused=False)
            return unknown
        except BurntError as error:
            note_refusal(notes, round_, error)
            kept.give_up(round_, draw.name, refused=True)
            return unknown
        sums = dict(zip(agreement.scores, from_digits(done.total, agreement.terms), strict=True))
        answers = sums.pop(ANSWERS)
        if answers <= 0:
            raise RunError(
                f"Parties have answered nothing after round {round_}: expected examples that they "
                "hold out; enrol with a larger partition.held_out"
            )
        return of_means({name: each / answers for name, each in sums.items()})

    return test


def about_scores(ask: Ask) -> Ask:
    """How to ask for what belongs to sums of scores."""
    return ask._replace(
        # A sum is of all parties or of none: nobody waits for others once one is gone.
        parties=lambda kind, record, own, _: ask.parties(f"{SCORES} {kind}", record, own, 0),
        key_holders=lambda kind, record: ask.key_holders(f"{SCORES} {kind}", record),
    )
