"""Whole processes: each start is a run of its own, and a run that fails is no measurement."""

import json

import pytest

from bench import process
from bench.process import Setting
from pride_jax.errors import RunError

SMALL = """
from pride_jax.settings.experiment import Data, Experiment

config = Experiment(rounds={rounds}, data=Data("iris"))
"""


def test_starts_are_timed_and_told_in_one_line(tmp_path, capsys):
    config = tmp_path / "small.py"
    config.write_text(SMALL.format(rounds=1))
    setting = Setting(str(config), starts=2)
    report = process.measure(setting)
    assert len(report.later) == 2 and min(report.later) <= report.median <= max(report.later)
    assert 0 < report.accuracy <= 1
    line = process.as_json(setting, report)
    saved = json.loads(line)
    assert "\n" not in line and saved["later"] == report.later
    assert saved["setting"] == {"config": str(config), "starts": 2}
    process.show(report)
    assert f"{report.accuracy:.4f}" in capsys.readouterr().out


def test_a_run_that_fails_is_told(tmp_path):
    config = tmp_path / "wrong.py"
    config.write_text(SMALL.format(rounds=0))
    with pytest.raises(RunError, match=r"wrong.py failed: error: .*rounds=0: expected at least 1"):
        process.measure(Setting(str(config)))
