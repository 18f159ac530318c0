"""Every picture shows what it was given."""

import itertools
import struct

import numpy as np
import pytest

from pride_jax.errors import RunError
from pride_jax.reporting.curves import curves_over_seeds, learning_curve
from pride_jax.reporting.plots import (
    client_scores,
    confusion_matrices,
    confusions,
    label_map,
    save,
    trade_off,
)

ROWS = [
    {"round": 0, "test_accuracy": 0.25, "test_loss": 1.5},
    {"round": 5, "test_accuracy": 0.5, "test_loss": 1.0},
    {"round": 7, "test_accuracy": 0.75, "test_loss": 0.5},
]
FIVE = ("federated", "central", "client 0 alone", "client 1 alone", "client 2 alone")
COUNTS = np.array([[8, 0, 2], [1, 9, 0], [0, 0, 0]])


def test_a_confusion_matrix_shows_counts_and_colours_shares_of_the_true_class():
    (axes,) = confusion_matrices({"federated": COUNTS}, []).axes
    shares = [[0.8, 0, 0.2], [0.1, 0.9, 0], [0, 0, 0]]
    np.testing.assert_allclose(axes.images[0].get_array(), shares)
    written = {text.get_position()[::-1]: int(text.get_text()) for text in axes.texts}
    assert written == {place: count for place, count in np.ndenumerate(COUNTS) if count}
    assert (axes.get_ylabel(), axes.get_xlabel(), axes.get_title()) == (
        "true class",
        "predicted class",
        "",
    )


def test_confusion_matrices_of_all_models_stand_beside_each_other():
    summary = {
        "confusion": COUNTS.tolist(),
        "confusion_central": (COUNTS + 1).tolist(),
        "confusions_alone": [(COUNTS + 2).tolist(), (COUNTS * 2).tolist(), COUNTS.T.tolist()],
    }
    named = confusions(summary)
    assert list(named) == ["federated", "central", *(f"client {n} alone" for n in range(3))]
    panels = confusion_matrices(named, []).axes
    assert [axes.get_title() for axes in panels[:2]] == ["federated: 85.00%", "central: 68.97%"]
    for axes, matrix in zip(panels, named.values(), strict=True):
        assert sum(int(text.get_text()) for text in axes.texts) == matrix.sum()


def test_clients_that_are_too_many_to_look_at_have_no_confusion_matrix():
    alone = {"confusion_central": COUNTS.tolist(), "confusions_alone": [COUNTS.tolist()] * 13}
    assert list(confusions({"confusion": COUNTS.tolist()} | alone)) == ["federated", "central"]
    nobody = {"confusion_central": None, "confusions_alone": None}
    assert list(confusions({"confusion": COUNTS.tolist()} | nobody)) == ["federated"]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_classes_have_their_names_and_numbers_where_no_letters_are_known():
    names = ["setosa", "a $price$ & a very long name of a class", "中国"]
    shown = ["setosa", "a $price$ & a ver…", "2"]
    for axes in (
        confusion_matrices({"federated": COUNTS}, names).axes[0],
        label_map(COUNTS, names).axes[0],
    ):
        axes.figure.canvas.draw()
        assert ticks(axes.xaxis) == shown
    assert ticks(confusion_matrices({"federated": COUNTS}, names).axes[0].yaxis) == shown


@pytest.mark.parametrize("classes", [62, 300])
def test_many_classes_have_no_texts_in_cells_and_room_for_each_name(classes):
    figure = confusion_matrices({"federated": np.eye(classes, dtype=int)}, [])
    (axes,) = figure.axes
    assert not axes.texts
    figure.canvas.draw()
    places = [label.get_window_extent() for label in axes.yaxis.get_ticklabels()]
    assert len(places) <= 62 and (classes > 62 or len(places) == classes)
    assert all(upper.y0 >= lower.y1 - 1 for upper, lower in itertools.pairwise(places))


TABLE = [
    {"name": "north", "training": 0.9, "shared": 0.5, "fine_tuned": 0.75},
    {"name": "south", "training": 0.8, "shared": None, "fine_tuned": None},
    {"name": "east", "training": 0.7, "shared": 0.25, "fine_tuned": 0.125},
]


def test_clients_have_their_scores_before_and_after_fine_tuning():
    (axes,) = client_scores(TABLE, "accuracy").axes
    points = {line.get_label(): line.get_xdata().tolist() for line in axes.lines}
    assert points == {
        "shared model, training examples": [0.7, 0.9],
        "shared model, held-out examples": [0.25, 0.5],
        "after fine-tuning, held-out examples": [0.125, 0.75],
    }
    assert ticks(axes.yaxis) == ["east", "north"]


def test_of_many_clients_the_share_with_at_most_a_score_is_shown():
    many = [{"name": str(n), "training": n / 100} for n in range(100)]
    (axes,) = client_scores(many, "accuracy").axes
    scores, shares = axes.lines[0].get_data()
    assert np.all(np.diff(scores[1:]) > 0) and shares[-1] == 1 and scores[-1] == 0.99


def test_one_colour_is_one_model_in_all_pictures():
    (clients,) = client_scores(TABLE, "accuracy").axes
    curve = learning_curve(ROWS, {"central": 0.9, "alone (mean)": 0.6}).axes[0]
    shared = next(line for line in clients.lines if "shared model, held" in line.get_label())
    assert shared.get_color() == curve.lines[0].get_color()
    used = [line.get_color() for line in curve.lines]
    used += [line.get_color() for line in clients.lines if line is not shared]
    assert len(set(used)) == len(used)


def test_the_stated_pair_lies_on_the_trade_off():
    told = {"reader": "models", "epsilon_delta": [[0, 0.3], [1, 1e-3], [2, 1e-5]]}
    (axes,) = trade_off({"trade_off": told, "epsilon": 1.0, "delta": 1e-3}).axes
    curve, stated = (line.get_xydata().tolist() for line in axes.lines)
    assert stated == [[1.0, 1e-3]] and stated[0] in curve


@pytest.mark.parametrize("clients", [3, 40])
def test_a_label_map_shows_who_holds_what(clients):
    counts = np.arange(clients * 4).reshape(clients, 4)
    axes, colours = label_map(counts, []).axes
    assert np.array_equal(axes.images[0].get_array(), counts)
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("client", "class")
    assert colours.get_ylabel() == "training examples"


@pytest.mark.parametrize(
    "figure",
    [
        learning_curve(ROWS, {"central": 0.9}),
        learning_curve(ROWS[:1], {}),
        curves_over_seeds({"rate=1": [ROWS, ROWS[:1]], "": [ROWS]}),
        confusion_matrices({"federated": COUNTS}, []),
        confusion_matrices(
            dict.fromkeys(
                ["federated", "central", *(f"{n} alone" for n in "abc")], np.eye(10, dtype=int)
            ),
            [],
        ),
        label_map(np.ones((1, 2), int), []),
    ],
)
def test_a_picture_is_saved_as_png_in_a_folder_that_is_made(figure, tmp_path):
    path = tmp_path / "plots" / "picture.png"
    save(figure, path)
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack(">II", content[16:24])
    assert [width, height] == (figure.get_size_inches() * 150).astype(int).tolist()
    assert list(path.parent.iterdir()) == [path]


def test_a_picture_that_cannot_be_saved_is_named(tmp_path):
    (tmp_path / "plots").write_text("")
    with pytest.raises(RunError, match=r"Cannot write .*plots"):
        save(label_map(COUNTS, []), tmp_path / "plots" / "picture.png")
