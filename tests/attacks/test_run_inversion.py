"""What the attack on digits reports, at a size where few digits and steps are enough."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from pride_jax.attacks.run_inversion import TELLING, Report, Setting, as_json, measure, show
from pride_jax.errors import ConfigError
from pride_jax.reporting.attack_plots import reconstructions

ROOT = Path(__file__).parents[2]
TINY = Setting(
    digits=2,
    clients=10,
    cohorts=(2, 10),
    epsilons=(8.0, 1e6),
    pretraining=64,
    key_bits=1024,
    matched=0,
)


@pytest.fixture(scope="module")
def report() -> Report:
    return measure(TINY)


def row(report: Report, view: str, attack: str = "all units"):
    (found,) = (row for row in report.rows if row.view == view and row.attack == attack)
    return found


CLEAR = [
    "clear update",
    "clear update, 5 local steps",
    "clear update, trained model",
    "clipped to 0.1",
    "integers",
    "two released models, with and without one of 10",
]


@pytest.mark.data
@pytest.mark.parametrize("attack", ["all units", "largest unit", "best unit"])
@pytest.mark.parametrize("view", CLEAR)
def test_what_is_clear_gives_the_digit_back(report, view, attack) -> None:
    found = row(report, view, attack)
    assert min(found.psnrs) >= 60
    assert found.identified == 1.0


PROTECTED = [
    "ciphertext, Paillier 1024",
    "ciphertext, threshold Paillier 1024",
    "ciphertext, BFV",
    "masked integers",
    "under a one-time key",
]
NOISED = ["ε = 8, others known", "ε = 8, mean of 10", "integers with own share of noise, ε = 8"]


@pytest.mark.data
@pytest.mark.parametrize("view", PROTECTED + NOISED)
def test_what_is_protected_is_worth_less_than_the_mean_image(report, view) -> None:
    for attack in ("all units", "largest unit", "best unit"):
        found = row(report, view, attack)
        assert found.psnr_median < found.psnr_of_mean_image


@pytest.mark.data
def test_sums_mix_and_noise_falls_with_epsilon(report) -> None:
    clear, pair, crowd = (
        row(report, view).psnr_median for view in ("clear update", "sum over 2", "sum over 10")
    )
    assert clear > pair > crowd
    private, loose = (row(report, f"ε = {e}, others known") for e in ("8", "1e+06"))
    assert private.psnr_median + 10 < loose.psnr_median
    assert report.noise_multipliers[8.0] > report.noise_multipliers[1e6]


@pytest.mark.data
def test_told_the_unit_an_attacker_does_no_worse(report) -> None:
    for view in ("sum over 2", "sum over 10"):
        told, blind = row(report, view, "best unit"), row(report, view, "largest unit")
        assert told.psnr_median >= blind.psnr_median


@pytest.mark.data
def test_shown_drawn_and_as_json(report, capsys: pytest.CaptureFixture[str]) -> None:
    show(report)
    assert capsys.readouterr().out.count("2nn") == len(report.rows)
    written = json.loads(as_json(TINY, report))
    assert len(written["rows"]) == len(report.rows)
    assert set(written["setting"]) == set(dataclasses.asdict(TINY))
    np.testing.assert_allclose(
        written["rows"][0]["psnr_median"], np.median(written["rows"][0]["psnrs"]), rtol=1e-6
    )
    views = [(each.view, each.images, each.psnr_median) for each in report.pictures]
    figure = reconstructions(report.originals, views)
    assert len(figure.axes) == TINY.digits * (1 + len(views))


@pytest.mark.parametrize(
    "change",
    [{"digits": 1}, {"digits": 101}, {"matched": 1}, {"matched": 21}, {"cohorts": (1, 3)}],
)
def test_impossible_settings(change) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        Setting(**change)


def test_a_picture_has_ten_rows_at_most_all_of_views_that_were_measured() -> None:
    measured = json.loads((ROOT / "results" / "attacks" / "inversion.json").read_text())["rows"]
    assert set(TELLING) <= {row["view"] for row in measured if row["model"] == "2nn"}
    assert 1 + len(TELLING) <= 10
