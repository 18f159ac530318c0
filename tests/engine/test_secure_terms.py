"""What everybody agrees on before a sum, and what clients refuse to train from."""

from types import SimpleNamespace

import jax.numpy as jnp
import pytest

from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.refusals import BurntError
from pride_jax.aggregation.secure_sum import Public, Secret
from pride_jax.engine.secure import SecureAggregation, model_digest, sum_terms, warn
from pride_jax.errors import ConfigError, DivergedError
from pride_jax.settings.experiment import Aggregation


def smallest(slots, expected, given=None, plan=None):
    server = SimpleNamespace(plan=plan, slots=slots, expected=expected, length=5)
    secure = SecureAggregation(plain(), (Secret(), Public()), smallest_cohort=given)
    return sum_terms(server, secure, 16).smallest_cohort


@pytest.mark.parametrize(
    ("slots", "expected", "fewest"),
    [(2, 2.0, 2), (3, 3.0, 2), (5, 5.0, 3), (12, 12.0, 6), (30, 9.5, 5), (40, 0.5, 2)],
)
def test_half_of_those_expected_and_at_least_two(slots, expected, fewest):
    assert smallest(slots, expected) == fewest


def test_what_is_given_counts_and_must_be_possible():
    assert smallest(12, 12.0, given=2) == 2
    assert smallest(12, 12.0, given=12) == 12
    for slots, given in ((12, 13), (1, None)):
        with pytest.raises(ConfigError, match="no sum would be opened"):
            smallest(slots, float(slots), given)


def test_a_plan_has_its_own():
    plan = SimpleNamespace(smallest_cohort=7, dropouts=2)
    assert smallest(12, 12.0, plan=plan) == 5
    with pytest.raises(ConfigError, match="expected none, since ε depends"):
        smallest(12, 12.0, given=7, plan=plan)


def test_settings_of_a_cohort_that_hides_nobody():
    with pytest.raises(ConfigError, match="smallest_cohort"):
        Aggregation("plain", smallest_cohort=1)
    with pytest.raises(ConfigError, match="hides no update"):
        Aggregation("none", smallest_cohort=2)
    with pytest.raises(ConfigError, match="most_refused"):
        Aggregation("plain", most_refused=0)


@pytest.mark.parametrize("broken", [jnp.nan, jnp.inf, -jnp.inf])
def test_clients_train_from_finite_parameters_only(broken):
    sent = {"a": jnp.arange(3.0), "b": jnp.ones((2, 2))}
    assert model_digest(sent) == model_digest(dict(sent))
    assert model_digest(sent) != model_digest(sent | {"a": jnp.arange(3.0) + 1})
    with pytest.raises(DivergedError, match="NaN or infinity"):
        model_digest(sent | {"b": jnp.full((2, 2), broken)})


def test_by_default_a_refused_sum_is_warned_of():
    with pytest.warns(RuntimeWarning, match=r"^Round 3 .* one of the clients \[1, 4\]"):
        warn(3, BurntError(3, [1, 4], "out of range"))
