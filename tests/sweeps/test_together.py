"""Runs trained as one program have the results that they have by themselves."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from pride_jax.errors import ConfigError
from pride_jax.reporting import metrics
from pride_jax.runs.experiment import run
from pride_jax.settings.experiment import (
    Client,
    Cohort,
    Data,
    Evaluation,
    Experiment,
    Method,
    Model,
    Partition,
    Privacy,
    Server,
    Task,
)
from pride_jax.settings.files import differences, to_dict
from pride_jax.sweeps.sweep import Planned, override, parse_over, sweep
from pride_jax.sweeps.together import NUMBERS, together

SMALL = Experiment(
    rounds=6,
    data=Data("iris"),
    partition=Partition("dirichlet", clients=5, alpha=1.0),
    model=Model("mlp", {"hidden": (8,)}),
    method=Method("fedprox", {"proximal": 0.0}),
    client=Client(epochs=2),
    cohort=Cohort("fixed_size", size=3),
    evaluation=Evaluation(every=2, comparison=True),
)
WITH_EVERY_NUMBER = dataclasses.replace(
    SMALL,
    seed=1,
    client=Client(
        learning_rate=0.2,
        momentum=0.9,
        weight_decay=0.01,
        borrowed_scatter=0.5,
        epochs=2,
    ),
    task=Task("classification", {"label_smoothing": 0.3}),
    method=Method("fedprox", {"proximal": 0.1}),
    server=Server(learning_rate=0.5),
    privacy=Privacy(clipping_norm=0.5),
)
DIVERGING = dataclasses.replace(SMALL, client=Client(learning_rate=1e20, epochs=2))


def watch(running, waiting):
    """Nobody looks."""


def planned(folder, **configs):
    return [Planned({"name": name}, config, folder / name) for name, config in configs.items()]


def assert_same(one, other):
    """What two folders of a run tell, times and bits aside, is the same."""

    def told(folder):
        rows = metrics.read(folder / "metrics.jsonl")
        summary = json.loads((folder / "summary.json").read_text())
        # Tables by name.
        for name in ("parameters_sha256", "by_class", "by_group", "by_client"):
            del summary[name]
        return [
            {name: value for name, value in figures.items() if not name.startswith("seconds")}
            for figures in (*rows, summary)
        ]

    jax.tree.map(
        lambda here, there: np.testing.assert_allclose(here, there, rtol=1e-4),
        told(one),
        told(other),
    )
    assert [row["test_accuracy"] for row in told(one)] == [
        row["test_accuracy"] for row in told(other)
    ]
    assert (one / "config.json").read_text() == (other / "config.json").read_text()
    for file in (one / "checkpoints").iterdir():
        with np.load(file) as here, np.load(other / "checkpoints" / file.name) as there:
            assert here.files == there.files
            for name in here.files:
                np.testing.assert_allclose(here[name], there[name], rtol=1e-4, atol=1e-5)


def test_each_run_has_its_own_results_whatever_varies_and_whoever_fails(tmp_path):
    varied = {name for name in NUMBERS if differ(SMALL, WITH_EVERY_NUMBER, name)}
    assert varied == set(NUMBERS)
    configs = {
        "plain": SMALL,
        "numbers": WITH_EVERY_NUMBER,
        "diverging": DIVERGING,
        "impossible": dataclasses.replace(SMALL, data=Data("iris", test_examples=10**6)),
    }
    ends = {run.name: error for run, error in together(watch)(planned(tmp_path / "one", **configs))}
    assert ends["name=plain"] is ends["name=numbers"] is None
    assert ends["name=diverging"].startswith("Training diverged")
    assert ends["name=impossible"].startswith("test_examples=1000000: expected")
    for name in ("plain", "numbers"):
        run(configs[name], tmp_path / name)
        assert_same(tmp_path / "one" / name, tmp_path / name)


def differ(one, other, name):
    return any(
        name == change.partition(":")[0] for change in differences(to_dict(one), to_dict(other))
    )


def test_runs_that_were_left_at_different_rounds_end_as_if_never_interrupted(tmp_path):
    def interrupt(row):
        if row["round"] == 2:
            raise KeyboardInterrupt

    over = [parse_over("seed=0,1")]
    with pytest.raises(KeyboardInterrupt):
        run(override(SMALL, {"seed": "1"}), tmp_path / "seed=1", report=interrupt)
    result = sweep(SMALL, over, tmp_path, together(watch), print)
    assert not any("error" in row for row in result["runs"])
    assert len(json.loads((tmp_path / "seed=1" / "env.json").read_text())) == 2
    for seed in ("0", "1"):
        run(override(SMALL, {"seed": seed}), tmp_path / "alone" / seed)
        assert_same(tmp_path / f"seed={seed}", tmp_path / "alone" / seed)


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ("cohort.size=2,3", "cohort.size: 2 -> 3: .* in which only seed, data, partition, client"),
        ("model.options.hidden=8,9", "model.options.hidden: "),
        ("rounds=2,3", "rounds: 2 -> 3"),
        ("aggregation.protocol=plain", "aggregation.protocol='plain' in runs that are trained"),
        ("privacy.mechanism=gaussian", "privacy.mechanism='gaussian' in runs that are trained"),
        ("partition.clients=4,5", r"partition.clients: 4 -> 5: offsets is int32\[4\] in"),
        ("data.test_examples=30,60", r"data.test_examples: 30 -> 60: inputs is float32\[120, 4\]"),
    ],
)
def test_what_is_not_one_program_is_refused_by_name_and_nothing_is_written(tmp_path, over, told):
    private = Privacy(clipping_norm=1.0, noise_multiplier=1.0, delta=1e-3, mechanism="gaussian")
    config = dataclasses.replace(SMALL, privacy=private) if "gaussian" in over else SMALL
    with pytest.raises(ConfigError, match=told):
        sweep(config, [parse_over(over)], tmp_path / "sweep", together(watch), print)
    assert not (tmp_path / "sweep").exists()
