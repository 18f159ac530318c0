"""Runs whose clients keep something: killed, resumed, and told to nobody but the run's owner."""

import json
import stat
from dataclasses import replace

import numpy as np
import pytest

from pride_jax.errors import ConfigError, RunError
from pride_jax.runs.experiment import run
from pride_jax.settings import (
    Aggregation,
    Client,
    Cohort,
    Data,
    Evaluation,
    Experiment,
    Method,
    Model,
    Partition,
)

pytestmark = pytest.mark.usefixtures("blank_pictures")

SMALL = Experiment(
    rounds=6,
    data=Data("iris", test_examples=60),
    model=Model("logistic"),
    partition=Partition("sizes", sizes=(30, 6, 25, 14), held_out=0.3),
    client=Client(learning_rate=0.2, batch_size=8),
    cohort=Cohort("fixed_size", size=3),
    evaluation=Evaluation(every=2, fine_tuning=2),
)
KEEPING = {
    "scaffold": replace(
        SMALL,
        method=Method("scaffold"),
        cohort=Cohort("fixed_size", size=3, weighting="uniform"),
        aggregation=Aggregation("plain", limit=4.0),
    ),
    "personal": replace(SMALL, method=Method(personal=("layers/0/bias",))),
}


class Killed(BaseException):
    """As a signal: nothing in a run catches it."""


def kill_at(round_):
    def report(row):
        if row["round"] == round_:
            raise Killed

    return report


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Method -> the folder and the summary of a run; not to be changed."""
    runs = {}
    for name, config in KEEPING.items():
        folder = tmp_path_factory.mktemp(name) / "run"
        runs[name] = folder, run(config, folder)
    return runs


def saved(file):
    with np.load(file) as arrays:
        return dict(arrays)


@pytest.mark.parametrize("name", KEEPING)
def test_a_run_that_was_killed_resumes_to_the_same_bits(name, finished, tmp_path):
    folder, summary = finished[name]
    with pytest.raises(Killed):
        run(KEEPING[name], tmp_path / "run", report=kill_at(4))
    resumed = run(KEEPING[name], tmp_path / "run", resume=True)
    assert resumed["parameters_sha256"] == summary["parameters_sha256"]
    assert resumed["held_out"] == summary["held_out"]
    for part in ("clients/6.npz", "checkpoints/6.npz"):
        one, other = saved(folder / part), saved(tmp_path / "run" / part)
        assert one.keys() == other.keys() and one
        assert all(np.array_equal(one[leaf], other[leaf]) for leaf in one)


def test_every_checkpoint_lost_begins_anew_to_the_same_bits(finished, tmp_path):
    _, summary = finished["personal"]
    with pytest.raises(Killed):
        run(KEEPING["personal"], tmp_path / "run", report=kill_at(4))
    for file in (tmp_path / "run" / "checkpoints").iterdir():
        file.unlink()
    with pytest.raises(Killed):
        run(KEEPING["personal"], tmp_path / "run", report=kill_at(2), resume=True)
    resumed = run(KEEPING["personal"], tmp_path / "run", resume=True)
    assert resumed["parameters_sha256"] == summary["parameters_sha256"]


@pytest.mark.parametrize("name", KEEPING)
def test_what_clients_keep_is_in_a_folder_that_only_its_owner_can_enter(name, finished):
    clients = finished[name][0] / "clients"
    assert stat.S_IMODE(clients.stat().st_mode) == 0o700
    assert sorted(file.name for file in clients.iterdir()) == ["4.npz", "6.npz"]
    for file in clients.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert all(len(leaf) == 4 for leaf in saved(file).values())


@pytest.mark.parametrize("name", KEEPING)
def test_the_summary_tells_how_each_client_is_served_on_what_it_held_out(name, finished):
    folder, summary = finished[name]
    assert json.loads((folder / "summary.json").read_text())["held_out"] == summary["held_out"]
    # SCAFFOLD's clients keep variates, but no models of their own.
    own = {"personal"} if name == "personal" else set()
    assert summary["held_out"].keys() == {"shared", "fine_tuned"} | own
    if own:
        assert summary["held_out"]["personal"] != summary["held_out"]["shared"]
    for spread in summary["held_out"].values():
        assert 0 <= spread["minimum"] <= spread["median"] <= spread["maximum"] <= 1


def test_examples_that_clients_hold_out_are_not_unused(finished):
    _, summary = finished["personal"]
    # Of 90, all but the 75 of the four clients.
    assert (summary["train_examples"], summary["unused_examples"]) == (90, 15)


def test_states_that_others_could_read_are_not_restored(tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(Killed):
        run(KEEPING["personal"], folder, report=kill_at(2))
    (folder / "clients" / "2.npz").chmod(0o644)
    with pytest.raises(RunError, match=r"clients/2\.npz"):
        run(KEEPING["personal"], folder, resume=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"client": Client(momentum=0.9)}, r"client.momentum=0.9 with method.name='scaffold'"),
        ({"client": Client(optimizer="adam")}, r"client.optimizer='adam' with method.name='scaff"),
        ({"client": Client(weight_decay=0.1)}, r"client.weight_decay=0.1 with method.name='scaf"),
        ({"cohort": Cohort()}, r"cohort.weighting='examples' with .*expected 'uniform'"),
        ({"method": Method("scaffold", personal=("*bias",))}, r"clients keep nothing"),
    ],
)
def test_what_scaffold_does_not_take_is_refused_before_anything_is_left(changes, message, tmp_path):
    with pytest.raises(ConfigError, match=message):
        run(replace(KEEPING["scaffold"], **changes), tmp_path / "run")
    assert not (tmp_path / "run").exists()
