"""What client-level privacy costs in time: clipping and noise in a round, and the accountant.

Rounds are McMahan et al.'s, on random images: the same algorithm without a plan and with one, in
turn, with the same number of clients each; ratios are of medians. ``none`` adds on the device,
integers with ``gaussian`` and floats without a plan and with ``floats``; ``plain`` adds integers on
the host, whose clients' shares of noise are drawn while the device trains.
"""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import jax
import optax
from rich.console import Console
from rich.table import Table

from bench.common.rounds import CLASSES, FEATURES, random_images
from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.secure_sum import Role
from pride_jax.engine.on_device import on_device
from pride_jax.engine.rounds import Algorithm
from pride_jax.engine.secure import SecureAggregation
from pride_jax.engine.simulated import simulated
from pride_jax.errors import ConfigError
from pride_jax.federated import federated
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import LocalTraining, uniform
from pride_jax.models.modules import num_parameters
from pride_jax.models.networks import two_nn
from pride_jax.privacy import accounting
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.plan import Mechanism, Plan
from pride_jax.privacy.randomness import secret_key
from pride_jax.privacy.sampling import Accounted, fixed_size, full, truncated_poisson
from pride_jax.privacy.values import DeviceIntegers, Floats, Integers
from pride_jax.runs.lines import as_line
from pride_jax.task import classification

_NORM, _BITS = 1.0, 16
_MECHANISMS = {"none": ("gaussian", "floats"), "plain": ("skellam",)}


@dataclass(frozen=True)
class Setting:
    """What is timed.

    Attributes:
      clients: all of them take part in every round.
      examples: of each.
      batch_size: examples a step.
      repetitions: rounds of each contestant, after one that compiles.
      accounting: whether the accountant is timed, too.
    """

    clients: int = 10
    examples: int = 600
    batch_size: int = 10
    repetitions: int = 15
    accounting: bool = True

    def __post_init__(self) -> None:
        """Refuses what there is nothing to time for.

        Raises:
          ConfigError: fewer than two clients, or none of something else.
        """
        if self.clients < 2 or min(self.examples, self.batch_size, self.repetitions) < 1:
            raise ConfigError(
                f"{self}: expected at least 2 clients and at least 1 of everything else"
            )


class RoundRow(NamedTuple):
    """A round of the 2NN.

    Attributes:
      aggregation: ``none`` or ``plain``.
      mechanism: ``none``, ``gaussian``, the same in ``floats``, or ``skellam``.
      seconds_per_round: median.
      overhead: over the round without a mechanism, as a share of it.
      noise_seconds: of drawing all clients' shares, which can go on while the device trains.
    """

    aggregation: str
    mechanism: str
    seconds_per_round: float
    overhead: float
    noise_seconds: float | None


class AccountingRow(NamedTuple):
    """The accountant's times, in seconds, of plans that it has not seen before."""

    plan: str
    epsilon_seconds: float
    calibrate_seconds: float
    noise_multiplier: float
    epsilon: float


class Report(NamedTuple):
    """Everything that was measured."""

    rows: list[RoundRow]
    accounting: list[AccountingRow]


def measure(setting: Setting) -> Report:
    """Everything."""
    rows = [row for aggregation in _MECHANISMS for row in _rounds(setting, aggregation)]
    return Report(rows, _accounting() if setting.accounting else [])


def _rounds(setting: Setting, aggregation: str) -> list[RoundRow]:
    plans = {"none": None} | {name: _plan(setting, name) for name in _MECHANISMS[aggregation]}
    contestants = {
        name: _round(_algorithm(setting, aggregation, plan)) for name, plan in plans.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for run in contestants.values():
        run()
    for _ in range(setting.repetitions):
        for name, run in contestants.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    skellam = plans.get("skellam")
    noise = None if skellam is None else _noise_seconds(setting, skellam)
    return [
        RoundRow(
            aggregation,
            name,
            median,
            median / medians["none"] - 1,
            None if name == "none" else noise,
        )
        for name, median in medians.items()
    ]


def _plan(setting: Setting, mechanism: str) -> Plan:
    length = num_parameters(two_nn(FEATURES, CLASSES))
    mechanisms = {
        "gaussian": Gaussian(1.0, DeviceIntegers(length)),
        "floats": Gaussian(1.0, Floats()),
        "skellam": Skellam(1.0, Integers(length, _BITS), colluders=1),
    }
    return Plan(
        sampler=full(setting.clients),
        clipping=Flat(_NORM),
        mechanism=mechanisms[mechanism],
        rounds=1000,
        delta=1e-5,
    )


def _algorithm(setting: Setting, aggregation: str, plan: Plan | None) -> Algorithm:
    adder = on_device()
    if aggregation == "plain":
        keys = plain().keygen(os.urandom, Role.KEY_HOLDER)
        adder = simulated(SecureAggregation(plain(), keys, _BITS, _NORM))
    method = fedavg(
        classification(two_nn(FEATURES, CLASSES), CLASSES),
        optax.sgd(0.05),
        weighting=uniform,
        training=LocalTraining(epochs=1, batch_size=setting.batch_size),
    )
    data = random_images(setting.clients, setting.examples, seed=0)
    return federated(method, data, plan, adder)


def _round(algorithm: Algorithm) -> Callable[[], None]:
    state = algorithm.init(jax.random.key(0), secret_key())
    return lambda: jax.block_until_ready(algorithm.params(algorithm.round(state)[0]))


def _noise_seconds(setting: Setting, plan: Plan) -> float:
    shares, times = plan.shares(os.urandom), []
    for _ in range(setting.repetitions):
        start = time.perf_counter()
        shares.draw(setting.clients, setting.clients)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _accounting() -> list[AccountingRow]:
    # Geyer et al.'s three populations, and what else the table of plans has.
    thousand = truncated_poisson(1000, 0.22)
    return [
        _timed("100 clients, full, 20 rounds", full(100), 20, 1e-3, 8.0),
        _timed("1,000, truncated Poisson .22, 100 rounds", thousand, 100, 1e-5, 8.0),
        _timed(
            "10,000, truncated Poisson .1, 100 rounds",
            truncated_poisson(10_000, 0.1),
            100,
            1e-6,
            3.0,
        ),
        _timed(
            "1,000, Skellam, truncated Poisson .22, 100 rounds",
            thousand,
            100,
            1e-5,
            8.0,
            lambda noise: Skellam(noise, Integers(199_210, _BITS), colluders=1),
        ),
        _timed("1,000, fixed size 100, 100 rounds", fixed_size(1000, 100), 100, 1e-5, 8.0),
    ]


def _timed(
    name: str,
    sampler: Accounted,
    rounds: int,
    delta: float,
    target: float,
    make_mechanism: Callable[[float], Mechanism] = Gaussian,
) -> AccountingRow:
    plan = Plan(
        sampler=sampler,
        clipping=Flat(1.0),
        mechanism=make_mechanism(2.0),
        rounds=rounds,
        delta=delta,
    )
    # The accountant's libraries are imported with the first use.
    accounting.epsilon(replace(plan, mechanism=make_mechanism(3.0), rounds=3))
    start = time.perf_counter()
    accounting.epsilon(plan)
    told = time.perf_counter()
    calibrated = accounting.calibrate(
        make_mechanism,
        target,
        sampler=sampler,
        clipping=plan.clipping,
        rounds=rounds,
        delta=delta,
    )
    return AccountingRow(
        name,
        told - start,
        time.perf_counter() - told,
        calibrated.mechanism.noise_multiplier,
        accounting.epsilon(calibrated),
    )


def as_json(setting: Setting, report: Report) -> str:
    """The report, the setting and what it ran on, in one line."""
    return as_line(report._asdict(), setting)


def show(report: Report) -> None:
    """The report as tables."""
    console = Console()
    for rows, title in (
        (report.rows, "A round of the 2NN"),
        (report.accounting, "The accountant, in seconds"),
    ):
        if rows:
            table = Table(*(field.replace("_", " ") for field in rows[0]._fields), title=title)
            for row in rows:
                table.add_row(*(f"{x:.4g}" if isinstance(x, float) else str(x) for x in row))
            console.print(table)
