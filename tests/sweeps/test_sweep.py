"""Sweeps: every combination once, failures listed, finished runs left alone."""

import jax
import pytest

from pride_jax.errors import ConfigError, RunError
from pride_jax.files import claimed
from pride_jax.settings.experiment import Data, Evaluation, Experiment
from pride_jax.sweeps.sweep import grid, one_after_another, override, parse_over, sweep

SMALL = Experiment(rounds=2, data=Data("iris"), evaluation=Evaluation(every=2))


def watch(running, waiting):
    """Nobody looks."""


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("seed=0..3", ["0", "1", "2", "3"]),
        ("client.learning_rate=0.1,0.2", ["0.1", "0.2"]),
        ("data.name=iris", ["iris"]),
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
