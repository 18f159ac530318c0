"""All roles of a secure sum in one process, for simulation: who would do what, in order, timed."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, Int64

from pride_jax.aggregation.messages import to_bytes
from pride_jax.aggregation.secure_sum import (
    Directory,
    Prepared,
    Public,
    Rng,
    Role,
    Secret,
    SecureSum,
    Terms,
)


class Transport(NamedTuple):
    """What a sum cost; times are of one process playing every role, in seconds.

    Attributes:
      bytes_sent: by all clients, headers included.
      prepare_seconds: of all clients, before they have their updates.
      protect_seconds: of all clients.
      combine_seconds: of the aggregator.
      open_seconds: of the key holder and the aggregator.
    """

    bytes_sent: int
    prepare_seconds: float
    protect_seconds: float
    combine_seconds: float
    open_seconds: float

    def seconds(self) -> list[tuple[str, float]]:
        """Each stage's name and time."""
        return [
            (name.removesuffix("_seconds"), value)
            for name, value in self._asdict().items()
            if name.endswith("_seconds")
        ]


class Announced(NamedTuple):
    """A sum that clients have been called to, and what they prepared for it."""

    directory: Directory
    prepared: tuple[Prepared, ...]
    seconds: float


class Aggregator(NamedTuple):
    """A secure sum as two calls.

    Attributes:
      announce: round, client ids -> clients prepare; it can run while the device trains.
      add: the announced sum, one row of integers a client in the order announced -> their exact
        sum, and its cost.
    """

    announce: Callable[[int, Sequence[int]], Announced]
    add: Callable[
        [Announced, Int[np.ndarray, "clients length"]],
        tuple[Int64[np.ndarray, "length"], Transport],
    ]


def simulate(
    protocol: SecureSum, terms: Terms, key_holder: tuple[Secret, Public], rng: Rng
) -> Aggregator:
    """Plays clients, aggregator and key holder.

    Args:
      protocol: how the sum is protected.
      terms: what is summed.
      key_holder: its keys, from ``protocol.keygen(rng, Role.KEY_HOLDER)``.
      rng: of the clients; ``os.urandom``.
    """
    secret, public = key_holder

    def announce(round_: int, clients: Sequence[int]) -> Announced:
        start = time.perf_counter()
        directory = Directory(round_, tuple(clients), terms, {Role.KEY_HOLDER: public})
        client_secret, _ = protocol.keygen(rng, Role.CLIENT)
        prepared = tuple(
            protocol.prepare(rng, directory, client_secret, client) for client in clients
        )
        return Announced(directory, prepared, time.perf_counter() - start)

    def add(
        announced: Announced, rows: Int[np.ndarray, "clients length"]
    ) -> tuple[Int64[np.ndarray, "length"], Transport]:
        directory = announced.directory
        times = [time.perf_counter()]
        messages = [
            protocol.protect(directory, prepared, row)
            for prepared, row in zip(announced.prepared, rows, strict=True)
        ]
        times.append(time.perf_counter())
        total = protocol.combine(directory, messages)
        times.append(time.perf_counter())
        summed = protocol.open(directory, total, [protocol.share(directory, secret, total)])
        times.append(time.perf_counter())
        sent = sum(len(to_bytes(message)) for message in messages)
        protecting, combining, opening = np.diff(times).tolist()
        return summed, Transport(sent, announced.seconds, protecting, combining, opening)

    return Aggregator(announce, add)
