"""What clients keep from round to round: who writes it, who does not, and where it lies."""

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from small import CLASSES, FEATURES, SIZES, small_data

from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.secure_sum import Role
from pride_jax.engine import states as states_file
from pride_jax.engine.cohort import clients_mesh
from pride_jax.engine.on_device import on_device
from pride_jax.engine.secure import SecureAggregation
from pride_jax.engine.simulated import one_by_one, simulated
from pride_jax.engine.states import on_devices, on_host
from pride_jax.errors import ConfigError
from pride_jax.federated import federated
from pride_jax.methods.ditto import ditto
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import ClientRule, Local, LocalTraining
from pride_jax.methods.scaffold import scaffold
from pride_jax.models.networks import logistic
from pride_jax.privacy.sampling import full
from pride_jax.task import classification
from pride_jax.types import Cohort

CLIENTS = len(SIZES)
EMPTY = SIZES.index(0)
KEY = jax.random.key(2)
TRAINING = LocalTraining(epochs=2, batch_size=4)
TASK = classification(logistic((FEATURES,), CLASSES), CLASSES)
SCAFFOLD = scaffold(TASK, 0.2, training=TRAINING)
DITTO = ditto(TASK, optax.sgd(0.2), attraction=0.3, training=TRAINING)


class InTurn:
    """The sampler of several cohorts of as many slots, one a round."""

    def __init__(self, *cohorts):
        self.ids, self.masks = (jnp.asarray(each) for each in zip(*cohorts, strict=True))
        self.num_clients, self.slots = CLIENTS, self.ids.shape[1]
        self.expected_cohort, self.rate = float(self.slots), self.slots / CLIENTS

    def draw(self, key, round_):
        del key
        return Cohort(self.ids[round_], self.masks[round_])


class Only:
    """The sampler of one cohort, in every round."""

    def __init__(self, ids, mask=None):
        self.num_clients, self.slots = CLIENTS, len(ids)
        self.expected_cohort, self.rate = float(len(ids)), len(ids) / CLIENTS
        self.ids, self.mask = ids, [True] * len(ids) if mask is None else mask

    def draw(self, key, round_):
        del key, round_
        return Cohort(jnp.asarray(self.ids, jnp.int32), jnp.asarray(self.mask, bool))


def devices(count, chunk):
    return on_device(clients_mesh(jax.devices()[:count]), chunk)


def secure(**options):
    protocol = plain()
    keys = protocol.keygen(os.urandom, Role.KEY_HOLDER)
    secure = SecureAggregation(protocol, keys, bits=24, limit=4.0, smallest_cohort=2)
    return secure._replace(**options)


def flat(tree):
    """``[clients, …]``: what each client keeps, in one row."""
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in jax.tree.leaves(tree)], axis=1)


def counted():
    """FedAvg whose clients count their rounds and the steps they took."""
    method = fedavg(TASK, optax.sgd(0.2), training=TRAINING)

    def start(round_, sent, state):
        local = method.client.start(round_, sent, ())

        def finish(carry, steps):
            return local.finish(carry, steps)[0], {
                "rounds": state["rounds"] + 1,
                "steps": state["steps"] + steps,
            }

        return Local(local.carry, local.step, finish)

    none = {"rounds": jnp.int32(0), "steps": jnp.int32(0)}
    return method._replace(client=ClientRule(lambda sent: none, start))


COUNTED = counted()
STEPS = np.array([2 * -(-size // 4) for size in SIZES])


def kept_after(algorithm, rounds=1):
    state, info = algorithm.rounds(algorithm.init(KEY), rounds)
    return algorithm.states.save(state.clients), info


COHORTS = (
    ([2, 0, 5, 0, 0], [True, False, True, False, False]),  # id 0 absent, but in masked slots
    ([2, 2, 5, 3, 2], [False, True, True, False, False]),  # masked slots name a member
    ([1, 6, 0, 4, 5], [True, True, True, True, True]),  # with the client that holds nothing
    ([1, 3, 4, 6, 0], [True, False, False, False, False]),  # who holds nothing, alone
    ([3, 4, 0, 1, 2], [False, False, False, False, False]),  # nobody
)
OPENED = COHORTS[:3]
"""Those whose sum of integers may be opened."""


@pytest.mark.parametrize(
    ("adder", "cohorts"),
    [
        (devices(1, 1), COHORTS),
        (devices(1, 3), COHORTS),
        (devices(2, 2), COHORTS),
        (simulated(secure()), OPENED),
        (one_by_one(secure()), OPENED),
    ],
    ids=["1x1", "1x3", "2x2", "simulated", "one_by_one"],
)
def test_who_takes_part_and_holds_examples_writes_and_nobody_else(adder, cohorts):
    algorithm = federated(COUNTED, small_data(), InTurn(*cohorts), adder)
    state, before = algorithm.init(KEY), 0
    for ids, mask in cohorts:
        state, _ = algorithm.round(state)
        kept = algorithm.states.save(state.clients)
        wrote = np.zeros(CLIENTS, int)
        wrote[[each for each, there in zip(ids, mask, strict=True) if there and each != EMPTY]] = 1
        np.testing.assert_array_equal(kept["rounds"] - before, wrote)
        np.testing.assert_array_equal(kept["steps"], kept["rounds"] * STEPS)
        before = kept["rounds"]


def test_one_slot_is_enough_on_the_devices():
    kept, _ = kept_after(federated(COUNTED, small_data(), Only([2]), devices(1, 3)), rounds=2)
    np.testing.assert_array_equal(kept["rounds"], 2 * (np.arange(CLIENTS) == 2))


@pytest.mark.parametrize(
    ("method", "adder"),
    [(SCAFFOLD, devices(1, 1)), (DITTO, devices(2, 3)), (SCAFFOLD, simulated(secure()))],
    ids=["scaffold", "ditto", "simulated"],
)
def test_a_client_whose_update_is_not_finite_keeps_what_it_had(method, adder):
    data = small_data()
    poisoned = data._replace(inputs=data.inputs.at[data.index[data.offsets[3]]].set(jnp.nan))
    algorithm = federated(method, poisoned, full(CLIENTS), adder)
    before = flat(algorithm.states.save(algorithm.init(KEY).clients))
    kept, info = kept_after(algorithm)
    changed = (flat(kept) != before).any(axis=1)
    assert changed.tolist() == [client not in (3, EMPTY) for client in range(CLIENTS)]
    assert int(info.nonfinite) == 1
    assert np.isfinite(flat(kept)).all()


def test_a_state_that_is_not_finite_is_not_kept_even_beside_a_fine_update():
    method = fedavg(TASK, optax.sgd(0.2), training=TRAINING)

    def start(round_, sent, state):
        local = method.client.start(round_, sent, ())

        def finish(carry, steps):
            return local.finish(carry, steps)[0], state / (steps - 4).astype(jnp.float32)

        return Local(local.carry, local.step, finish)

    infinite = method._replace(client=ClientRule(lambda sent: jnp.ones(()), start))
    kept, info = kept_after(federated(infinite, small_data(), full(CLIENTS), devices(1, 3)))
    four = STEPS == 4
    assert four.any()
    expected = np.where(four | (STEPS == 0), 1.0, 1 / np.where(four, 1, STEPS - 4))
    np.testing.assert_allclose(kept, expected)
    assert int(info.nonfinite) == 0


@pytest.mark.parametrize("made", [simulated, one_by_one])
def test_a_client_whose_message_is_lost_has_finished_and_keeps_its_new_state(made):
    lossy = secure(network=lambda sent: sent[1:])
    kept, info = kept_after(federated(SCAFFOLD, small_data(), Only([2, 0, 5]), made(lossy)))
    whole, _ = kept_after(federated(SCAFFOLD, small_data(), Only([2, 0, 5]), made(secure())))
    assert info.transport.lost == 1
    jax.tree.map(np.testing.assert_array_equal, kept, whole)
    assert flat(kept)[2].any()


@pytest.mark.parametrize("adder", [devices(2, 3), simulated(secure())])
def test_states_on_the_host_are_those_on_the_devices(adder, monkeypatch):
    """Another program draws the cohort and trains it: last bits of floats may differ."""

    def three_rounds():
        algorithm = federated(SCAFFOLD, small_data(), Only([2, 0, 5, 1, 0], [1, 0, 1, 1, 0]), adder)
        state = algorithm.init(KEY)
        for _ in range(3):
            state, _ = algorithm.round(state)
        kept = algorithm.states.save(state.clients)
        return algorithm.states.on_host, (state.own, kept), algorithm.states.load(kept)

    on_devices_, expected, _ = three_rounds()
    monkeypatch.setattr(states_file, "_SHARE", 2**60)
    on_host_, found, loaded = three_rounds()
    assert (on_devices_, on_host_) == (False, True)
    close = functools.partial(np.testing.assert_allclose, rtol=0, atol=1e-7)
    jax.tree.map(close, found, expected)
    jax.tree.map(np.testing.assert_array_equal, on_host(CLIENTS).save(loaded), found[1])


def test_states_on_the_host_make_no_program_and_several_processes_do_not_keep_them(monkeypatch):
    monkeypatch.setattr(states_file, "_SHARE", 2**60)
    algorithm = federated(SCAFFOLD, small_data(), full(CLIENTS), on_device())
    with pytest.raises(ConfigError, match="states of clients that fit on the devices"):
        algorithm.rounds_on(small_data(), algorithm.init(KEY), jnp.int32(1))
    with pytest.raises(ConfigError, match="start more processes, or a single one"):
        states_file.states_of(jnp.zeros(5), CLIENTS, mesh_of(2))


def mesh_of(hosts):
    """Devices of one process that stand for those of several."""
    axes = (AxisType.Auto, AxisType.Auto)
    return jax.make_mesh((hosts, 1), ("hosts", "clients"), axes, devices=jax.devices()[:hosts])


@pytest.mark.parametrize("clients", [1, 2, 5, 6])
@pytest.mark.parametrize("hosts", [1, 2])
def test_what_is_saved_is_in_the_order_of_ids_and_loads_wherever_it_was_saved(hosts, clients):
    saved = {
        "some": np.arange(clients, dtype=np.int32),
        "rows": np.random.default_rng(0).normal(size=(clients, 3)).astype(np.float32),
    }
    states = on_devices(clients, mesh_of(hosts))
    kept = states.load(saved)
    jax.tree.map(np.testing.assert_array_equal, states.save(kept), saved)
    elsewhere = on_host(clients)
    jax.tree.map(np.testing.assert_array_equal, elsewhere.save(elsewhere.load(saved)), saved)
    ids = jnp.arange(clients)
    stack, rows = states.lend(kept, Cohort(ids, ids >= 0))
    for client in range(clients):
        host = client % hosts
        place = host * (len(stack["some"]) // hosts) + int(rows[client])
        assert int(stack["some"][place]) == client


def test_a_client_is_as_it_begins_until_it_takes_part():
    states = on_devices(5, mesh_of(2))
    kept = states.save(states.init({"a": jnp.float32(3), "b": jnp.arange(2)}))
    np.testing.assert_array_equal(kept["a"], np.full(5, 3, np.float32))
    np.testing.assert_array_equal(kept["b"], np.tile(np.arange(2), (5, 1)))


def test_one_by_one_is_simulated_within_a_quantum():
    def one_round(made):
        algorithm = federated(SCAFFOLD, small_data(), Only([2, 0, 5, 1]), made(secure()))
        state, _ = algorithm.round(algorithm.init(KEY))
        return algorithm.params(state), algorithm.states.save(state.clients)

    (params, kept), (others, theirs) = one_round(simulated), one_round(one_by_one)
    quantum = 4.0 / (2**23 - 1)
    for mine, other in zip(jax.tree.leaves(params), jax.tree.leaves(others), strict=True):
        np.testing.assert_allclose(mine, other, rtol=0, atol=quantum + 1e-6)
    np.testing.assert_allclose(flat(kept), flat(theirs), atol=1e-5)


@pytest.mark.parametrize(
    ("method", "chunk"), [(SCAFFOLD, 3), (DITTO, 1)], ids=["scaffold", "ditto"]
)
def test_what_other_clients_hold_reaches_nobody_even_where_it_is_not_finite(method, chunk):
    data, there = small_data(), [2, 5, 0, 4]
    others = np.ones(data.inputs.shape[0], bool)
    for client in there:
        start = int(data.offsets[client])
        others[np.asarray(data.index)[start : start + SIZES[client]]] = False
    foreign = data._replace(inputs=data.inputs.at[np.flatnonzero(others)].set(jnp.nan))

    algorithm = federated(method, data, Only([*there, 3], [1, 1, 1, 1, 0]), devices(1, chunk))
    rounds = jax.jit(algorithm.rounds_on)

    def two_rounds(data):
        state, info = rounds(data, algorithm.init(KEY), jnp.int32(2))
        return algorithm.states.save(state.clients), algorithm.params(state), info

    assert others.sum() == sum(SIZES) - 12 - 1 - 7 - 3
    jax.tree.map(np.testing.assert_array_equal, two_rounds(foreign), two_rounds(data))
