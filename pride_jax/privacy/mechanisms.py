"""What a plan does to a round's sum before it is released, and what clients add before that."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Int64

from pride_jax.privacy import banded_noise
from pride_jax.privacy.banded import band_coefficients
from pride_jax.privacy.clipping import adapt_norm
from pride_jax.privacy.gaussian import add_gaussian
from pride_jax.privacy.plan import PrivacyPlan
from pride_jax.privacy.skellam import Rng, skellam, wire_bits
from pride_jax.types import Key, Update


class PrivacyState(NamedTuple):
    """What a mechanism carries from round to round.

    Attributes:
      norm: the clipping norm of the round to come; public.
      window: past noise, where it is correlated; as secret as the noise key, and made from it.
    """

    norm: Float[Array, ""]
    window: banded_noise.Window | None


class Mechanism(NamedTuple):
    """A plan's noise on the device, as two pure functions of the run's noise key.

    Attributes:
      init: ``(key, like, round)`` -> the state before that round; ``like`` has the sum's shapes.
      release: ``(key, state, round, total, within)`` -> the sum that may be released, and the
        state. ``within`` is the sum over clients of ½ where the update was within the clipping
        norm, −½ where it was longer and 0 of clients without data; None unless clipping is
        adaptive.
    """

    init: Callable[[Key, Update, Int[Array, ""]], PrivacyState]
    release: Callable[
        [Key, PrivacyState, Int[Array, ""], Update, Float[Array, ""] | None],
        tuple[Update, PrivacyState],
    ]


def mechanism_of(plan: PrivacyPlan) -> Mechanism:
    """The mechanism that the plan's accountant accounts for.

    The noise of a ``skellam`` plan is in the sum already, see `integer_shares`.
    """
    coefficients = _coefficients(plan)

    def init(key: Key, like: Update, round_: Int[Array, ""]) -> PrivacyState:
        norm = jnp.asarray(plan.clipping_norm, jnp.float32)
        if plan.mechanism != "banded":
            return PrivacyState(norm, None)
        return PrivacyState(norm, banded_noise.replay(coefficients, key, round_, like))

    def release(
        key: Key,
        state: PrivacyState,
        round_: Int[Array, ""],
        total: Update,
        within: Float[Array, ""] | None,
    ) -> tuple[Update, PrivacyState]:
        round_key = jax.random.fold_in(key, round_)
        match plan.mechanism:
            case "skellam":
                return total, state
            case "banded":
                noise, window = banded_noise.step(
                    coefficients, round_key, state.window, plan.noise_scale
                )
                return jax.tree.map(jnp.add, total, noise), state._replace(window=window)
        if within is None:
            return add_gaussian(round_key, total, plan.noise_scale), state
        update_key, count_key = jax.random.split(round_key)
        noised = add_gaussian(update_key, total, plan.update_noise_multiplier * state.norm)
        share = add_gaussian(count_key, within, plan.count_noise) / plan.expected_cohort + 0.5
        return noised, state._replace(norm=adapt_norm(state.norm, share, plan.quantile))

    return Mechanism(init, release)


def _coefficients(plan: PrivacyPlan) -> tuple[float, ...]:
    return band_coefficients(plan.band, plan.rounds, plan.separation)


class IntegerShares(NamedTuple):
    """The noise that clients add to their integers before they protect them.

    Attributes:
      bits: of the residues that are sent, and of the opened sum's.
      dropouts: announced clients that may be missing from a sum.
      draw: number of clients announced, at least the plan's smallest cohort, and how many of them
        draw here -> these clients' shares. It can run while the device trains.
    """

    bits: int
    dropouts: int
    draw: Callable[[int, int], Int64[np.ndarray, "clients length"]]


def integer_shares(plan: PrivacyPlan, rng: Rng) -> IntegerShares:
    """The shares that a ``skellam`` plan asks of its clients.

    Args:
      plan: whose noise it is.
      rng: where its randomness comes from; ``os.urandom``.
    """
    variance, length, quantised = plan.total_variance, plan.dimension, plan.bits
    assert length is not None and quantised is not None, "the plan checks it"

    def draw(announced: int, here: int) -> Int64[np.ndarray, "clients length"]:
        # One client at a time: its numbers fit into the cache.
        return np.stack([skellam(rng, variance / announced, length) for _ in range(here)])

    bits = wire_bits(
        bits=quantised,
        clients=plan.slots,
        variance=variance,
        values=plan.rounds * length,
    )
    return IntegerShares(bits, plan.dropouts, draw)
