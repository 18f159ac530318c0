"""Whole rounds of every protocol, with keys apart and without: seconds and bytes.

All through the seam and with signed messages, everybody present, as in the benchmark of encryption:

- before and online: one client's work, before it has its update and after, proofs included;
- add: checking and adding one message;
- open: the share of one holder, who checks and adds all keys or messages and would work beside the
  others, and reading the sum.

Seconds are the processor's. The first round, which compiles, does not count. Of masking, what one
client's masks take is told by itself, too: for a vector, and for a key.
"""

import os
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

from rich.console import Console
from rich.table import Table

from bench.common.secure_rounds import Lap, bytes_sent, call, laps_of, member_of, protect
from pride_jax.aggregation.lattice.parameters import key_terms, lattice_of
from pride_jax.aggregation.protocols.bfv import bfv
from pride_jax.aggregation.protocols.lattice import lattice
from pride_jax.aggregation.protocols.masking import masking
from pride_jax.aggregation.protocols.paillier import paillier
from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.protocols.threshold import threshold_paillier
from pride_jax.aggregation.protocols.two_servers import two_servers
from pride_jax.aggregation.secure_sum import Public, Role, Secret, SecureSum
from pride_jax.aggregation.terms import Terms
from pride_jax.errors import ConfigError
from pride_jax.runs.lines import as_line

Inner = Literal["two_servers", "paillier", "threshold", "masking"]
Protocol = Literal["plain", "two_servers", "masking", "bfv", "paillier", "threshold"]


@dataclass(frozen=True)
class Setting:
    """What is timed.

    Attributes:
      protocols: any; keys are sent through all but ``plain`` and ``bfv``.
      params: lengths of the vectors; longer than a key, of which there are up to 8,192 numbers.
      longest_opened: longer vectors go through Paillier with their keys apart only, which would
        take minutes to open.
      key_bits: of Paillier.
      value_bits: width of a value.
      clients: in the round; all of them send.
      largest_cohort: for which messages have room.
      masked: length of the vector whose masks are timed.
      cohorts: whose masks are.
      repetitions: of everything.
    """

    protocols: tuple[Protocol, ...] = get_args(Protocol)
    params: tuple[int, ...] = (9_000, 199_210, 1_663_370, 25_600_000)
    longest_opened: int = 9_000
    key_bits: int = 3072
    value_bits: int = 16
    clients: int = 10
    largest_cohort: int = 128
    masked: int = 1_663_370
    cohorts: tuple[int, ...] = (10, 100)
    repetitions: int = 3

    def __post_init__(self) -> None:
        """Refuses what there is nothing to time for.

        Raises:
          ConfigError: a number that is too small.
        """
        if min(self.clients, *self.cohorts) < 2:
            raise ConfigError(
                f"clients={self.clients}, cohorts={self.cohorts}: expected at least 2 clients"
            )
        if min(self.repetitions, self.masked, *self.params) < 1:
            raise ConfigError(
                f"repetitions={self.repetitions}, masked={self.masked}, params={self.params}: "
                "expected at least 1 of each"
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


class Masks(NamedTuple):
    """What one client's masks take, in seconds.

    Attributes:
      clients: in the round.
      params: length of the vector.
      key: length of a key, of which masks are made where keys are apart.
      of_vector: medians.
      of_key: the same, in turn.
    """

    clients: int
    params: int
    key: int
    of_vector: float
    of_key: float


class Report(NamedTuple):
    """All that was measured."""

    rows: list[Row]
    masks: list[Masks]


def measure(setting: Setting) -> Report:
    """Every protocol, with keys apart and without.

    Raises:
      PrideError: a sum was not exact.
    """
    making: dict[Protocol, Callable[[], SecureSum]] = {
        "plain": plain,
        "bfv": bfv,
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
            rows.extend(
                _row(setting, each, keys, params) for each in _both(setting, name, inner, params)
            )
    cohorts = setting.cohorts if "masking" in setting.protocols else ()
    return Report(rows, [_masks(setting, clients) for clients in cohorts])


def _both(setting: Setting, name: Protocol, inner: SecureSum, params: int) -> Iterator[SecureSum]:
    if params <= setting.longest_opened or name not in ("paillier", "threshold"):
        yield inner
    if name in get_args(Inner):
        yield lattice(inner)


def _masks(setting: Setting, clients: int) -> Masks:
    """Those of a vector and of its key, in turn."""
    protocol, vector = masking(), _terms(setting, setting.masked)
    key = replace(key_terms(vector), length=lattice_of(vector).degree)
    keys = protocol.keygen(os.urandom, Role.KEY_HOLDER)
    rounds = [call(protocol, keys, terms, clients) for terms in (vector, key)]
    laps: list[list[float]] = [[], []]
    for _ in range(1 + setting.repetitions):
        for called, seconds in zip(rounds, laps, strict=True):
            # A secret masks one vector.
            secret = member_of(called, 0)
            start = called.clock()
            protocol.prepare(os.urandom, called.directory, secret, 0)
            seconds.append(called.clock() - start)
    medians = [statistics.median(seconds[1:]) for seconds in laps]
    return Masks(clients, vector.length, key.length, *medians)


def _terms(setting: Setting, params: int) -> Terms:
    return Terms(params, setting.value_bits, 1.0, 2, setting.largest_cohort)


def _row(setting: Setting, protocol: SecureSum, keys: tuple[Secret, Public], params: int) -> Row:
    called = call(protocol, keys, _terms(setting, params), setting.clients)
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
    console = Console()
    console.print(table)
    if report.masks:
        masks = Table(*Masks._fields, title="Seconds of one client's masks")
        for row in report.masks:
            masks.add_row(
                *(f"{each:.4g}" if isinstance(each, float) else f"{each:,}" for each in row)
            )
        console.print(masks)
