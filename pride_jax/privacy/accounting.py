"""What a plan costs: the ε of its releases, the noise for a target ε."""

import functools
import math
from collections.abc import Callable
from dataclasses import replace

from pride_jax.errors import ConfigError
from pride_jax.privacy.clipping import Clipping
from pride_jax.privacy.mechanisms.mechanism import Setting
from pride_jax.privacy.plan import Mechanism, Plan, releases_distance
from pride_jax.privacy.profile import Charged, Profile
from pride_jax.privacy.readers import READERS, Reader
from pride_jax.privacy.sampling import Accounted
from pride_jax.validated import expect, expect_number


def epsilon(plan: Plan, rounds: int | None = None, reader: Reader | None = None) -> float:
    """ε at the plan's δ against a reader of the released models.

    - Full participation, Gaussian or banded noise: all releases are one Gaussian mechanism, whose
      ε is exact (Balle & Wang 2018, theorem 8). For banded noise its sensitivity is that of the
      band matrix.
    - Truncated Poisson, Gaussian noise: privacy losses (`pairs.Called`) composed on a grid. If more
      clients are drawn than there is capacity for, a random choice takes part. Who knows how many
      were called sees sampling without replacement (`pairs.Counted`).
    - Cyclic Poisson, banded noise: ⌈rounds / groups⌉ truncated Poisson draws from a client's group,
      since no two of its turns share noise (Choquette-Choo et al. 2023, (Amplified) Banded Matrix
      Factorization).
    - Fixed size, Gaussian noise: privacy losses at twice the clipping norm (`pairs.Replaced`).
    - Skellam and discrete Gaussian shares: as Gaussian noise that costs no less (`dominance`,
      `discrete_dominance`).

    Args:
      plan: what is released.
      rounds: releases so far; all of the plan's if not given.
      reader: who reads; the plan's own if not given, see `Plan.reader`.

    Raises:
      ConfigError: an argument is no plan.
    """
    expect("plan", plan, Plan, "a Plan(sampler, clipping, mechanism, rounds, delta)")
    reader = plan.reader if reader is None else reader
    releases = releases_of(plan, rounds)
    return _epsilon(plan.mechanism, plan.setting, releases, plan.delta, reader)


def epsilon_known_cohort(plan: Plan, rounds: int | None = None) -> float:
    """ε at the plan's δ against who also knows each round's cohort: nothing is amplified.

    For Gaussian and banded noise, which the server adds, the sums without noise are still unknown
    to the adversary. For noise that the clients add, it may be aggregator and key holder.

    Args:
      plan: what is released.
      rounds: releases so far; all of the plan's if not given.
    """
    return epsilon(plan, rounds, "cohorts")


def epsilons(plan: Plan, rounds: int | None = None) -> dict[Reader, float]:
    """ε at the plan's δ against every reader, from who knows least to who knows most.

    Args:
      plan: what is released.
      rounds: releases so far; all of the plan's if not given.
    """
    return {reader: epsilon(plan, rounds, reader) for reader in READERS}


def profile(plan: Plan, rounds: int | None = None, reader: Reader | None = None) -> Profile:
    """All (ε, δ) of a plan, see `epsilon`.

    Raises:
      ConfigError: nothing is released, or without noise.
    """
    releases = releases_of(plan, rounds)
    if releases == 0 or plan.mechanism.noise_multiplier == 0:
        raise ConfigError(
            f"releases={releases}, noise_multiplier={plan.mechanism.noise_multiplier}: expected "
            "some of both"
        )
    reader = plan.reader if reader is None else reader
    return _profile(plan.mechanism, plan.setting, releases, reader)


def calibrate(
    make_mechanism: Callable[[float], Mechanism],
    target_epsilon: float,
    *,
    sampler: Accounted,
    clipping: Clipping,
    rounds: int,
    delta: float,
    client_state: bool = False,
) -> Plan:
    """The plan with as much noise as its `epsilon` needs to be at most the target, within 1% of it.

    Or as close as it gets, where ε jumps as a function of the noise.

    Args:
      make_mechanism: a noise multiplier -> a mechanism, for instance ``Gaussian``.
      target_epsilon: the ε of all rounds.
      sampler: of the plan, as the others.
      clipping: of the plan.
      rounds: of the plan.
      delta: of the plan.
      client_state: of the plan.

    Raises:
      ConfigError: the target is not positive and finite, nothing here accounts the combination, or
        adaptive clipping cannot spend so little.
    """
    if not callable(make_mechanism):
        raise ConfigError(
            f"make_mechanism={make_mechanism!r}: expected a function of the noise multiplier that "
            "makes a mechanism, such as Gaussian"
        )
    expect_number("target_epsilon", target_epsilon, "a positive, finite number")
    settings = {
        "sampler": sampler,
        "clipping": clipping,
        "rounds": rounds,
        "delta": delta,
        "client_state": client_state,
    }
    # Without noise, so that what is impossible is refused before the search.
    silent = Plan(mechanism=make_mechanism(0.0), **settings)
    noise = _noise_for(silent, target_epsilon)
    return Plan(mechanism=make_mechanism(noise), **settings)


@functools.lru_cache(maxsize=256)
def _noise_for(plan: Plan, target_epsilon: float) -> float:
    def cost(noise_multiplier: float) -> float:
        mechanism = plan.mechanism.with_noise(noise_multiplier)
        try:
            return epsilon(replace(plan, mechanism=mechanism))
        except ConfigError:
            # More noise than the mechanism can make: less may do.
            return -1.0

    enough = 1.0
    while cost(enough) > target_epsilon:
        enough *= 2
    low, high = enough / 2, enough
    while cost(low) <= target_epsilon:
        low, high = low / 2, low
    # Where few clients may come, ε jumps: below some noise their sums cost all of δ.
    while cost(high) < 0.99 * target_epsilon and high / low > 1 + 1e-6:
        middle = math.sqrt(low * high)
        if cost(middle) <= target_epsilon:
            high = middle
        else:
            low = middle
    return enough if cost(high) < 0 else high


def rounds_within(plan: Plan, target_epsilon: float) -> int:
    """The most releases whose `epsilon` is at most the target; it may exceed the plan's rounds."""
    within, beyond = 0, 1
    while epsilon(plan, beyond) <= target_epsilon:
        within, beyond = beyond, 2 * beyond
        if within > 2**20:
            return within
    while beyond - within > 1:
        middle = (within + beyond) // 2
        if epsilon(plan, middle) <= target_epsilon:
            within = middle
        else:
            beyond = middle
    return within


def releases_of(plan: Plan, rounds: int | None) -> int:
    """As many releases as are asked for; all of the plan's if not given.

    Raises:
      ConfigError: fewer than none.
    """
    if rounds is None:
        return plan.rounds
    if rounds < 0:
        raise ConfigError(f"rounds={rounds}: expected at least 0 releases")
    return rounds


@functools.lru_cache(maxsize=4096)
def _epsilon(
    mechanism: Mechanism, setting: Setting, releases: int, delta: float, reader: Reader
) -> float:
    if releases == 0 or mechanism.noise_multiplier == 0:
        return math.inf if releases else 0.0
    return _profile(mechanism, setting, releases, reader).epsilon(delta)


def _profile(mechanism: Mechanism, setting: Setting, releases: int, reader: Reader) -> Profile:
    """What is accounted, and what drawn cohorts and noise are from that."""
    ideal = mechanism.profile(setting, releases, reader)
    return Charged(ideal, releases_distance(mechanism, setting, releases))
