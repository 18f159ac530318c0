"""Every picture shows what it was given."""

import struct

import numpy as np
import pytest

from pride_jax.errors import RunError
from pride_jax.reporting.plots import (
    confusion_matrices,
    confusions,
    label_map,
    learning_curve,
    save,
)

ROWS = [
    {"round": 0, "test_accuracy": 0.25, "test_loss": 1.5},
    {"round": 5, "test_accuracy": 0.5, "test_loss": 1.0},
    {"round": 7, "test_accuracy": 0.75, "test_loss": 0.5},
]
COUNTS = np.array([[8, 0, 2], [1, 9, 0], [0, 0, 0]])


def test_a_learning_curve_shows_accuracy_and_loss_against_rounds():
    accuracy, loss = learning_curve(ROWS, {}).axes
    (accuracy_line,), (loss_line,) = accuracy.lines, loss.lines
    assert accuracy_line.get_xydata().tolist() == [[0, 0.25], [5, 0.5], [7, 0.75]]
    assert loss_line.get_xydata().tolist() == [[0, 1.5], [5, 1.0], [7, 0.5]]
    assert loss.get_ylim()[0] == 0


def test_without_an_accuracy_the_curve_is_the_loss():
    rows = [{"round": 0, "test_loss": 1.5, "test_mae": 9.0}, {"round": 2, "test_loss": 0.5}]
    (axes,) = learning_curve(rows, {"central": 0.25}).axes
    assert axes.lines[0].get_xydata().tolist() == [[0, 1.5], [2, 0.5]]
    assert axes.get_ylabel() == "test loss" and axes.lines[1].get_ydata()[0] == 0.25


def test_a_learning_curve_compares_with_every_baseline_by_name():
    figure = learning_curve(ROWS, {"central": 0.9, "alone (mean)": 0.6})
    accuracy, _ = figure.axes
    heights = {line.get_label(): line.get_ydata()[0] for line in accuracy.lines[1:]}
    assert heights == {"central": 0.9, "alone (mean)": 0.6}
    named = [text.get_text() for text in accuracy.get_legend().get_texts()]
    assert named == ["federated", "central", "alone (mean)", "loss (right)"]


def test_a_confusion_matrix_shows_counts_and_colours_shares_of_the_true_class():
    (axes,) = confusion_matrices({"federated": COUNTS}).axes
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
    panels = confusion_matrices(named).axes
    assert [axes.get_title() for axes in panels[:2]] == ["federated: 85.00%", "central: 68.97%"]
    for axes, matrix in zip(panels, named.values(), strict=True):
        assert sum(int(text.get_text()) for text in axes.texts) == matrix.sum()


def test_clients_that_are_too_many_to_look_at_have_no_confusion_matrix():
    alone = {"confusion_central": COUNTS.tolist(), "confusions_alone": [COUNTS.tolist()] * 13}
    assert list(confusions({"confusion": COUNTS.tolist()} | alone)) == ["federated", "central"]
    nobody = {"confusion_central": None, "confusions_alone": None}
    assert list(confusions({"confusion": COUNTS.tolist()} | nobody)) == ["federated"]


@pytest.mark.parametrize("clients", [3, 40])
def test_a_label_map_shows_who_holds_what(clients):
    counts = np.arange(clients * 4).reshape(clients, 4)
    axes, colours = label_map(counts).axes
    assert np.array_equal(axes.images[0].get_array(), counts)
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("client", "class")
    assert colours.get_ylabel() == "training examples"


@pytest.mark.parametrize(
    "figure",
    [
        learning_curve(ROWS, {"central": 0.9}),
        learning_curve(ROWS[:1], {}),
        confusion_matrices({"federated": COUNTS}),
        confusion_matrices(dict.fromkeys("abcde", np.eye(10, dtype=int))),
        label_map(np.ones((1, 2), int)),
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
        save(label_map(COUNTS), tmp_path / "plots" / "picture.png")
