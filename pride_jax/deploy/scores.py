"""Sums of scores, in the integers of any protocol; they pass for no sum of updates.

Each example's score is rounded to the nearest multiple of `RESOLUTION`, half to even: so counts are
exact, and a sum does not depend on order. A party's sums are cut into digits that a protocol's
integers hold, and the digits of all parties are added.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Int64

from pride_jax.aggregation.books import Rules
from pride_jax.aggregation.terms import Terms
from pride_jax.deploy.agreement import Agreement
from pride_jax.errors import ConfigError, ProtocolError
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.protocols import build_secure_sum

SCORES = "scores"
RESOLUTION = 2.0**-16
_MOST = 2.0**20
"""Of an example's score; of 2^24 examples, the most that a party may hold, sums stay below 2^60."""
_SUM_BITS = 60


def are_tested_at_parties(config: Experiment) -> bool:
    """Whether parties test on what they hold out, and add up their scores for the server.

    ε does not cover these sums: in a private run no party gives any.
    """
    return config.partition.held_out > 0 and not config.privacy.is_private


def of_scores(agreement: Agreement) -> Agreement:
    """What everyone knows of the sums of scores: one an evaluation, of all parties or of none.

    Of two sums whose parties differ in one, the difference would be that party's.

    Raises:
      ConfigError: by the settings, parties give no scores, or too few hold anything out.
    """
    config, names = agreement.config, agreement.scores
    if not are_tested_at_parties(config):
        raise ConfigError(
            "Sums of scores are asked for: expected a share that parties hold out "
            f"(partition.held_out={config.partition.held_out}), in a run that is not private"
        )
    everyone, fewest = len(agreement.roster.parties), agreement.rules.smallest_cohort
    holding = sum(party.held_out > 0 for party in agreement.roster.parties)
    if holding < fewest:
        raise ConfigError(
            f"{holding} parties hold examples out, expected at least {fewest} in a sum of scores: "
            "enrol with a larger partition.held_out, or the server with --test FILE"
        )
    terms = dataclasses.replace(
        agreement.terms,
        length=len(names) * _digits(agreement.terms.bits),
        limit=1.0,
        smallest_cohort=everyone,
        largest_cohort=everyone,
    )
    settings, evaluations = config.aggregation, config.rounds + 1
    return agreement._replace(
        # Few numbers: a key apart from them would be longer.
        protocol=build_secure_sum(settings),
        terms=terms,
        rules=Rules(evaluations, evaluations, everyone, settings.most_refused),
        plan=agreement.plan.opened_from(everyone),
        subject=SCORES,
    )


def _digits(bits: int) -> int:
    return -(-_SUM_BITS // (bits - 1))


def added_up(scores: Float[np.ndarray, "examples"]) -> int:
    """The sum of examples' scores, in units of `RESOLUTION`.

    Raises:
      ProtocolError: one of them is too large to be added, or no number.
    """
    scores = np.asarray(scores, np.float64)
    if not (np.abs(scores) < _MOST).all():
        raise ProtocolError(
            f"An example's score is not below {_MOST:g}: expected a model that answers; training "
            "has diverged"
        )
    return int(np.rint(scores / RESOLUTION).astype(np.int64).sum())


def to_digits(sums: Sequence[int], terms: Terms) -> Int[np.ndarray, "length"]:
    """Sums as a protocol's integers, each of which has its sum's sign."""
    width = terms.bits - 1
    return np.array(
        [
            (abs(each) >> (width * place) & terms.largest_value) * (1 if each >= 0 else -1)
            for each in sums
            for place in range(_digits(terms.bits))
        ],
        np.int32,
    )


def from_digits(total: Int64[np.ndarray, "length"], terms: Terms) -> list[int]:
    """All parties' sums, of the sum of what `to_digits` gave."""
    rows = total.reshape(-1, _digits(terms.bits)).tolist()
    width = terms.bits - 1
    return [sum(digit << (width * place) for place, digit in enumerate(row)) for row in rows]
