"""Learning curves have whole rounds, every evaluation marked, and the range that interests."""

import numpy as np
import pytest

from pride_jax.reporting.curves import curves_over_seeds, learning_curve

ROWS = [
    {"round": 0, "test_accuracy": 0.25, "test_loss": 1.5},
    {"round": 5, "test_accuracy": 0.5, "test_loss": 1.0},
    {"round": 7, "test_accuracy": 0.75, "test_loss": 0.5},
]


def curve(accuracies, every=1):
    return [
        {"round": place * every, "test_accuracy": each, "test_loss": 2 - each}
        for place, each in enumerate(accuracies)
    ]


def test_accuracy_and_loss_have_panels_of_their_own():
    accuracy, loss = learning_curve(ROWS, {}).axes
    (accuracy_line,), (loss_line,) = accuracy.lines, loss.lines
    assert accuracy_line.get_xydata().tolist() == [[0, 0.25], [5, 0.5], [7, 0.75]]
    assert loss_line.get_xydata().tolist() == [[0, 1.5], [5, 1.0], [7, 0.5]]
    above, below = accuracy.get_subplotspec(), loss.get_subplotspec()
    assert above.rowspan.stop <= below.rowspan.start


def test_without_an_accuracy_the_curve_is_the_loss():
    rows = [{"round": 0, "test_loss": 1.5, "test_mae": 9.0}, {"round": 2, "test_loss": 0.5}]
    (axes,) = learning_curve(rows, {"central": 0.25}).axes
    assert axes.lines[0].get_xydata().tolist() == [[0, 1.5], [2, 0.5]]
    assert axes.get_ylabel() == "test loss" and axes.lines[1].get_ydata()[0] == 0.25


def test_every_baseline_has_its_name():
    accuracy, _ = learning_curve(ROWS, {"central": 0.9, "alone (mean)": 0.6}).axes
    heights = {line.get_label(): line.get_ydata()[0] for line in accuracy.lines[1:]}
    assert heights == {"central": 0.9, "alone (mean)": 0.6}
    named = [text.get_text() for text in accuracy.get_legend().get_texts()]
    assert named == ["federated", "central", "alone (mean)"]


@pytest.mark.parametrize("count", [1, 2, 3, 7, 101])
def test_rounds_are_whole_and_evaluations_marked(count):
    figure = learning_curve(curve(np.linspace(0.1, 0.9, count)), {})
    figure.canvas.draw()
    for axes in figure.axes:
        low, high = axes.get_xlim()
        ticks = [each for each in axes.get_xticks() if low <= each <= high]
        assert ticks and all(each == int(each) for each in ticks)
        line = axes.lines[0]
        assert line.get_marker() == "o" and line.get_markersize() > 0


def test_a_first_point_far_away_does_not_squeeze_the_rest_and_is_told():
    accuracy, loss = learning_curve(curve([0.1, 0.9, 0.92, 0.94, 0.96]), {"central": 0.97}).axes
    low, high = accuracy.get_ylim()
    assert 0.1 < low < 0.9 and high > 0.97
    assert "round 0: 0.1, below" in accuracy.texts[0].get_text()
    assert loss.get_ylim()[0] < 1.04 and 1.1 < loss.get_ylim()[1] < 1.9
    assert "round 0: 1.9, above" in loss.texts[0].get_text()


@pytest.mark.parametrize(
    "accuracies",
    [
        [0.5],
        [0.1, 0.9],
        [0.1, 0.9, 0.95],
        [0.1, 0.3, 0.5, 0.7, 0.9],
        [0.9, 0.9, 0.9, 0.9, 0.1],
        [0.7] * 9,
    ],
)
def test_all_of_a_curve_is_shown_where_no_start_outweighs_it(accuracies):
    for axes in learning_curve(curve(accuracies), {}).axes:
        low, high = axes.get_ylim()
        values = axes.lines[0].get_ydata()
        assert low < min(values) and high > max(values) and not axes.texts


@pytest.mark.parametrize("seed", range(5))
def test_nine_tenths_of_a_curve_and_its_last_values_are_always_shown(seed):
    values = np.random.default_rng(seed).exponential(size=60).cumsum()[::-1]
    rows = [{"round": place, "test_loss": each} for place, each in enumerate(values)]
    (axes,) = learning_curve(rows, {}).axes
    low, high = axes.get_ylim()
    assert np.all((values[6:] > low) & (values[6:] < high))


def test_a_band_holds_every_seed_and_its_line_is_the_median():
    rng = np.random.default_rng(0)
    runs = [curve(np.linspace(0.3, 0.9, 8) + rng.normal(0, 0.05, 8), 3) for _ in range(5)]
    runs.append(runs[0][:4])
    (axes,) = curves_over_seeds({"": runs}).axes
    (line,), (band,) = axes.lines, axes.collections
    corners = band.get_paths()[0].vertices
    for round_, middle in line.get_xydata():
        found = [row["test_accuracy"] for run in runs for row in run if row["round"] == round_]
        heights = corners[corners[:, 0] == round_, 1]
        assert (heights.min(), heights.max()) == (min(found), max(found))
        assert middle == np.median(found)


def test_settings_without_other_seeds_have_no_band_and_the_best_stand_out():
    curves = {f"rate={n}": [curve([0.1, 0.3 + n / 50])] for n in range(12)}
    figure = curves_over_seeds(curves)
    (axes,) = figure.axes
    assert not axes.collections and len(axes.lines) == 12
    (legend,) = figure.legends
    named = [text.get_text() for text in legend.get_texts()]
    assert named == [*(f"rate={n}" for n in range(11, 3, -1)), "others"]


def test_of_losses_the_lowest_is_best():
    curves = {name: [[{"round": 0, "test_loss": loss}]] for name, loss in {"a": 2, "b": 1}.items()}
    (axes,) = curves_over_seeds(curves).axes
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["b", "a"]
