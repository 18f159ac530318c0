"""What everybody agrees on before a sum, and what clients refuse to train from."""

import os
from types import SimpleNamespace

import jax.numpy as jnp
import pytest

from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.refusals import BurntError
from pride_jax.aggregation.secure_sum import Public, Secret
from pride_jax.engine.secure import SecureAggregation, model_digest, sum_terms, warn
from pride_jax.errors import ConfigError, DivergedError
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.shares import NO_SHARES
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.sampling import fixed_size, full, truncated_poisson
from pride_jax.privacy.values import Integers
from pride_jax.settings.experiment import Aggregation


def server(plan):
    return SimpleNamespace(plan=plan, length=5)


def smallest(sampler, given=None):
    secure = SecureAggregation(plain(), (Secret(), Public()), smallest_cohort=given)
    return sum_terms(server(NoPlan(sampler)), secure, NO_SHARES).smallest_cohort


@pytest.mark.parametrize(("clients", "fewest"), [(2, 2), (3, 2), (5, 3), (12, 6)])
def test_half_of_those_expected_and_at_least_two(clients, fewest):
    assert smallest(full(clients)) == fewest
    assert smallest(fixed_size(100, clients)) == fewest


def test_of_a_random_number_half_of_those_expected():
    assert smallest(truncated_poisson(1000, 0.0095)) == 5
    assert smallest(truncated_poisson(1000, 0.0005)) == 2


def test_what_is_given_counts_and_must_be_possible():
    assert smallest(full(12), given=2) == 2
    assert smallest(full(12), given=12) == 12
    for clients, given in ((12, 13), (1, None)):
        with pytest.raises(ConfigError, match="no sum would be opened"):
            smallest(full(clients), given)


def test_a_plan_has_its_own():
    plan = Plan(
        sampler=full(12),
        clipping=Flat(1.0),
        mechanism=Skellam(1.0, Integers(5, 16), dropouts=2),
        rounds=3,
        delta=1e-3,
    )
    secure = SecureAggregation(plain(), (Secret(), Public()))
    terms = sum_terms(server(plan), secure, plan.shares(os.urandom))
    assert terms.smallest_cohort == plan.smallest_cohort - 2
    with pytest.raises(ConfigError, match="expected none, since ε depends"):
        sum_terms(server(plan), secure._replace(smallest_cohort=7), NO_SHARES)


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
    with pytest.warns(
        RuntimeWarning, match=r"^Round 3 .* of the clients \[1, 4\] and who opens sums"
    ):
        warn(3, BurntError(3, [1, 4], "out of range"))
