"""The BLT mechanism in a plan: what it costs, what it refuses, and that nothing is amplified."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from dp_accounting.gaussian_mechanism import get_epsilon_gaussian

from pride_jax.errors import ConfigError
from pride_jax.privacy.accounting import calibrate, epsilon, epsilon_known_cohort
from pride_jax.privacy.clipping import Adaptive, Flat
from pride_jax.privacy.mechanisms.banded import Banded
from pride_jax.privacy.mechanisms.blt import BufferedToeplitz
from pride_jax.privacy.mechanisms.blt_matrix import Workload, optimal_buffers
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.sampling import cyclic_poisson, fixed_size, full, truncated_poisson
from pride_jax.settings.build import build_plan
from pride_jax.settings.experiment import Cohort, Experiment, Privacy, Server

ROUNDS, GROUPS = 40, 8
EVERYBODY_IN_TURN = cyclic_poisson(800, 1 / GROUPS, groups=GROUPS)
SOME_IN_TURN = cyclic_poisson(800, 0.02, groups=GROUPS)
BLT = BufferedToeplitz(3.0, buffers=2)
FLAT = Flat(1.0)


def plan(sampler=EVERYBODY_IN_TURN, mechanism=BLT, clipping=FLAT, rounds=ROUNDS, **rest):
    return Plan(
        sampler=sampler, clipping=clipping, mechanism=mechanism, rounds=rounds, delta=1e-5, **rest
    )


def matrix_of(one):
    """The plan's matrix, entry by entry from its buffers."""
    buffers = optimal_buffers(2, Workload(one.rounds), one.sampler.separation)
    first = [1.0]
    for apart in range(one.rounds - 1):
        first.append(sum(w * d**apart for d, w in zip(*buffers, strict=True)))
    return scipy.linalg.toeplitz(first, np.zeros(one.rounds))


def test_in_its_turn_a_whole_group_takes_part():
    for round_ in range(3):
        cohort = EVERYBODY_IN_TURN.draw(jax.random.key(round_), round_)
        np.testing.assert_array_equal(np.sort(cohort.ids), np.arange(round_, 800, GROUPS))
        assert cohort.mask.all()


def test_the_cost_is_that_of_one_gaussian_mechanism_and_the_worst_of_the_groups():
    mechanism, setting = plan().mechanism, plan().setting
    matrix = matrix_of(plan())
    reach = max(
        np.linalg.norm(matrix @ (np.arange(ROUNDS) % GROUPS == group)) for group in range(GROUPS)
    )
    assert mechanism.reach(setting, ROUNDS) == pytest.approx(reach)
    assert epsilon(plan()) == pytest.approx(get_epsilon_gaussian(3.0 / reach, 1e-5))


def test_nothing_is_amplified_where_banded_noise_is():
    banded = Banded(3.0, band=GROUPS)
    for rounds in (1, GROUPS, ROUNDS):
        assert epsilon(plan(SOME_IN_TURN), rounds) == epsilon_known_cohort(
            plan(SOME_IN_TURN), rounds
        )
        # Where some are drawn, 1e-12 of δ is set aside for equal ranks: see `charge.charged`.
        everybody = epsilon(plan(), rounds)
        assert everybody < epsilon(plan(SOME_IN_TURN), rounds) < (1 + 1e-10) * everybody
    amplified = plan(SOME_IN_TURN, banded)
    assert epsilon(amplified) < 0.7 * epsilon_known_cohort(amplified)


def test_no_buffers_cost_what_independent_noise_does():
    sampler = full(100)
    blt = plan(sampler, BufferedToeplitz(3.0, buffers=0))
    assert epsilon(blt) == pytest.approx(epsilon(plan(sampler, Gaussian(3.0))))
    np.testing.assert_allclose(
        blt.mechanism.divergences(blt.setting, ROUNDS),
        Gaussian(3.0).divergences(blt.setting, ROUNDS),
    )


def test_epsilon_grows_with_releases_beyond_the_planned_ones_too():
    costs = [epsilon(plan(), releases) for releases in (1, 8, 16, 40, 48, 80)]
    assert costs == sorted(costs)
    assert costs[3] < costs[4]


def test_a_target_is_met():
    made = calibrate(
        lambda z: replace(BLT, noise_multiplier=z),
        2.0,
        sampler=EVERYBODY_IN_TURN,
        clipping=FLAT,
        rounds=ROUNDS,
        delta=1e-5,
    )
    assert 1.98 <= epsilon(made) <= 2.0


def test_clients_that_keep_state_cost_no_more():
    assert epsilon(plan(client_state=True)) == epsilon(plan())


def test_a_plan_is_the_same_after_a_trip_through_json():
    one = plan(mechanism=BufferedToeplitz(2.0, 3, 0.9, "cosine"))
    assert Plan.from_dict(json.loads(json.dumps(one.to_dict()))) == one


@pytest.mark.parametrize("sampler", [truncated_poisson(800, 0.1), fixed_size(800, 80)])
def test_a_client_that_may_come_again_at_once_is_refused(sampler):
    with pytest.raises(ConfigError, match=r"sampler=.*take turns.*how often and how soon"):
        plan(sampler)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: plan(clipping=Adaptive(1.0)), "one norm for all rounds"),
        (lambda: plan(rounds=2), "buffers=2: expected fewer than rounds=2"),
        (lambda: BufferedToeplitz(1.0, buffers=-1), "buffers=-1: expected at least 0"),
        (lambda: BufferedToeplitz(1.0, momentum=1.0), "momentum=1.0: expected .*below 1"),
        (lambda: BufferedToeplitz(-1.0), "noise_multiplier=-1.0"),
        (lambda: BufferedToeplitz(1.0, schedule="linear"), "schedule='linear'"),
    ],
)
def test_what_cannot_be_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_disclosures_say_that_nothing_is_amplified():
    assert BLT.accountant(EVERYBODY_IN_TURN).endswith(
        "8 or more apart for a client, nothing amplified"
    )
    assert "correlated over all rounds by 2 buffers" in BLT.describe()
    assert "floating point" in BLT.caveat()


def config(server, **privacy):
    settings = {"clipping_norm": 0.5, "noise_multiplier": 2.0, "delta": 1e-5, "mechanism": "blt"}
    settings["noise"] = "floats"
    cohort = Cohort("cyclic_poisson", size=100, groups=8)
    return Experiment(
        rounds=ROUNDS, server=server, cohort=cohort, privacy=Privacy(**settings | privacy)
    )


@pytest.mark.parametrize(
    ("server", "momentum", "schedule"),
    [
        (Server(), 0.0, "constant"),
        (Server(momentum=0.8, schedule="cosine"), 0.8, "cosine"),
        (Server("adam"), 0.9, "constant"),
        (Server("yogi", schedule="cosine"), 0.9, "cosine"),
        (Server("adagrad"), 0.0, "constant"),
    ],
)
def test_settings_make_noise_for_the_servers_own_momentum_and_schedule(server, momentum, schedule):
    made = build_plan(config(server, buffers=3), 800, 77)
    assert made is not None
    assert made.mechanism == BufferedToeplitz(2.0, 3, momentum, schedule)
    assert made.sampler == EVERYBODY_IN_TURN


def test_buffers_of_other_mechanisms_are_refused():
    with pytest.raises(ConfigError, match=r"privacy.buffers=3: expected 2, since only .*'blt'"):
        build_plan(config(Server(), mechanism="banded", buffers=3), 800, 77)


def test_a_runs_noise_is_what_was_accounted_and_no_other_also_after_a_resume():
    one, like, key = plan(rounds=16), jnp.zeros(2000), jax.random.key(3)
    release = jax.jit(lambda state, number: one.release(key, state, number, like, jnp.zeros(())))
    state, noises = one.init(key, like, jnp.int32(0)), []
    for number in range(16):
        if number == 11:
            state = one.init(key, like, jnp.int32(number))
        noise, state = release(state, jnp.int32(number))
        noises.append(noise)
    undone = matrix_of(one) @ np.array(noises, np.float64)
    sizes = undone.std(axis=1)
    np.testing.assert_allclose(sizes, 3.0, rtol=5 / np.sqrt(2 * 2000))
    assert abs(np.corrcoef(undone) - np.eye(16)).max() < 6 / np.sqrt(2000)
    # The noise itself is larger, and each round takes back some of the one before.
    assert np.std(noises[-1]) > 1.05 * 3.0
    assert np.corrcoef(noises[-2], noises[-1])[0, 1] < -0.2
