"""Plans and events of dp_accounting: each from the other, at the same price."""

from dataclasses import replace

import dp_accounting
import pytest
from dp_accounting.pld import PLDAccountant
from dp_accounting.rdp import RdpAccountant

import pride_jax
from pride_jax.errors import ConfigError
from pride_jax.privacy.accounting import epsilon
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.events import event_of, plan_of_event
from pride_jax.privacy.mechanisms.banded import Banded
from pride_jax.privacy.mechanisms.blt import BufferedToeplitz
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.sampling import cyclic_poisson, fixed_size, full, truncated_poisson
from pride_jax.privacy.trade_off import trade_off
from pride_jax.privacy.values import Floats, Integers

ZERO_OUT = dp_accounting.NeighboringRelation.REPLACE_SPECIAL
REPLACE_ONE = dp_accounting.NeighboringRelation.REPLACE_ONE
FULL = Plan(
    sampler=full(1000),
    clipping=Flat(1.0),
    mechanism=Gaussian(5.0, Floats()),
    rounds=20,
    delta=1e-5,
)
CYCLIC = replace(
    FULL, mechanism=Banded(2.0, 4, Floats()), sampler=cyclic_poisson(1000, 0.1, groups=5)
)
# A rate that is drawn as it is: others are rounded down to a multiple of 2^-32.
POISSON = replace(FULL, sampler=truncated_poisson(1000, 0.125), mechanism=Gaussian(2.0, Floats()))
INDEPENDENT = {
    "full": FULL,
    "poisson": POISSON,
    "fixed": replace(POISSON, sampler=fixed_size(1000, 100)),
}
CASES = INDEPENDENT | {
    "banded": replace(FULL, mechanism=Banded(5.0, 4, Floats())),
    "cyclic": CYCLIC,
    "blt": replace(FULL, mechanism=BufferedToeplitz(5.0)),
    "cyclic blt": replace(CYCLIC, mechanism=BufferedToeplitz(2.0)),
    "skellam": replace(POISSON, mechanism=Skellam(2.0, Integers(100, 12))),
    "missing": replace(POISSON, mechanism=Skellam(2.0, Integers(100, 12), dropouts=1)),
}


def made(event, clients, **settings):
    asked = {"clipping": Flat(1.0), "delta": 1e-5, "values": Floats()} | settings
    return pride_jax.plan_of_event(event, num_clients=clients, **asked)


@pytest.mark.parametrize("plan", INDEPENDENT.values(), ids=INDEPENDENT)
def test_a_plan_of_independent_noise_is_made_again_from_its_event(plan):
    assert made(trade_off(plan).event(), 1000) == plan


@pytest.mark.parametrize("plan", CASES.values(), ids=CASES)
def test_the_plan_of_a_plans_event_has_its_event_and_its_price(plan):
    event = trade_off(plan).event()
    amplified = epsilon(plan) < 0.9 * epsilon(plan, reader="cohorts")
    found = made(event, plan.sampler.group_size if amplified else 1000)
    assert trade_off(found).event() == event
    assert epsilon(found) == pytest.approx(epsilon(plan), rel=1e-3)


@pytest.mark.parametrize("name", [name for name in CASES if name != "fixed"])
def test_the_event_costs_the_same_by_the_librarys_accountant(name):
    """Where a client's turns share noise, or who is missing tells the cohort, nothing amplifies."""
    told = trade_off(CASES[name])
    accountant = PLDAccountant(ZERO_OUT, 1e-3).compose(told.event())
    assert told.epsilon(1e-4) == pytest.approx(accountant.get_epsilon(1e-4), rel=3e-3)


def test_the_event_of_a_fixed_size_is_at_twice_the_norm():
    told = trade_off(CASES["fixed"])
    accountant = RdpAccountant(neighboring_relation=REPLACE_ONE).compose(told.event())
    assert told.epsilon(1e-4) < accountant.get_epsilon(1e-4) < 4 * told.epsilon(1e-4)


def test_poisson_sampling_that_nothing_truncates_has_a_plan():
    event = dp_accounting.PoissonSampledDpEvent(0.1, dp_accounting.GaussianDpEvent(2.0))
    plan = made(dp_accounting.SelfComposedDpEvent(event, 20), 1000)
    assert plan.sampler == truncated_poisson(1000, 0.1, 1000)
    by_library = PLDAccountant(ZERO_OUT, 1e-3).compose(event, 20)
    assert epsilon(plan) == pytest.approx(by_library.get_epsilon(1e-5), rel=3e-3)


GAUSSIAN = dp_accounting.GaussianDpEvent(1.0)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (dp_accounting.LaplaceDpEvent(1.0), "expected Gaussian noise"),
        (dp_accounting.ComposedDpEvent([GAUSSIAN]), "in a SelfComposedDpEvent of equal rounds"),
        (
            dp_accounting.PoissonSampledDpEvent(0.1, dp_accounting.LaplaceDpEvent(1.0)),
            "expected Gaussian noise",
        ),
        (
            dp_accounting.TruncatedSubsampledGaussianDpEvent(99, 0.1, 20, 1.0),
            "num_clients=100 with event=.*: expected 99",
        ),
        (dp_accounting.SelfComposedDpEvent(GAUSSIAN, 0), "rounds=0: expected at least 1"),
    ],
)
def test_other_events_are_refused_with_the_reason(event, reason):
    with pytest.raises(ConfigError, match=reason):
        plan_of_event(event, num_clients=100, clipping=Flat(1.0), delta=1e-5)


def test_sums_that_show_a_call_have_no_event():
    """Of two in ten thousand clients, a sum is opened for the second one."""
    plan = replace(
        FULL, sampler=truncated_poisson(10_000, 3e-4), mechanism=Skellam(2.0, Integers(100, 12))
    )
    with pytest.raises(ConfigError, match=r"smallest_cohort=2 of .* no event of dp_accounting"):
        trade_off(plan).event()


def test_sums_whose_noise_tells_how_many_are_missing_have_no_event():
    """An event that hides the number of the called would halve ε."""
    skellam = Skellam(3.0, Integers(1000, 16), dropouts=1, exchangeable=True)
    sampler = truncated_poisson(1000, 0.1)
    one = Plan(sampler=sampler, clipping=Flat(1.0), mechanism=skellam, rounds=10, delta=1e-5)
    with pytest.raises(ConfigError, match="how many are missing"):
        event_of(one, 10)
