"""A sweep's page: every run, its own figures, a link that leads to it, and nothing else."""

import html
import re
import urllib.parse

import pytest

from pride_jax.reporting.elements import number
from pride_jax.reporting.over_seeds import best_of, named, outcome, short_names
from pride_jax.reporting.sweep_report import sweep_report


def run(accuracy, folder="x", **settings):
    return {
        "settings": {name.replace("__", "."): value for name, value in settings.items()},
        "folder": folder,
        "test_accuracy": accuracy,
        "test_loss": 1 - accuracy,
    }


SEEDS = [run(0.5, seed="0", client__epochs="1"), run(0.71, seed="1", client__epochs="1")]
GRID = [
    *SEEDS,
    run(0.65, seed="0", client__epochs="<b>"),
    run(0.75, seed="1", client__epochs="<b>"),
]
FAILED = {"settings": {"seed": "2", "client.epochs": ""}, "folder": "y", "error": "<no data>"}


def page_of(runs, folder, **more):
    return sweep_report({"runs": runs, **more}, folder, {})


def test_every_run_has_its_figures_and_every_combination_its_mean(tmp_path):
    page = page_of(GRID, tmp_path)
    for row in GRID:
        assert number(row["test_accuracy"]) in page and number(row["test_loss"]) in page
    assert number((0.5 + 0.71) / 2) in page and number(0.7) in page
    assert "<b>" not in page and "&lt;b&gt;" in page


def test_what_the_sweep_came_to_stands_first(tmp_path):
    text = html.unescape(page_of(GRID, tmp_path))
    result = "est of 2 settings on the test examples: client.epochs=<b>, test accuracy 0.7000"
    assert text.index(result) < text.index("<h2>")
    assert "chosen by the examples that they are tested on" in text


def test_failures_are_told_with_their_reason(tmp_path):
    text = html.unescape(page_of([*GRID, FAILED], tmp_path))
    assert "seed=2 client.epochs=(): <no data>" in text


def test_a_link_leads_to_a_page_within_the_sweep_alone(tmp_path):
    names = ["client.epochs=1,hidden=32+16", 'a%2Fb="<i>', "../outside"]
    for name in names:
        inside = tmp_path / "sweep" / name
        inside.mkdir(parents=True)
        (inside / "report.html").touch()
    rows = [run(0.5, folder=name, seed=str(place)) for place, name in enumerate(names)]
    page = page_of(rows, tmp_path / "sweep")
    links = [html.unescape(link) for link in re.findall(r'href="([^"]*)"', page)]
    found = [tmp_path / "sweep" / urllib.parse.unquote(link) for link in links]
    assert found == [tmp_path / "sweep" / name / "report.html" for name in names[:2]]
    assert all(path.is_file() for path in found)
    assert "has no page yet" in page


def test_runs_with_a_page_each_need_no_word_on_it(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "report.html").touch()
    assert "has no page yet" not in page_of(GRID, tmp_path)


def test_several_private_runs_are_told_to_cost_more_than_one(tmp_path):
    private = [row | {"epsilon": 2.0, "delta": 1e-3} for row in GRID]
    assert "at most the sum of all ε" in page_of(private, tmp_path)
    assert "at most the sum of all ε" not in page_of(GRID, tmp_path)


def test_settings_that_vary_are_not_among_those_that_all_share(tmp_path):
    config = {"seed": 4321, "client": {"epochs": 9876, "learning_rate": 0.125}}
    page = page_of(GRID, tmp_path, config=config)
    assert "client.learning_rate" in page and "0.125" in page
    assert "4321" not in page and "9876" not in page


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (["client.epochs", "seed"], ["epochs", "seed"]),
        (["client.learning_rate", "server.learning_rate"], None),
    ],
)
def test_names_are_short_where_that_tells_them_apart(names, told):
    assert list(short_names(names).values()) == (told or names)


def test_the_best_has_the_highest_mean_and_not_the_highest_run():
    lucky = [run(0.1, seed="0", rounds="1"), run(0.99, seed="1", rounds="1")]
    steady = [run(0.8, seed="0", rounds="2"), run(0.8, seed="1", rounds="2")]
    assert best_of([*lucky, *steady]).settings == {"rounds": "2"}
    assert named({"rounds": "2", "hidden": ""}, ", ") == "rounds=2, hidden=()"
    assert outcome(steady[:1]) == "test accuracy 0.8000"
