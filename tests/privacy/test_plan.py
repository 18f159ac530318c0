"""A plan refuses what nothing accounts, and derives the rest from what it says."""

import math
from dataclasses import FrozenInstanceError

import pytest

from pride_jax.errors import ConfigError
from pride_jax.privacy.plan import PrivacyPlan

POISSON = {
    "num_clients": 1000,
    "rounds": 100,
    "delta": 1e-5,
    "sampling": "truncated_poisson",
    "sampling_rate": 0.1,
}
FULL = {"num_clients": 100, "rounds": 20, "delta": 1e-3, "sampling": "full"}
FIXED = POISSON | {"sampling": "fixed_size"}
INTEGERS = FULL | {"dimension": 1000, "bits": 16}
SKELLAM = FULL | {"mechanism": "skellam", "dimension": 1000, "bits": 16}
CYCLIC = POISSON | {"mechanism": "banded", "sampling": "cyclic_poisson", "groups": 5, "band": 4}


@pytest.mark.parametrize(
    "settings",
    [
        POISSON,
        POISSON | {"clipping": "adaptive"},
        FULL,
        FULL | {"clipping": "adaptive"},
        FULL | {"sampling_rate": 1.0, "adjacency": "zero_out"},
        FIXED,
        FIXED | {"adjacency": "replace_one"},
        SKELLAM,
        SKELLAM | {"sampling": "truncated_poisson", "sampling_rate": 0.2},
        FULL | {"mechanism": "banded", "band": 4},
        CYCLIC,
    ],
)
def test_every_row_of_the_table_is_accepted_and_frozen(settings):
    plan = PrivacyPlan(**settings)
    with pytest.raises(FrozenInstanceError):
        plan.rounds = 1
    assert hash(plan) == hash(PrivacyPlan(**settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        # Combinations outside the table.
        (CYCLIC | {"mechanism": "gaussian", "band": 1}, "sampling='cyclic_poisson'.*'banded'"),
        (SKELLAM | {"sampling": "fixed_size"}, "sampling='fixed_size'.*Skellam"),
        (SKELLAM | {"sampling": "cyclic_poisson"}, "sampling='cyclic_poisson'.*banded noise only"),
        (POISSON | {"mechanism": "banded"}, "sampling='truncated_poisson'.*share noise"),
        (FIXED | {"mechanism": "banded"}, "sampling='fixed_size'.*share noise"),
        (FIXED | {"adjacency": "zero_out"}, "adjacency='zero_out'.*'replace_one'"),
        (POISSON | {"adjacency": "replace_one"}, "adjacency='replace_one'.*'zero_out'"),
        (FULL | {"adjacency": "replace_one"}, "adjacency='replace_one'.*'zero_out'"),
        (SKELLAM | {"adjacency": "replace_one"}, "adjacency='replace_one'.*'zero_out'"),
        (CYCLIC | {"adjacency": "replace_one"}, "adjacency='replace_one'.*'zero_out'"),
        (FIXED | {"clipping": "adaptive"}, "clipping='adaptive'.*'flat'"),
        (SKELLAM | {"clipping": "adaptive"}, "clipping='adaptive'.*one norm for all rounds"),
        (CYCLIC | {"clipping": "adaptive"}, "clipping='adaptive'.*one norm for all rounds"),
        # Values that are impossible, or that contradict each other.
        (FULL | {"sampling": "all"}, "sampling='all'"),
        (FULL | {"num_clients": 0}, "num_clients=0: expected at least 1"),
        (FULL | {"rounds": 0}, "rounds=0: expected at least 1"),
        (FULL | {"delta": 0.0}, "delta=0.0: expected more than 0"),
        (FULL | {"delta": 1.0}, "delta=1.0: expected .*below 1"),
        (FULL | {"noise_multiplier": -1.0}, "noise_multiplier=-1.0"),
        (FULL | {"noise_multiplier": math.inf}, "noise_multiplier=inf: expected a finite number"),
        (FULL | {"clipping_norm": 0.0}, "clipping_norm=0.0: expected at least 1e-15"),
        (FULL | {"sampling_rate": 0.5}, "sampling_rate=0.5: expected none or 1"),
        (POISSON | {"sampling_rate": None}, "sampling_rate=None: expected more than 0"),
        (POISSON | {"sampling_rate": 1.5}, "sampling_rate=1.5: expected more than 0 and at most 1"),
        (FIXED | {"sampling_rate": 0.1234}, "sampling_rate=0.1234: .*whole number of clients"),
        (FIXED | {"sampling_rate": 1e-9}, "sampling_rate=1e-09: .*whole number of clients"),
        (POISSON | {"capacity": 0}, "capacity=0: expected at least 1"),
        (POISSON | {"capacity": 1001}, "capacity=1001: expected at most 1000"),
        (CYCLIC | {"capacity": 201}, "capacity=201: expected at most 200"),
        (FULL | {"capacity": 100}, "capacity=100: expected none"),
        (FIXED | {"capacity": 100}, "capacity=100: expected none"),
        (POISSON | {"groups": 5}, "groups=5: expected 1"),
        (CYCLIC | {"groups": 7}, "groups=7: expected a divisor of num_clients=1000"),
        (CYCLIC | {"groups": 2}, "groups=2: expected at least band=4"),
        (CYCLIC | {"sampling_rate": 0.3}, "sampling_rate=0.3: expected at most 1/groups=0.2"),
        (POISSON | {"band": 2}, "band=2: expected 1"),
        (FULL | {"mechanism": "banded", "band": 21}, "band=21: expected at most rounds=20"),
        (SKELLAM | {"dimension": None}, "bits=16: expected a value if, and only if, dimension"),
        (SKELLAM | {"bits": None}, "bits=None: expected a value if, and only if, dimension=1000"),
        (SKELLAM | {"bits": None, "dimension": None}, "bits=None: .* for mechanism='skellam'"),
        (FULL | {"bits": 16}, "bits=16: expected a value if, and only if, dimension=None"),
        (INTEGERS | {"clipping": "adaptive"}, "'flat' for integers"),
        (SKELLAM | POISSON | {"capacity": 1}, "capacity=1: expected at least 40"),
        (FULL | {"quantile": 1.0}, "quantile=1.0: expected at least 0 and below 1"),
        (SKELLAM | {"bits": 17}, "bits=17: expected 2 to 16"),
        (FULL | {"dropouts": 1}, "dropouts=1: expected 0"),
        (FULL | {"colluders": 1}, "colluders=1: expected 0"),
        (SKELLAM | {"dropouts": 60, "colluders": 40}, "dropouts=60: expected fewer than"),
        (
            POISSON | {"clipping": "adaptive", "noise_multiplier": 10.0},
            "noise_multiplier=10.0: .*a tenth of the expected cohort",
        ),
    ],
)
def test_everything_else_is_refused_by_name_with_the_reason(settings, message):
    with pytest.raises(ConfigError, match=message):
        PrivacyPlan(**settings)


def test_slots_are_everyone_the_fixed_size_or_the_capacity():
    assert PrivacyPlan(**FULL).slots == 100
    assert PrivacyPlan(**FIXED).slots == 100
    assert PrivacyPlan(**POISSON).slots == 160
    assert PrivacyPlan(**POISSON | {"capacity": 130}).slots == 130
    assert PrivacyPlan(**POISSON | {"sampling_rate": 0.9}).slots == 1000
    assert PrivacyPlan(**CYCLIC).slots == 160
    assert PrivacyPlan(**CYCLIC | {"sampling_rate": 0.15}).slots == 200


def test_groups_draw_as_many_as_everyone_would():
    plan = PrivacyPlan(**CYCLIC)
    assert plan.expected_cohort == 100
    assert plan.group_size * plan.turn_rate == plan.expected_cohort
    assert plan.separation == 5


def test_replacing_a_client_moves_a_sum_twice_as_far_as_leaving_it_out():
    assert PrivacyPlan(**FIXED).relation == "replace_one"
    assert PrivacyPlan(**FIXED).sensitivity == 2 * PrivacyPlan(**POISSON).sensitivity == 2


def test_noise_is_the_multiplier_times_the_norm():
    assert PrivacyPlan(**POISSON, noise_multiplier=3.0, clipping_norm=0.5).noise_scale == 1.5
    with pytest.raises(ConfigError, match=r"noise_multiplier=None.*calibrate"):
        _ = PrivacyPlan(**POISSON).noise_scale


def test_sum_and_count_of_adaptive_clipping_cost_together_what_the_plan_says():
    adaptive = PrivacyPlan(**POISSON, clipping="adaptive", noise_multiplier=2.0)
    assert adaptive.count_noise == 5
    # A count within ±1/2 has sensitivity 1/2; squared inverse multipliers of Gaussians add up.
    together = adaptive.update_noise_multiplier**-2 + (adaptive.count_noise / 0.5) ** -2
    assert together == pytest.approx(2.0**-2, rel=1e-12)
    assert PrivacyPlan(**POISSON, noise_multiplier=2.0).update_noise_multiplier == 2.0


def test_rounded_norms_are_as_the_paper_bounds_them():
    plan = PrivacyPlan(**SKELLAM | {"dimension": 199_210, "bits": 14}, noise_multiplier=2.0)
    levels, root = 2**13 - 1, math.sqrt(199_210)
    beta = math.exp(-0.5)
    bound = levels**2 + root**2 / 4 + math.sqrt(2 * math.log(1 / beta)) * (levels + root / 2)
    assert plan.max_squared_norm == math.floor(bound)
    assert plan.noise_variance == 4 * plan.max_squared_norm
    with pytest.raises(ConfigError, match="bits=None: expected a value"):
        _ = PrivacyPlan(**FULL).max_squared_norm


def test_rounding_to_integers_raises_the_noise_of_the_float_sum():
    plan = PrivacyPlan(**INTEGERS | {"bits": 4}, noise_multiplier=3.0, clipping_norm=0.5)
    # c = 7, d = 1000: 49 + 250 + 7 + 15.8.
    assert plan.noise_scale == pytest.approx(3.0 * 0.5 / 7 * 321**0.5)


@pytest.mark.parametrize(
    ("settings", "smallest"),
    [
        (FULL, 0),
        (POISSON, 0),
        (INTEGERS, 2),
        (SKELLAM, 100),
        (SKELLAM | POISSON | {"colluders": 3}, 40),
        (SKELLAM | POISSON | {"sampling_rate": 0.005, "colluders": 3}, 4),
        (SKELLAM | POISSON | {"sampling_rate": 0.005}, 2),
    ],
)
def test_the_fewest_clients_whose_sum_is_opened(settings, smallest):
    assert PrivacyPlan(**settings).smallest_cohort == smallest


@pytest.mark.parametrize("sampling", [FULL, POISSON])
def test_survivors_that_do_not_collude_keep_the_accounted_noise(sampling):
    plan = PrivacyPlan(**SKELLAM | sampling, noise_multiplier=2.0, dropouts=5, colluders=3)
    for announced in range(plan.smallest_cohort, plan.slots + 1):
        honest = announced - plan.dropouts - plan.colluders
        left = plan.total_variance * honest / announced
        assert left >= plan.noise_variance * (1 - 1e-12)
