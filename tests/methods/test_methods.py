"""Every method equals a slow loop in NumPy, however its rounds are carried out."""

import functools
import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from slow import (
    CLIENTS,
    COHORTS,
    DATA,
    KEY,
    MOST_STEPS,
    RATE,
    TASK,
    TRAINING,
    Listed,
    cohort,
    descend,
    first,
    mean_by_examples,
    weights_of,
)

from pride_jax.aggregation.protocols.paillier import paillier
from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.secure_sum import Role
from pride_jax.engine.cohort import clients_mesh
from pride_jax.engine.on_device import on_device
from pride_jax.engine.personal import has_own_models
from pride_jax.engine.secure import SecureAggregation
from pride_jax.engine.simulated import one_by_one, simulated
from pride_jax.errors import ConfigError
from pride_jax.federated import federated
from pride_jax.methods.ditto import ditto
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.feddyn import feddyn
from pride_jax.methods.fedprox import fedprox
from pride_jax.methods.method import LocalTraining, Round
from pride_jax.methods.personal_layers import personal_layers
from pride_jax.methods.scaffold import scaffold

ROUNDS = len(COHORTS)
SERVER_RATE, PROXIMAL, ALPHA, ATTRACTION = 0.8, 0.6, 0.5, 0.4
SGD = optax.sgd(RATE)

METHODS = {
    "fedavg": fedavg(TASK, SGD, training=TRAINING),
    "fedprox": fedprox(TASK, SGD, proximal=PROXIMAL, training=TRAINING),
    "scaffold": scaffold(TASK, RATE, optax.sgd(SERVER_RATE), training=TRAINING),
    "feddyn": feddyn(TASK, RATE, alpha=ALPHA, training=TRAINING),
    "ditto": ditto(TASK, SGD, attraction=ATTRACTION, training=TRAINING),
    "personal": personal_layers(fedavg(TASK, SGD, training=TRAINING), ["*bias"]),
}


def slow_fedavg(proximal=0.0):
    x = first()
    for round_ in range(ROUNDS):
        moved = {
            client: descend(client, round_, x, lambda g, w, x=x: g + proximal * (w - x))[0] - x
            for client in cohort(round_)
        }
        x = x + mean_by_examples(moved)
    return x, {}


def slow_scaffold():
    x = first()
    c, own = np.zeros_like(x), {client: np.zeros_like(x) for client in range(CLIENTS)}
    for round_ in range(ROUNDS):
        there = cohort(round_)
        moved, changed = 0.0, 0.0
        for client in there:
            mine = own[client]
            y, steps = descend(client, round_, x, lambda g, w, mine=mine, c=c: g - mine + c)
            if steps:
                own[client] = mine - c + (x - y) / (steps * RATE)
                changed += own[client] - mine
                moved += y - x
        x = x + SERVER_RATE * moved / len(there)
        c = c + len(there) / CLIENTS * changed / len(there)
    return x, own


def slow_feddyn():
    x = first()
    h, own = np.zeros_like(x), {client: np.zeros_like(x) for client in range(CLIENTS)}
    for round_ in range(ROUNDS):
        there = cohort(round_)
        models = []
        for client in there:
            bend = own[client]
            y, _ = descend(
                client, round_, x, lambda g, w, bend=bend, x=x: g - bend + ALPHA * (w - x)
            )
            own[client] = bend - ALPHA * (y - x)
            models.append(y)
        h = h - ALPHA / CLIENTS * sum(y - x for y in models)
        x = sum(models) / len(models) - h / ALPHA
    return x, own


def slow_ditto():
    x = first()
    own = dict.fromkeys(range(CLIENTS), x)
    for round_ in range(ROUNDS):
        moved = {}
        for client in cohort(round_):
            moved[client] = descend(client, round_, x)[0] - x
            own[client], _ = descend(
                client, round_, own[client], lambda g, v, x=x: g + ATTRACTION * (v - x)
            )
        x = x + mean_by_examples(moved)
    return x, own


def slow_personal():
    """The bias, the last row, is personal."""
    x = first()
    own = dict.fromkeys(range(CLIENTS), x[-1])
    for round_ in range(ROUNDS):
        moved = {}
        for client in cohort(round_):
            start = np.concatenate([x[:-1], own[client][None]])
            y, _ = descend(client, round_, start)
            own[client] = y[-1]
            moved[client] = np.concatenate([(y - x)[:-1], np.zeros_like(x[-1:])])
        x = x + mean_by_examples(moved)
    return x, {client: np.concatenate([x[:-1], row[None]]) for client, row in own.items()}


SLOW = {
    "fedavg": slow_fedavg,
    "fedprox": functools.partial(slow_fedavg, PROXIMAL),
    "scaffold": slow_scaffold,
    "feddyn": slow_feddyn,
    "ditto": slow_ditto,
    "personal": slow_personal,
}


def secure(protocol, bits=24, limit=4.0):
    return SecureAggregation(protocol, protocol.keygen(os.urandom, Role.KEY_HOLDER), bits, limit)


def trained(name, adder, rounds=ROUNDS):
    algorithm = federated(METHODS[name], DATA, Listed(), adder)
    state, _ = algorithm.rounds(algorithm.init(KEY), rounds)
    return algorithm, state


def own_weights(name, algorithm, state):
    """What each client keeps, as weights of a whole model."""
    kept = algorithm.states.save(state.clients)
    if name == "personal":
        kept = jax.vmap(lambda mine: METHODS[name].personal(algorithm.params(state), mine))(kept)
    rows = [jax.tree.map(lambda leaf, client=client: leaf[client], kept) for client in range(5)]
    return {client: weights_of(row) for client, row in enumerate(rows)}


def check(name, algorithm, state, atol):
    expected, own = SLOW[name]()
    np.testing.assert_allclose(weights_of(algorithm.params(state)), expected, atol=atol)
    if own:
        found = own_weights(name, algorithm, state)
        for client in range(CLIENTS):
            np.testing.assert_allclose(found[client], own[client], atol=20 * atol)


@pytest.mark.parametrize(
    ("name", "chunk", "devices"),
    [
        *((name, 3, 2) for name in METHODS),
        ("fedavg", 1, 1),
        ("scaffold", 1, 2),
        ("personal", 1, 1),
    ],
)
def test_floats_added_on_devices_are_the_slow_loop(name, chunk, devices):
    mesh = clients_mesh(jax.devices()[:devices])
    check(name, *trained(name, on_device(mesh, chunk)), atol=2e-6)


@pytest.mark.parametrize(
    ("name", "made"),
    [
        *((name, simulated) for name in ("fedavg", "scaffold", "ditto", "personal")),
        ("scaffold", one_by_one),
        ("ditto", one_by_one),
    ],
)
def test_integers_added_on_the_host_are_the_slow_loop_within_their_rounding(name, made):
    check(name, *trained(name, made(secure(plain()))), atol=4e-6)


def test_scaffold_encrypted_is_scaffold_plain_bit_for_bit():
    class Cycled(Listed):
        def draw(self, key, round_):
            return super().draw(key, round_ % ROUNDS)

    def five_rounds(protocol):
        algorithm = federated(METHODS["scaffold"], DATA, Cycled(), simulated(secure(protocol)))
        state, _ = algorithm.rounds(algorithm.init(KEY), 5)
        return state.own, algorithm.states.save(state.clients)

    jax.tree.map(np.testing.assert_array_equal, five_rounds(plain()), five_rounds(paillier(1024)))


def test_scaffolds_two_parts_are_sent_in_the_same_units():
    """At first c is zero, and the variate's change is the mean gradient: ηK of it is the way."""
    method = METHODS["scaffold"]
    sent = method.send(method.init(KEY))
    round_ = Round(jnp.int32(0), MOST_STEPS)
    local = method.client.start(round_, sent, method.client.state(sent))
    moved = local.carry._replace(params=jax.tree.map(lambda leaf: leaf - 0.5, sent.params))
    update, _ = local.finish(moved, jnp.int32(MOST_STEPS))
    for way, variate in zip(
        jax.tree.leaves(update.params), jax.tree.leaves(update.variate), strict=True
    ):
        np.testing.assert_allclose(way, -0.5, atol=1e-6)
        np.testing.assert_allclose(variate, 0.5, atol=1e-6)


@pytest.mark.parametrize("name", METHODS)
def test_clients_of_some_methods_have_models_of_their_own(name):
    method = METHODS[name]
    sent = method.send(method.init(KEY))
    states = jax.tree.map(lambda leaf: leaf[None], method.client.state(sent))
    assert has_own_models(method, sent, states) == (name in ("ditto", "personal"))


def test_a_personal_leaf_stays_where_it_was_at_the_server():
    algorithm, state = trained("personal", on_device())
    before, after = first(), weights_of(algorithm.params(state))
    np.testing.assert_array_equal(after[-1], before[-1])
    assert (after[:-1] != before[:-1]).all()


@pytest.mark.parametrize("patterns", [["*"], ["nowhere*"], []])
def test_personal_layers_are_some_of_all(patterns):
    what = "all" if patterns == ["*"] else "none"
    message = rf"names {what} of the parameters, expected some of them: layers/0/bias, layers/0/ker"
    with pytest.raises(ConfigError, match=message):
        personal_layers(METHODS["fedavg"], patterns)


@pytest.mark.parametrize("name", ["scaffold", "feddyn", "ditto", "personal"])
def test_personal_layers_wrap_methods_without_a_state(name):
    with pytest.raises(ConfigError, match="expected one whose clients keep nothing"):
        personal_layers(METHODS[name], ["*bias"])


@pytest.mark.parametrize("rate", [optax.sgd(0.1, momentum=0.9), optax.adam(0.1), -0.1, 0, "fast"])
@pytest.mark.parametrize("make", [scaffold, functools.partial(feddyn, alpha=0.1)])
def test_methods_that_read_gradients_off_plain_steps_take_a_rate_alone(make, rate):
    with pytest.raises(ConfigError, match="takes plain steps, without momentum, Adam or decay"):
        make(TASK, rate)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: fedprox(TASK, SGD, proximal=-1.0), "proximal=-1.0: expected at least 0"),
        (lambda: ditto(TASK, SGD, attraction=-1.0), "attraction=-1.0: expected at least 0"),
        (lambda: feddyn(TASK, RATE, alpha=0.0), "alpha=0.0: expected more than 0"),
        (lambda: fedavg(TASK, 0.1), "client_optimizer=0.1: expected an Optax optimizer"),
        (lambda: fedavg(TASK, SGD, 1.0), "server_optimizer=1.0: expected an Optax optimizer"),
    ],
)
def test_what_a_method_cannot_be_made_of_is_told(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_one_clients_own_steps_follow_the_rounds():
    """A rate that is zero in round 1 leaves what its clients keep and what is shared."""
    still = scaffold(
        TASK,
        lambda round_: jnp.where(round_ == 1, 1e-30, RATE),
        training=LocalTraining(epochs=1, batch_size=4),
    )
    algorithm = federated(still, DATA, Listed())
    one, _ = algorithm.rounds(algorithm.init(KEY), 1)
    two, _ = algorithm.rounds(one, 2)
    np.testing.assert_allclose(
        weights_of(algorithm.params(one)), weights_of(algorithm.params(two)), atol=1e-6
    )
