"""A plan refuses what nothing accounts, and is the same after a trip through JSON."""

import json
import math
from dataclasses import FrozenInstanceError, replace

import pytest

from pride_jax.errors import ConfigError, TooFewError
from pride_jax.privacy.clipping import Adaptive, Flat, Unclipped
from pride_jax.privacy.mechanisms.banded import Banded
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.mechanisms.thresholds import gaussian_distance
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.plan import Plan, plan_of, smallest_sum
from pride_jax.privacy.sampling import cyclic_poisson, fixed_size, full, truncated_poisson
from pride_jax.privacy.values import DeviceIntegers, Floats, Integers, rounded_norm

SAMPLERS = {
    "full": full(100),
    "poisson": truncated_poisson(1000, 0.1),
    "fixed": fixed_size(1000, 100),
    "cyclic": cyclic_poisson(1000, 0.1, groups=5),
}
INTEGERS = Integers(1000, 16)
FLAT, ADAPTIVE = Flat(1.0), Adaptive(1.0)
SKELLAM = Skellam(2.0, INTEGERS)


GAUSSIAN = Gaussian(2.0)


def plan(sampler, mechanism=GAUSSIAN, clipping=FLAT, **settings):
    return Plan(
        sampler=SAMPLERS.get(sampler, sampler),
        clipping=clipping,
        mechanism=mechanism,
        **{"rounds": 20, "delta": 1e-3} | settings,
    )


TABLE = {
    "gaussian, full": plan("full"),
    "adaptive, full": plan("full", clipping=ADAPTIVE),
    "gaussian, Poisson": plan("poisson"),
    "adaptive, Poisson": plan("poisson", clipping=ADAPTIVE),
    "gaussian, fixed size": plan("fixed"),
    "gaussian, floats": plan("full", Gaussian(2.0, Floats())),
    "gaussian, integers": plan("full", Gaussian(2.0, INTEGERS)),
    "skellam, full": plan("full", SKELLAM),
    "skellam, Poisson": plan("poisson", replace(SKELLAM, dropouts=1, colluders=2)),
    "banded, full": plan("full", Banded(2.0, band=4)),
    "banded, cyclic": plan("cyclic", Banded(2.0, band=4, values=INTEGERS)),
    "clients with state": plan("poisson", client_state=True),
}
every_plan = pytest.mark.parametrize("one", TABLE.values(), ids=TABLE)


@every_plan
def test_every_row_of_the_table_is_accepted_and_frozen(one):
    with pytest.raises(FrozenInstanceError):
        one.rounds = 1
    assert hash(one) == hash(replace(one))


@every_plan
def test_a_plan_is_the_same_after_a_trip_through_json(one):
    again = Plan.from_dict(json.loads(json.dumps(one.to_dict())))
    assert again == one
    assert hash(again) == hash(one)
    assert plan_of(one.to_dict()) == one


@pytest.mark.parametrize("clipping", [Unclipped(), FLAT])
def test_what_stands_in_a_plans_place_is_the_same_after_a_trip_through_json(clipping):
    one = NoPlan(SAMPLERS["cyclic"], clipping)
    assert plan_of(json.loads(json.dumps(one.to_dict()))) == one
    with pytest.raises(ConfigError, match=r"NoPlan.*expected a plan"):
        Plan.from_dict(one.to_dict())


def test_what_is_neither_a_plan_nor_in_its_place_is_refused():
    with pytest.raises(ConfigError, match=r"Full.*expected a plan"):
        plan_of(full(3).__dict__ | {"kind": "Full"})


def test_without_a_plan_no_norm_adapts():
    with pytest.raises(ConfigError, match="expected Flat or Unclipped without a privacy plan"):
        NoPlan(full(3), ADAPTIVE)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "kind=None: expected one of Plan"),
        ({"kind": "Full", "num_clients": 3}, "expected a plan"),
        (plan("full").to_dict() | {"kind": "PrivacyPlan"}, "kind=.PrivacyPlan.: expected one of"),
        (plan("full").to_dict() | {"epsilon": 3}, r"epsilon.*: expected \['client_state'"),
        (plan("full").to_dict() | {"rounds": 0}, "rounds=0: expected at least 1"),
        (plan("full").to_dict() | {"rounds": "9"}, "rounds='9'"),
    ],
)
def test_what_is_no_plan_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        Plan.from_dict(values)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        # Combinations outside the table.
        (lambda: plan("cyclic"), r"sampler=CyclicPoisson.*'banded'.*band=1 is the same noise"),
        (lambda: plan("fixed", SKELLAM), "sampler=FixedSize.*no bound is known here for Skellam"),
        (lambda: plan("cyclic", SKELLAM), "sampler=CyclicPoisson.*for banded noise only"),
        (lambda: plan("poisson", Banded(2.0, 2)), "sampler=TruncatedPoisson.*share noise"),
        (lambda: plan("fixed", Banded(2.0, 2)), "sampler=FixedSize.*share noise"),
        (lambda: plan("fixed", clipping=ADAPTIVE), "clipping=Adaptive.*flat.*not doubled"),
        (lambda: plan("full", SKELLAM, ADAPTIVE), "clipping=Adaptive.*one norm for all rounds"),
        (lambda: plan("full", Banded(2.0, 2), ADAPTIVE), "clipping=Adaptive.*one norm for all"),
        (lambda: plan("full", Gaussian(2.0, INTEGERS), ADAPTIVE), "flat clipping for integers"),
        (lambda: plan("fixed", client_state=True), "client_state=True.*takes another's place"),
        # Values that are impossible, or that contradict each other.
        (lambda: plan(lambda key, round_: None), "sampler="),
        (lambda: plan("full", rounds=0), "rounds=0: expected at least 1"),
        (lambda: plan("full", delta=0.0), "delta=0.0: expected more than 0"),
        (lambda: plan("full", delta=1.0), "delta=1.0: expected .*below 1"),
        (lambda: Gaussian(-1.0), "noise_multiplier=-1.0: expected at least 0"),
        (lambda: Gaussian(math.inf), "noise_multiplier=inf: expected a finite number"),
        (lambda: Banded(2.0, band=0), "band=0: expected at least 1"),
        (lambda: plan("full", Banded(2.0, band=21)), "band=21: expected at most rounds=20"),
        (lambda: plan("cyclic", Banded(2.0, band=6)), "groups=5: expected at least band=6"),
        (lambda: plan("full", Gaussian(300.0, DeviceIntegers(10**6))), "at most 131 for 1000000"),
        (
            lambda: plan(truncated_poisson(10**6, 0.1), Gaussian(1.0)),
            "Sums of up to 101898 clients .*below 2\\^31.* 32",
        ),
        (lambda: plan("full", Gaussian(1e-5), ADAPTIVE), "half a client is less than a step"),
        (lambda: Integers(0, 16), "dimension=0: expected at least 1"),
        (lambda: Integers(9, 17), "bits=17: expected 2 to 16"),
        (lambda: Skellam(2.0, Floats()), "values=Floats"),
        (lambda: replace(SKELLAM, dropouts=-1), "dropouts=-1: expected at least 0"),
        (
            lambda: plan("full", replace(SKELLAM, dropouts=60, colluders=40)),
            "dropouts=60: expected fewer than expected_cohort=100",
        ),
        (
            lambda: plan(truncated_poisson(1000, 0.1, 1), SKELLAM),
            "capacity=1: expected at least 40",
        ),
        (
            lambda: plan("poisson", Gaussian(10.0), ADAPTIVE),
            "noise_multiplier=10.0: .*a tenth of the expected cohort",
        ),
    ],
)
def test_everything_else_is_refused_by_name_with_the_reason(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def scale_of(mechanism, clipping=FLAT):
    """Standard deviation of the noise on a sum of updates that were clipped to ½."""
    one = plan("full", mechanism, clipping)
    return one.mechanism.noise_scale(one.setting, 0.5)


def test_noise_is_the_multiplier_times_the_norm():
    assert scale_of(Gaussian(3.0, Floats())) == 1.5


def test_rounding_to_integers_raises_the_noise_of_the_float_sum():
    # c = 7, d = 1000: 49 + 250 + 7 + 15.8.
    assert scale_of(Gaussian(3.0, Integers(1000, 4))) == pytest.approx(3.0 * 0.5 / 7 * 321**0.5)


@pytest.mark.parametrize("noise", [1e-3, 0.5, 1.9, 2.1, 30.0, 100.0])
@pytest.mark.parametrize("clipping", [FLAT, ADAPTIVE], ids=["flat", "adaptive"])
def test_a_grid_has_the_noise_that_is_accounted_and_little_more(noise, clipping):
    noise = noise if clipping is FLAT else min(noise, 9.0)
    one = plan("full", Gaussian(noise, DeviceIntegers(10_000)), clipping)
    grid = one.grid
    multiplier = clipping.sum_noise_multiplier(noise, 100)
    assert grid.deviation >= multiplier * math.sqrt(grid.max_squared_norm) * (1 - 1e-12)
    assert grid.deviation <= 2**16
    assert rounded_norm(grid.levels, 10_000) <= grid.max_squared_norm * (1 + 1e-12)
    assert one.mechanism.noise_scale(one.setting, 0.5) <= multiplier * 0.5 * 1.02
    if clipping is ADAPTIVE:
        # Half a client in steps, under the same noise as the sum's.
        assert grid.deviation / (2 * grid.half) >= clipping.count_noise(100)
        assert grid.deviation / (2 * grid.half) <= clipping.count_noise(100) * 1.2


@pytest.mark.parametrize("dimension", [1, 1000, 200_000])
@pytest.mark.parametrize("noise", [0.5, 2.0])
def test_a_grid_is_as_fine_as_rounding_asks_and_no_finer(noise, dimension):
    grid = plan("full", Gaussian(noise, DeviceIntegers(dimension))).grid
    assert grid.stretched <= 1 + 1e-4
    assert grid.deviation in {2.0**power for power in range(12, 17)}
    assert grid.deviation == 2**12 or math.sqrt(rounded_norm(grid.levels / 2, dimension)) > (
        grid.levels / 2 * (1 + 1e-4)
    )


def test_noise_that_leaves_the_norm_no_steps_is_refused():
    with pytest.raises(ConfigError, match="noise_multiplier"):
        plan("full", Gaussian(1e300, DeviceIntegers(1)))


def test_the_distance_is_that_of_every_draw_of_the_run():
    one = plan("poisson", Gaussian(2.0, DeviceIntegers(1000)))
    draw = gaussian_distance(one.grid.deviation)
    cohort = one.sampler.distance
    assert one.distance(20) == pytest.approx(20 * (1001 * draw + cohort), rel=1e-12)
    assert plan("full", Gaussian(2.0, Floats())).distance(20) == 0


def test_rounded_norms_are_as_the_paper_bounds_them():
    integers = Integers(199_210, 14)
    levels, root = 2**13 - 1, math.sqrt(199_210)
    beta = math.exp(-0.5)
    bound = levels**2 + root**2 / 4 + math.sqrt(2 * math.log(1 / beta)) * (levels + root / 2)
    assert integers.max_squared_norm == math.floor(bound)
    assert Skellam(2.0, integers).noise_variance == 4 * integers.max_squared_norm


@pytest.mark.parametrize(
    ("one", "smallest"),
    [
        (plan("full"), 0),
        (plan("poisson"), 0),
        (plan("full", Gaussian(2.0, INTEGERS)), 2),
        (plan(full(1), Gaussian(2.0, INTEGERS)), 1),
        (plan("full", SKELLAM), 100),
        (plan("poisson", replace(SKELLAM, colluders=3)), 40),
        (plan(truncated_poisson(1000, 0.005), replace(SKELLAM, colluders=3)), 4),
        (plan(truncated_poisson(1000, 0.005), SKELLAM), 2),
    ],
)
def test_the_fewest_clients_whose_sum_is_opened(one, smallest):
    assert one.smallest_cohort == smallest
    assert smallest_sum(one, 0, smallest) == smallest
    if smallest:
        with pytest.raises(TooFewError, match=f"Round 4: {smallest - 1} clients"):
            smallest_sum(one, 4, smallest - 1)


def test_dropouts_may_be_missing_from_an_announced_cohort():
    one = plan("poisson", replace(SKELLAM, dropouts=3))
    assert smallest_sum(one, 0, 90) == 87


def test_without_a_plan_a_sum_is_opened_of_half_of_those_expected_and_of_no_client_alone():
    assert smallest_sum(NoPlan(full(100)), 0, 90) == 50
    with pytest.raises(TooFewError, match="Round 4: 1 clients, expected 2"):
        smallest_sum(NoPlan(full(1)), 4, 1)


@pytest.mark.parametrize("sampler", ["full", "poisson"])
def test_survivors_that_do_not_collude_keep_the_accounted_noise(sampler):
    one = plan(sampler, replace(SKELLAM, dropouts=5, colluders=3))
    total = one.mechanism.total_variance(one.sampler)
    for announced in range(one.smallest_cohort, one.sampler.slots + 1):
        left = total * (announced - 5 - 3) / announced
        assert left >= one.mechanism.noise_variance * (1 - 1e-12)
