"""The whole trade-off: the curve is that of ε, and other definitions agree with the library's."""

import json
import math
from dataclasses import replace

import dp_accounting
import numpy as np
import pytest
from dp_accounting.rdp import RdpAccountant

import pride_jax
from pride_jax.errors import ConfigError
from pride_jax.privacy.accounting import epsilon
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.banded import Banded
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.sampling import cyclic_poisson, fixed_size, full, truncated_poisson
from pride_jax.privacy.trade_off import trade_off
from pride_jax.privacy.values import Floats, Integers

ZERO_OUT = dp_accounting.NeighboringRelation.REPLACE_SPECIAL
FULL = Plan(
    sampler=full(100), clipping=Flat(1.0), mechanism=Gaussian(5.0, Floats()), rounds=20, delta=1e-3
)
POISSON = replace(
    FULL, sampler=truncated_poisson(1000, 0.1), mechanism=Gaussian(2.0, Floats()), delta=1e-5
)
CASES = {
    "full": FULL,
    "poisson": POISSON,
    "fixed": replace(POISSON, sampler=fixed_size(1000, 100)),
    "banded": replace(FULL, mechanism=Banded(5.0, band=4, values=Floats())),
    "cyclic": replace(
        POISSON,
        mechanism=Banded(2.0, band=4, values=Floats()),
        sampler=cyclic_poisson(1000, 0.1, 5),
    ),
    "skellam": replace(POISSON, mechanism=Skellam(2.0, Integers(100, 12))),
    "little skellam": replace(FULL, mechanism=Skellam(1.0, Integers(1, 2))),
}
every_plan = pytest.mark.parametrize("plan", CASES.values(), ids=CASES)


@every_plan
def test_the_curve_falls_and_is_that_of_epsilon(plan):
    told = pride_jax.trade_off(plan)
    assert told.epsilon(plan.delta) == epsilon(plan)
    assert told.delta(epsilon(plan)) == pytest.approx(plan.delta, rel=0.02)
    epsilons, deltas = told.curve(5).T
    assert epsilons[0] == 0
    assert np.all(np.diff(epsilons) > 0)
    assert np.all(np.diff(deltas) <= 0)
    assert deltas[-1] <= 1.1 * plan.delta / 100


@every_plan
def test_gaussian_dp_covers_the_whole_curve(plan):
    told, known = trade_off(plan), trade_off(plan, reader="cohorts")
    assert told.mu == known.mu
    assert told.rho == told.mu**2 / 2
    for each in (0.1, 1.0, 3.0):
        bound = dp_accounting.get_epsilon_gaussian(1 / told.mu, 1e-4) if told.mu < 1e9 else math.inf
        assert told.epsilon(1e-4) <= bound * (1 + 1e-9)
        assert told.delta(each) <= known.delta(each) * (1 + 1e-6)


def test_full_participation_is_gaussian_dp_of_root_rounds_over_noise():
    assert trade_off(FULL).mu == pytest.approx(math.sqrt(20) / 5)
    assert trade_off(FULL, rounds=5).rho == pytest.approx(5 / (2 * 25))
    skellam = trade_off(replace(FULL, mechanism=Skellam(5.0, Integers(1, 16))))
    assert trade_off(FULL).mu < skellam.mu < trade_off(FULL).mu * (1 + 1e-6)


def test_zcdp_bounds_every_renyi_divergence_of_sampled_rounds():
    told = trade_off(POISSON)
    accountant = RdpAccountant([1.5, 2, 8, 64], ZERO_OUT).compose(
        dp_accounting.PoissonSampledDpEvent(0.1, dp_accounting.GaussianDpEvent(2.0)), 20
    )
    assert np.all(accountant.rdp <= told.rho * np.array([1.5, 2, 8, 64]))


@pytest.mark.parametrize("name", ["full", "fixed", "little skellam"])
def test_it_is_told_in_json(name):
    plan = CASES[name]
    told = json.loads(json.dumps(trade_off(plan).to_dict(), allow_nan=False))
    assert told["reader"] == plan.reader
    assert (told["mu"] is None) == math.isinf(trade_off(plan).mu)
    assert len(told["epsilon_delta"]) == 16


@pytest.mark.parametrize("settings", [{"rounds": 0}, {"rounds": -1}])
def test_nothing_released_has_none(settings):
    with pytest.raises(ConfigError):
        trade_off(FULL, **settings)
    with pytest.raises(ConfigError, match=r"noise_multiplier=0.0: expected some"):
        trade_off(replace(FULL, mechanism=Gaussian(0.0, Floats())))
