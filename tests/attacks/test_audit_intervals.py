"""The interval of a result holds it, whatever its parts are within theirs."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pride_jax.attacks.audit_intervals import Interval, largest, mean_of

values = st.floats(0, 1e6)


@st.composite
def held(draw):
    low, value, high = sorted(draw(st.tuples(values, values, values)))
    return Interval(low, high), value


def holds(interval, value):
    slack = 1e-9 * (1 + abs(value))
    return interval.low - slack <= value <= interval.high + slack


@given(held(), held())
def test_results_of_what_two_intervals_hold_are_held(one, other):
    (first, x), (second, y) = one, other
    assert holds(first * second, x * y)
    assert holds(first * y, x * y)
    assert holds(first - second, max(0.0, x - y))
    assert holds(first.root(), math.sqrt(x))
    assert holds(largest([first, second]), max(x, y))
    if y > 1e-9:
        assert holds(first / second, x / y)
        assert holds(first / y, x / y)


def test_a_ratio_to_what_may_be_nothing_has_no_bound():
    assert Interval(1.0, 2.0) / Interval(0.0, 4.0) == Interval(0.25, math.inf)
    assert Interval(1.0, 2.0) / Interval(0.0, 0.0) == Interval(math.inf, math.inf)
    assert Interval(0.0, 0.0) / Interval(0.0, 0.0) == Interval(0.0, math.inf)
    assert Interval(0.0, math.inf) * Interval(0.0, 1.0) == Interval(0.0, math.inf)


def test_a_mean_lies_within_its_errors():
    samples = np.random.default_rng(0).normal(3.0, 2.0, (50, 200))
    mean = mean_of(samples)
    assert mean.value == pytest.approx(3.0, abs=0.1)
    assert mean.error == pytest.approx(2.0 / 100, rel=0.05)
    assert mean.within(2.0) == Interval(mean.value - 2 * mean.error, mean.value + 2 * mean.error)
    assert mean_of(samples - 10).within(2.0) == Interval(0.0, 0.0)
