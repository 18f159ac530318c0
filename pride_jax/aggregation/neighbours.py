"""With how many neighbours a client shares its secrets, and which: Bell et al.'s graph.

Clients that mask in pairs need not all know one another. Each client draws ``degree`` others as its
*helpers*, is one itself, and shares its secrets out among them, so that ``threshold`` give one
back. Some are corrupted and some fall silent, and nobody knows which. How many of those drawn are,
is hypergeometric, since the client draws them itself, after everyone's keys are fixed. The degree
is the smallest with which, but for a probability of 2^-40 over all clients together:

- the corrupted helpers of no honest client can open anything: ``threshold`` exceeds them, and
  against an active server, which asks each honest helper for either secret, 2·threshold exceeds
  degree + 1 + corrupted helpers;
- of those that each client drew, ``threshold`` are left;
- honest clients that are left are connected, where the server is curious; against an active server
  the threshold sees to that (see ``protocols.masking``).

Why nobody can steer it: a graph that all parties compute from a common seed is chosen by whoever
moves last. If the seed is a hash of everyone's signed keys, the server and a corrupted client try
keys, without talking to anybody, until a chosen client's helpers are theirs, in some 2^40 tries at
these degrees. Here an honest client's helpers depend on its own randomness alone, drawn after the
keys of everybody are in the directory's fingerprint, and tell nothing before its only letter of the
round is written. What is left to an adversary is to have the round fail and call another: each try
costs a round, in which all clients answer, and is seen. After 2^20 rounds the failure is still
below 2^-20. That corrupted clients all draw one client as a helper costs that client work, and
gives them nothing: its secrets are with its own helpers.

References:
  Bell, Bonawitz, Gascón, Lepoint & Raykova 2020, Secure single-server aggregation with
  (poly)logarithmic overhead: section 3 for a curious server, section 4 for an active one.
"""

import math
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln

from pride_jax.errors import ConfigError

ServerModel = Literal["curious", "active"]

FAILURE_BITS = 40
"""Each of the three things that may go wrong does with a probability below 2^-40 / 3."""


class Neighbourhood(NamedTuple):
    """How a client shares its secrets.

    Attributes:
      degree: helpers that each client draws; it is one more itself.
      threshold: how many of a client's helpers give one of its secrets back.
      corrupted: at most so many of an honest client's helpers are corrupted.
    """

    degree: int
    threshold: int
    corrupted: int


def check_shares_of_clients(server: ServerModel, corrupted: float, silent: float) -> None:
    """Refuses shares of corrupted and silent clients that no threshold can be between.

    Raises:
      ConfigError: as above.
    """
    told = f"corrupted={corrupted}, silent={silent} with server={server!r}"
    if server not in ("curious", "active"):
        raise ConfigError(f'server={server!r}, expected "curious" or "active"')
    if not (0 <= corrupted < 1 and 0 <= silent < 1):
        raise ConfigError(f"{told}: expected shares of the clients, from 0 to below 1")
    if server == "curious" and corrupted + silent >= 1:
        raise ConfigError(f"{told}: expected corrupted + silent < 1: those left open the sum")
    if server == "active" and corrupted + 2 * silent >= 1:
        raise ConfigError(
            f"{told}: expected corrupted + 2 silent < 1: an active server tells some that a client "
            "is silent, and others that it is not; lower one, or trust the server to be curious"
        )


@lru_cache(maxsize=64)
def neighbourhood(
    server: ServerModel, corrupted: float, silent: float, clients: int
) -> Neighbourhood:
    """The smallest one that is safe by chance; all pairs where there is none.

    Args:
      server: what the aggregator may do.
      corrupted: at most this share of the clients colludes with it.
      silent: at most this share of the clients falls silent.
      clients: in the round.

    Raises:
      ConfigError: the shares leave no threshold, or not with so few clients.
    """
    check_shares_of_clients(server, corrupted, silent)
    # Shares such as 1/10 are not quite floats: 0.1·30 is 3.
    bad = math.floor(corrupted * clients + 1e-9)
    gone = math.floor(silent * clients + 1e-9)
    logs = gammaln(np.arange(clients + 1) + 1.0)
    most = 2.0**-FAILURE_BITS / 3
    for degree in range(1, clients - 1):
        chance = _hypergeometric(logs, clients - 1, bad, degree)
        # upper[c]: that more than c are corrupted.
        upper = np.append(np.cumsum(chance[:0:-1])[::-1], 0.0)
        worst = int(np.argmax(clients * upper < most))
        needed = _threshold(server, degree, worst)
        if needed > degree:
            continue
        if worst >= bad and needed <= degree - gone:
            # Safe whoever is drawn. With so few clients, let all help all, and more fall silent.
            break
        left = _hypergeometric(logs, clients - 1, clients - 1 - gone, degree)
        if clients * left[:needed].sum() >= most:
            continue
        if server == "curious" and _parted(logs, clients, clients - bad - gone, degree) >= most:
            continue
        return Neighbourhood(degree, needed, worst)
    # All are helpers of all, and everyone's corrupted helpers the same.
    degree, needed = clients - 1, _threshold(server, clients - 1, bad)
    if clients > 1 and needed > clients - gone:
        raise ConfigError(
            f"{clients} clients of whom {bad} are corrupted and {gone} fall silent, with "
            f"server={server!r}: no threshold is between them; call more clients, or lower a share"
        )
    return Neighbourhood(degree, needed, bad)


def draw_helpers(
    ticket: Callable[[int], bytes], client: int, others: Iterable[int], degree: int
) -> list[int]:
    """The client and ``degree`` others, each set as likely as any other, ascending.

    Args:
      ticket: of each other, uniform bytes that only this client knows; the lowest are drawn.
      client: who draws.
      others: the rest of the roster.
      degree: how many are drawn.
    """
    tickets = sorted((ticket(other), other) for other in others)
    return sorted([client, *(other for _, other in tickets[:degree])])


def _threshold(server: ServerModel, degree: int, corrupted: int) -> int:
    """The smallest that the corrupted helpers of a client do not reach, and no client alone."""
    reached = corrupted if server == "curious" else (degree + 1 + corrupted) // 2
    return max(reached + 1, 2)


def _hypergeometric(
    logs: Float[np.ndarray, "factorials"], others: int, marked: int, degree: int
) -> Float[np.ndarray, "degree_and_1"]:
    """Probabilities that 0, 1, …, ``degree`` of as many draws out of all others are marked."""
    drawn = np.arange(max(0, degree - others + marked), min(degree, marked) + 1)
    chance = np.zeros(degree + 1)
    chance[drawn] = np.exp(
        _choose(logs, marked, drawn)
        + _choose(logs, others - marked, degree - drawn)
        - _choose(logs, others, degree)
    )
    return chance


def _parted(logs: Float[np.ndarray, "factorials"], clients: int, honest: int, degree: int) -> float:
    """A bound on the probability that honest clients who are left fall into two unlinked groups.

    A union over all groups of all sizes: nobody in one draws anybody of the other.
    """
    total = 0.0
    for group in range(1, honest // 2 + 1):
        log = _choose(logs, honest, group)
        for drawing, avoided in ((group, honest - group), (honest - group, group)):
            if clients - 1 - avoided < degree:
                log = -math.inf
            else:
                missed = _choose(logs, clients - 1 - avoided, degree)
                log += drawing * (missed - _choose(logs, clients - 1, degree))
        total += math.exp(log)
    return total


def _choose(logs: Float[np.ndarray, "factorials"], of: int, some: int | np.ndarray) -> np.ndarray:
    """Log of the binomial coefficient."""
    return logs[of] - logs[some] - logs[of - some]
