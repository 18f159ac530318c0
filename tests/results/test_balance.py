"""The matrix of protocols and noises: each cell is of its own run."""

import pytest

from pride_jax.files import write_json
from results.balance import study as balance

STAGES = {"train": 1.0, "prepare": 9.0, "protect": 0.25, "combine": 0.5, "open": 2.0}


def sweep(results, name, runs):
    folder = results / "balance" / name
    folder.mkdir(parents=True)
    write_json(folder / "sweep.json", {"config": {}, "environments": [], "runs": runs})


def accuracy(epsilon, values):
    return [
        {
            "settings": {"privacy.epsilon": epsilon, "seed": str(seed)},
            "epsilon": None if epsilon == "None" else float(epsilon) - 0.02,
            "noise_multiplier": None if epsilon == "None" else 8 / float(epsilon),
            "test_accuracy": value,
        }
        for seed, value in enumerate(values)
    ]


def stage(protocol, seconds, bytes_):
    return {
        "settings": {"aggregation.protocol": protocol},
        "seconds_by_stage": seconds,
        "seconds_per_round": 0.125,
        "bytes_per_client_round": bytes_,
    }


def audit(mechanism, epsilon, bounds):
    privacy = {"mechanism": mechanism, "epsilon": epsilon}
    return {"privacy": privacy, "rows": [{"bound": bound} for bound in bounds]}


@pytest.fixture
def results(tmp_path):
    sweep(tmp_path, "accuracy/none", accuracy("None", [0.99, 0.98]))
    sweep(tmp_path, "accuracy/gaussian", accuracy("8", [0.97, 0.98]) + accuracy("1", [0.9, 0.91]))
    sweep(tmp_path, "accuracy/skellam", accuracy("8", [0.96, 0.97]))
    runs = [stage("none", {}, 400), stage("paillier", STAGES, 600)]
    sweep(tmp_path, "stages/none", runs)
    sweep(tmp_path, "stages/skellam", [stage("paillier", STAGES | {"train": 1.5}, 700)])
    audits = [audit("gaussian", 8.0, [1.0, 3.0, 2.0]), audit("skellam", 8.0, [0.5])]
    write_json(tmp_path / "balance" / "audit.json", {"audits": audits})
    views = {"clipped to 0.1": 155.0} | dict.fromkeys(HIDDEN, 10.0)
    rows = [
        {"model": "2nn", "attack": "all units", "view": view, "psnr_median": decibels}
        for view, decibels in views.items()
    ]
    (tmp_path / "attacks").mkdir()
    write_json(tmp_path / "attacks" / "inversion.json", {"rows": rows})
    return tmp_path


HIDDEN = (
    "masked integers",
    "ciphertext, BFV",
    "ciphertext, Paillier 3072",
)


def test_every_noise_stands_beside_every_protocol_that_was_run_with_it(results):
    lines = balance.matrix(results).splitlines()[2:]
    assert lines == [
        "| no noise, ∞ | floats in the clear | 0.9850 ± 0.0071 | – | 0.12 | 0.00 | 0.00 | 0.00 "
        "| **0.12** | 400 | 155.0 |",
        "| no noise, ∞ | Paillier | 0.9850 ± 0.0071 | – | 1.00 | 0.25 | 0.50 | 2.00 "
        "| **3.75** | 600 | 10.0 |",
        "| Gaussian, 7.98 | floats in the clear | 0.9750 ± 0.0071 | 2.00 | 0.12 | 0.00 | 0.00 "
        "| 0.00 | **0.12** | 400 | 155.0 |",
        "| Gaussian, 7.98 | Paillier | 0.9750 ± 0.0071 | 2.00 | 1.00 | 0.25 | 0.50 | 2.00 "
        "| **3.75** | 600 | 10.0 |",
        "| Gaussian, 0.98 | floats in the clear | 0.9050 ± 0.0071 | – | 0.12 | 0.00 | 0.00 | 0.00 "
        "| **0.12** | 400 | 155.0 |",
        "| Gaussian, 0.98 | Paillier | 0.9050 ± 0.0071 | – | 1.00 | 0.25 | 0.50 | 2.00 "
        "| **3.75** | 600 | 10.0 |",
        "| Skellam shares, 7.98 | Paillier | 0.9650 ± 0.0071 | 0.50 | 1.50 | 0.25 | 0.50 | 2.00 "
        "| **4.25** | 700 | 10.0 |",
    ]


def test_in_short_a_noise_has_one_line_and_what_was_not_run_none(results):
    lines = balance.in_short(results).splitlines()[2:]
    assert lines[0] == "| no noise, ∞ | 0.9850 ± 0.0071 | – | 0.12 | – | – | 3.75 | – |"
    assert lines[3] == "| Skellam shares, 7.98 | 0.9650 ± 0.0071 | 0.50 | – | – | – | 4.25 | – |"


def test_the_picture_has_a_mark_for_every_cell(results):
    privacy, time, size = balance.trade_offs(results).axes
    assert privacy.lines[0].get_xydata().tolist() == [[7.98, 0.975], [0.98, 0.905]]
    for axes, clear in ((time, 0.125), (size, 400)):
        marks = [line.get_xydata().tolist() for line in axes.lines if len(line.get_xydata())]
        assert len(marks) == 7
        assert [[clear, 0.985]] in marks
