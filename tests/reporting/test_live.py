"""What is told while a run goes on: few lines, and of a private run nothing that counts."""

import math
from dataclasses import replace

import pytest

from pride_jax.errors import RunError
from pride_jax.progress import counted, uncounted
from pride_jax.reporting.live import Stage, due, going_on
from pride_jax.runs.experiment import run
from pride_jax.settings.experiment import (
    Aggregation,
    Client,
    Cohort,
    Data,
    Experiment,
    Model,
    Partition,
    Privacy,
)

SUMS = Experiment(
    rounds=3,
    data=Data("iris"),
    partition=Partition(clients=6),
    model=Model("logistic"),
    client=Client(batch_size=None),
    aggregation=Aggregation("plain", bits=16),
)
PRIVATE = replace(
    SUMS,
    cohort=Cohort("truncated_poisson", size=3),
    privacy=Privacy(clipping_norm=0.5, mechanism="skellam", noise_multiplier=1.0, delta=1e-2),
)


def told(config, folder):
    heard = []
    run(config, folder, tell=lambda *each: heard.append(each))
    return heard


def test_a_counted_stage_ends_when_all_is_done_and_an_uncounted_one_with_the_next():
    stages = going_on({}, "reading", 0, 0, now=0.0)
    stages = going_on(stages, "clients", 1, 3, now=1.0)
    stages = going_on(stages, "clients", 2, 3, now=2.0)
    assert stages == {"reading": Stage(0.0, 0, 0), "clients": Stage(1.0, 2, 3)}
    stages = going_on(stages, "opening", 0, 0, now=3.0)
    assert stages.keys() == {"clients", "opening"}
    assert going_on(stages, "clients", 3, 3, now=4.0).keys() == {"opening"}


def test_a_stage_that_begins_anew_lasts_from_there():
    stages = going_on({"train": Stage(0.0, 0, 0)}, "train", 0, 0, now=7.0)
    assert stages["train"].since == 7.0
    assert going_on({"open": Stage(0.0, 5, 9)}, "open", 0, 9, now=7.0)["open"].since == 7.0


def test_without_a_terminal_a_long_stage_has_few_lines_and_a_short_one_none():
    lines, patience = [], {}
    for second in range(1000):
        more, patience = due({"keys": Stage(0.0, 0, 0)}, patience, float(second))
        lines += more
    assert lines[0] == "keys, 5 s so far"
    assert len(lines) <= math.log2(1000 / 5) + 1
    assert due({"keys": Stage(0.0, 0, 0)}, {}, 4.9) == ([], {})
    assert due({"open": Stage(0.0, 1200, 4000)}, {}, 6.0)[0] == ["open 1,200 of 4,000, 6 s so far"]


def test_items_are_told_as_they_are_dealt_with_and_without_numbers_only_once():
    heard, begun = [], []
    assert list(counted(lambda *each: heard.append(each), "letters", "abc")) == list("abc")
    assert heard == [("letters", done, 3) for done in range(4)]
    tell = uncounted(lambda *each: begun.append(each))
    for stage in ("letters", "opening", "letters"):
        list(counted(tell, stage, "abc"))
    assert begun == [("letters", 0, 0), ("opening", 0, 0), ("letters", 0, 0)]


def test_a_secure_sum_tells_how_many_clients_have_done_their_part(tmp_path):
    heard = told(SUMS, tmp_path / "run")
    stages = [stage for stage, _, _ in heard]
    assert stages[0] == "reading data"
    assert "making keys" in stages
    assert heard.count(("clients protect their updates", 6, 6)) == SUMS.rounds


def test_of_a_private_run_the_same_is_told_whoever_is_called_and_whatever_clients_hold(tmp_path):
    one = told(PRIVATE, tmp_path / "one")
    other = replace(PRIVATE, partition=Partition("dirichlet", 6, alpha=0.5), seed=3)
    assert one == told(other, tmp_path / "other")
    assert all((done, of) == (0, 0) for _, done, of in one)
    assert not any("client" in stage and "examples" not in stage for stage, _, _ in one)
    study = replace(PRIVATE, privacy=replace(PRIVATE.privacy, seed=1))
    assert any(of for _, _, of in told(study, tmp_path / "study"))


def test_an_error_of_a_callback_is_told_as_its_own_and_the_run_goes_on_later(tmp_path):
    def report(row):
        if row["round"] == 2:
            raise ValueError("no disk")

    with pytest.raises(RunError, match=r"report, the function .* raised ValueError: no disk"):
        run(SUMS, tmp_path / "run", report=report)
    rows = []
    resumed = run(SUMS, tmp_path / "run", resume=True, report=rows.append)
    assert [row["round"] for row in rows] == [3]
    assert resumed["parameters_sha256"] == run(SUMS, tmp_path / "whole")["parameters_sha256"]
