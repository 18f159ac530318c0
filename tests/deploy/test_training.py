"""What real parties compute is what the simulation computes of them, to the same bits."""

from dataclasses import replace

import jax
import numpy as np

from pride_jax.aggregation.messages import from_bytes
from pride_jax.deploy.agreement import load_agreement
from pride_jax.deploy.enrolment import load_examples
from pride_jax.deploy.local import enrol_all
from pride_jax.deploy.training import trainer
from pride_jax.privacy.randomness import study_key
from pride_jax.privacy.values import Rotated
from pride_jax.runs import prepared
from pride_jax.settings.experiment import (
    Aggregation,
    Cohort,
    Data,
    Engine,
    Experiment,
    Model,
    Partition,
    Privacy,
)

CONFIG = Experiment(
    rounds=2,
    data=Data("iris", test_examples=90),
    partition=Partition("iid", clients=2),
    model=Model("mlp"),
    cohort=Cohort(weighting="uniform"),
    privacy=Privacy(clipping_norm=0.5, mechanism="gaussian", noise_multiplier=1.0, delta=1e-2),
    aggregation=Aggregation("plain", bits=4),
    engine=Engine(per_client=True),
)


def test_parties_rotate_and_round_as_the_simulation_does(tmp_path, monkeypatch):
    """Noise is the server's here, so that messages hold the integers alone."""
    sent = []

    def overheard(messages):
        sent.extend(map(from_bytes, messages))
        return messages

    build = prepared.build.build_secure_aggregation
    monkeypatch.setattr(
        prepared.build,
        "build_secure_aggregation",
        lambda *arguments: build(*arguments)._replace(network=overheard),
    )
    config = replace(CONFIG, privacy=replace(CONFIG.privacy, seed=1))
    algorithm = prepared.prepare(config, tmp_path / "secrets").algorithm
    state = algorithm.init(jax.random.key(config.seed), study_key(1))
    params = np.asarray(jax.flatten_util.ravel_pytree(algorithm.params(state))[0])
    algorithm.round(state)
    enrol_all(config, tmp_path / "roles")
    for message in sent:
        folder = tmp_path / "roles" / f"party-{message.client}"
        agreement = load_agreement(folder)
        assert isinstance(agreement.plan.mechanism.values, Rotated)
        train = trainer(agreement, message.client, load_examples(folder))
        integers, told, _ = train.train(0, params, 2, train.first)
        np.testing.assert_array_equal(np.frombuffer(message.body, "<i4"), integers)
        assert told["fitted"] == 0 and integers.any()
    assert len(sent) == 2
