"""Updates added as integers on the host, by a protocol that hides them: rounds, and their terms."""

import hashlib
import os
import warnings
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int, Int64

from pride_jax.aggregation.refusals import BurntError, MessageError
from pride_jax.aggregation.secure_sum import Public, Rng, Secret, SecureSum
from pride_jax.aggregation.simulation import Network, Transport, perfect
from pride_jax.aggregation.terms import Terms
from pride_jax.engine.contribution import Contribution, decoder
from pride_jax.engine.federation import without_clients
from pride_jax.engine.rounds import OneRound, RoundInfo, ServerState
from pride_jax.engine.server import Server
from pride_jax.engine.states import Kept
from pride_jax.errors import ConfigError, DivergedError
from pride_jax.methods.method import Sent
from pride_jax.privacy.mechanisms.shares import Shares
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.values import FixedPoint, Grid
from pride_jax.progress import Tell, silent
from pride_jax.types import Cohort
from pride_jax.validated import expect, expect_number, expect_whole

Note = Callable[[int, MessageError | BurntError], None]
"""Round, refused message or sum -> None, once that is told or written down."""


def warn(round_: int, refusal: MessageError | BurntError) -> None:
    """Tells of a refused message or sum as a Python warning."""
    told = str(refusal) if isinstance(refusal, BurntError) else f"Round {round_}: {refusal}"
    warnings.warn(told, RuntimeWarning, stacklevel=2)


class SecureAggregation(NamedTuple):
    """How updates are added where no one may see them.

    Attributes:
      protocol: adds integers, e.g. ``paillier()``.
      key_holder: its keys, from ``protocol.keygen(rng, Role.KEY_HOLDER)``.
      bits: of an integer.
      limit: the value that the largest integer stands for. A client whose weighted update holds a
        larger one scales its update down as a whole, and is counted.
      rng: of the clients' protection.
      network: what it does to the clients' messages. The mean is of those in the sum.
      smallest_cohort: the fewest clients with examples whose sum is opened; half of those expected
        in a round, and at least two, if not given. A plan has its own.
      note: told of each message and each sum that is refused.
      tell: told of progress within a round, and so of how many clients were called.
    """

    protocol: SecureSum
    key_holder: tuple[Secret, Public]
    bits: int = 16
    limit: float = 1.0
    rng: Rng = os.urandom
    network: Network = perfect
    smallest_cohort: int | None = None
    note: Note = warn
    tell: Tell = silent


def check_secure(secure: SecureAggregation) -> None:
    """Refuses settings of a secure sum that are of another kind.

    Raises:
      ConfigError: as above.
    """
    expect("secure", secure, SecureAggregation, "SecureAggregation(protocol, keys)")
    expect("secure.protocol", secure.protocol, SecureSum, "a protocol, such as paillier()")
    keys = secure.key_holder
    if not isinstance(keys, tuple) or len(keys) != 2:
        raise ConfigError(
            f"secure.key_holder is of type {type(keys).__name__}: expected the pair of keys from "
            "protocol.keygen(os.urandom, Role.KEY_HOLDER)"
        )
    expect_whole("secure.bits", secure.bits)
    expect_number("secure.limit", secure.limit, "a finite number above 0, such as 1.0")
    if not callable(secure.rng):
        raise ConfigError("secure.rng cannot be called: expected a function such as os.urandom")
    if secure.smallest_cohort is not None:
        expect_whole("secure.smallest_cohort", secure.smallest_cohort)


class Collected(NamedTuple):
    """The sum of a cohort's integers.

    Attributes:
      total: the sum; zeros where it was not opened, which costs a plan's release all the same.
      contributors: whose integers are in it.
      info: of the round.
      clients: what all clients keep after it.
    """

    total: Int64[np.ndarray, "length"]
    contributors: tuple[int, ...]
    info: RoundInfo
    clients: Kept


Collect = Callable[[ServerState, Cohort], Collected]
"""Has a cohort train, and adds its integers up; raises TooFewError where a sum must be opened."""


def host_round(
    server: Server, sizes: Int[jax.Array, "clients"], secure: SecureAggregation, collect: Collect
) -> OneRound:
    """A round whose sum is made on the host, by whatever collects it."""
    draw, finish = jax.jit(server.draw), jax.jit(server.finish)
    decode = decoder(added_in(server, secure), server.update)

    def one_round(state: ServerState) -> tuple[ServerState, RoundInfo]:
        own = without_clients(state)
        cohort = draw(own)
        total, contributors, info, clients = collect(state, cohort)
        in_sum = cohort.mask & np.isin(jax.device_get(cohort.ids), contributors)
        cohort = cohort._replace(mask=in_sum)
        sums = decode(Contribution(total, jnp.zeros((), jnp.int32)))
        return finish(sizes, own, cohort, sums)._replace(clients=clients), info

    return one_round


def added_in(server: Server, secure: SecureAggregation) -> Grid | FixedPoint:
    """What clients of a secure sum make of their updates.

    Raises:
      ConfigError: the plan was made for other integers than these.
    """
    return server.plan.in_secure_sum(FixedPoint(server.length, secure.bits, secure.limit))


def unopened(
    length: int, info: RoundInfo, transport: Transport, seconds: float, clients: Kept
) -> Collected:
    """What is collected of a sum that is not opened: nobody's, of so many zeros."""
    one = jnp.ones((), jnp.int32)
    info = info._replace(unopened=one, transport=transport, train_seconds=seconds)
    return Collected(np.zeros(length, np.int64), (), info, clients)


def sum_terms(server: Server, secure: SecureAggregation, shares: Shares) -> Terms:
    """What clients, aggregator and key holder agree on before a secure sum.

    Args:
      server: knows how much a client sends, and the most clients of a round.
      secure: how updates are quantised.
      shares: of the plan's noise: what is sent then has room for the whole sum.

    Raises:
      ConfigError: the cohort, bits or limit make no possible sum.
    """
    plan, bits = plan_in(server, secure), secure.bits + shares.extra_bits
    smallest, slots = plan.smallest_cohort, plan.sampler.slots
    if smallest > slots:
        raise ConfigError(
            f"smallest_cohort={smallest} of at most {slots} clients a round: no sum would be "
            "opened; expected two clients at least, and a smallest cohort that there can be"
        )
    limit = secure.limit * added_in(server, secure).span
    return Terms(
        length=server.length,
        bits=bits,
        limit=limit * ((2 ** (bits - 1) - 1) / (2 ** (secure.bits - 1) - 1)),
        smallest_cohort=plan.smallest_sum(smallest),
        largest_cohort=slots,
    )


def plan_in(server: Server, secure: SecureAggregation) -> Plan | NoPlan:
    """The server's plan, or none, with the fewest clients whose sum is opened.

    Raises:
      ConfigError: they are given together with a plan, whose accounting knows the plan's own.
    """
    return server.plan.opened_from(secure.smallest_cohort)


def model_digest(sent: Sent) -> bytes:
    """SHA-256 of all that clients are sent to train from: the same model for all, or no sum.

    Raises:
      DivergedError: it holds NaN or infinity, from which clients do not train.
    """
    leaves = jax.tree.leaves(jax.device_get(sent))
    if not all(np.isfinite(leaf).all() for leaf in leaves):
        raise DivergedError(
            "Training diverged: what clients are sent holds NaN or infinity, from which they do "
            "not train. Lower client.learning_rate or server.learning_rate"
        )
    return hashlib.sha256(b"".join(np.asarray(leaf).tobytes() for leaf in leaves)).digest()
