"""Wrong arguments of the functional API: one sentence each, before anything is compiled."""

import os
import traceback
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import pride_jax as pride
from pride_jax.runs.devices import use_cores

RNG = np.random.default_rng(0)
DATASET = pride.load_dataset("iris")
PARTITION = pride.iid(RNG, 120, 3)
DATA = pride.federate(DATASET, PARTITION)
MODEL = pride.logistic((4,), 3)
TASK = pride.classification(MODEL, 3)
SGD = optax.sgd(0.1)
METHOD = pride.fedavg(TASK, SGD)


def outputs_of(model, outputs):
    return pride.fedavg(pride.classification(model, outputs), SGD)


def trained(**options):
    return pride.federated(pride.fedavg(TASK, SGD, **options), DATA)


def partition_of(index, sizes):
    return pride.federate(DATASET, pride.Partition(index, sizes))


def examined(task=TASK, **changes):
    return pride.evaluator(task, DATASET._replace(**changes))


def secure(**options):
    keys = pride.plain().keygen(os.urandom, pride.Role.KEY_HOLDER)
    return pride.SecureAggregation(pride.plain(), keys, **options)


INTS = np.zeros(2, np.int32)
WRONG = {
    # Indices and sizes.
    "clients beyond the data": lambda: pride.federated(METHOD, DATA, pride.fixed_size(1000, 10)),
    "a partition of more": lambda: pride.federate(DATASET, pride.iid(RNG, 150, 3)),
    "a negative index": lambda: partition_of(INTS - 1, INTS + 1),
    "sizes of others": lambda: partition_of(INTS, INTS),
    "a float index": lambda: partition_of(np.zeros(2), INTS + 1),
    "lists": lambda: partition_of([0, 1], [1, 1]),
    "no clients": lambda: pride.iid(RNG, 120, 0),
    "half a client": lambda: pride.iid(RNG, 120, 2.5),
    "negative examples": lambda: pride.iid(RNG, -1, 3),
    "half a size": lambda: pride.by_sizes(RNG, 10, [0.5, 2]),
    "float groups": lambda: pride.by_group(np.array([0.5, 1.0])),
    "no groups": lambda: pride.by_group(DATASET.groups),
    "half a cohort": lambda: pride.fixed_size(10, 2.5),
    # Labels against logits.
    "2 logits for 3 classes": lambda: pride.federated(outputs_of(pride.logistic((4,), 2), 2), DATA),
    "2 logits of 3 outputs": lambda: pride.federated(outputs_of(pride.logistic((4,), 2), 3), DATA),
    "2 logits to test": lambda: examined(pride.classification(pride.logistic((4,), 2), 2)),
    "label -1": lambda: pride.federate(
        DATASET._replace(train_targets=DATASET.train_targets - 1), PARTITION
    ),
    "label 3 to test": lambda: examined(test_targets=DATASET.test_targets + 1),
    # Shapes and types.
    "7 features for 4": lambda: pride.federated(outputs_of(pride.logistic((7,), 3), 3), DATA),
    "images for a table": lambda: pride.federated(outputs_of(pride.cnn((8, 8, 1), 3), 3), DATA),
    "7 features to test": lambda: examined(pride.classification(pride.logistic((7,), 3), 3)),
    "NaN to test": lambda: examined(test_inputs=DATASET.test_inputs * np.nan),
    "a shift of 7": lambda: pride.federate(DATASET._replace(shift=np.zeros(7)), PARTITION),
    # Ranges.
    "max_norm -1": lambda: pride.Flat(-1.0),
    "batch_size 0": lambda: trained(training=pride.LocalTraining(batch_size=0)),
    "batch_size None": lambda: trained(training=pride.LocalTraining(batch_size=None)),  # type: ignore
    "epochs 0": lambda: trained(training=pride.LocalTraining(epochs=0)),
    "epochs 1.5": lambda: trained(training=pride.LocalTraining(epochs=1.5)),  # type: ignore
    "smoothing 2": lambda: pride.classification(MODEL, 3, 2.0),
    "0 outputs": lambda: pride.classification(MODEL, 0),
    "-1 outputs": lambda: pride.logistic((4,), -1),
    "chunk 0": lambda: pride.federated(METHOD, DATA, adder=pride.on_device(chunk=0)),
    "chunk of a sum": lambda: pride.federated(
        METHOD, DATA, adder=pride.simulated(secure(), chunk=0)
    ),
    "rate 2": lambda: pride.truncated_poisson(10, 2.0),
    "attraction": lambda: pride.ditto(TASK, SGD, attraction="much"),  # type: ignore
    # Names, and things in one another's places.
    "weighting by name": lambda: trained(weighting="Uniform"),
    "a model by name": lambda: pride.next_token("lstm", 9),  # type: ignore
    "no such precision": lambda: pride.with_precision(MODEL, "float16"),  # type: ignore
    "a seed as generator": lambda: pride.dirichlet(0, DATASET.train_targets, 3, 0.5),  # type: ignore
    "a seed as key": lambda: trained().init(0),
    "swapped data": lambda: pride.federate(PARTITION, DATASET),  # type: ignore
    "swapped method": lambda: pride.federated(DATA, METHOD),  # type: ignore
    "a data set as data": lambda: pride.federated(METHOD, DATASET),  # type: ignore
    "a task as method": lambda: pride.federated(TASK, DATA),  # type: ignore
    "a model as task": lambda: pride.fedavg(MODEL, SGD),  # type: ignore
    "a size as sampler": lambda: pride.federated(METHOD, DATA, 2),  # type: ignore
    "a number as clipping": lambda: pride.federated(METHOD, DATA, clipping=1.0),  # type: ignore
    "a protocol as adder": lambda: pride.federated(METHOD, DATA, adder=pride.plain()),  # type: ignore
    "a number as optimizer": lambda: pride.fedavg(TASK, 0.1),  # type: ignore
    "a function of a rate": lambda: pride.fedavg(TASK, optax.sgd),
    "an optimizer as rate": lambda: pride.scaffold(TASK, SGD),  # type: ignore
    "a number as server": lambda: pride.fedavg(TASK, SGD, 1.0),  # type: ignore
    "a swapped evaluator": lambda: pride.evaluator(DATASET, TASK),  # type: ignore
    "a protocol as sum": lambda: pride.simulated(pride.plain()),  # type: ignore
    "a number as plan": lambda: pride.epsilon(8.0),  # type: ignore
    "a plan by name": lambda: pride.trade_off("gaussian"),  # type: ignore
    "a mechanism as its maker": lambda: pride.calibrate(
        pride.Gaussian(1.0),  # type: ignore
        8.0,
        sampler=pride.full(9),
        clipping=pride.Flat(1.0),
        rounds=3,
        delta=1e-3,
    ),
    "a number as data set": lambda: pride.load_dataset(3),  # type: ignore
    "a text as count": lambda: pride.load_dataset("iris", test_examples="30"),  # type: ignore
    "a width as hidden": lambda: pride.mlp((4,), 3, 8),  # type: ignore
    "4 as features": lambda: pride.logistic(4, 3),  # type: ignore
    "a text as seed": lambda: pride.study_key("abc"),  # type: ignore
    "a step back": lambda: pride.borrowed_scatter(-1.0),
    "settings as a mapping": lambda: pride.run({}, Path("run")),  # type: ignore
    "a number as folder": lambda: pride.run(pride.Experiment(), 3),  # type: ignore
}
FOREIGN = ("/jax/", "/flax/", "/optax/")


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_argument_is_told_in_one_sentence_without_anybody_elses_traceback(what):
    with pytest.raises((pride.ConfigError, pride.DataError)) as refused:
        WRONG[what]()
    message = str(refused.value)
    assert "\n" not in message
    told = "".join(traceback.format_exception(refused.value))
    assert not any(package in told for package in FOREIGN)


def test_a_plain_optimizer_is_accepted_as_is_a_function_of_the_round():
    for optimizer in (SGD, lambda round_: SGD):
        pride.federated(pride.fedavg(TASK, optimizer), DATA)
    with pytest.raises(pride.ConfigError, match=r"client_optimizer of a round=0\.1: expected"):
        state = (broken := pride.fedavg(TASK, lambda round_: 0.1)).init(jax.random.key(0))
        round_ = pride.Round(jax.numpy.int32(0), 1)
        broken.client.start(round_, broken.send(state), ())


def test_64_bits_are_refused_before_anything_is_trained():
    with jax.enable_x64(True), pytest.raises(pride.ConfigError, match="JAX_ENABLE_X64"):
        pride.federate(DATASET, PARTITION)


def test_a_config_that_computes_with_jax_is_told_so(monkeypatch):
    jax.block_until_ready(jax.numpy.zeros(1))
    monkeypatch.setenv("XLA_FLAGS", os.environ.get("XLA_FLAGS", ""))
    with pytest.raises(pride.ConfigError, match="JAX has computed before the run began"):
        use_cores(1)
