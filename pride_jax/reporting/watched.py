"""What every log for another program's eyes tells of a run, and the seam of such a log."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from pride_jax.reporting.metrics import Row

Log = Callable[[Row], None]
"""Takes each new row that anyone may read, once it is in ``metrics.jsonl``."""


class Watched(NamedTuple):
    """A run as a log tells of it: only what anyone may read.

    Attributes:
      folder: of the run.
      settings: by their names, as on a command line.
      start: which of the run's starts this is, the first 1.
      began: when the first was, in seconds since 1970.
    """

    folder: Path
    settings: Mapping[str, bool | float | str]
    start: int
    began: float

    def time_of(self, row: Row) -> float:
        """When a row was measured, in seconds since 1970; of a private run, when the run began.

        How long a private run's rounds take tells how many clients were called.
        """
        return self.began + row.get("seconds_elapsed", 0.0)
