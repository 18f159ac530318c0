"""Probes of a round: crafted clients go in, and what is released is boiled down to a few means.

A probe is many runs of a few rounds, in which some clients move the model along one direction,
drawn anew for each run. Along the direction one sees the clients, beside it the noise alone.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from pride_jax.attacks.audit_intervals import Mean, mean_of
from pride_jax.errors import ConfigError
from pride_jax.privacy.plan import Plan

State = Any
"""What a round carries to the next; only the round itself looks into it."""

LONG = 10.0
"""Norm of a long update, in clipping norms."""
HEAVY = 1000
"""Examples of a heavy client, where all others have one."""
_IDLE = 1e-6
"""Norm of the update of who does nothing, in clipping norms; some frameworks divide by norms."""
_ROUNDS = 4
"""Of each run, if the plan has as many."""


class Client(NamedTuple):
    """All that a round is told of a client.

    Attributes:
      update: its new parameters minus those that it was sent, in float64.
      examples: how many it has, for rounds that weigh by them.
    """

    update: Float[np.ndarray, "parameters"]
    examples: int


class Federation(NamedTuple):
    """The round that is audited, with how it starts and what it releases.

    Attributes:
      round: the state and all clients -> the next state: it draws the cohort, clips, adds, noises
        and divides.
      start: the number of parameters -> the state before a run, with randomness of its own.
      parameters: a state -> the released parameters, a vector.
      size: the number of parameters.
    """

    round: Callable[[State, Sequence[Client]], State]
    start: Callable[[int], State]
    parameters: Callable[[State], Float[np.ndarray, "parameters"]]
    size: int

    def released(
        self, clients: Sequence[Client], rounds: int
    ) -> Float[np.ndarray, "rounds parameters"]:
        """By how much each round of a new run moves the parameters.

        Raises:
          ConfigError: the parameters are not so many finite numbers.
        """
        state = self.start(self.size)
        seen = [self._read(state)]
        for _ in range(rounds):
            state = self.round(state, clients)
            seen.append(self._read(state))
        return np.diff(np.stack(seen), axis=0)

    def _read(self, state: State) -> Float[np.ndarray, "parameters"]:
        # A copy: the round may work in place.
        read = np.array(self.parameters(state), np.float64)
        if read.shape != (self.size,) or not np.all(np.isfinite(read)):
            raise ConfigError(
                f"parameters(state) of shape {read.shape}: expected {self.size} finite numbers in "
                "a vector; flatten what the round releases, or give the right num_parameters"
            )
        return read


class Probe(NamedTuple):
    """What one kind of clients made a round release.

    Attributes:
      along: the released move along the direction.
      beside: mean square of the values beside it.
      again: mean product of those values in a round and the next.
    """

    along: Float[np.ndarray, "runs rounds"]
    beside: Float[np.ndarray, "runs rounds"]
    again: Float[np.ndarray, "runs pairs"]


class Noise(NamedTuple):
    """What is released where nobody moves anything.

    Attributes:
      power: mean square of a value.
      powers: the same of each value.
      counts: rounds that show a value.
      later: mean product of a value and that of a later round of the run, by the distance.
      runs: mean product of a value and that of the next run, in the same round.
      shifted: mean product of a value and the one so many places on, from 1.
    """

    power: Mean
    powers: Float[np.ndarray, "parameters"]
    counts: Float[np.ndarray, "parameters"]
    later: list[Mean]
    runs: Mean
    shifted: Float[np.ndarray, "shifts"]


class Seen(NamedTuple):
    """Everything that was measured.

    Attributes:
      noise: nobody moves.
      together: everybody moves by the clipping norm, the same way.
      against: everybody does, one way or the other by a coin for each.
      signs: those coins, 1 or -1.
      long: everybody moves `LONG` clipping norms.
      some_long: so do a few, the others do not; and in one value, not spread over all.
      heavy: a few clients of `HEAVY` examples each move, the others do not.
      few: how many these are.
      present: one client moves, heavy and long.
      absent: its neighbour under the plan's adjacency: it does nothing, or the opposite.
    """

    noise: Noise
    together: Probe
    against: Probe
    signs: Float[np.ndarray, "runs clients"]
    long: Probe
    some_long: Probe
    heavy: Probe
    few: int
    present: Probe
    absent: Probe


def probe_all(federation: Federation, plan: Plan, samples: int, seed: int) -> Seen:
    """Runs every probe.

    Args:
      federation: what is probed.
      plan: its claim; who takes part is up to the federation.
      samples: rounds of each probe.
      seed: of what the clients do.

    Raises:
      ConfigError: what is released is not so many finite numbers.
    """
    clients, few = plan.sampler.num_clients, few_clients(plan)
    rounds = min(_ROUNDS, plan.rounds)
    runs = math.ceil(samples / rounds)
    rng = np.random.default_rng(seed)
    run = _Run(federation, rng, plan.clipping.norm, rounds)

    def chosen(count: int) -> Float[np.ndarray, "runs clients"]:
        order = np.argsort(rng.random((runs, clients)), axis=1)
        return (order < count).astype(np.float64)

    def probe(
        moves: Float[np.ndarray, "runs clients"],
        heavy: Float[np.ndarray, "runs clients"],
        sparse: bool = False,
    ) -> Probe:
        rows = [run.probe(*each, sparse) for each in zip(moves, heavy, strict=True)]
        return Probe(*(np.stack(each) for each in zip(*rows, strict=True)))

    nobody = np.zeros((runs, clients))
    everybody = nobody + 1
    signs = rng.choice([-1.0, 1.0], (runs, clients))
    canary, some = chosen(1), chosen(few)
    away = -LONG if plan.sampler.adjacency == "replace_one" else 0.0
    return Seen(
        noise=run.noise(runs, clients),
        together=probe(everybody, nobody),
        against=probe(signs, nobody),
        signs=signs,
        long=probe(LONG * everybody, nobody),
        some_long=probe(LONG * some, nobody, sparse=True),
        heavy=probe(some, some),
        few=few,
        present=probe(LONG * canary, canary),
        absent=probe(away * canary, canary),
    )


def few_clients(plan: Plan) -> int:
    """So many that a round calls one of them, on average."""
    return max(1, min(round(1 / plan.sampler.rate), plan.sampler.num_clients // 2))


class _Run(NamedTuple):
    """How to run the round a few times."""

    federation: Federation
    rng: np.random.Generator
    norm: float
    rounds: int

    def probe(
        self,
        moves: Float[np.ndarray, "clients"],
        heavy: Float[np.ndarray, "clients"],
        sparse: bool,
    ) -> Probe:
        """A run in which clients move along a direction, by so many clipping norms."""
        size = self.federation.size
        idle, place = self.rng.choice(size, 2, replace=False)
        direction = np.zeros(size)
        if sparse:
            direction[place] = self.rng.choice([-1.0, 1.0])
        else:
            direction[:] = self.rng.choice([-1.0, 1.0], size) / math.sqrt(size - 1)
            direction[idle] = 0.0
        moved = self._moved(direction, idle, moves, heavy)
        along = moved @ direction
        others = size - 2
        beside = (np.sum(moved**2, axis=1) - along**2) / others
        again = (np.sum(moved[1:] * moved[:-1], axis=1) - along[1:] * along[:-1]) / others
        return Probe(along, beside, again)

    def noise(self, runs: int, clients: int) -> Noise:
        """Runs in which nobody moves."""
        size = self.federation.size
        nobody, nowhere = np.zeros(clients), np.zeros(size)
        squares, counts, shifted = np.zeros(size), np.zeros(size), np.zeros(size)
        power, across = np.zeros((runs, self.rounds)), np.zeros((runs - 1, self.rounds))
        later = [np.zeros((runs, self.rounds - distance)) for distance in range(1, self.rounds)]
        before = np.zeros((self.rounds, size))
        for number in range(runs):
            idle = int(self.rng.integers(size))
            moved = self._moved(nowhere, idle, nobody, nobody)
            squares += np.sum(moved**2, axis=0)
            counts += self.rounds
            counts[idle] -= self.rounds
            power[number] = np.sum(moved**2, axis=1) / (size - 1)
            spectrum = np.abs(np.fft.rfft(moved, axis=1)) ** 2
            shifted += np.sum(np.fft.irfft(spectrum, size, axis=1), axis=0) / size
            for distance, products in enumerate(later, start=1):
                products[number] = np.mean(moved[distance:] * moved[:-distance], axis=1)
            if number:
                across[number - 1] = np.mean(moved * before, axis=1)
            before = moved
        return Noise(
            power=mean_of(power),
            powers=squares / counts,
            counts=counts,
            later=[mean_of(products) for products in later],
            runs=mean_of(across),
            shifted=shifted[1 : size // 2 + 1] / (runs * self.rounds),
        )

    def _moved(
        self,
        direction: Float[np.ndarray, "parameters"],
        idle: int,
        moves: Float[np.ndarray, "clients"],
        heavy: Float[np.ndarray, "clients"],
    ) -> Float[np.ndarray, "rounds parameters"]:
        """What a run releases, but for the one value in which idle clients stir."""
        stirs = np.zeros(len(direction))
        stirs[idle] = _IDLE * self.norm
        updates = {move: self.norm * move * direction if move else stirs for move in set(moves)}
        for update in updates.values():
            # Shared by clients: a round that works in place must copy.
            update.setflags(write=False)
        clients = [
            Client(updates[move], HEAVY if weighs else 1)
            for move, weighs in zip(moves, heavy, strict=True)
        ]
        moved = self.federation.released(clients, self.rounds)
        moved[:, idle] = 0.0
        return moved
