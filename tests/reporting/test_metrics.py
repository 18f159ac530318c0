"""Rows go in and come out whole; rounds to a target, worked out by hand."""

import json

import pytest

from pride_jax.errors import RunError
from pride_jax.reporting.metrics import append, headline, keep_until, read, rounds_to, scores

ROWS = [{"round": 0, "test_accuracy": 0.1}, {"round": 5, "test_accuracy": 1 / 3}, {"round": 10}]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for row in ROWS:
        append(path, row)
    return path


def test_rows_come_back_as_they_were_written(path):
    assert read(path) == ROWS


def test_a_row_is_a_line_of_json(path):
    assert [json.loads(line) for line in path.read_text().splitlines()] == ROWS


@pytest.mark.parametrize("rest", ['{"round": 15, "te', "{", '{"round": 15}'])
def test_a_last_line_that_was_cut_is_no_row(path, rest):
    path.write_text(path.read_text() + rest)
    assert read(path) == ROWS


def test_a_line_that_is_broken_elsewhere_is_named(path):
    path.write_text(path.read_text().replace('{"round": 5', '{"round" 5'))
    with pytest.raises(RunError, match=r"metrics\.jsonl, line 2 is not JSON"):
        read(path)


def test_a_missing_file_cannot_be_read(tmp_path):
    with pytest.raises(RunError, match=r"Cannot read .*metrics\.jsonl"):
        read(tmp_path / "metrics.jsonl")


def test_what_json_cannot_hold_is_not_written(path):
    with pytest.raises(ValueError, match="Out of range float"):
        append(path, {"round": 15, "test_loss": float("nan")})
    assert read(path) == ROWS


@pytest.mark.parametrize(("round_", "kept"), [(-1, 0), (0, 1), (4, 1), (5, 2), (10, 3), (99, 3)])
def test_rows_up_to_a_round_are_kept(path, round_, kept):
    assert keep_until(path, round_) == ROWS[:kept]
    assert read(path) == ROWS[:kept]


def test_what_follows_a_cut_line_is_a_row_of_its_own(path):
    path.write_text(path.read_text() + '{"round": 15, "te')
    keep_until(path, 5)
    append(path, ROWS[2])
    assert read(path) == ROWS


def test_keeping_rows_makes_the_file_that_is_missing(tmp_path):
    assert keep_until(tmp_path / "metrics.jsonl", -1) == []
    assert read(tmp_path / "metrics.jsonl") == []


def curve(*points):
    return [{"round": round_, "test_accuracy": accuracy} for round_, accuracy in points]


@pytest.mark.parametrize(
    ("rows", "target", "rounds"),
    [
        pytest.param(curve((0, 0.0), (10, 0.5)), 0.25, 5.0, id="halfway"),
        pytest.param(curve((0, 0.1), (5, 0.3), (10, 0.7)), 0.6, 8.75, id="in the second stretch"),
        pytest.param(curve((0, 0.1), (5, 0.3), (10, 0.7)), 0.3, 5.0, id="at a point"),
        pytest.param(curve((0, 0.1), (5, 0.3)), 0.3, 5.0, id="at the last point"),
        pytest.param(curve((0, 0.1), (5, 0.3)), 0.31, None, id="never"),
        pytest.param(curve((0, 0.4), (5, 0.3)), 0.4, 0.0, id="at once"),
        pytest.param(curve((0, 0.1)), 0.5, None, id="one point, never"),
        # The best so far is 0, 0.5, 0.5, 1: from 0.5 in round 4 to 1 in round 6.
        pytest.param(curve((0, 0.0), (2, 0.5), (4, 0.25), (6, 1.0)), 0.75, 5.0, id="after a dip"),
        pytest.param(curve((0, 0.5), (2, 0.5), (4, 1.0)), 0.5, 0.0, id="first of equals"),
        pytest.param(curve((0, 0.0), (10, 0.5)), None, None, id="no target"),
    ],
)
def test_rounds_to_a_target_follow_the_best_accuracy_so_far(rows, target, rounds):
    assert rounds_to(rows, target) == (None if rounds is None else pytest.approx(rounds))


@pytest.mark.parametrize(
    ("names", "ordered"),
    [
        (["loss", "accuracy"], ["accuracy", "loss"]),
        (["absolute_error", "loss"], ["loss", "absolute_error"]),
        (["own", "loss", "other"], ["loss", "own", "other"]),
    ],
)
def test_the_score_that_stands_for_the_task_comes_first(names, ordered):
    figures = {f"test_{name}": float(place) for place, name in enumerate(names)}
    row = {"round": 3, "test_examples": 90, "train_loss": 0.5, **figures}
    assert list(scores(row)) == ordered and headline(row) == ordered[0]
    assert scores(row) == {name: float(place) for place, name in enumerate(names)}
