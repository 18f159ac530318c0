"""Sweeps: every combination once, failures listed, finished runs left alone."""

import pytest

from pride_jax.config import Data, Evaluation, Experiment
from pride_jax.errors import ConfigError
from pride_jax.sweep import grid, parse_over, sweep

SMALL = Experiment(rounds=2, data=Data("iris"), evaluation=Evaluation(every=2))


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


@pytest.mark.parametrize("text", ["seed", "seed=", "=3"])
def test_what_is_no_setting_with_values_is_refused(text):
    with pytest.raises(ConfigError, match="expected setting=value"):
        parse_over(text)


def test_a_grid_is_every_combination():
    assert list(grid([("a", ["1", "2"]), ("b", ["3", "4"])])) == [
        {"a": "1", "b": "3"},
        {"a": "1", "b": "4"},
        {"a": "2", "b": "3"},
        {"a": "2", "b": "4"},
    ]


def test_a_sweep_lists_failures_and_repeats_nothing_that_is_finished(tmp_path):
    over = [parse_over("partition.clients=2,3"), parse_over("engine.devices=1,99")]
    reported = []
    result = sweep(SMALL, over, tmp_path, reported.append)
    accuracies = [row["test_accuracy"] for row in result["runs"] if "error" not in row]
    errors = [row["error"] for row in result["runs"] if "error" in row]
    assert len(accuracies) == len(errors) == 2
    assert all("engine.devices=99" in error for error in errors)
    assert result["over_runs"]["test_accuracy"]["mean"] == pytest.approx(sum(accuracies) / 2)

    finished = tmp_path / "partition.clients=2,engine.devices=1" / "summary.json"
    before = finished.stat().st_mtime_ns
    assert sweep(SMALL, over, tmp_path, reported.append)["runs"] == result["runs"]
    assert finished.stat().st_mtime_ns == before
    assert len(reported) == 8
