"""Rounds of federated averaging: the mean, the server's step, and sums that nobody sees."""

import functools
import os
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType

from pride_jax.aggregation.fixed_point import error_bound
from pride_jax.aggregation.protocols.masking import masking
from pride_jax.aggregation.protocols.paillier import paillier
from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.secure_sum import Role
from pride_jax.data.datasets import load_dataset
from pride_jax.data.federated import federate
from pride_jax.data.partition import by_sizes
from pride_jax.engine.cohort import clients_mesh
from pride_jax.engine.memory import within_memory
from pride_jax.engine.on_device import on_device
from pride_jax.engine.secure import SecureAggregation
from pride_jax.engine.simulated import simulated
from pride_jax.errors import ConfigError, RunError
from pride_jax.federated import federated
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import LocalTraining, by_examples, uniform
from pride_jax.models.networks import mlp
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.sampling import fixed_size
from pride_jax.task import classification
from pride_jax.types import Cohort

DATASET = load_dataset("iris", test_examples=90)
MODEL = mlp((4,), 3, (8,))
SIZES = np.array([25, 0, 20, 15])
DATA = federate(DATASET, by_sizes(np.random.default_rng(0), 60, SIZES.tolist()))
KEY = jax.random.key(4)


TASK = classification(MODEL, 3)


def fedavg_of(
    rate=0.3,
    *,
    server=optax.sgd(1.0),
    weighting=by_examples,
    sampler=None,
    adder=None,
    **options,
):
    training = LocalTraining(epochs=2, batch_size=10)
    method = fedavg(TASK, optax.sgd(rate), server, weighting=weighting, training=training)
    return federated(method, DATA, sampler, adder, **options)


def secure(protocol, bits=16, limit=1.0):
    return SecureAggregation(protocol, protocol.keygen(os.urandom, Role.KEY_HOLDER), bits, limit)


class Only(NamedTuple):
    """The same cohort in every round."""

    cohort: Cohort
    num_clients: int = 4

    @property
    def slots(self):
        return len(self.cohort.ids)

    def draw(self, key, round_):
        return self.cohort


def params_of(state):
    return state.own.params


def flat(params):
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(params)])


def step_of(algorithm):
    """What one round adds to the parameters."""
    state = algorithm.init(KEY)
    return flat(algorithm.params(algorithm.round(state)[0])) - flat(algorithm.params(state))


@functools.cache
def updates():
    """Every client's own update in round 0, one a row: what it moves when it comes alone."""
    rows = []
    for client in range(4):
        only = Cohort(jnp.array([client]), jnp.ones(1, bool))
        algorithm = fedavg_of(weighting=uniform, sampler=Only(only))
        rows.append(step_of(algorithm))
    return np.array(rows)


def test_fedavg_is_the_mean_by_examples():
    assert not updates()[1].any()
    np.testing.assert_allclose(step_of(fedavg_of()), SIZES / 60 @ updates(), atol=1e-6)


def test_uniform_weights_count_every_client_the_empty_one_too():
    step = step_of(fedavg_of(weighting=uniform))
    np.testing.assert_allclose(step, updates().sum(axis=0) / 4, atol=1e-6)


def test_clipping_acts_on_each_client_before_the_mean():
    norms = np.linalg.norm(updates(), axis=1)
    bound = float(norms[[0, 2, 3]].min() / 2)
    algorithm = fedavg_of(clipping=Flat(bound))
    state = algorithm.init(KEY)
    after, info = algorithm.round(state)
    clipped = updates() * (bound / np.maximum(norms, bound))[:, None]
    step = flat(algorithm.params(after)) - flat(algorithm.params(state))
    np.testing.assert_allclose(step, SIZES / 60 @ clipped, atol=1e-6)
    assert int(info.clipped) == 3


@pytest.mark.parametrize(
    "server", [optax.sgd(0.7, momentum=0.9), optax.adam(0.1), optax.yogi(0.1), optax.adagrad(0.1)]
)
def test_the_server_steps_along_the_mean_update(server):
    params = jnp.zeros(updates().shape[1])
    mean = jnp.asarray(SIZES / 60 @ updates(), jnp.float32)
    # Optax's adaptive optimizers promote their step count.
    with jax.numpy_dtype_promotion("standard"):
        change, _ = server.update(-mean, server.init(params), params)
        step = step_of(fedavg_of(server=server))
    np.testing.assert_allclose(step, change, atol=1e-4)


def test_the_clients_rate_follows_the_round():
    falling = federated(
        fedavg(TASK, lambda round_: optax.sgd(jnp.where(round_ == 0, 0.3, 0.0))), DATA
    )
    first, _ = falling.round(falling.init(KEY))
    second, _ = falling.round(first)
    assert not np.array_equal(flat(params_of(first)), flat(params_of(falling.init(KEY))))
    np.testing.assert_array_equal(flat(params_of(first)), flat(params_of(second)))


def test_rounds_in_one_program_are_rounds_one_by_one():
    algorithm = fedavg_of(sampler=fixed_size(4, 2))
    state = algorithm.init(KEY)
    together, total = algorithm.rounds(state, 5)
    examples = 0.0
    for _ in range(5):
        state, info = algorithm.round(state)
        examples += float(info.examples)
    assert int(together.round) == int(state.round) == 5
    np.testing.assert_allclose(flat(params_of(together)), flat(params_of(state)), atol=1e-5)
    assert float(total.examples) == examples


def test_where_the_rounds_are_cut_changes_no_bit():
    algorithm = fedavg_of(sampler=fixed_size(4, 2))
    state = algorithm.init(KEY)
    whole, _ = algorithm.rounds(state, 5)
    cut, _ = algorithm.rounds(algorithm.rounds(state, 2)[0], 5)
    np.testing.assert_array_equal(flat(params_of(whole)), flat(params_of(cut)))


@pytest.mark.parametrize("options", [{"chunk": 1}, {"chunk": 3}, {"devices": 1}])
def test_how_it_is_computed_changes_nothing_but_rounding(options):
    devices = options.pop("devices", 2)
    mesh = clients_mesh(jax.devices()[:devices])
    algorithm, default = fedavg_of(adder=on_device(mesh, **options)), fedavg_of()
    one, _ = algorithm.rounds(algorithm.init(KEY), 3)
    other, _ = default.rounds(default.init(KEY), 3)
    np.testing.assert_allclose(flat(params_of(one)), flat(params_of(other)), atol=1e-5)


def test_the_integer_sum_is_the_float_sum_within_its_bound():
    difference = np.abs(step_of(fedavg_of(adder=simulated(secure(plain())))) - step_of(fedavg_of()))
    weight = SIZES.sum() / SIZES.max()
    assert difference.max() <= error_bound(1.0, 16, 4) / weight + 1e-6
    assert difference.max() > 0


def test_an_update_beyond_the_range_is_scaled_whole_and_counted():
    limit = 0.01
    algorithm = fedavg_of(adder=simulated(secure(plain(), bits=24, limit=limit)), weighting=uniform)
    _, info = algorithm.round(algorithm.init(KEY))
    assert int(info.fitted) == 3
    held = updates()[[0, 2, 3]]
    expected = (limit * held / np.abs(held).max(axis=1, keepdims=True)).sum(axis=0) / 4
    np.testing.assert_allclose(step_of(algorithm), expected, atol=1e-6)


@pytest.mark.parametrize("protocol", [paillier(1024), masking()], ids=lambda each: each.name)
def test_encrypted_training_is_plain_training_bit_for_bit(protocol):
    encrypted = fedavg_of(adder=simulated(secure(protocol)), sampler=fixed_size(4, 3))
    clear = fedavg_of(adder=simulated(secure(plain())), sampler=fixed_size(4, 3))
    one, info = encrypted.rounds(encrypted.init(KEY), 3)
    other, _ = clear.rounds(clear.init(KEY), 3)
    np.testing.assert_array_equal(flat(params_of(one)), flat(params_of(other)))
    assert int(info.clients) == 9
    assert info.transport is not None
    assert info.transport.bytes_sent > 9 * 256


@pytest.mark.parametrize("weighting", ["examples", "uniform"])
def test_the_mean_is_of_the_clients_in_the_sum(weighting):
    """Client 2's messages are lost."""
    network = {"network": lambda sent: [*sent[:2], sent[3]]}
    settings = secure(plain(), bits=24)._replace(**network)
    algorithm = fedavg_of(
        adder=simulated(settings), weighting=uniform if weighting == "uniform" else by_examples
    )
    _, info = algorithm.round(algorithm.init(KEY))
    assert info.transport is not None
    assert (int(info.clients), info.transport.lost) == (4, 1)
    weights = {"examples": SIZES, "uniform": np.ones(4)}[weighting] * [1, 1, 0, 1]
    expected = weights @ updates() / weights.sum()
    np.testing.assert_allclose(step_of(algorithm), expected, atol=1e-5)


def test_an_update_that_is_not_finite_is_zeroed_and_counted():
    algorithm = fedavg_of(rate=1e30)
    state, info = algorithm.round(algorithm.init(KEY))
    assert int(info.nonfinite) >= 1
    assert np.isfinite(flat(params_of(state))).all()


def enormous(chunk):
    """A chunk of more than two needs 70 TB, which no machine gives."""
    shape = (2**24, 2**20) if chunk > 2 else (4, 2)

    def smallest(x):
        rows = jax.lax.broadcasted_iota(jnp.float32, shape, 0)
        return jnp.sort(rows * x, axis=0)[0, 0] + chunk

    return smallest


def test_out_of_memory_halves_the_chunk_and_warns_once():
    call = within_memory(enormous, 16)
    with pytest.warns(RuntimeWarning, match="a chunk of 16 clients: done with 2;") as warned:
        assert call(jnp.float32(40))() == 2
    assert len(warned) == 1
    assert call(jnp.float32(41))() == 2  # a second warning would be an error


def test_out_of_memory_with_a_single_client_says_what_to_do():
    with pytest.raises(RunError, match=r"a chunk of 1 clients: lower engine.chunk"):
        within_memory(lambda chunk: enormous(3), 4)(jnp.float32(0))()


def test_other_failures_are_not_taken_for_a_lack_of_memory():
    def broken(chunk):
        def fail(x):
            raise RuntimeError("said by a host function")

        return lambda x: jax.pure_callback(fail, x, x)

    with pytest.raises(jax.errors.JaxRuntimeError, match="host function"):
        within_memory(broken, 1)(jnp.float32(0))()


def test_secure_sums_are_for_one_host():
    axes = (AxisType.Auto, AxisType.Auto)
    mesh = jax.make_mesh((2, 1), ("hosts", "clients"), axes, devices=jax.devices()[:2])
    with pytest.raises(ConfigError, match="Secure aggregation on 2 hosts: expected one"):
        fedavg_of(adder=simulated(secure(plain()), mesh))
