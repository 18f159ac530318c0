"""δ is charged what the distance of draws from what is accounted costs, and no ε is understated."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pride_jax.privacy.accounting import epsilon, epsilon_known_cohort
from pride_jax.privacy.charge import charge, charged
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.sampling import full, truncated_poisson
from pride_jax.privacy.values import DeviceIntegers, Floats, Integers

PLAN = Plan(
    sampler=full(100),
    clipping=Flat(1.0),
    mechanism=Gaussian(5.0, DeviceIntegers(10_000)),
    rounds=20,
    delta=1e-5,
)


def curve(delta):
    """An ε that falls with δ and has the shape of a Gaussian's."""
    return math.sqrt(2 * math.log(1.25 / delta))


@given(st.floats(1e-12, 0.1), st.floats(1e-40, 1e-3))
def test_what_is_left_of_delta_and_its_charge_are_no_more_than_delta(delta, distance):
    found = charged(curve, delta, distance)
    if math.isinf(found):
        assert 2 * charge(curve(delta), distance) > 0.99e-3 * delta
        return
    spent = 1.25 * math.exp(-(found**2) / 2)
    assert spent + charge(found, distance) <= delta * (1 + 1e-9)
    assert curve(delta) <= found <= curve(delta * (1 - 1e-3))


def test_nothing_is_charged_where_no_distance_is_stated():
    assert charged(curve, 1e-5, 0.0) == curve(1e-5)
    assert charged(lambda _: math.inf, 1e-5, 1e-9) == math.inf


def test_the_charge_is_that_of_the_definition():
    """Two distributions on two points, ε-indistinguishable, each moved by a distance."""
    ideal, other, distance = 0.6, 0.4, 1e-3
    level = math.log(ideal / other)
    moved = (ideal + distance) - math.exp(level) * (other - distance)
    assert moved == pytest.approx(charge(level, distance), rel=1e-9)


@pytest.mark.parametrize(
    "plan",
    [
        PLAN,
        replace(PLAN, sampler=truncated_poisson(1000, 0.1)),
        replace(PLAN, mechanism=Skellam(5.0, Integers(10_000, 12), colluders=1)),
    ],
    ids=["gaussian", "Poisson", "skellam"],
)
def test_plans_of_integers_pay_and_hardly_anything(plan, monkeypatch):
    ideal = epsilon(plan), epsilon_known_cohort(plan)
    assert 0 < plan.distance(20) < 1e-15
    for factor in (1e6, 1e12, 1e30):
        worse = type(plan.mechanism)
        patched = factor * plan.mechanism.distance(plan.setting)
        with monkeypatch.context() as patch:
            patch.setattr(worse, "distance", lambda *_, each=patched: each)
            paid = epsilon(replace(plan, rounds=20), 19), epsilon_known_cohort(plan)
            assert paid[1] >= ideal[1]
            if factor == 1e30:
                assert math.isinf(paid[1])


def test_floats_state_no_distance():
    plan = replace(PLAN, mechanism=Gaussian(5.0, Floats()))
    assert plan.distance(20) == 0
    assert epsilon(PLAN) == pytest.approx(epsilon(plan), rel=1e-9)
    assert epsilon(PLAN) >= epsilon(plan)


def test_at_the_issues_size_the_charge_is_below_a_thousandth_of_delta():
    """d·T = 10^10 at ε = 8 and δ = 1e-6, cohorts included."""
    plan = replace(
        PLAN,
        sampler=truncated_poisson(10_000, 0.1),
        mechanism=Gaussian(2.0, DeviceIntegers(10**7)),
        delta=1e-6,
    )
    assert 1e7 * 1000 == 1e10
    assert charge(8.0, plan.distance(1000)) < 1e-6 / 1000
