"""Sweeps: every combination once, failures listed, finished runs left alone."""

import itertools
from pathlib import Path

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pride_jax.errors import ConfigError, RunError
from pride_jax.files import claimed, read_json
from pride_jax.reporting.sweep_terminal import show_sweep
from pride_jax.settings.experiment import Data, Evaluation, Experiment, Task
from pride_jax.settings.files import load_config
from pride_jax.sweeps.sweep import (
    folder_name,
    grid,
    one_after_another,
    override,
    parse_over,
    plan,
    sweep,
)

SMALL = Experiment(rounds=2, data=Data("iris"), evaluation=Evaluation(every=2))


def watch(running, waiting):
    """Nobody looks."""


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("seed=0..3", ["0", "1", "2", "3"]),
        ("client.learning_rate=0.1,0.2", ["0.1", "0.2"]),
        ("data.name=iris", ["iris"]),
        ("client.learning_rate=0.1..0.5:3", ["0.1", "0.3", "0.5"]),
        ("client.learning_rate=1e-3..1:4log", ["0.001", "0.01", "0.1", "1"]),
        ("client.batch_size=16..128:4log", ["16", "32", "64", "128"]),
        ("model.options.hidden=(16),(64,32)", ["16", "64 32"]),
        ("data.name=../a.npz,./b..c.npz", ["../a.npz", "./b..c.npz"]),
        ("client.epochs,rounds=1,20; 5,10", ["1,20", "5,10"]),
    ],
)
def test_values_are_listed_or_a_range_that_includes_its_end(text, values):
    assert parse_over(text) == (text.split("=")[0], values)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seed", "expected setting=value"),
        ("seed=", "expected setting=value"),
        ("=3", "expected setting=value"),
        ("seed=1,2,1", "each only once"),
        ("seed=3..2", "at least one value"),
        ("client.learning_rate=0.1..0.5", "expected how many values"),
        ("client.learning_rate=0..1:3log", "numbers above 0"),
        ("client.learning_rate=0.1..0.5:1", "at least 2"),
        ("client.epochs,rounds=1,20;5", "'5' are 1 values for 2 settings"),
        ("client.epochs,client.epochs=1,2", "expected different settings"),
    ],
)
def test_what_is_no_setting_with_values_is_refused(text, told):
    with pytest.raises(ConfigError, match=told):
        parse_over(text)


def test_a_grid_is_every_combination():
    assert list(grid([("a", ["1", "2"]), ("b", ["3", "4"])])) == [
        {"a": "1", "b": "3"},
        {"a": "1", "b": "4"},
        {"a": "2", "b": "3"},
        {"a": "2", "b": "4"},
    ]


def test_settings_that_vary_together_are_one_dimension_of_a_grid():
    over = [parse_over("client.epochs,model.options.hidden=1,(16);2,(64,32)"), ("seed", ["0"])]
    assert list(grid(over)) == [
        {"client.epochs": "1", "model.options.hidden": "16", "seed": "0"},
        {"client.epochs": "2", "model.options.hidden": "64 32", "seed": "0"},
    ]
    assert override(SMALL, next(iter(grid(over)))).model.options["hidden"] == (16,)


def test_floats_tuples_and_settings_together_make_twelve_runs_of_an_override():
    over = [
        parse_over("client.learning_rate=0.01..1:3log"),
        parse_over("model.options.hidden=(4),(8,4)"),
        parse_over("client.batch_size,client.epochs=10,1;20,2"),
    ]
    config = override(SMALL, {"rounds": "1", "evaluation.every": "1"})
    runs = [override(config, each) for each in grid(over)]
    assert {run.rounds for run in runs} == {1}
    assert {
        (run.client.learning_rate, run.model.options["hidden"], run.client.batch_size)
        for run in runs
    } == set(itertools.product([0.01, 0.1, 1.0], [(4,), (8, 4)], [10, 20]))
    assert all(run.client.epochs == run.client.batch_size // 10 for run in runs)
    assert len(runs) == 12


def test_a_setting_that_is_given_twice_is_refused():
    with pytest.raises(ConfigError, match="seed=… is given twice"):
        list(grid([("seed", ["1"]), ("seed", ["2"])]))


@pytest.mark.parametrize("value", [True, False])
def test_what_is_true_or_false_is_overridden_by_its_value(value):
    before = Experiment(evaluation=Evaluation(comparison=not value))
    after = override(before, {"evaluation.comparison": str(value), "rounds": "3"})
    assert (after.evaluation.comparison, after.rounds) == (value, 3)


def test_an_impossible_setting_stops_a_sweep_before_it_starts(tmp_path, capsys):
    over = [parse_over("client.learning_rate=0.1,-1")]
    with pytest.raises(SystemExit):
        sweep(SMALL, over, tmp_path / "sweep", one_after_another(watch), print)
    assert "client.learning_rate=-1.0: expected more than 0" in capsys.readouterr().err
    assert not (tmp_path / "sweep").exists()


def test_two_sweeps_do_not_share_a_folder(tmp_path):
    with claimed(tmp_path), pytest.raises(RunError, match="in use by another process"):
        sweep(SMALL, [("seed", ["0"])], tmp_path, one_after_another(watch), print)


def test_a_sweep_of_a_task_without_accuracy_tells_its_loss(tmp_path, capsys):
    config = Experiment(rounds=1, data=Data("diabetes"), task=Task("regression"))
    result = sweep(config, [parse_over("seed=0,1")], tmp_path, one_after_another(watch), print)
    losses = [row["test_loss"] for row in result["runs"]]
    told = result["over_runs"]
    assert (told["test_loss"]["min"], told["test_loss"]["max"]) == (min(losses), max(losses))
    assert "test_absolute_error" in told and "test_accuracy" not in told
    assert result["runs"][0]["loss_over_clients"]["median"] > 0
    assert (tmp_path / "scores.png").is_file()
    show_sweep(result, tmp_path)
    shown = capsys.readouterr().out
    assert "test loss" in shown and "test accuracy" not in shown


def ended(accuracy, error=None, **settings):
    row = {"settings": settings, "folder": "x"}
    return row | ({"error": error} if error else {"test_accuracy": accuracy, "test_loss": 1.0})


@pytest.mark.parametrize(
    ("runs", "told"),
    [
        (
            [ended(0.5, seed="0"), ended(0.7, seed="1")],
            "test accuracy 0.6000 ± 0.1414, mean and standard deviation of 2 seeds; ",
        ),
        (
            [ended(0.5, rounds="1"), ended(0.7, rounds="2"), ended(0, "broken", rounds="3")],
            "best of 2 settings on the test examples: rounds=2, test accuracy 0.7000; "
            "1 of 3 runs failed; ",
        ),
        ([ended(0, "broken", rounds="3")], "no run has a result; 1 of 1 runs failed; "),
    ],
)
def test_the_last_line_of_a_sweep_is_its_result(capsys, runs, told):
    show_sweep({"runs": runs}, Path("there"))
    assert capsys.readouterr().out.splitlines()[-1] == f"{told}everything is in there"


def test_the_settings_of_the_lowest_loss_are_the_best(capsys):
    runs = [
        {"settings": {"rounds": str(rounds)}, "folder": "x", "test_loss": loss}
        for rounds, loss in ((1, 0.5), (2, 0.25), (3, 0.75))
    ]
    show_sweep({"runs": runs}, Path("there"))
    last = capsys.readouterr().out.splitlines()[-1]
    assert "rounds=2, test loss 0.2500;" in last


def test_who_looks_on_is_told_what_a_run_is_doing(tmp_path):
    seen = []

    def look(running, waiting):
        seen.extend((each.doing, each.row and each.row["round"]) for each in running)

    sweep(SMALL, [("seed", ["0"])], tmp_path, one_after_another(look), print)
    stages, rounds = zip(*seen, strict=True)
    assert {"reading data", "training", "testing"} & set(stages)
    assert list(dict.fromkeys(rounds)) == [None, 0, 2]


def test_a_sweep_lists_failures_and_repeats_nothing_that_is_finished(tmp_path):
    over = [parse_over("partition.clients=2,3"), parse_over("engine.devices=1,99")]
    reported = []
    result = sweep(SMALL, over, tmp_path, one_after_another(watch), reported.append)
    accuracies = [row["test_accuracy"] for row in result["runs"] if "error" not in row]
    errors = [row["error"] for row in result["runs"] if "error" in row]
    assert len(accuracies) == len(errors) == 2
    assert all("engine.devices=99" in error for error in errors)
    assert result["over_runs"]["test_accuracy"]["mean"] == pytest.approx(sum(accuracies) / 2)
    (ran_on,) = result["environments"]
    assert ran_on["versions"]["jax"] == jax.__version__

    finished = tmp_path / "partition.clients=2,engine.devices=1" / "summary.json"
    before = finished.stat().st_mtime_ns
    again = sweep(SMALL, over, tmp_path, one_after_another(watch), reported.append)
    assert again["runs"] == result["runs"]
    assert finished.stat().st_mtime_ns == before
    assert len(reported) == 8


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("seed=1", "seed=1"),
        ("client.learning_rate=0.1,seed=2", "client.learning_rate=0.1,seed=2"),
        ("data.name=../../../a.npz", "data.name=..%2F..%2F..%2Fa.npz"),
        ("model.options.hidden=64 32", "model.options.hidden=64+32"),
        ("model.options.hidden=64+32", "model.options.hidden=64%2B32"),
        ("model.name=nets.py:net", "model.name=nets.py:net"),
    ],
)
def test_whatever_is_varied_a_run_has_one_folder_in_the_sweeps(name, folder):
    assert folder_name(name) == folder
    assert len(Path(folder_name(name)).parts) == 1


@given(st.text(min_size=1), st.text(min_size=1))
def test_different_runs_have_different_folders_whose_names_are_possible(one, other):
    one, other = f"data.name={one}", f"data.name={other}"
    assert (folder_name(one) == folder_name(other)) == (one == other)
    assert len(folder_name(one)) <= 200 and "/" not in folder_name(one)


def test_a_sweep_over_file_names_stays_in_its_folder(tmp_path):
    over = [parse_over("data.name=../../../a.npz,../b.npz")]
    folders = [run.folder for run in plan(SMALL, over, tmp_path / "sweep")]
    assert all(folder.parent == tmp_path / "sweep" for folder in folders)
    assert len(set(folders)) == 2


OWN = Path(__file__).parents[1] / "own" / "blobs.py"


def test_own_options_and_names_are_swept(tmp_path):
    over = [parse_over("model.options.width=3,4"), parse_over("model.options.sizes=5,6 7")]
    result = sweep(load_config(OWN), over, tmp_path, one_after_another(watch), print)
    assert not any("error" in row for row in result["runs"])
    saved = [
        read_json(run.folder / "config.json")["model"]["options"]
        for run in plan(load_config(OWN), over, tmp_path)
    ]
    assert [options["width"] for options in saved] == [3, 3, 4, 4]
    assert [options["sizes"] for options in saved] == [[5], [6, 7], [5], [6, 7]]

    over = [parse_over("model.name=mlp,nets.py:net,logistic")]
    planned = plan(load_config(OWN), over, tmp_path)
    assert [run.config.model.options.get("width") for run in planned] == [None, 4, None]
    with pytest.raises(ConfigError, match="expected quotes in pairs"):
        plan(SMALL, [("data.name", ["'a"])], tmp_path)
