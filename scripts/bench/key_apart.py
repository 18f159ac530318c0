"""Whole rounds with keys apart, beside the same protocols without: seconds and bytes.

All through the seam and with signed messages, everybody present, as in the benchmark of encryption:

- before and online: one client's work, before it has its update and after, proofs included;
- add: checking and adding one message;
- open: the share of one holder, who checks and adds all keys or messages and would work beside the
  others, and reading the sum.

Seconds are the processor's. The first round, which compiles, does not count.
"""

import os
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from rich.console import Console
from rich.table import Table

from bench.common.secure_rounds import Lap, bytes_sent, call, laps_of, protect
from pride_jax.aggregation.protocols.lattice import lattice
from pride_jax.aggregation.protocols.masking import masking
from pride_jax.aggregation.protocols.paillier import paillier
from pride_jax.aggregation.protocols.threshold import threshold_paillier
from pride_jax.aggregation.protocols.two_servers import two_servers
from pride_jax.aggregation.secure_sum import Public, Role, Secret, SecureSum
from pride_jax.aggregation.terms import Terms
from pride_jax.errors import ConfigError
from pride_jax.runs.lines import as_line

Inner = Literal["two_servers", "paillier", "threshold", "masking"]


@dataclass(frozen=True)
class Setting:
    """What is timed.

    Attributes:
      protocols: that keys are sent through.
      params: lengths of the vectors; longer than a key, of which there are up to 8,192 numbers.
      longest_opened: longer vectors go through Paillier with their keys apart only, which would
        take minutes to open.
      key_bits: of Paillier.
      value_bits: width of a value.
      clients: in the round; all of them send.
      largest_cohort: for which messages have room.
      repetitions: of everything.
    """

    protocols: tuple[Inner, ...] = ("two_servers", "paillier", "threshold", "masking")
    params: tuple[int, ...] = (9_000, 199_210, 1_663_370)
    longest_opened: int = 9_000
    key_bits: int = 3072
    value_bits: int = 16
    clients: int = 10
    largest_cohort: int = 128
    repetitions: int = 3

    def __post_init__(self) -> None:
        """Refuses what there is nothing to time for.

        Raises:
          ConfigError: a number that is too small.
        """
        if self.clients < 2 or min(self.repetitions, *self.params) < 1:
            raise ConfigError(
                f"clients={self.clients}, repetitions={self.repetitions}, params={self.params}: "
                "expected at least 2 clients and at least 1 of the others"
            )


class Row(NamedTuple):
    """Medians of one protocol and length, in seconds.

    Attributes:
      protocol: its name.
      params: length of the vector.
      before: one client's work before it has its update.
      online: the rest of it.
      add: the aggregator's work for one message.
      open: the work of one holder and of opening.
      bytes: sent by one client, keys and letters included.
    """

    protocol: str
    params: int
    before: float
    online: float
    add: float
    open: float
    bytes: int


class Report(NamedTuple):
    """All that was measured."""

    rows: list[Row]


def measure(setting: Setting) -> Report:
    """Every protocol, with keys apart and without.

    Raises:
      PrideError: a sum was not exact.
    """
    making: dict[Inner, Callable[[], SecureSum]] = {
        "two_servers": two_servers,
        "paillier": lambda: paillier(setting.key_bits),
        "threshold": lambda: threshold_paillier(setting.key_bits),
        "masking": masking,
    }
    rows = []
    for name in setting.protocols:
        inner = making[name]()
        keys = inner.keygen(os.urandom, Role.KEY_HOLDER)
        for params in setting.params:
            rows.extend(_row(setting, each, keys, params) for each in _both(setting, inner, params))
    return Report(rows)


def _both(setting: Setting, inner: SecureSum, params: int) -> Iterator[SecureSum]:
    is_paillier = inner.name.startswith(("paillier", "threshold"))
    if params <= setting.longest_opened or not is_paillier:
        yield inner
    yield lattice(inner)


def _row(setting: Setting, protocol: SecureSum, keys: tuple[Secret, Public], params: int) -> Row:
    terms = Terms(params, setting.value_bits, 1.0, 2, setting.largest_cohort)
    called = call(protocol, keys, terms, setting.clients)
    messages = [protect(called, client)[0] for client in called.directory.roster]
    lap = laps_of(called, keys, messages)
    lap()
    laps = [lap() for _ in range(setting.repetitions)]
    medians = Lap(*map(statistics.median, zip(*laps, strict=True)))
    return Row(
        protocol.name,
        params,
        medians.before * params,
        medians.online * params,
        medians.add * params,
        medians.decrypt * params,
        bytes_sent(called, messages[0]),
    )


def as_json(setting: Setting, report: Report) -> str:
    """The report, the setting and what it ran on, in one line."""
    return as_line(report._asdict(), setting)


def show(report: Report) -> None:
    """A line a row."""
    table = Table(*Row._fields)
    for row in report.rows:
        seconds = (f"{each:.4g}" for each in row[2:-1])
        table.add_row(row.protocol, f"{row.params:,}", *seconds, f"{row.bytes:,}")
    Console().print(table)
