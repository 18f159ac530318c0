"""What adding updates unseen costs, a parameter: every protocol against naive Paillier.

The naive baseline is what the work that this code descends from did: python-paillier (phe, with
gmpy2) encrypts, adds and decrypts one float after another. It is timed anew beside every group of
protocols, in turn with them, and ratios are of medians within that group. A group is a protocol
with one key and one length of exponents: it has one window table in memory, filled beforehand.

What is timed, all through the seam and with signed messages, everybody present:

- encrypt: one client's keys of the round, letter, ``prepare``, ``protect`` and signature, proofs
  included;
- online: the last two of these alone, which need the update;
- add: ``combine`` with all its checks, proofs included, for each message;
- decrypt: the share of one holder, who checks and adds all messages and would work beside the
  others, and ``open``. What blinds and proofs are of all that is in ``proofs``.

With one worker all of this is on one core, but for the quantisation, which is XLA's, and times are
the processor's. With more workers they are those on the wall.
"""

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import phe
from rich.console import Console
from rich.table import Table

from bench.common.paillier_parts import (
    MICRO,
    Conversion,
    Encrypted,
    Proofs,
    WindowTable,
    time_conversion,
    time_proofs,
    time_window_table,
)
from bench.common.secure_rounds import Lap, bytes_sent, call, laps_of, naive_lap, protect
from pride_jax.aggregation.packed_paillier import SECURITY_BITS, Exponent
from pride_jax.aggregation.paillier_keys import PaillierPublic
from pride_jax.aggregation.protocols.bfv import bfv
from pride_jax.aggregation.protocols.masking import masking
from pride_jax.aggregation.protocols.paillier import paillier
from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.protocols.threshold import threshold_paillier
from pride_jax.aggregation.protocols.two_servers import two_servers
from pride_jax.aggregation.secure_sum import Public, Role, Secret, SecureSum
from pride_jax.aggregation.terms import Terms
from pride_jax.errors import ConfigError
from pride_jax.runs.lines import as_line

Protocol = Literal["plain", "two_servers", "masking", "bfv", "paillier", "threshold_paillier"]

_KEYLESS: dict[str, Callable[[], SecureSum]] = {
    "plain": plain,
    "two_servers": two_servers,
    "masking": masking,
    "bfv": bfv,
}
_PAILLIER: dict[str, Callable[[int, Exponent, int], SecureSum]] = {
    "paillier": paillier,
    "threshold_paillier": lambda bits, exponent, workers: threshold_paillier(
        bits, exponent=exponent, workers=workers
    ),
}
NAIVE = "naive"


@dataclass(frozen=True)
class Setting:
    """What is timed.

    Attributes:
      protocols: any of them; naive Paillier is always there.
      params: lengths of the vectors that are timed in full.
      key_bits: of Paillier; the first is also that of the baseline beside protocols without it.
      value_bits: widths of a value.
      modes: of Paillier's exponents; only the first with threshold keys, whose clients do the same
        work as others.
      workers: of Paillier.
      clients: in the round; all of them send.
      largest_cohort: for which messages have room.
      repetitions: of everything.
      seconds: a contestant that has run for this long is not repeated further.
      naive_values: floats that the baseline encrypts each time.
      models: lengths for which one client's part of a round is timed, with the first of each of
        ``key_bits``, ``value_bits``, ``modes`` and with each of ``workers``.
    """

    protocols: tuple[Protocol, ...] = (
        "plain",
        "two_servers",
        "masking",
        "bfv",
        "paillier",
        "threshold_paillier",
    )
    params: tuple[int, ...] = (12_288,)
    key_bits: tuple[int, ...] = (3072, 2048)
    value_bits: tuple[int, ...] = (16, 8)
    modes: tuple[Exponent, ...] = ("default", "strict")
    workers: tuple[int, ...] = (1, 2)
    clients: int = 10
    largest_cohort: int = 128
    repetitions: int = 5
    seconds: float = 15.0
    naive_values: int = 5
    models: tuple[int, ...] = (83, 199_210, 1_663_370)

    def __post_init__(self) -> None:
        """Refuses what there is nothing to time for.

        Raises:
          ConfigError: an empty list or a number that is too small.
        """
        for name in ("params", "key_bits", "value_bits", "modes", "workers"):
            if not getattr(self, name):
                raise ConfigError(f"Expected at least one of {name}, there is none: name one")
        if not set(self.key_bits) <= set(SECURITY_BITS):
            raise ConfigError(f"key_bits={self.key_bits}, expected any of {[*SECURITY_BITS]}")
        if self.clients < 2 or min(self.repetitions, self.naive_values, *self.params) < 1:
            raise ConfigError(
                f"clients={self.clients}, repetitions={self.repetitions}, "
                f"naive_values={self.naive_values}, params={self.params}: expected at least 2 "
                "clients and at least 1 of the others"
            )


class Group(NamedTuple):
    """Protocols that share a key.

    Attributes:
      protocol: its name here.
      key_bits: of Paillier, else None.
      mode: of Paillier's exponents, else None.
      make: workers -> the protocol.
    """

    protocol: str
    key_bits: int | None
    mode: Exponent | None
    make: Callable[[int], SecureSum]


class Row(NamedTuple):
    """A contestant's medians: microseconds and bytes a parameter.

    Attributes:
      protocol: ``naive`` for the baseline.
      key_bits: of Paillier.
      value_bits: width of a value; None for the baseline, which encrypts floats.
      mode: of Paillier's exponents.
      workers: of Paillier.
      params: length of the vector.
      encrypt_us: one client's work, all of it.
      online_us: the part of it that needs the update.
      add_us: the aggregator's work for one message.
      decrypt_us: the work of one holder and of opening.
      bytes: sent by one client, letters and headers included.
      encrypt_ratio_to_naive: how many times faster than the baseline.
      online_ratio_to_naive: how many times less than the baseline's encryption.
      decrypt_ratio_to_naive: how many times faster than the baseline.
      repetitions: how many laps the medians are of.
    """

    protocol: str
    key_bits: int | None
    value_bits: int | None
    mode: str | None
    workers: int
    params: int
    encrypt_us: float
    online_us: float
    add_us: float
    decrypt_us: float
    bytes: float
    encrypt_ratio_to_naive: float
    online_ratio_to_naive: float
    decrypt_ratio_to_naive: float
    repetitions: int


class ClientRound(NamedTuple):
    """One client's part of a round with a whole model.

    Attributes:
      protocol: ``naive`` for the baseline.
      key_bits: of Paillier.
      value_bits: width of a value.
      workers: of Paillier.
      params: of the model.
      encrypt_seconds: all of its work.
      online_seconds: the part that needs the update.
      bytes: sent.
      extrapolated: from the time of single values, not measured.
    """

    protocol: str
    key_bits: int | None
    value_bits: int | None
    workers: int
    params: int
    encrypt_seconds: float
    online_seconds: float
    bytes: int
    extrapolated: bool


class Report(NamedTuple):
    """All that was measured."""

    rows: list[Row]
    client_rounds: list[ClientRound]
    tables: list[WindowTable]
    conversions: list[Conversion]
    proofs: list[Proofs]


def groups(setting: Setting) -> list[Group]:
    """Who is timed, by key."""
    found = [
        Group(name, None, None, lambda workers, make=make: make())
        for name, make in _KEYLESS.items()
        if name in setting.protocols
    ]
    return found + [
        Group(
            name,
            key_bits,
            mode,
            lambda workers, make=make, key_bits=key_bits, mode=mode: make(key_bits, mode, workers),
        )
        for name, make in _PAILLIER.items()
        if name in setting.protocols
        for key_bits in setting.key_bits
        for mode in (setting.modes if name == "paillier" else setting.modes[:1])
    ]


def measure(setting: Setting) -> Report:
    """Everything.

    Raises:
      PrideError: a protocol did not give the exact sum.
    """
    report = Report([], [], [], [], [])
    naive_keys = {
        key_bits: phe.generate_paillier_keypair(n_length=key_bits) for key_bits in setting.key_bits
    }
    keys: dict[tuple[str, int | None], tuple[Secret, Public]] = {}
    for group in groups(setting):
        which = group.protocol, group.key_bits
        if which not in keys:
            # All workers may search for primes.
            keys[which] = group.make(max(setting.workers)).keygen(os.urandom, Role.KEY_HOLDER)
        key_holder = keys[which]
        naive = naive_keys[group.key_bits or setting.key_bits[0]]
        if isinstance(public := key_holder[1], PaillierPublic) and group.key_bits and group.mode:
            table = time_window_table(group.protocol, group.key_bits, group.mode, public)
            report.tables.append(table)
            if group.protocol == "paillier":
                report.proofs.extend(_proofs(setting, group.mode, public))
        rows = _compare(setting, group, key_holder, naive)
        report.rows.extend(rows)
        if (group.key_bits, group.mode) in ((None, None), (setting.key_bits[0], setting.modes[0])):
            report.client_rounds.extend(_client_rounds(setting, group, key_holder))
    report.client_rounds.extend(_extrapolated(setting, report.rows))
    report.conversions.extend(_conversions(setting, report.rows))
    return report


def _proofs(setting: Setting, mode: Exponent, public: PaillierPublic) -> list[Proofs]:
    return [
        time_proofs(public, mode, bits, params, setting.largest_cohort, setting.repetitions)
        for params in setting.params
        for bits in setting.value_bits
    ]


def _compare(
    setting: Setting,
    group: Group,
    key_holder: tuple[Secret, Public],
    naive: tuple[phe.PaillierPublicKey, phe.PaillierPrivateKey],
) -> list[Row]:
    """One group's rows, and the baseline's, timed in turn."""
    contestants: dict[tuple[int | None, int, int], Callable[[], Lap]] = {
        (None, 1, setting.naive_values): lambda: naive_lap(naive, setting.naive_values)
    }
    for params in setting.params:
        for value_bits in setting.value_bits:
            terms = _terms(setting, params, value_bits)
            called = call(group.make(max(setting.workers)), key_holder, terms, setting.clients)
            messages = [protect(called, client)[0] for client in called.directory.roster]
            for workers in setting.workers if group.key_bits else (1,):
                same = called._replace(protocol=group.make(workers), clock=_clock(workers))
                contestants[value_bits, workers, params] = laps_of(same, key_holder, messages)
    laps: dict[tuple[int | None, int, int], list[Lap]] = {who: [] for who in contestants}
    spent = dict.fromkeys(contestants, 0.0)
    for _ in range(setting.repetitions):
        for who, lap in contestants.items():
            if spent[who] < setting.seconds:
                start = time.perf_counter()
                laps[who].append(lap())
                spent[who] += time.perf_counter() - start
    medians = {
        who: Lap(*map(statistics.median, zip(*ran, strict=True))) for who, ran in laps.items()
    }
    (_, baseline), *_ = medians.items()
    return [
        Row(
            protocol=NAIVE if value_bits is None else group.protocol,
            key_bits=naive[0].n.bit_length() if value_bits is None else group.key_bits,
            value_bits=value_bits,
            mode=None if value_bits is None else group.mode,
            workers=workers,
            params=params,
            encrypt_us=(lap.before + lap.online) * MICRO,
            online_us=lap.online * MICRO,
            add_us=lap.add * MICRO,
            decrypt_us=lap.decrypt * MICRO,
            bytes=lap.bytes,
            encrypt_ratio_to_naive=baseline.online / (lap.before + lap.online),
            online_ratio_to_naive=baseline.online / lap.online,
            decrypt_ratio_to_naive=baseline.decrypt / lap.decrypt,
            repetitions=len(laps[value_bits, workers, params]),
        )
        for (value_bits, workers, params), lap in medians.items()
    ]


def _client_rounds(
    setting: Setting, group: Group, key_holder: tuple[Secret, Public]
) -> list[ClientRound]:
    """Medians for each size of model, workers in turn."""
    value_bits = setting.value_bits[0]
    found = []
    for params in setting.models:
        terms = _terms(setting, params, value_bits)
        calls = {
            workers: call(group.make(workers), key_holder, terms, setting.clients)._replace(
                clock=_clock(workers)
            )
            for workers in (setting.workers if group.key_bits else (1,))
        }
        # The first start the workers and fill their tables.
        sent = {
            workers: bytes_sent(called, protect(called, 0)[0]) for workers, called in calls.items()
        }
        laps: dict[int, list[tuple[float, float]]] = {workers: [] for workers in calls}
        spent = 0.0
        while len(laps[min(calls)]) < setting.repetitions and spent < setting.seconds:
            for workers, called in calls.items():
                _, before, online = protect(called, 0)
                laps[workers].append((before + online, online))
                spent += before + online
        for workers, ran in laps.items():
            encrypt, online = map(statistics.median, zip(*ran, strict=True))
            found.append(
                ClientRound(
                    protocol=group.protocol,
                    key_bits=group.key_bits,
                    value_bits=value_bits,
                    workers=workers,
                    params=params,
                    encrypt_seconds=encrypt,
                    online_seconds=online,
                    bytes=sent[workers],
                    extrapolated=False,
                )
            )
    return found


def _clock(workers: int) -> Callable[[], float]:
    """What other processes do is not in this one's processor time."""
    return time.process_time if workers == 1 else time.perf_counter


def _extrapolated(setting: Setting, rows: Sequence[Row]) -> list[ClientRound]:
    """The baseline's rounds, from its time of a value beside the first of ``key_bits``."""
    same_key = [row for row in rows if (row.protocol, row.key_bits) == (NAIVE, setting.key_bits[0])]
    if not same_key:
        return []
    seconds = statistics.median(row.encrypt_us for row in same_key) / MICRO
    return [
        ClientRound(
            NAIVE,
            setting.key_bits[0],
            None,
            1,
            params,
            seconds * params,
            seconds * params,
            round(same_key[0].bytes * params),
            extrapolated=True,
        )
        for params in setting.models
    ]


def _conversions(setting: Setting, rows: Sequence[Row]) -> list[Conversion]:
    """Quantise, pack and unpack, against ``paillier`` on one core in the first mode."""
    against = {
        (row.key_bits, row.value_bits): row
        for row in reversed(rows)
        if (row.protocol, row.mode, row.workers) == ("paillier", setting.modes[0], 1)
    }
    encrypted = [
        Encrypted(key_bits, value_bits, row.params, row.encrypt_us)
        for (key_bits, value_bits), row in against.items()
        if key_bits is not None and value_bits is not None
    ]
    return [
        time_conversion(each, setting.largest_cohort, 4 * setting.repetitions) for each in encrypted
    ]


def _terms(setting: Setting, params: int, value_bits: int) -> Terms:
    return Terms(params, value_bits, 1.0, 1, setting.largest_cohort)


def as_json(setting: Setting, report: Report) -> str:
    """The report, the setting and what it ran on, in one line."""
    return as_line(report._asdict(), setting)


def show(report: Report) -> None:
    """The report as tables."""
    console = Console()
    titles = {
        "rows": "µs and bytes a parameter; × is times faster than naive Paillier beside it",
        "client_rounds": "One client's part of a round",
        "tables": "Window tables, one a worker",
        "conversions": "Quantise, pack and unpack, µs a parameter",
        "proofs": "Blinds and proofs against encrypting, µs of one core a parameter",
    }
    for name, rows in report._asdict().items():
        if rows:
            table = Table(
                *(field.replace("_", " ") for field in rows[0]._fields), title=titles[name]
            )
            for row in rows:
                table.add_row(*map(_cell, row))
            console.print(table)


def _cell(value: str | float | bool | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else value
