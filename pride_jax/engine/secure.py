"""Updates added as integers on the host, by a protocol that hides them: rounds, and their terms."""

import os
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Int, Int32, Int64

from pride_jax.aggregation.fixed_point import REFUSED, dequantize
from pride_jax.aggregation.secure_sum import Public, Rng, Secret, SecureSum, Terms
from pride_jax.aggregation.simulation import Network, Transport, perfect
from pride_jax.engine.contribution import Contribution, Encode, integers, of_plan
from pride_jax.engine.federation import without_clients
from pride_jax.engine.rounds import OneRound, RoundInfo, ServerState
from pride_jax.engine.server import Server
from pride_jax.engine.states import Kept
from pride_jax.errors import ConfigError, ProtocolError
from pride_jax.privacy.mechanisms.integer_shares import IntegerShares
from pride_jax.privacy.mechanisms.share_noise import centre
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.values import integers_of
from pride_jax.types import Cohort


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
    """

    protocol: SecureSum
    key_holder: tuple[Secret, Public]
    bits: int = 16
    limit: float = 1.0
    rng: Rng = os.urandom
    network: Network = perfect


class Collected(NamedTuple):
    """The sum of a cohort's integers.

    Attributes:
      total: the sum; None where it was not opened, which costs a plan's release all the same.
      contributors: whose integers are in it.
      info: of the round.
      clients: what all clients keep after it.
    """

    total: Int64[np.ndarray, "length"] | None
    contributors: tuple[int, ...]
    info: RoundInfo
    clients: Kept


Collect = Callable[[ServerState, Cohort], Collected]
"""Has a cohort train, and adds its integers up; raises TooFewError where a sum must be opened."""


def host_round(
    server: Server, sizes: Int[jax.Array, "clients"], secure: SecureAggregation, collect: Collect
) -> OneRound:
    """A round whose sum is made on the host, by whatever collects it.

    A sum that is not opened counts as zeros: with a plan, the round has been accounted for.
    """
    draw, finish = jax.jit(server.draw), jax.jit(server.finish)
    like = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), server.update)
    flat, unflatten = ravel_pytree(like)

    def opened(total: Int64[np.ndarray, "length"]) -> Contribution:
        """Floats; with a plan its integers, on whose grid the noise is, which 32 bits hold."""
        if server.plan is None:
            floats = jnp.asarray(dequantize(total, secure.limit, secure.bits))
            return Contribution(unflatten(floats), jnp.zeros(()))
        return Contribution(jnp.asarray(total.astype(np.int32)), jnp.zeros((), jnp.int32))

    def one_round(state: ServerState) -> tuple[ServerState, RoundInfo]:
        own = without_clients(state)
        cohort = draw(own)
        total, contributors, info, clients = collect(state, cohort)
        if total is None:
            total = np.zeros(flat.shape, np.int64)
        else:
            in_sum = cohort.mask & np.isin(jax.device_get(cohort.ids), contributors)
            cohort = cohort._replace(mask=in_sum)
        return finish(sizes, own, cohort, opened(total))._replace(clients=clients), info

    return one_round


def encode_of(secure: SecureAggregation, plan: Plan | None) -> Encode:
    """What clients of a secure sum make of their updates.

    With a plan, rounding keeps the L2 norm within the bound that the noise is made for.
    """
    return integers(secure.limit, secure.bits) if plan is None else of_plan(plan)


def unopened(info: RoundInfo, transport: Transport, seconds: float, clients: Kept) -> Collected:
    """What is collected of a sum that is not opened."""
    one = jnp.ones((), jnp.int32)
    info = info._replace(unopened=one, transport=transport, train_seconds=seconds)
    return Collected(None, (), info, clients)


def noise_shares(plan: Plan | None, rng: Rng) -> IntegerShares | None:
    """The noise that clients add to their integers, if the plan asks for any."""
    return None if plan is None else plan.shares(rng)


def add_shares(
    rows: Int32[np.ndarray, "clients length"],
    noise: Int64[np.ndarray, "clients length"],
    limit: float,
    bits: int,
) -> Int64[np.ndarray, "clients length"]:
    """Residues of each client's integers with its share of the noise.

    Raises:
      ProtocolError: an update exceeds the limit, which noise would hide from the protocol.
    """
    if (rows == REFUSED).any():
        raise ProtocolError(f"An update exceeds limit={limit}: expected at most the clipping norm")
    return centre(rows + noise, bits)


def sum_terms(server: Server, secure: SecureAggregation, bits: int) -> Terms:
    """What clients, aggregator and key holder agree on before a secure sum.

    Args:
      server: knows how much a client sends, and the most clients of a round.
      secure: how updates are quantised.
      bits: of what is sent: with shares of noise, residues that have room for the whole sum.

    Raises:
      ConfigError: the cohort, bits or limit make no possible sum.
    """
    plan, slots = server.plan, server.slots
    limit = secure.limit if plan is None else secure.limit * plan.grid.span
    return Terms(
        length=server.length,
        bits=bits,
        limit=limit * ((2 ** (bits - 1) - 1) / (2 ** (secure.bits - 1) - 1)),
        smallest_cohort=min(2, slots) if plan is None else plan.smallest_cohort - plan.dropouts,
        largest_cohort=slots,
    )


def check_integers(server: Server, secure: SecureAggregation) -> None:
    """Refuses a plan that was made for other integers than these.

    Raises:
      ConfigError: as above.
    """
    plan = server.plan
    if plan is None:
        return
    found, norm = plan.mechanism.values, plan.clipping.norm
    possible = [integers_of(server.length, secure.bits, rotation=may) for may in (False, True)]
    if found not in possible or norm != secure.limit:
        raise ConfigError(
            f"The plan adds {found} of norm {norm}, but method and secure aggregation "
            f"{possible[0]} of limit {secure.limit}: they must be the same, or the accounting is "
            "wrong"
        )
