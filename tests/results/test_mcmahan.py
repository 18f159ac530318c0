"""Rounds to the target: medians over seeds, cell by cell, as sweeps left them."""

import pytest

from pride_jax.files import write_json
from results.mcmahan import study as mcmahan
from results.mcmahan.study import Cell

CONFIG = {
    "rounds": 100,
    "partition": {"kind": "iid"},
    "client": {"batch_size": 10, "learning_rate": 0.2},
    "cohort": {"size": 10},
}


def save(folder, runs, config=CONFIG):
    folder.mkdir(parents=True)
    rows = [
        {"settings": settings, "rounds_to_target": rounds, "test_accuracy": accuracy}
        for settings, rounds, accuracy in runs
    ]
    write_json(folder / "sweep.json", {"config": config, "runs": rows})


def test_runs_that_differ_in_seeds_are_one_cell_wherever_they_were_swept(tmp_path):
    save(tmp_path / "a", [({"seed": "0"}, 30.0, 0.97), ({"seed": "1"}, 40.0, 0.98)])
    save(tmp_path / "b", [({"cohort.size": "10", "client.batch_size": "10"}, 20.0, 0.971)])
    save(tmp_path / "c", [({"client.batch_size": "None", "rounds": "9"}, None, 0.9)])
    assert list(mcmahan.cells(tmp_path)) == [
        Cell("iid", 10, 10, 0.2, (30.0, 40.0, 20.0), 100, 0.98),
        Cell("iid", None, 10, 0.2, (None,), 9, 0.9),
    ]


@pytest.mark.parametrize(
    ("rounds", "median"),
    [
        ((30.0,), 30.0),
        ((10.0, 30.0), 20.0),
        ((30.0, 10.0, 20.0), 20.0),
        ((30.0, None, 20.0), 30.0),
        ((30.0, None), None),
        ((None, None, 20.0), None),
    ],
)
def test_a_run_that_did_not_get_there_counts_as_longer_than_any_other(rounds, median):
    assert Cell("iid", 10, 10, 0.2, rounds, 100, 0.9).median == median


def test_a_table_shows_published_and_own_rounds_of_every_cell(tmp_path):
    folder = tmp_path / "mcmahan" / "2nn"
    save(folder / "ten", [({"seed": str(seed)}, 30.0 + seed, 0.97) for seed in range(3)])
    save(folder / "fifty", [({"cohort.size": "50"}, None, 0.95)])
    lines = mcmahan.rounds_of_2nn(tmp_path).splitlines()
    assert len(lines) == 2 + 5
    ten, fifty = lines[3], lines[5]
    assert ten.startswith("| 0.1 | 1474 → not run | 87 → **31** (30–32) |")
    assert fifty.startswith("| 0.5 | – → not run | 75 → not in 100 (95.00%) |")
    assert mcmahan.published_of_2nn("iid") == 87


def test_the_picture_has_both_curves_of_every_column(tmp_path):
    save(tmp_path / "mcmahan" / "2nn" / "ten", [({}, 30.0, 0.97)])
    (axes,) = mcmahan.rounds_against_cohort(tmp_path).axes
    drawn = [line.get_xydata().tolist() for line in axes.lines]
    assert [[10.0, 30.0]] in drawn
    assert [[1.0, 316.0], [10.0, 87.0], [20.0, 77.0], [50.0, 75.0], [100.0, 70.0]] in drawn


def test_learning_rates_are_listed_with_what_they_took(tmp_path):
    rates = [({"client.learning_rate": rate}, rounds, 0.96) for rate, rounds in RATES.items()]
    save(tmp_path / "mcmahan" / "rates" / "all", rates)
    told = mcmahan.rates_of_2nn(tmp_path).splitlines()[2:]
    assert told == [
        "| IID | 10 | 0.1 | 0.1 | not in 100 (96.00%) |",
        "| IID | 10 | 0.1 | 0.3 | **52** |",
    ]


RATES = {"0.3": 52.3, "0.1": None}
