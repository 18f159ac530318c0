"""ε is never below what an accountant written apart proves, and within 2% of what it allows."""

from dataclasses import replace

import pytest
from described import bracket_of
from independent import bracket, hidden_call

from pride_jax.privacy.accounting import epsilon
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.banded import Banded
from pride_jax.privacy.mechanisms.blt import BufferedToeplitz
from pride_jax.privacy.mechanisms.discrete_gaussian import DiscreteGaussian
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.sampling import cyclic_poisson, fixed_size, full, truncated_poisson
from pride_jax.privacy.values import Floats, Integers

POISSON = Plan(
    sampler=truncated_poisson(300, 0.1),
    clipping=Flat(1.0),
    mechanism=Gaussian(1.0, Floats()),
    rounds=20,
    delta=1e-5,
)
INTEGERS = Integers(100, 10)


def plan(sampler, mechanism, rounds=20, delta=1e-5):
    return replace(POISSON, sampler=sampler, mechanism=mechanism, rounds=rounds, delta=delta)


CASES = {
    "hidden": (POISSON, "models"),
    "hidden, full": (plan(truncated_poisson(60, 0.1, 8), Gaussian(1.0, Floats())), "models"),
    "seen number": (POISSON, "cohort_sizes"),
    "fixed size": (plan(fixed_size(300, 30), Gaussian(2.0, Floats())), "models"),
    "skellam": (plan(full(300), Skellam(10.0, INTEGERS)), "models"),
    "skellam, coalition": (
        plan(truncated_poisson(100, 0.1, 30), Skellam(2.0, INTEGERS, colluders=2)),
        "colluding_clients",
    ),
    "skellam, rare": (plan(truncated_poisson(300, 0.01, 300), Skellam(1.0, INTEGERS)), "models"),
    "discrete Gaussian": (
        plan(full(12), DiscreteGaussian(4.0, Integers(4, 7), dropouts=1, colluders=2)),
        "colluding_clients",
    ),
    "banded": (plan(full(300), Banded(10.0, band=4, values=Floats())), "models"),
    "cyclic": (
        plan(cyclic_poisson(300, 0.1, groups=5), Banded(1.0, band=4, values=Floats())),
        "models",
    ),
    "cyclic, cohorts known": (
        plan(cyclic_poisson(300, 0.1, groups=5), Banded(4.0, band=4, values=Floats())),
        "cohorts",
    ),
    "blt": (plan(full(300), BufferedToeplitz(10.0, momentum=0.5)), "models"),
    "blt, cyclic": (plan(cyclic_poisson(300, 0.1, groups=5), BufferedToeplitz(3.0)), "models"),
    # Corners; more of them, and random plans, are in results/privacy/brackets.json.
    "sure": (plan(truncated_poisson(300, 0.1, 300), Gaussian(5.0, Floats()), 20, 1e-15), "models"),
}


@pytest.mark.parametrize(("one", "reader"), CASES.values(), ids=CASES)
def test_epsilon_is_within_the_bracket_of_an_accountant_written_apart(one, reader):
    low, high = bracket_of(one, reader)
    assert high - low <= 0.01 * high
    assert low * (1 - 1e-6) <= epsilon(one, reader=reader) <= 1.02 * high


def test_the_bracket_would_tell_an_accountant_that_is_off_by_two_percent():
    low, high = bracket([hidden_call(1.0, 0.1, 1.0)], 20, 1e-5)
    for noise, outside in ((1.03, lambda found: found < low), (0.95, lambda found: found > high)):
        assert outside(epsilon(replace(POISSON, mechanism=Gaussian(noise, Floats()))))
