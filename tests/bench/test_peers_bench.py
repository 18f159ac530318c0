"""The benchmark of peers: same work in numbers, rows that say why, answers read as they come."""

import json
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from bench import peers, targets
from bench.common.peer_environments import OURS, PEERS, Peer, interpreter
from bench.common.peer_process import driver
from bench.common.peer_turns import Contestant, Taken, Turns
from bench.common.peer_works import (
    NETWORKS,
    WORKS,
    Work,
    first_weights,
    num_parameters,
    operations,
    write_arrays,
)
from bench.peers import COMPARISONS, Comparison, Row, Setting
from pride_jax.data.dataset import Dataset
from pride_jax.errors import ConfigError, RunError
from pride_jax.models.modules import num_parameters as parameters_of
from pride_jax.models.networks import cnn, two_nn

TINY = WORKS["2nn"]._replace(clients=4, examples=20, cohort=2, rounds=2)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory):
    rng = np.random.default_rng(0)
    # So many that whoever guesses is right as often as anybody else who does.
    images = rng.integers(0, 256, (2080, 28, 28, 1), np.uint8)
    labels = rng.integers(0, 10, 2080, np.int32)
    dataset = Dataset("tiny", images[:80], labels[:80], images[80:], labels[80:], 10)
    path = tmp_path_factory.mktemp("peers") / "tiny.npz"
    write_arrays(path, TINY, dataset)
    return path


def test_ours_is_timed_and_a_peer_that_cannot_be_had_has_a_row_that_says_why(arrays):
    comparison = Comparison("2nn", 1, (OURS, "FedJAX"), ("none", "gaussian"))
    interpreters = peers._interpreters((OURS,), Setting()) | {"FedJAX": "no Python of its own"}
    rows = peers.compare("tiny", comparison, TINY, arrays, interpreters)
    assert [(row.peer, row.protection) for row in rows] == [
        (OURS, "none"),
        (OURS, "gaussian"),
        ("FedJAX", "none"),
    ]
    plain, noised, absent = rows
    assert plain.times_ours == 1 and plain.rounds == 1 and plain.why == ""
    assert noised.seconds_per_round == pytest.approx(
        (1 + noised.over_unprotected) * plain.seconds_per_round
    )
    assert 0 < plain.product_share < 1
    assert absent.seconds_per_round is None and absent.why == "no Python of its own"
    line = json.loads(peers.as_json(Setting(), rows))
    assert [Row(**row) for row in line["rows"]] == rows


def turns(*accuracies, parameters=199_210):
    taken = {
        Contestant(peer, "none", 1): Taken(parameters, {}, [9.0, 2.0, 1.0, 3.0], accuracy)
        for peer, accuracy in zip(PEERS, accuracies, strict=False)
    }
    return Turns(taken, {}, 1e9)


def test_whoever_learned_something_else_did_not_do_the_same_work():
    same = turns(0.91, 0.9, 0.92)
    assert not any(peers._differs(each, TINY, same) for each in same.taken.values())
    one_apart = turns(0.91, 0.1, 0.92)
    told = [peers._differs(each, TINY, one_apart) for each in one_apart.taken.values()]
    assert told == ["", "its accuracy is 0.100, others' 0.910: not the same work", ""]
    other = turns(0.9, 0.9, parameters=5)
    assert all("trained 5 parameters" in peers._differs(*each) for each in _with(other))
    row = peers._row("x", Contestant("FedJAX", "none", 1), same.taken[_FEDJAX], TINY, same, 0.0, 1)
    assert row.seconds_per_round == 2 and row.first_seconds == 9 and row.rounds == 3


_FEDJAX = Contestant("FedJAX", "none", 1)


def _with(made):
    return [(each, TINY, made) for each in made.taken.values()]


def test_every_protection_asked_for_is_measured_or_has_a_reason():
    comparison = COMPARISONS["cnn"]
    measured = peers._contestants(comparison, dict.fromkeys(comparison.peers))
    lacking = peers._lacking(comparison, dict.fromkeys(comparison.peers))
    assert {(who.peer, who.protection) for who in measured} >= {
        (OURS, "lattice(two_servers)"),
        (OURS, "lattice(paillier)"),
        ("Flower", "secagg+"),
        ("pfl", "gaussian"),
    }
    assert lacking[Contestant("PyTorch", "gaussian", 1)] == "it has no Gaussian noise"
    for peer in comparison.peers:
        told = [who for who in (*measured, *lacking) if who.peer == peer]
        assert len(told) >= len(comparison.protections)


def test_rows_that_were_kept_are_not_measured_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    row = peers._without_figures("2nn", _FEDJAX, 0.5, "none")
    key = json.loads(json.dumps(["2nn", COMPARISONS["2nn"], WORKS["2nn"]]))
    path.write_text(json.dumps({"key": key, "rows": [row._asdict()]}) + "\n")
    assert peers.measure(Setting(comparisons=("2nn",), rows=path)) == [row]
    assert peers._kept(path, ["another"]) == []


@pytest.mark.parametrize(("network", "make"), [("2nn", two_nn), ("cnn", cnn)])
def test_a_network_has_the_parameters_and_the_arithmetic_of_the_houses_own(network, make):
    model = make((28, 28, 1), 10)
    assert num_parameters(network) == parameters_of(model)
    work = WORKS[network]

    def loss(params, images):
        labels = jnp.zeros(len(images), jnp.int32)
        logits = model.apply(params, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    if network == "cnn":
        # Its own gradients of convolutions are counted otherwise.
        return
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    batch = jax.ShapeDtypeStruct((work.batch_size, 28, 28, 1), jnp.float32)
    counted = jax.jit(jax.grad(loss)).lower(shapes, batch).cost_analysis()["flops"]
    steps = work.cohort * work.examples * work.epochs // work.batch_size
    assert operations(work) / steps == pytest.approx(counted, rel=0.1)


def test_first_weights_are_as_large_as_glorot_and_bengio_have_them():
    for network, layers in NETWORKS.items():
        weights = first_weights(network, np.random.default_rng(0))
        assert [each.shape for each in weights] == [layer.shape for layer in layers]
        *_, inputs, outputs = layers[0].shape
        window = np.prod(layers[0].shape[:-2])
        assert np.abs(weights[0]).max() <= np.sqrt(6 / (window * (inputs + outputs)))


def test_an_interpreter_that_does_not_fit_is_refused_and_leaves_nothing(tmp_path):
    peer = Peer("None", "none.py", ("none==0",), ((9, 9), (10, 0)))
    with pytest.raises(RunError, match=r"needs Python 9\.9 or later, below 10\.0.*--pythons"):
        interpreter(peer, tmp_path, ())
    assert not list(tmp_path.iterdir())
    assert str(interpreter(PEERS[OURS], tmp_path, ())) == sys.executable


def test_a_driver_that_ends_early_says_what_it_printed_last(tmp_path):
    peer = PEERS["PyTorch"]._replace(driver="../drivers/asked.py")
    task = {"cores": [0]}
    with (
        driver(peer, interpreter(PEERS[OURS], tmp_path, ()), task, 60.0) as process,
        pytest.raises(RunError, match="it ended early: without a word"),
    ):
        process.hear()


def test_unknown_comparisons_and_peers_are_refused():
    with pytest.raises(ConfigError, match="comparisons='mnist': expected some of 2nn"):
        Setting(comparisons=("mnist",))
    with pytest.raises(ConfigError, match="peers='FATE': expected some of pride_jax"):
        targets.Setting(peers=("FATE",))


@pytest.mark.parametrize(("reached", "rounds"), [(0.0, 0.0), (1.01, None)])
def test_rounds_are_counted_until_an_accuracy_is_reached(arrays, monkeypatch, reached, rounds):
    monkeypatch.setattr(targets, "TARGET", reached)
    python = interpreter(PEERS[OURS], Path(), ())
    found, versions = targets.train(OURS, python, TINY, arrays, every=1)
    assert found == rounds and "jax" in versions


def test_works_divide_evenly():
    for work in WORKS.values():
        assert isinstance(work, Work)
        assert work.examples % work.batch_size == 0 and work.cohort <= work.clients
