"""What the rounds of a plan are for `independent`: events, written anew from the plan's fields."""

import math

import numpy as np
from independent import (
    bracket,
    chances_of,
    counted,
    discrete_gaussian_sum,
    hidden_call,
    integer_call,
    integer_counted,
    replaced,
    skellam,
)

from pride_jax.privacy.mechanisms.banded import Banded
from pride_jax.privacy.mechanisms.blt import BufferedToeplitz
from pride_jax.privacy.mechanisms.share_mechanism import ShareMechanism
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.sampling import CyclicPoisson, FixedSize, Full

FEW_CELLS = 12_000


def bracket_of(plan, reader):
    """Bounds of a plan's ε: the least of those for each way to describe it."""
    found = [bracket(events, rounds, plan.delta) for events, rounds in descriptions(plan, reader)]
    return min(low for low, _ in found), min(high for _, high in found)


def descriptions(plan, reader):
    """(events of a round, how many) that are no better for the client than the plan."""
    sampler, mechanism = plan.sampler, plan.mechanism
    if isinstance(mechanism, ShareMechanism):
        called, seen = _of_shares(mechanism, sampler)
    else:
        move = 1 / mechanism.noise_multiplier

        def called(chance, rate):
            return hidden_call(chance, rate, move)

        def seen(chance, rate):
            return counted(chance, rate, move, FEW_CELLS)

    known = isinstance(sampler, Full) or reader == "cohorts"
    if isinstance(mechanism, BufferedToeplitz) or (known and isinstance(mechanism, Banded)):
        return [([hidden_call(1.0, 1.0, _reach(plan) * move)], 1)]
    if isinstance(sampler, Full):
        return [([called(1.0, 1.0)], plan.rounds)]
    if isinstance(sampler, FixedSize):
        rate = sampler.size / sampler.num_clients
        return [([replaced(1.0, rate, 2 / mechanism.noise_multiplier)], plan.rounds)]
    groups = sampler.groups if isinstance(sampler, CyclicPoisson) else 1
    clients, rate = sampler.num_clients // groups, sampler.rate * groups
    turns = math.ceil(plan.rounds / groups)
    least = _fewest_opened(plan)
    if reader == "models":
        rounds = _hidden_number(clients, rate, sampler.capacity, least, called, seen)
        return [(events, turns) for events in rounds]
    coalition = max(1, mechanism.colluders) if reader == "colluding_clients" else 0
    rest = clients - coalition
    sizes = np.minimum(np.arange(rest + 1), sampler.capacity)
    chances = np.bincount(sizes, chances_of(rest, rate))
    opened = range(max(1, least - coalition), len(chances))
    likely = [size for size in opened if chances[size] > 1e-18]
    return [([seen(chances[size], size / rest) for size in likely], turns)]


def _of_shares(mechanism, sampler):
    """All of the norm in one coordinate; of discrete Gaussians, everybody's shares."""
    squared = mechanism.values.max_squared_norm
    variance, shift = mechanism.noise_multiplier**2 * squared, math.isqrt(squared)
    if isinstance(mechanism, Skellam):
        noise = skellam(variance)
    else:
        honest = sampler.num_clients - mechanism.dropouts - mechanism.colluders
        noise = discrete_gaussian_sum(variance / honest, honest)

    def called(chance, rate):
        return integer_call(chance, rate, noise, shift)

    def seen(chance, rate):
        return integer_counted(chance, rate, noise, shift)

    return called, seen


def _fewest_opened(plan):
    mechanism, cohort = plan.mechanism, plan.sampler.expected_cohort
    if isinstance(mechanism, ShareMechanism):
        needed = mechanism.dropouts + max(2, mechanism.colluders + 1)
        return max(needed, math.floor(cohort - 6 * math.sqrt(cohort)))
    return mechanism.values.smallest_sum


def _hidden_number(clients, rate, capacity, least, called, seen):
    """Three descriptions of what decides whether others are too many, or too few to be opened.

    The call is shown; or the number of others, where they are too many; or, besides, where a sum of
    the fewest clients is opened, either that, or in half of those without the client nothing.
    """
    others = chances_of(clients - 1, rate)
    few = float(others[least - 1]) if least >= 2 else 0.0
    full = float(others[capacity:].sum())
    usual = called(1 - full - few, rate)
    taken = sum(others[n] * rate * capacity / (n + 1) for n in range(capacity, clients))
    yield [usual, called(few * rate + taken, 1.0)]
    likely = [n for n in range(capacity, clients) if others[n] > 1e-18]
    shown = [seen(others[n], rate * capacity / (n + 1)) for n in likely]
    yield [usual, called(few * rate, 1.0), *shown]
    if few and least < capacity:
        without = others[least] * (1 - rate) / 2
        rest = others[least] - without
        yield [
            called(1 - full - few - others[least], rate),
            called(rest, others[least] * rate / rest),
            seen(few * rate + without, few * rate / (few * rate + without)),
            *shown,
        ]


def _reach(plan):
    """The largest |C 1| over a client's turns, of the Toeplitz matrix that the plan makes."""
    from scipy.linalg import toeplitz

    groups = plan.sampler.separation
    matrix = np.tril(toeplitz(_column(plan.mechanism, plan.rounds, groups)))
    return max(float(np.linalg.norm(matrix[:, turn::groups].sum(axis=1))) for turn in range(groups))


def _column(mechanism, rounds, groups):
    column = np.zeros(rounds)
    if isinstance(mechanism, Banded):
        from pride_jax.privacy.mechanisms.band_matrix import band_coefficients

        column[: mechanism.band] = band_coefficients(mechanism.band, rounds, groups)
        return column
    from pride_jax.privacy.mechanisms.blt_matrix import Workload, optimal_buffers

    workload = Workload(rounds, mechanism.momentum, mechanism.schedule)
    buffers = optimal_buffers(mechanism.buffers, workload, groups)
    column[0] = 1.0
    for decay, weight in zip(*buffers, strict=True):
        column[1:] += weight * decay ** np.arange(rounds - 1)
    return column
