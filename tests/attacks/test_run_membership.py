"""The membership attack works without privacy and stays below its ceiling with it."""

import json

import pytest

from pride_jax.attacks import run_membership as membership
from pride_jax.attacks.run_membership import Setting
from pride_jax.errors import ConfigError

TINY = Setting(clients=40, examples=2, rounds=5, epsilons=(1.0,), runs=100)


@pytest.fixture(scope="module")
def report():
    return membership.measure(TINY)


def test_without_privacy_the_attack_works(report):
    unprotected = report.rows[0]
    assert unprotected.epsilon is None
    assert unprotected.auc > 0.6
    assert unprotected.tpr_at_1_percent > 0.02
    assert unprotected.test_accuracy > 0.4


def test_with_privacy_it_stays_below_its_ceiling(report):
    private = report.rows[1]
    assert private.auc_ceiling == pytest.approx(0.575, abs=1e-3)
    assert private.auc - 3 * private.auc_error <= private.auc_ceiling
    # A blind attack would stay below, too.
    assert private.auc > 0.5 + 2 * private.auc_error


def test_json_is_one_line_of_everything(report):
    line = membership.as_json(TINY, report)
    assert "\n" not in line
    saved = json.loads(line)
    assert [row["epsilon"] for row in saved["rows"]] == [None, 1.0]
    assert saved["setting"]["clients"] == 40
    assert all(len(row["fpr"]) == len(row["tpr"]) for row in saved["rows"])


def test_the_table_has_every_row(report, capsys):
    membership.show(report)
    shown = capsys.readouterr().out
    assert shown.count("none") == 3 and "1.000" in shown


def test_too_few_runs_are_refused():
    with pytest.raises(ConfigError, match="at least 4 runs"):
        Setting(runs=2)
