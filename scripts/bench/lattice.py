"""What hiding vectors under one-time keys costs, without the keys' own sum: seconds of each step.

A client's steps are expand (the public polynomials, once a round), draw (a key and errors), mask
(a·s + e) and hide, which alone needs the update. The aggregator checks and adds, and reads the sum.
``taskset -c 0 python scripts/benchmark.py lattice`` is on one core.
"""

import itertools
import os
import statistics
import time
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64
from rich.console import Console
from rich.table import Table

from pride_jax.aggregation.lattice.ciphertexts import add, hide, is_canonical, masked, reveal
from pride_jax.aggregation.lattice.drawn import draw_errors, draw_key, public_polynomials
from pride_jax.aggregation.lattice.parameters import Lattice, lattice_of
from pride_jax.aggregation.secure_sum import Terms
from pride_jax.errors import ConfigError, PrideError
from pride_jax.runs.lines import as_line


@dataclass(frozen=True)
class Setting:
    """What is timed.

    Attributes:
      params: lengths of the vectors.
      value_bits: width of a value.
      largest_cohort: for which messages have room.
      messages: added in a sum.
      repetitions: of everything, after a first that compiles.
    """

    params: tuple[int, ...] = (199_210, 1_663_370, 25_600_000)
    value_bits: int = 16
    largest_cohort: int = 128
    messages: int = 3
    repetitions: int = 5

    def __post_init__(self) -> None:
        """Refuses what there is nothing to time for.

        Raises:
          ConfigError: a number that is too small.
        """
        if min(self.repetitions, self.messages, *self.params) < 1:
            raise ConfigError(
                f"params={self.params}, messages={self.messages}, "
                f"repetitions={self.repetitions}: expected at least 1 of each"
            )


class Row(NamedTuple):
    """Medians for one length, in seconds.

    Attributes:
      params: length of the vector.
      degree: N.
      primes: how many.
      slots: values a coefficient.
      first: all of a client's steps, the first time in a process: compiling included.
      expand: the public polynomials.
      draw: a key and errors.
      mask: a·s + e.
      hide: adding the values and packing; the part that needs them.
      client: the four steps before.
      add: checking and adding, a message.
      reveal: reading the sum.
      bytes: of a message without its key, a value.
    """

    params: int
    degree: int
    primes: int
    slots: int
    first: float
    expand: float
    draw: float
    mask: float
    hide: float
    client: float
    add: float
    reveal: float
    bytes: float


class Report(NamedTuple):
    """All that was measured."""

    rows: list[Row]


def measure(setting: Setting) -> Report:
    """Every length in turn.

    Raises:
      PrideError: a sum was not exact.
    """
    return Report([_row(setting, params) for params in setting.params])


def _row(setting: Setting, params: int) -> Row:
    terms = Terms(params, setting.value_bits, 1.0, 1, setting.largest_cohort)
    lattice, largest = lattice_of(terms), terms.largest_value
    vector = np.random.default_rng(0).integers(-largest, largest, params, endpoint=True)
    first, *laps = (_lap(setting, lattice, vector) for _ in range(1 + setting.repetitions))
    medians = Lap(*map(statistics.median, zip(*laps, strict=True)))
    return Row(
        params,
        lattice.degree,
        len(lattice.primes),
        lattice.slots,
        first=first.client,
        client=statistics.median(lap.client for lap in laps),
        bytes=lattice.size / params,
        **medians._asdict(),
    )


class Lap(NamedTuple):
    """Seconds of each step, once."""

    expand: float
    draw: float
    mask: float
    hide: float
    add: float
    reveal: float

    @property
    def client(self) -> float:
        """Of all of a client's steps."""
        return self.expand + self.draw + self.mask + self.hide


def _lap(setting: Setting, lattice: Lattice, vector: Int64[np.ndarray, "params"]) -> Lap:
    seed, messages, now = os.urandom(32), setting.messages, time.perf_counter
    times = [now()]
    public = public_polynomials(lattice, seed)
    times.append(now())
    key, errors = draw_key(lattice, os.urandom), draw_errors(lattice, os.urandom)
    times.append(now())
    mask = masked(lattice, public, key, errors)
    times.append(now())
    body = hide(lattice, mask, vector)
    times.append(now())
    if not all(is_canonical(lattice, each) for each in [body] * messages):
        raise PrideError("A residue is not below its prime: report this")
    total = add(lattice, [body] * messages)
    times.append(now())
    # The same errors that many times have the deviation of as many times more, all different.
    found = reveal(lattice, public, messages * key, total, messages**2)
    times.append(now())
    if (found != messages * vector).any():
        raise PrideError(f"A sum of {len(vector)} values is not exact: report this")
    steps = Lap(*(after - before for before, after in itertools.pairwise(times)))
    return steps._replace(add=steps.add / messages)


def as_json(setting: Setting, report: Report) -> str:
    """The report, the setting and what it ran on, in one line."""
    return as_line(report._asdict(), setting)


def show(report: Report) -> None:
    """A column for each length."""
    table = Table("", *(f"{row.params:,}" for row in report.rows))
    for name in Row._fields[1:]:
        table.add_row(name, *(f"{getattr(row, name):.4g}" for row in report.rows))
    Console().print(table)
