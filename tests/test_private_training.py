"""Rounds under a privacy plan: clipped, noised as planned, divided by what the plan expects."""

import functools
import os
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pride_jax.aggregation.protocols.masking import masking
from pride_jax.aggregation.protocols.paillier import paillier
from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.secure_sum import Role
from pride_jax.data.datasets import load_dataset
from pride_jax.data.federated import federate
from pride_jax.data.partition import iid
from pride_jax.engine.contribution import Contribution, encoder, floats
from pride_jax.engine.on_device import on_device
from pride_jax.engine.secure import SecureAggregation
from pride_jax.engine.simulated import simulated
from pride_jax.errors import ConfigError
from pride_jax.federated import federated, halves_of
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import LocalTraining, by_examples, uniform
from pride_jax.methods.scaffold import scaffold
from pride_jax.models.modules import num_parameters
from pride_jax.models.networks import mlp
from pride_jax.privacy.clipping import Adaptive, Flat
from pride_jax.privacy.mechanisms.banded import Banded
from pride_jax.privacy.mechanisms.blt import BufferedToeplitz
from pride_jax.privacy.mechanisms.discrete_gaussian import DiscreteGaussian
from pride_jax.privacy.mechanisms.gaussian import Gaussian
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.randomness import secret_key, study_key
from pride_jax.privacy.sampling import cyclic_poisson, fixed_size, full, truncated_poisson
from pride_jax.privacy.values import DeviceIntegers, Integers
from pride_jax.task import classification

CLIENTS = 12
DATASET = load_dataset("iris", test_examples=90)
DATA = federate(DATASET, iid(np.random.default_rng(0), 60, CLIENTS))
MODEL = mlp((4,), 3, (64,))
LENGTH = num_parameters(MODEL)
NORM = 0.25
FULL = Plan(
    sampler=full(CLIENTS),
    clipping=Flat(NORM),
    mechanism=Gaussian(2.0),
    rounds=20,
    delta=1e-3,
)
POISSON = replace(FULL, sampler=truncated_poisson(CLIENTS, 0.5))
SHARES = Skellam(2.0, Integers(LENGTH, 16), colluders=1)
SKELLAM = replace(FULL, mechanism=SHARES)
SILENT = Gaussian(0.0)
KEY, PRIVATE = jax.random.key(4), study_key(5)
ROUND = jnp.int32(3)


def dp_fedavg(plan, rate=0.0, *, data=DATA, adder=None, **options):
    """Clients that learn at ``rate``: at 0 their updates are zero and noise is all there is."""
    method = fedavg(classification(MODEL, 3), optax.sgd(rate), weighting=uniform)
    return federated(method, data, plan, adder, **options)


def secure(protocol, bits=16, **options):
    keys = protocol.keygen(os.urandom, Role.KEY_HOLDER)
    return SecureAggregation(protocol, keys, bits, NORM, **options)


def flat(params):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


def steps_of(algorithm, rounds, private=PRIVATE):
    """What each round adds to the parameters, a row a round."""
    state = algorithm.init(KEY, private)
    rows = []
    for _ in range(rounds):
        after, _ = algorithm.round(state)
        rows.append(flat(after.own.params) - flat(state.own.params))
        state = after
    return np.array(rows)


def deviation_fits(values, expected):
    """Whether a sample's standard deviation is the expected one, to five standard errors."""
    return abs(values.std() / expected - 1) < 5 / np.sqrt(2 * values.size)


@pytest.mark.parametrize(
    "plan",
    [
        FULL,
        POISSON,
        replace(FULL, sampler=fixed_size(CLIENTS, 6)),
        replace(FULL, mechanism=Banded(2.0, band=1)),
    ],
    ids=["full", "Poisson", "fixed size", "banded"],
)
def test_released_sums_have_the_planned_noise_and_no_other(plan):
    noise = steps_of(dp_fedavg(plan), 8)
    expected = plan.mechanism.noise_multiplier * NORM / plan.sampler.expected_cohort
    assert deviation_fits(noise, expected)
    assert not deviation_fits(noise, expected * 2 / 3)
    assert not deviation_fits(noise, expected * 3 / 2)
    assert abs(noise.mean()) < 5 * expected / np.sqrt(noise.size)
    assert abs(np.corrcoef(noise[0], noise[1])[0, 1]) < 5 / np.sqrt(LENGTH)


@pytest.mark.parametrize(
    ("kind", "survivors"),
    [(Skellam, CLIENTS), (Skellam, CLIENTS - 1), (DiscreteGaussian, CLIENTS - 1)],
)
def test_shares_of_integer_noise_add_up_to_the_plans(kind, survivors):
    plan = replace(FULL, mechanism=kind(2.0, SHARES.values, dropouts=1, colluders=1))
    lossy = secure(plain(), network=lambda messages: messages[:survivors])
    noise = steps_of(dp_fedavg(plan, adder=simulated(lossy)), 8)
    variance = plan.mechanism.total_variance(plan.sampler) * survivors / CLIENTS
    expected = np.sqrt(variance) * NORM / (2**15 - 1) / CLIENTS
    assert deviation_fits(noise, expected)
    assert not deviation_fits(noise, expected * 2 / 3)
    assert not deviation_fits(noise, expected * 3 / 2)


@pytest.mark.parametrize("mechanism", [Banded(2.0, band=3), BufferedToeplitz(2.0)])
def test_correlated_noise_is_that_of_the_whole_runs_matrix(mechanism):
    plan = replace(FULL, mechanism=mechanism, sampler=cyclic_poisson(CLIENTS, 1 / 3, groups=3))
    algorithm = dp_fedavg(plan)
    noise = steps_of(algorithm, 6) * plan.sampler.expected_cohort
    # Neighbouring rounds take back some of what was added; rounds apart share nothing new.
    assert np.corrcoef(noise[4], noise[5])[0, 1] < -0.2
    later = algorithm.init(KEY, PRIVATE, 4)
    state = algorithm.init(KEY, PRIVATE)
    state, _ = algorithm.rounds(state, 4)
    for made, kept in zip(
        jax.tree.leaves(later.privacy.window), jax.tree.leaves(state.privacy.window), strict=True
    ):
        np.testing.assert_allclose(made, kept, atol=1e-5)


def test_the_sum_is_divided_by_the_expected_cohort_whoever_came():
    silent = replace(POISSON, mechanism=SILENT)
    algorithm = dp_fedavg(silent, rate=0.3)
    everyone = dp_fedavg(replace(FULL, mechanism=SILENT), rate=0.3, adder=on_device(chunk=1))
    sizes = set()
    state = algorithm.init(KEY, PRIVATE)
    total = steps_of(everyone, 1)[0] * CLIENTS
    for number in range(8):
        private = study_key(number)
        _, info = algorithm.round(algorithm.init(KEY, private))
        sizes.add(int(info.clients))
        step = steps_of(algorithm, 1, private)[0]
        # Clipped updates of the clients that came, over 6, not over how many they were.
        assert np.linalg.norm(step) <= int(info.clients) * NORM / 6 * (1 + 1e-5)
        if int(info.clients) == 0:
            assert not step.any()
    assert len(sizes) > 2
    mean = np.mean(
        [steps_of(algorithm, 1, study_key(100 + number))[0] for number in range(40)], axis=0
    )
    assert np.linalg.norm(mean - total / CLIENTS) < 0.3 * np.linalg.norm(total / CLIENTS)
    assert int(state.round) == 0


def test_a_run_is_the_same_for_the_same_secret_key_only():
    algorithm = dp_fedavg(POISSON, rate=0.3)
    np.testing.assert_array_equal(steps_of(algorithm, 2), steps_of(algorithm, 2))
    assert not np.array_equal(steps_of(algorithm, 2), steps_of(algorithm, 2, study_key(6)))


finite_or_not = st.floats(width=32, allow_nan=True, allow_infinity=True)
awkward = arrays(np.float32, 40, elements=finite_or_not | st.sampled_from([1e30, -1e30, 0.0]))


@functools.cache
def contributed(bits=None):
    """A client's contribution, as floats or as integers of so many bits, compiled once."""
    if bits is None:
        return jax.jit(floats)
    plan = replace(FULL, mechanism=Skellam(2.0, Integers(40, bits)))
    return jax.jit(encoder(plan.added))


@settings(max_examples=100, deadline=None)
@given(awkward, st.floats(0.0, 1.0))
def test_no_client_moves_a_sum_by_more_than_the_norm(update, weight):
    """Deleting a client, in zero-out adjacency, takes away exactly its contribution."""
    given_ = jnp.float32(NORM), jnp.float32(weight)
    sent, _ = contributed()(KEY, ROUND, {"w": jnp.asarray(update)}, *given_)
    assert np.linalg.norm(np.asarray(sent.update["w"], np.float64)) <= NORM


@settings(max_examples=100, deadline=None)
@given(awkward, st.floats(0.0, 1.0), st.sampled_from([2, 4, 8, 16]))
def test_no_clients_integers_are_longer_than_the_noise_is_made_for(update, weight, bits):
    given_ = jnp.float32(NORM), jnp.float32(weight)
    sent, reports = contributed(bits)(KEY, ROUND, {"w": jnp.asarray(update)}, *given_)
    integers = np.asarray(sent.update, np.int64)
    assert (integers**2).sum() <= Integers(40, bits).max_squared_norm
    if not np.isfinite(update).all():
        assert not integers.any() and int(reports.nonfinite) == 1


def test_encrypted_and_plain_sums_with_the_same_shares_are_the_same_bits():
    # The same bytes for every draw: the same shares, whatever else the protocol draws.
    def constant(size):
        return bytes([7]) * size

    results = [
        steps_of(dp_fedavg(SKELLAM, rate=0.3, adder=simulated(secure(protocol, rng=constant))), 2)
        for protocol in (plain(), paillier(1024))
    ]
    np.testing.assert_array_equal(*results)
    assert results[0].any()


def test_with_more_missing_than_tolerated_nothing_is_opened_and_the_round_counts():
    for dropouts, opened in ((1, False), (2, True)):
        lossy = secure(plain(), network=lambda messages: messages[2:])
        plan = replace(FULL, mechanism=replace(SHARES, dropouts=dropouts))
        algorithm = dp_fedavg(plan, adder=simulated(lossy))
        state, info = algorithm.round(algorithm.init(KEY, PRIVATE))
        assert int(info.unopened) == (not opened)
        moved = flat(state.own.params) - flat(algorithm.init(KEY, PRIVATE).own.params)
        assert moved.any() == opened
        assert int(state.round) == 1


def test_cohorts_too_small_to_hide_one_another_are_not_opened():
    shares = Skellam(5.0, Integers(LENGTH, 16), colluders=2)
    plan = replace(FULL, mechanism=shares, sampler=truncated_poisson(CLIENTS, 0.25))
    assert plan.smallest_cohort == 3
    algorithm = dp_fedavg(plan, adder=simulated(secure(masking())))
    seen = set()
    for number in range(12):
        _, info = algorithm.round(algorithm.init(KEY, study_key(number)))
        assert int(info.unopened) == (int(info.clients) < 3)
        seen.add(int(info.unopened))
    assert seen == {0, 1}


def test_gaussian_noise_covers_what_rounding_adds():
    plan = replace(FULL, mechanism=Gaussian(2.0, Integers(LENGTH, 4)))
    scale = plan.mechanism.noise_scale(plan.setting, NORM)
    assert scale > 1.5 * FULL.mechanism.noise_scale(FULL.setting, NORM)
    noise = steps_of(dp_fedavg(plan, adder=simulated(secure(plain(), 4))), 8)
    assert deviation_fits(noise, scale / CLIENTS)


def test_adaptive_clipping_finds_the_quantile_of_the_norms():
    plan = replace(FULL, rounds=60, clipping=Adaptive(3.0), mechanism=Gaussian(0.05))
    algorithm = dp_fedavg(plan, rate=0.03)
    state, _ = algorithm.rounds(algorithm.init(KEY, PRIVATE), 60)
    assert float(state.privacy.norm) < 1.0
    _, last = algorithm.round(state)
    assert 3 <= int(last.clipped) <= 9


@pytest.mark.parametrize(
    ("changes", "options", "reason"),
    [
        ({}, {"clipping": Flat(1.0)}, r"clipping=Flat\(norm=1.0\).*the plan clips"),
        ({"sampler": full(13)}, {}, "num_clients=13, but .* have 12"),
        (
            {"mechanism": Gaussian(2.0, Integers(9, 16))},
            {},
            "dimension=9.*on_device adds DeviceIntegers",
        ),
        ({}, {"adder": simulated(secure(plain()))}, r"adds DeviceIntegers\(.*Integers"),
        (
            {"mechanism": Gaussian(2.0, Integers(LENGTH, 8))},
            {"adder": simulated(secure(plain()))},
            "bits=8.* of norm 0.25, but .*bits=16",
        ),
        (
            {"mechanism": SHARES, "clipping": Flat(2.0)},
            {"adder": simulated(secure(plain()))},
            "norm 2.0, but .* limit 0.25",
        ),
    ],
)
def test_whatever_contradicts_the_plan_is_refused(changes, options, reason):
    with pytest.raises(ConfigError, match=reason):
        algorithm = dp_fedavg(replace(FULL, **changes), **options)
        algorithm.round(algorithm.init(KEY, PRIVATE))


def test_noise_and_cohorts_need_a_key_of_their_own():
    with pytest.raises(ConfigError, match=r"private=None.*secret_key"):
        dp_fedavg(FULL).init(KEY)
    state = dp_fedavg(FULL).init(KEY, PRIVATE)
    other = dp_fedavg(FULL).init(jax.random.key(9), PRIVATE)
    for name in ("sampling", "noise"):
        one, same = getattr(state.keys, name), getattr(other.keys, name)
        assert (jax.random.key_data(one.value) == jax.random.key_data(same.value)).all()


def test_secret_keys_come_from_the_system_unless_given():
    assert (jax.random.key_data(secret_key()) != jax.random.key_data(secret_key())).any()
    data = jax.random.key_data(secret_key(bytes(range(32))))
    assert data.tobytes() == bytes(range(32))


@pytest.mark.parametrize("client", [0, 7])
def test_deleting_a_clients_data_moves_the_released_model_by_at_most_the_norm(client):
    silent = replace(FULL, mechanism=SILENT)
    sizes = DATA.sizes.at[client].set(0)

    def step(data):
        algorithm = dp_fedavg(silent, rate=3.0, data=data)
        state = algorithm.init(KEY, PRIVATE)
        return flat(algorithm.round(state)[0].own.params) - flat(state.own.params)

    distance = np.linalg.norm(step(DATA) - step(DATA._replace(sizes=sizes)))
    # Every update is clipped here, so that the bound is reached.
    assert 0.999 * NORM <= distance * CLIENTS <= NORM * (1 + 1e-4)


@pytest.mark.parametrize(
    ("update", "counted"),
    [([3.0, 3.9], 0.5), ([3.0, 4.1], -0.5), ([0.0, 0.0], 0.0), ([np.nan, 1.0], 0.0)],
)
def test_a_clients_data_changes_the_count_of_short_updates_by_at_most_a_half(update, counted):
    given_ = jnp.float32(5.0), jnp.float32(1.0)
    contributed, _ = floats(KEY, ROUND, {"w": jnp.array(update)}, *given_)
    assert float(contributed.within) == counted


def released_of_nothing(sizes, plan, weighting):
    """A round's model where every update is zero, for clients of these numbers of examples."""
    method = fedavg(classification(MODEL, 3), optax.sgd(0.0), weighting=weighting)
    server, _ = halves_of(method, np.array(sizes, np.int32), plan)
    state = server.init(KEY, PRIVATE, 0, {})
    zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, jnp.int32), server.update)
    sums = Contribution(zeros, jnp.zeros((), jnp.int32))
    after = server.finish(jnp.array(sizes), state, server.draw(state), sums)
    return flat(after.own.params) - flat(state.own.params)


def test_how_many_examples_a_client_has_shows_in_the_noise_of_weighted_rounds_and_in_no_others():
    """The adversary knows all other clients' sizes, and reads the noise's scale off the model."""
    few, many = [5] * (CLIENTS - 1) + [1], [5] * (CLIENTS - 1) + [5]
    one, other = (released_of_nothing(sizes, FULL, uniform) for sizes in (few, many))
    np.testing.assert_array_equal(one, other)
    with pytest.raises(ConfigError, match="ε does not cover clients' numbers of examples"):
        released_of_nothing(few, FULL, by_examples)
    public = replace(FULL, public_sizes=True)
    one, other = (released_of_nothing(sizes, public, by_examples) for sizes in (few, many))
    assert one.std() / other.std() == pytest.approx(sum(many) / sum(few), rel=1e-5)


def test_a_method_that_reads_the_size_of_the_largest_client_needs_it_to_be_public():
    method = scaffold(classification(MODEL, 3), 0.1, training=LocalTraining(1, 4))
    plan = replace(FULL, client_state=True)
    with pytest.raises(ConfigError, match="size of the largest client"):
        federated(method, DATA, plan)
    federated(method, DATA, replace(plan, public_sizes=True))


@pytest.mark.parametrize("mechanism", [Gaussian(2.0), Banded(2.0, 2, DeviceIntegers())])
def test_sums_that_leave_32_bits_are_refused(mechanism):
    crowd = {"sampler": full(10**6), "clipping": Flat(NORM), "rounds": 20, "delta": 1e-7}
    with pytest.raises(ConfigError, match="below 2\\^31"):
        Plan(mechanism=mechanism, **crowd)
