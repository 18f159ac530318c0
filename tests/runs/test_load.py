"""A trained model from its run's folder: its answers, whose it is, and code that is not trusted."""

import csv
import shutil
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest
from PIL import Image

import predict as script
import pride_jax as pride
from pride_jax.errors import ConfigError, DataError, RunError
from pride_jax.reporting import metrics
from pride_jax.runs.examples import read_inputs
from pride_jax.runs.experiment import run
from pride_jax.settings.experiment import (
    Client,
    Data,
    Evaluation,
    Experiment,
    Method,
    Model,
    Partition,
    Task,
)
from pride_jax.settings.files import load_config

pytestmark = pytest.mark.usefixtures("blank_pictures")

SMALL = Experiment(
    rounds=6,
    data=Data("iris", test_examples=90),
    model=Model("logistic"),
    evaluation=Evaluation(every=2),
)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The folder of a finished run of ``SMALL``; not to be changed."""
    folder = tmp_path_factory.mktemp("small") / "run"
    run(SMALL, folder)
    return folder


@pytest.fixture(scope="module")
def iris():
    return pride.load_dataset("iris", test_examples=90)


def accuracy(model, dataset):
    given = model.predict(dataset.test_inputs)
    names = np.asarray(model.seen.class_names or range(dataset.outputs))
    return float(np.mean(given.answers == names[dataset.test_targets]))


def test_a_loaded_model_answers_as_the_run_measured(small, iris):
    model = pride.load(small)
    last = metrics.read(small / "metrics.jsonl")[-1]
    assert accuracy(model, iris) == pytest.approx(last["test_accuracy"])
    given = model.predict(iris.test_inputs)
    assert given.outputs.shape == (90, 3)
    np.testing.assert_allclose(given.outputs.sum(axis=1), 1, rtol=1e-5)
    # Alone or among others, an example has the same answer.
    assert model.predict(iris.test_inputs[7:8]).answers == given.answers[7]


def test_the_best_evaluation_is_kept_beside_the_last(small, iris):
    rows = metrics.read(small / "metrics.jsonl")
    best = max(row["test_accuracy"] for row in rows)
    assert accuracy(pride.load(small, which="best"), iris) == pytest.approx(best)


def test_the_best_survives_a_death_and_worse_rounds(tmp_path, iris):
    config = replace(SMALL, client=Client(learning_rate=2.0), evaluation=Evaluation(every=1))

    def die(row):
        if row["round"] == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "run", report=die)
    run(config, tmp_path / "run", resume=True)
    best = max(row["test_accuracy"] for row in metrics.read(tmp_path / "run" / "metrics.jsonl"))
    assert accuracy(pride.load(tmp_path / "run", which="best"), iris) == pytest.approx(best)


def test_quantities_are_predicted(tmp_path):
    config = Experiment(rounds=2, data=Data("diabetes"), task=Task("regression"))
    summary = run(config, tmp_path / "run")
    dataset, model = pride.load_dataset("diabetes"), pride.load(tmp_path / "run")
    given = model.predict(dataset.test_inputs)
    np.testing.assert_array_equal(given.answers, given.outputs)
    error = np.mean((given.outputs[:, 0] - dataset.test_targets.ravel()) ** 2)
    assert error == pytest.approx(summary["test_loss"], rel=1e-4)


@pytest.mark.parametrize(
    "method", [Method("ditto", {"attraction": 0.5}), Method(personal=("layers/1/*",))]
)
def test_each_client_has_its_own_model(tmp_path, method):
    config = replace(
        SMALL,
        model=Model("mlp", {"hidden": (4,)}),
        method=method,
        partition=Partition(clients=3, held_out=0.3),
    )
    summary = run(config, tmp_path / "run")
    shared, *own = [pride.load(tmp_path / "run", client=client) for client in (0, 1, 2)]
    assert any(
        (np.asarray(one) != np.asarray(other)).any()
        for one, other in zip(
            jax.tree.leaves(shared.params), jax.tree.leaves(own[0].params), strict=True
        )
    )
    assert summary["held_out"]["personal"]["mean"] >= 0
    with pytest.raises(ConfigError, match="client=3: expected an id from 0 to 2"):
        pride.load(tmp_path / "run", client=3)


def test_clients_without_models_of_their_own_are_told(small):
    with pytest.raises(ConfigError, match="keep no model of their own"):
        pride.load(small, client=0)


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        (np.zeros((5, 3)), r"inputs have shape \[5, 3\]: expected float32 \['examples', 4\]"),
        (np.zeros(4), r"inputs have shape \[4\]"),
        (np.zeros((0, 4)), r"inputs have shape \[0, 4\]"),
        (np.full((1, 4), np.nan), "NaN or infinite"),
        (np.zeros((1, 4), np.uint8), "inputs are uint8"),
        (np.array([["a", "b", "c", "d"]]), "inputs are <U1"),
    ],
)
def test_what_the_model_does_not_take_is_told(small, inputs, told):
    with pytest.raises(DataError, match=told):
        pride.load(small).predict(inputs)


def test_a_folder_without_a_model_is_told(small, tmp_path):
    with pytest.raises(ConfigError, match="There is no run to resume"):
        pride.load(tmp_path)
    unfinished = shutil.copytree(small, tmp_path / "run")
    (unfinished / "model.json").unlink()
    with pytest.raises(RunError, match="expected the folder of a run that has ended"):
        pride.load(unfinished)


OWN = """
import pathlib

import pride_jax as pride

pathlib.Path("imported").touch()


def net(features, outputs):
    return pride.logistic(features, outputs)
"""


def test_code_that_came_with_a_run_is_run_by_whom_trusts_it_alone(tmp_path, monkeypatch, iris):
    (tmp_path / "net.py").write_text(OWN)
    (tmp_path / "own.py").write_text(
        "from pride_jax.settings import *\n"
        'config = Experiment(rounds=1, data=Data("iris"), model=Model("net.py:net"))'
    )
    monkeypatch.chdir(tmp_path)
    run(load_config(tmp_path / "own.py"), tmp_path / "run")
    (tmp_path / "imported").unlink()
    (tmp_path / "net.py").unlink()
    sys.modules.pop("net", None)
    with pytest.raises(ConfigError, match=r"comes with code of its own, net\.py"):
        pride.load(tmp_path / "run")
    assert not (tmp_path / "imported").exists()
    model = pride.load(tmp_path / "run", trust_code=True)
    assert model.predict(iris.test_inputs).outputs.shape == (90, 3)
    (tmp_path / "run" / "code" / "net.py").write_text(f"{OWN}\n# changed")
    with pytest.raises(ConfigError, match="SHA-256"):
        pride.load(tmp_path / "run", trust_code=True)


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_a_file_is_answered(small, iris, tmp_path, monkeypatch, ending):
    file, out = tmp_path / f"flowers.{ending}", tmp_path / "answers.csv"
    if ending == "npy":
        np.save(file, iris.test_inputs)
    else:
        np.savez(file, inputs=iris.test_inputs, others=np.zeros(3))
    monkeypatch.setattr(sys, "argv", ["predict.py", str(small), str(file), "--out", str(out)])
    assert script.main() == 0
    rows = list(csv.reader(out.read_text().splitlines()))
    answers = pride.load(small).predict(iris.test_inputs).answers
    assert [row[0] for row in rows] == ["answer", *map(str, answers)]


def test_parameters_are_exported_as_plain_arrays(small, tmp_path, monkeypatch):
    out = tmp_path / "plain.npz"
    monkeypatch.setattr(sys, "argv", ["predict.py", str(small), "--export", str(out)])
    assert script.main() == 0
    with np.load(out) as plain:
        assert sum(plain[name].size for name in plain.files) == 15


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "expected a FILE of examples, or --export"),
        (["nothing.npy"], "nothing.npy cannot be read"),
        (["table.xls"], "expected a table (.csv, .parquet), images, a text (.txt), or arrays"),
        (["new.txt"], "new.txt: the run was not trained on a text; expected inputs of"),
    ],
)
def test_what_cannot_be_answered_is_told_in_a_line(small, monkeypatch, capsys, arguments, told):
    monkeypatch.setattr(sys, "argv", ["predict.py", str(small), *arguments])
    assert script.main() == 2
    errors = capsys.readouterr().err
    assert told in errors and errors.count("\n") == 1


def table(path, columns):
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        rows.writerows(zip(*columns.values(), strict=True))
    return path


def test_a_table_is_answered_wherever_its_columns_lie(tmp_path):
    rng = np.random.default_rng(0)
    height, colour = rng.normal(size=60), rng.choice(["blue", "red"], 60)
    kind = np.where((height > 0) ^ (colour == "red"), "tall", "small")
    whole = {"height": height, "colour": colour, "kind": kind}
    data = Data(
        str(table(tmp_path / "own.csv", whole)),
        target="kind",
        categories=(("colour", "blue"), ("colour", "red")),
    )
    run(replace(SMALL, data=data), tmp_path / "run")
    model = pride.load(tmp_path / "run")
    assert model.seen.class_names == ("small", "tall")
    assert model.seen.input_names == ("height", "colour=blue", "colour=red")
    moved = table(tmp_path / "new.csv", {"colour": colour, "height": height})
    expected = np.stack([height, colour == "blue", colour == "red"], axis=1).astype(np.float32)
    given = read_inputs(moved, model.seen, model.config.data.columns)
    np.testing.assert_array_equal(given, expected)
    for wrong in ({"height": height}, {"colour": colour, "height": height, "width": height}):
        with pytest.raises(DataError, match="are not in both this table and the one"):
            read_inputs(table(moved, wrong), model.seen, model.config.data.columns)


def test_images_are_read_alone_or_together(small, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), np.uint8)
    for name, each in zip(("c.png", "a.png", "b/b.png"), pixels, strict=True):
        (tmp_path / "b").mkdir(exist_ok=True)
        Image.fromarray(each).save(tmp_path / name)
    seen = pride.load(small).seen
    together = read_inputs(tmp_path, seen, Data().columns)
    np.testing.assert_array_equal(together, pixels[[1, 2, 0]])
    alone = read_inputs(tmp_path / "c.png", seen, Data().columns)
    np.testing.assert_array_equal(alone, pixels[:1])
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(DataError, match="expected images alone"):
        read_inputs(tmp_path, seen, Data().columns)
