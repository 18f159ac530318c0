"""More wrong arguments of the functional API: one sentence each, of ours."""

import os
import traceback
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

import pride_jax as pride

RNG = np.random.default_rng(0)
DATASET = pride.load_dataset("iris")
TASK = pride.classification(pride.logistic((4,), 3), 3)
DATA = pride.federate(DATASET, pride.iid(RNG, 120, 3))
ALGORITHM = pride.federated(pride.fedavg(TASK, optax.sgd(0.1)), DATA)
STATE = ALGORITHM.init(jax.random.key(0))
EVALUATE = pride.evaluator(TASK, DATASET)
KEYS = pride.plain().keygen(os.urandom, pride.Role.KEY_HOLDER)
PLACE = Path("refused.safetensors")
NAN = float("nan")


def secure(**changes):
    given = pride.SecureAggregation(pride.plain(), KEYS)
    return pride.simulated(given._replace(**changes))


def calibrated(target):
    return pride.calibrate(
        pride.Gaussian,
        target,
        sampler=pride.full(9),
        clipping=pride.Flat(1.0),
        rounds=3,
        delta=1e-3,
    )


WRONG = {
    "no parameters to write": lambda: pride.write_parameters(PLACE, None),
    "empty parameters": lambda: pride.write_parameters(PLACE, {}),
    "texts as parameters": lambda: pride.write_parameters(PLACE, {"a": "b"}),
    "an object as parameter": lambda: pride.write_parameters(PLACE, {"a": object()}),
    "no file to write": lambda: pride.write_parameters(None, {"a": np.zeros(2)}),  # type: ignore
    "no file to read": lambda: pride.read_parameters(None, TASK),  # type: ignore
    "no model to read for": lambda: pride.read_parameters(PLACE, None),  # type: ignore
    "nothing to evaluate": lambda: EVALUATE(None),
    "empty to evaluate": lambda: EVALUATE({}),
    "a text to evaluate": lambda: EVALUATE("model"),
    "a state to evaluate": lambda: EVALUATE(STATE),
    "half a round": lambda: ALGORITHM.rounds(STATE, 2.5),  # type: ignore
    "rounds back": lambda: ALGORITHM.rounds(STATE, -1),
    "a text of rounds": lambda: ALGORITHM.rounds(STATE, "2"),  # type: ignore
    "no state for rounds": lambda: ALGORITHM.rounds(None, 2),  # type: ignore
    "no state for a round": lambda: ALGORITHM.round(None),  # type: ignore
    "an audit without plan": lambda: pride.audit_round(lambda s, c: s, None, 9),  # type: ignore
    "an audit of nothing": lambda: pride.audit_round(None, None, 9),  # type: ignore
    "no keys": lambda: secure(key_holder=None),
    "a text as limit": lambda: secure(limit="1"),
    "no limit": lambda: secure(limit=NAN),
    "a limit below 0": lambda: secure(limit=-1.0),
    "half a bit": lambda: secure(bits=7.5),
    "a protocol by name": lambda: secure(protocol="masking"),
    "a seed as rng": lambda: secure(rng=3),
    "a sum of one by one": lambda: pride.one_by_one(None),  # type: ignore
    "alpha as text": lambda: pride.dirichlet(RNG, DATASET.train_targets, 3, "1"),  # type: ignore
    "alpha NaN": lambda: pride.dirichlet(RNG, DATASET.train_targets, 3, NAN),
    "no sizes": lambda: pride.by_sizes(RNG, 10, None),  # type: ignore
    "no rate": lambda: pride.truncated_poisson(10, None),  # type: ignore
    "groups as text": lambda: pride.cyclic_poisson(10, 0.5, "2"),  # type: ignore
    "epsilon as text": lambda: calibrated("8"),
    "epsilon NaN": lambda: calibrated(NAN),
    "no folder": lambda: pride.load(None),  # type: ignore
    "a lattice by name": lambda: pride.lattice("paillier"),  # type: ignore
    "widths as text": lambda: pride.mlp((4,), 3, "16"),  # type: ignore
}
FOREIGN = ("/jax/", "/flax/", "/optax/", "/safetensors/")


@pytest.mark.parametrize("what", WRONG)
def test_one_more_wrong_argument_is_told_in_one_sentence(what):
    with pytest.raises((pride.ConfigError, pride.DataError)) as refused:
        WRONG[what]()
    assert "\n" not in str(refused.value)
    told = "".join(traceback.format_exception(refused.value))
    assert not any(package in told for package in FOREIGN)
    assert not PLACE.exists()


def test_what_a_model_has_is_written_and_read(tmp_path):
    model = pride.with_precision(pride.logistic((4,), 3), "bfloat16")
    params = model.init(jax.random.key(0))
    pride.write_parameters(tmp_path / "model.safetensors", params)
    read = pride.read_parameters(tmp_path / "model.safetensors", model)
    jax.tree.map(np.testing.assert_array_equal, params, read)


def test_rounds_may_be_counted_by_numpy_and_evaluated_from_arrays_on_the_host():
    state, _ = ALGORITHM.rounds(STATE, np.int64(1))  # type: ignore
    params = jax.device_get(ALGORITHM.params(state))
    assert EVALUATE(params).means == EVALUATE(ALGORITHM.params(state)).means
