"""Settings' strings become a plan's objects, here and nowhere else."""

from dataclasses import replace

import pytest

from pride_jax.errors import ConfigError
from pride_jax.privacy.accounting import epsilon
from pride_jax.privacy.clipping import Adaptive, Flat, Unclipped
from pride_jax.privacy.mechanisms.banded import Banded
from pride_jax.privacy.mechanisms.discrete_gaussian import DiscreteGaussian
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.sampling import cyclic_poisson, fixed_size, full, truncated_poisson
from pride_jax.privacy.values import DeviceIntegers, Floats, Integers, Rotated
from pride_jax.settings.build import build_clipping, build_plan, build_sampler
from pride_jax.settings.experiment import Aggregation, Cohort, Experiment, Privacy

GAUSSIAN = Privacy(clipping_norm=0.5, mechanism="gaussian", noise_multiplier=2.0, delta=1e-5)


def plan_of(
    privacy=GAUSSIAN,
    cohort=Cohort(),  # noqa: B008
    protocol="none",
    client_state=False,
    bits=12,
):
    config = Experiment(
        rounds=20, privacy=privacy, cohort=cohort, aggregation=Aggregation(protocol, bits=bits)
    )
    return build_plan(config, 1000, 77, client_state)


@pytest.mark.parametrize(
    ("cohort", "sampler"),
    [
        (Cohort("full"), full(1000)),
        (Cohort("fixed_size", size=50), fixed_size(1000, 50)),
        (Cohort("truncated_poisson", size=50), truncated_poisson(1000, 0.05)),
        (Cohort("truncated_poisson", size=50, capacity=70), truncated_poisson(1000, 0.05, 70)),
        (Cohort("cyclic_poisson", size=50, groups=5), cyclic_poisson(1000, 0.05, groups=5)),
    ],
)
def test_samplings_are_samplers(cohort, sampler):
    assert build_sampler(cohort, 1000) == sampler


def test_clippings_are_clippings():
    assert build_clipping(Privacy()) == Unclipped()
    assert build_clipping(Privacy(clipping_norm=2.0)) == Flat(2.0)
    adaptive = replace(GAUSSIAN, clipping="adaptive", quantile=0.7)
    assert build_clipping(adaptive) == Adaptive(0.5, 0.7)


@pytest.mark.parametrize(
    ("changes", "cohort", "protocol", "mechanism"),
    [
        ({}, Cohort(), "none", Gaussian(2.0, DeviceIntegers(77))),
        ({"noise": "floats"}, Cohort(), "none", Gaussian(2.0, Floats())),
        ({}, Cohort(), "plain", Gaussian(2.0, Integers(77, 12))),
        ({"mechanism": "banded", "band": 3, "noise": "floats"}, Cohort(), "none", Banded(2.0, 3)),
        (
            {"mechanism": "skellam", "dropouts": 2, "colluders": 3},
            Cohort("truncated_poisson", size=50),
            "plain",
            Skellam(2.0, Integers(77, 12), dropouts=2, colluders=3),
        ),
        (
            {"mechanism": "discrete_gaussian", "dropouts": 2, "exchangeable_dropouts": True},
            Cohort("truncated_poisson", size=50),
            "plain",
            DiscreteGaussian(2.0, Integers(77, 12), dropouts=2, colluders=1, exchangeable=True),
        ),
    ],
)
def test_mechanisms_are_mechanisms(changes, cohort, protocol, mechanism):
    plan = plan_of(replace(GAUSSIAN, **changes), cohort, protocol)
    assert plan.mechanism == mechanism
    assert (plan.rounds, plan.delta, plan.clipping) == (20, 1e-5, Flat(0.5))


@pytest.mark.parametrize(
    ("changes", "bits", "values"),
    [
        ({}, 6, Rotated(77, 6)),
        ({"mechanism": "skellam"}, 6, Rotated(77, 6)),
        ({"mechanism": "skellam", "rotation": False}, 6, Integers(77, 6)),
        ({"mechanism": "skellam"}, 12, Integers(77, 12)),
        ({"mechanism": "banded", "noise": "floats"}, 6, Integers(77, 6)),
    ],
)
def test_updates_are_rotated_where_their_grid_is_finer_for_it(changes, bits, values):
    plan = plan_of(replace(GAUSSIAN, **changes), protocol="plain", bits=bits)
    assert plan.mechanism.values == values
    assert Plan.from_dict(plan.to_dict()) == plan


def test_a_target_is_calibrated_and_state_is_accounted_for():
    poisson = Cohort("truncated_poisson", size=50)
    target = replace(GAUSSIAN, noise_multiplier=None, epsilon=2.0)
    plan = plan_of(target, poisson, client_state=True)
    assert plan.client_state
    assert 1.98 <= epsilon(plan) <= 2.0
    assert isinstance(plan_of(Privacy()), NoPlan)


@pytest.mark.parametrize(
    ("changes", "cohort", "message"),
    [
        ({"mechanism": "skellam"}, Cohort(), "skellam' with aggregation.protocol='none'"),
        ({"mechanism": "discrete_gaussian"}, Cohort(), "discrete_gaussian' with aggregation.prot"),
        ({"band": 2}, Cohort(), "privacy.band=2: expected 1, since only"),
        ({}, Cohort("truncated_poisson", groups=2), "cohort.groups=2: expected 1"),
        ({}, Cohort("full", capacity=9), "cohort.capacity=9: expected none"),
        ({}, Cohort("fixed_size", size=1001), "cohort.size=1001: expected at most the 1000"),
        ({}, Cohort("cyclic_poisson", size=50, groups=5), "sampler=CyclicPoisson.*'banded'"),
    ],
)
def test_contradictions_are_refused(changes, cohort, message):
    with pytest.raises(ConfigError, match=message):
        plan_of(replace(GAUSSIAN, **changes), cohort)


@pytest.mark.parametrize("delta", [1e-3, 0.5])
def test_a_delta_that_gives_a_client_away_at_random_is_refused(delta):
    with pytest.raises(ConfigError, match="expected less than 1 in 1000"):
        plan_of(replace(GAUSSIAN, delta=delta))
    assert plan_of(replace(GAUSSIAN, delta=9.9e-4)).delta == 9.9e-4


def test_under_a_plan_clients_count_alike_unless_their_sizes_are_public():
    def weighting(privacy, weighting):
        return Experiment(privacy=privacy, cohort=Cohort(weighting=weighting)).weighting

    assert weighting(Privacy(), "default") == "examples"
    assert weighting(GAUSSIAN, "default") == weighting(GAUSSIAN, "uniform") == "uniform"
    with pytest.raises(ConfigError, match="ε does not cover clients' numbers of examples"):
        weighting(GAUSSIAN, "examples")
    public = replace(GAUSSIAN, public_sizes=True)
    assert weighting(public, "examples") == "examples"
    assert weighting(public, "default") == "uniform"
    with pytest.raises(ConfigError, match="public_sizes=True: expected False without"):
        Privacy(public_sizes=True)
    assert plan_of(public).public_sizes and not plan_of().public_sizes
