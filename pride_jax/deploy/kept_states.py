"""What a party's method keeps between rounds: with the party, on disk before a message is.

A party that dies before it has answered, or is asked the same again, begins from what it kept
before that round. So it never steps twice, and its message has the same bits.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from pride_jax.deploy.agreement import Agreement, write_config
from pride_jax.deploy.enrolment import SECRETS
from pride_jax.deploy.finishing import DESCRIBED, MODEL
from pride_jax.deploy.training import Told, Trainer
from pride_jax.files import explained, write_atomically
from pride_jax.methods.method import State
from pride_jax.models.parameters import write_parameters
from pride_jax.runs.client_states import client_states

STATES = "states"
"""In a role's secrets: what the party keeps before the round in a file's name, of two rounds."""
OWN_MODEL = "own-model"
"""In a party's folder at the end, for `load`: its own model, of methods whose clients have such."""


class Party(NamedTuple):
    """A party's training, with what it keeps.

    Attributes:
      train: round, what the server sends, flat, how many parties are called -> the party's
        integers, and what it alone is told of them, once on disk what it keeps until its next
        round.
      finish: what the server sends at the end, flat, and what it says a model takes and gives ->
        None, once the party's own model is in ``OWN_MODEL``, if it has one that is not everybody's.
    """

    train: Callable[
        [int, Float[np.ndarray, "numbers"], int], tuple[Int[np.ndarray, "length"], Told]
    ]
    finish: Callable[[Float[np.ndarray, "numbers"], bytes], None]


def keeping(folder: Path, agreement: Agreement, trainer: Trainer) -> Party:
    """A party that keeps its state in its own folder.

    Args:
      folder: the party's.
      agreement: what it knows.
      trainer: its training.

    Raises (all functions):
      PrideError: the state cannot be written or read, is open to others, or is another method's.
    """
    kept = client_states(folder / SECRETS / STATES)

    def latest() -> State:
        round_ = kept.latest()
        return trainer.first if round_ is None else kept.restore(round_, trainer.first)

    def before(round_: int) -> State:
        if (kept.latest() or 0) > round_:
            return kept.restore(round_, trainer.first)
        state = latest()
        kept.save(round_, state)
        return state

    def train(
        round_: int, params: Float[np.ndarray, "numbers"], called: int
    ) -> tuple[Int[np.ndarray, "length"], Told]:
        integers, told, state = trainer.train(round_, params, called, before(round_))
        kept.save(round_ + 1, state)
        return integers, told

    def finish(params: Float[np.ndarray, "numbers"], described: bytes) -> None:
        for own in trainer.own_models(params, latest()):
            with explained("write to", folder):
                (folder / OWN_MODEL).mkdir(mode=0o700, exist_ok=True)
            write_config(folder / OWN_MODEL, agreement.config)
            write_atomically(folder / OWN_MODEL / DESCRIBED, described)
            write_parameters(folder / OWN_MODEL / MODEL, own)

    return Party(train, finish)
