"""What each protection costs: noise accuracy, hiding seconds and bytes."""

import numpy as np
import pytest

from pride_jax.files import write_json
from results.balance import study as balance

SECONDS = {"two_servers": 0.5, "threshold-3072": 19.5}


def accuracy(epsilon, values):
    return [
        {
            "settings": {"privacy.epsilon": epsilon, "seed": str(seed)},
            "epsilon": None if epsilon == "None" else float(epsilon) - 0.02,
            "test_accuracy": value,
        }
        for seed, value in enumerate(values)
    ]


def rounds(mechanism, protocol, seconds, bytes_):
    """Training takes half a second, and the sum in the clear a quarter of one."""
    sums = [{"seconds": each, "bytes": bytes_} for each in (seconds, 9.0, seconds)]
    return {"mechanism": mechanism, "protocol": protocol, "train": [0.75, 0.75, 5.0], "sums": sums}


def audit(mechanism, epsilon, bounds):
    privacy = {"mechanism": mechanism, "epsilon": epsilon}
    return {"privacy": privacy, "rows": [{"bound": bound} for bound in bounds]}


@pytest.fixture
def results(tmp_path):
    runs = {
        "none": accuracy("None", [0.99, 0.98]),
        "gaussian": accuracy("8", [0.97, 0.98]) + accuracy("1", [0.9, 0.91]),
        "skellam": accuracy("3", [0.96, 0.97]),
    }
    for name, rows in runs.items():
        folder = tmp_path / "balance" / "accuracy" / name
        folder.mkdir(parents=True)
        write_json(folder / "sweep.json", {"config": {}, "environments": [], "runs": rows})
    clear = {"mechanism": "none", "protocol": "none", "train": [0.5, 0.5, 4.0]}
    rows = [clear | {"sums": [{"seconds": 0.0, "bytes": 400.0}]}]
    rows += [rounds(mechanism, "plain", 0.25, 400.0) for mechanism in ("none", "skellam")]
    for name in balance.PROTOCOLS:
        if name != "none":
            seconds = SECONDS.get(name, 5.0)
            rows.append(rounds("none", name, seconds, 600.0))
            rows.append(rounds("skellam", name, 2 * seconds + 0.5, 700.0))
    write_json(tmp_path / "balance" / "rounds.json", {"rows": rows})
    audits = [audit("gaussian", 8.0, [1.0, 3.0, 2.0]), audit("skellam", 3.0, [0.5])]
    write_json(tmp_path / "balance" / "audit.json", {"audits": audits})
    return tmp_path


def test_noise_has_the_cost_of_nothing_and_hiding_its_accuracy(results):
    nothing, *others = balance.protections(results)
    assert nothing == ("nothing", "nothing", 0.985, (0.5, 400.0))
    noise = [each for each in others if each.kind == "noise"]
    assert [each.accuracy for each in noise] == pytest.approx([0.975, 0.905])
    assert {each.cost for each in noise} == {nothing.cost}
    hiding = [each for each in others if each.kind == "hiding"]
    assert len(hiding) == len(balance.PROTOCOLS) - 1
    assert {each.accuracy for each in hiding} == {nothing.accuracy}
    assert (hiding[0].cost, hiding[-1].cost) == ((1.0, 600.0), (20.0, 600.0))
    both = [each for each in others if each.kind == "both"]
    assert [each.accuracy for each in both] == pytest.approx([0.965, 0.965])
    assert [each.cost for each in both] == [(2.0, 700.0), (40.0, 700.0)]


def test_a_noise_has_one_line_and_what_was_not_audited_no_bound(results):
    lines = balance.accuracy(results).splitlines()[2:]
    assert lines == [
        "| no noise | ∞ | – | 0.9850 ± 0.0071 |  | – |",
        "| Gaussian | 8 | 7.98 | 0.9750 ± 0.0071 | -1.00 | 2.00 |",
        "| Gaussian | 1 | 0.98 | 0.9050 ± 0.0071 | -8.00 | – |",
        "| Skellam shares | 3 | 2.98 | 0.9650 ± 0.0071 | -2.00 | 0.50 |",
    ]


def test_a_protocol_has_one_line_whatever_the_noise(results):
    lines = balance.protocols(results).splitlines()[2:]
    assert len(lines) == len(balance.PROTOCOLS)
    assert lines[0] == "| floats in the clear | `none` | 0.50 | 1.0 × | 0.4 | – | – |"
    assert lines[1] == "| two servers | `two_servers` | 1.0 | 2.0 × | 0.6 | 2.0 | 0.7 |"


def test_each_panel_has_a_dot_a_row_at_its_number_in_the_colour_of_its_kind(results):
    rows = list(balance.protections(results))
    numbers = (
        [100 * row.accuracy for row in rows],
        [row.cost.seconds for row in rows],
        [row.cost.bytes / 1000 for row in rows],
    )
    heights = []
    for axes, expected in zip(balance.costs(results).axes, numbers, strict=True):
        dots = [line for line in axes.lines if line.get_marker() == "o"]
        np.testing.assert_allclose([dot.get_xdata()[0] for dot in dots], expected)
        assert [dot.get_color() for dot in dots] == [balance.COLOURS[row.kind] for row in rows]
        heights.append([dot.get_ydata()[0] for dot in dots])
    assert heights[0] == heights[1] == heights[2] == sorted(heights[0], reverse=True)
