"""How a server without examples tests a model: by the sums of its parties' scores."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from pride_jax.aggregation.refusals import BurntError
from pride_jax.deploy.agreement import Agreement
from pride_jax.deploy.derived import ANSWERS
from pride_jax.deploy.gathering import Draw, gather
from pride_jax.deploy.introduction import Ask
from pride_jax.deploy.journal import Journal
from pride_jax.deploy.opening import opened
from pride_jax.deploy.scores import SCORES, from_digits
from pride_jax.engine.evaluation import Metrics
from pride_jax.errors import RunError
from pride_jax.task import Scores
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
      A function of parameters and the rounds that are done.

    Raises (the function):
      PrideError: too few parties answer, or the sum was refused.
    """
    everyone = [party.id for party in agreement.roster.parties]
    asking = _of_scores(ask)

    def test(params: Params, round_: int) -> Metrics:
        draw = Draw(round_, SCORES, everyone)
        done = kept.sum(round_, draw.name)
        try:
            if done is None:
                asked = kept.question(round_, draw.name)
                if asked is None:
                    flat = np.asarray(ravel_pytree(jax.device_get(params))[0]).astype("<f4")
                    content = flat.tobytes()
                    model = hashlib.sha256(content).digest()
                    asked = gather(agreement, asking, kept, notes, draw, model, content)
                    kept.ask(round_, draw.name, asked)
                done = opened(agreement, asking, notes, asked)
                kept.open(round_, draw.name, done)
        except BurntError as error:
            raise RunError(
                f"The sum of scores after round {round_} is not opened ({error}): start anew, or "
                "give the server examples of its own to test on, --test FILE"
            ) from None
        sums = dict(zip(agreement.scores, from_digits(done.total, agreement.terms), strict=True))
        answers = sums.pop(ANSWERS)
        if answers <= 0:
            raise RunError(
                f"Parties have answered nothing after round {round_}: expected examples that they "
                "hold out; enrol with a larger partition.held_out"
            )
        means = {name: each / answers for name, each in sums.items()}
        none = jnp.zeros(0)
        scores = Scores(none, dict.fromkeys(means, none), ())
        return Metrics(means, np.zeros((0, 0), np.int64), scores)

    return test


def _of_scores(ask: Ask) -> Ask:
    """How to ask for what belongs to sums of scores."""
    return ask._replace(
        parties=lambda kind, record, own, needed: ask.parties(
            f"{SCORES} {kind}", record, own, needed
        ),
        key_holders=lambda kind, record: ask.key_holders(f"{SCORES} {kind}", record),
    )
