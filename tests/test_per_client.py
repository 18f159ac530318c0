"""A client trained by itself, on its own examples alone, sends what it sends in a cohort."""

import os

import jax
import numpy as np
import optax
import pytest

from pride_jax.aggregation.messages import from_bytes
from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.secure_sum import Role
from pride_jax.data.datasets import load_dataset
from pride_jax.data.federated import federate
from pride_jax.data.partition import by_sizes
from pride_jax.engine.secure import SecureAggregation
from pride_jax.engine.simulated import one_by_one, simulated
from pride_jax.errors import ConfigError
from pride_jax.federated import federated
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import LocalTraining, by_examples, uniform
from pride_jax.models.networks import mlp
from pride_jax.privacy.clipping import Flat
from pride_jax.privacy.mechanisms.skellam import Skellam
from pride_jax.privacy.plan import Plan
from pride_jax.privacy.randomness import study_key
from pride_jax.privacy.sampling import fixed_size, full
from pride_jax.privacy.values import Integers
from pride_jax.settings.experiment import Aggregation, Engine, Experiment
from pride_jax.task import classification

DATASET = load_dataset("iris", test_examples=90)
SIZES = (25, 0, 10)
MODEL = mlp(features=(4,), outputs=3, hidden=(8,))
PLAN = Plan(
    sampler=full(3),
    clipping=Flat(0.5),
    mechanism=Skellam(1.0, Integers(67, 12), colluders=1),
    rounds=2,
    delta=1e-2,
)


def rounds(adder, *, data=None, sampler=None, weighting=by_examples, count=2):
    """Two rounds' parameters and the integers of each message, in the order sent."""
    sent = []

    def overheard(messages):
        sent.extend(np.frombuffer(from_bytes(each).body, "<i4") for each in messages)
        return messages

    protocol = plain()
    key_holder = protocol.keygen(os.urandom, Role.KEY_HOLDER)
    private = isinstance(sampler, Plan)
    bits, limit = (12, 0.5) if private else (16, 1.0)
    algorithm = federated(
        fedavg(
            classification(MODEL, 3),
            optax.sgd(0.1),
            training=LocalTraining(epochs=2, batch_size=10),
            weighting=weighting,
        ),
        data or federate(DATASET, by_sizes(np.random.default_rng(0), 60, SIZES)),
        sampler,
        adder(SecureAggregation(protocol, key_holder, bits, limit, network=overheard)),
    )
    key = study_key(5) if private else None
    state, info = algorithm.rounds(algorithm.init(jax.random.key(3), key), count)
    return algorithm.params(state), sent, info


def test_integers_are_those_of_the_cohort_within_one():
    alone, sent_alone, info_alone = rounds(one_by_one)
    together, sent, info = rounds(simulated)
    assert len(sent) == len(sent_alone) == 2 * len(SIZES)
    for one, other in zip(sent_alone[: len(SIZES)], sent[: len(SIZES)], strict=True):
        assert np.abs(one - other).max() <= 1
    for one, other in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    assert (info_alone.clients, info_alone.empty) == (info.clients, info.empty) == (6, 2)
    assert info_alone.examples == info.examples
    np.testing.assert_allclose(info_alone.loss, info.loss, rtol=1e-4)


def test_others_examples_change_no_bit_of_what_a_client_sends():
    data = federate(DATASET, by_sizes(np.random.default_rng(0), 60, SIZES))
    others = np.setdiff1d(np.arange(60), np.asarray(data.index)[:25])
    inputs = np.asarray(data.inputs).copy()
    inputs[others] = np.nan
    _, sent, _ = rounds(one_by_one, data=data, count=1)
    damaged = data._replace(inputs=jax.numpy.asarray(inputs))
    _, amid_nans, among = rounds(one_by_one, data=damaged, count=1)
    assert np.array_equal(sent[0], amid_nans[0])
    assert among.nonfinite == 1


def test_only_the_sampled_are_trained():
    thirds = federate(DATASET, by_sizes(np.random.default_rng(0), 60, (20, 20, 20)))
    _, sent, info = rounds(one_by_one, data=thirds, sampler=fixed_size(3, 2), count=1)
    assert len(sent) == info.clients == 2


def test_a_plan_adds_its_noise():
    params, sent, info = rounds(one_by_one, sampler=PLAN, weighting=uniform, count=1)
    assert info.unopened == 0
    assert np.abs(np.stack(sent)).max() > 2**11
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_needs_integers():
    with pytest.raises(ConfigError, match="adds integers"):
        Experiment(engine=Engine(per_client=True))
    assert Experiment(engine=Engine(per_client=True), aggregation=Aggregation("plain"))
