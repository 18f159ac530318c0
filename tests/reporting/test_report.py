"""A run's page is balanced, closed to the outside, and has the summary's figures."""

import html.parser
import json
from pathlib import Path

import numpy as np
import pytest

from pride_jax.engine.breakdown import by_class, by_client, by_group
from pride_jax.reporting.elements import shown
from pride_jax.reporting.plots import as_png, pictures
from pride_jax.reporting.report import Told, report
from pride_jax.task import Scores

EMPTY = {"meta", "img", "link", "br", "hr", "input"}
EVIL = "<b onload='x'>&\"$title"


class Page(html.parser.HTMLParser):
    """Tags, attributes, texts and exact figures of a page that must be balanced."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.attributes, self.figures, self.text = [], [], [], [], ""
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag == "data":
            self.figures.append(json.loads(dict(attrs)["value"]))
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def numbers(content):
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        return [each for part in content for each in numbers(part)]
    return [content] if isinstance(content, int | float) else []


def spread(first):
    names = ("mean", "minimum", "tenth_percentile", "median", "ninetieth_percentile", "maximum")
    return {name: first + place / 128 for place, name in enumerate(names)}


TABLE = [
    {
        "name": EVIL,
        "examples": 41,
        "held_out": 7,
        "training": 0.9,
        "shared": 0.5,
        "fine_tuned": 0.7,
    },
    {
        "name": "b",
        "examples": 43,
        "held_out": 0,
        "training": 0.8,
        "shared": None,
        "fine_tuned": None,
    },
]
SUMMARY = {
    "test_accuracy": 1 / 3,
    "test_loss": 2 / 7,
    "rounds": 17,
    "central": 5 / 7,
    "alone": [0.3],
    "confusion": [[3, 1], [2, 5]],
    "by_class": by_class(np.array([[3, 1], [2, 5]]), [EVIL, "other"]),
    "by_client": TABLE,
    "by_group": [{"name": EVIL, "examples": 11, "accuracy": 3 / 11}],
    "accuracy_over_clients": spread(0.125),
    "accuracy_over_groups": spread(0.25),
    "held_out": {"shared": spread(0.375), "fine_tuned": spread(0.5)},
    "seconds_total": 12.75,
    "seconds_per_round": 0.0012345,
    "seconds_by_stage": {"open": 0.75},
    "data_notes": [EVIL],
    "epsilon": 2.5,
    "delta": 1e-5,
}
ROWS = [{"round": n, "test_accuracy": n / 51, "test_loss": 1.0} for n in (0, 17)]
TOLD = Told(
    name=EVIL,
    summary=SUMMARY,
    settings={
        **{part: {"name": EVIL} for part in ("data", "model", "method")},
        "code": {},
        "privacy": {"mechanism": "none", "seed": None},
    },
    disclosure={
        "protocol": EVIL,
        "sights": [
            {"who": EVIL, "adversary": adversary, "learns": "sums"}
            for adversary in ("curious", "active")
        ],
        "guarantee": EVIL,
        "epsilon_against": {"models": 2.5, "cohorts": None},
        "statements": [EVIL],
    },
    starts=[{"started": EVIL, "num_devices": 1, "device": EVIL, "versions": {"jax": EVIL}}],
    pictures={name: as_png(drawn) for name, drawn in pictures(SUMMARY, ROWS).items()},
    place=Path("runs") / "my run",
    kept="",
)


@pytest.fixture(scope="module")
def page():
    return Page(report(TOLD))


def test_the_page_loads_nothing_and_runs_nothing(page):
    assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)
    loaded = [value for name, value in page.attributes if name in ("src", "href", "srcset")]
    assert len(loaded) == 3 and all(each.startswith("data:image/png;base64,") for each in loaded)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "http" not in report(TOLD).replace("http-equiv", "") and "url(" not in report(TOLD)


def test_names_are_escaped_and_read_as_they_are(page):
    assert "b" not in page.tags
    assert page.text.count(EVIL) >= 12


def test_every_figure_is_the_summarys(page):
    known = numbers(SUMMARY)
    assert page.figures and all(each in known for each in page.figures)
    told = [value for name, value in SUMMARY.items() if name not in ("alone", "confusion")]
    assert set(numbers(told)) <= set(page.figures)


def test_the_result_stands_first_and_the_command_last(page):
    assert page.figures[0] == SUMMARY["test_accuracy"]
    command = page.text.rindex("--config 'runs/my run/config.json' --workdir 'runs/my run-again'")
    assert command > page.text.index("Environment") > page.text.index("Who sees what")
    assert "fine-tuning serves 1 better and 0 worse" in page.text
    assert "curious or active" in page.text


def test_a_loss_alone_makes_a_page():
    summary = {"test_loss": 0.5, "rounds": 1, "confusion": [], "loss_over_clients": None}
    page = Page(report(TOLD._replace(summary=summary, pictures={}, kept=EVIL)))
    assert page.figures == [0.5, 2.5] and "test loss of 0.5" in page.text and EVIL in page.text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1036, "1,036"),
        (2 / 3, "0.6667"),
        (1.0, "1.000"),
        (12.5, "12.50"),
        (0.0, "0"),
        (1e-5, "1e-05"),
        (0.0012345, "0.001234"),
        (12345.678, "12,346"),
        (-0.5, "-0.5000"),
    ],
)
def test_figures_have_four_digits(value, text):
    assert shown(value) == text


def test_classes_have_precision_and_recall():
    confusion = np.array([[3, 0, 1], [0, 0, 0], [2, 0, 4]])
    assert by_class(confusion, ()) == [
        {"name": "0", "examples": 4, "precision": 0.6, "recall": 0.75},
        {"name": "1", "examples": 0, "precision": None, "recall": None},
        {"name": "2", "examples": 6, "precision": 0.8, "recall": 4 / 6},
    ]
    assert [row["name"] for row in by_class(confusion, "abc")] == ["a", "b", "c"]


def test_groups_that_made_test_examples_have_their_scores():
    right = np.array([1.0, 0, 1, 1])
    scores = Scores(answer=(), weight=np.ones(4), sums={"accuracy": right, "loss": 1 - right})
    assert by_group(scores, np.array([2, 2, 0, 2]), ("x", "y", "z")) == [
        {"name": "x", "examples": 1, "accuracy": 1.0},
        {"name": "z", "examples": 3, "accuracy": 2 / 3},
    ]


def test_clients_without_an_example_have_no_score():
    totals = {"training": np.array([[3.0, 4], [0, 0]]), "shared": np.array([[0.0, 0], [1, 2]])}
    assert by_client(np.array([4, 0]), np.array([0, 2]), totals, ()) == [
        {"name": "0", "examples": 4, "held_out": 0, "training": 0.75, "shared": None},
        {"name": "1", "examples": 0, "held_out": 2, "training": None, "shared": 0.5},
    ]
    assert by_client(np.ones(1001, int), np.ones(1001, int), {}, ()) == []
