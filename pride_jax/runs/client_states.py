"""What a simulation's clients keep, saved with each checkpoint for nobody but the run's owner."""

from pathlib import Path

from pride_jax.aggregation.owner_only import read_owner_only, write_owner_only
from pride_jax.runs.checkpoints import Checkpoints, checkpoints


def client_states(folder: Path) -> Checkpoints:
    """Opens a folder of clients' states, one file a round, that only its owner can read.

    A state is made from one client's examples, and no noise covers it: real clients tell nobody.
    Nothing is written where clients keep nothing.

    Raises (all functions):
      PrideError: the folder cannot be written, is open to others, or holds something else.
    """
    return checkpoints(
        folder,
        write=lambda path, content: write_owner_only(path, content, replace=True),
        read=read_owner_only,
    )
