"""Who an ε is for: what a reader of the releases knows besides.

What is hidden from a reader amplifies privacy; what the reader knows does not. An ε without its
reader says nothing, so every ε of a plan is asked for with one.
"""

from typing import Literal, NamedTuple

Reader = Literal["models", "cohort_sizes", "colluding_clients", "cohorts"]
"""Who sees every released model and

- ``models``: nothing else;
- ``cohort_sizes``: also how many clients were called in each round, and how many were missing;
- ``colluding_clients``: is a coalition of clients, who know when they were called themselves and
  are told how many others were;
- ``cohorts``: also who was called in each round, as an aggregator or a key holder does.

Each is told no less than the one before.
"""

READERS: tuple[Reader, ...] = ("models", "cohort_sizes", "colluding_clients", "cohorts")
"""All of them, in the order of what they know."""


class View(NamedTuple):
    """What a sampler is told of who reads, and of what else shows a cohort.

    Attributes:
      reader: who reads.
      colluders: clients of a coalition.
      smallest_cohort: the fewest announced clients whose sum is opened.
      client_state: whether clients keep state between their rounds.
    """

    reader: Reader
    colluders: int
    smallest_cohort: int
    client_state: bool
