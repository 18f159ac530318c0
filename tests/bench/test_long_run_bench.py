"""A long run is looked at from outside, and one that fails is no measurement."""

import json

import pytest

from bench import long_run
from bench.long_run import Setting
from pride_jax.errors import RunError

SMALL = """
from pride_jax.settings.experiment import Data, Experiment

config = Experiment(rounds=1, data=Data("iris"))
"""


def test_memory_is_told_by_round_and_the_folder_by_file(tmp_path, capsys):
    config = tmp_path / "small.py"
    config.write_text(SMALL)
    setting = Setting(str(config), rounds=200, every=20)
    report = long_run.measure(setting)
    rounds = [look.round for look in report.looks]
    assert rounds == sorted(set(rounds)) and 0 <= rounds[0] < rounds[-1] <= 200
    assert all(look.memory_bytes > 10**7 for look in report.looks)
    assert report.files["metrics.jsonl"] > 0 and report.files["plots"] > 0
    assert json.loads(long_run.as_json(setting, report))["files"] == report.files
    long_run.show(report)
    assert "metrics.jsonl" in capsys.readouterr().out


def test_a_run_that_fails_is_told(tmp_path):
    with pytest.raises(RunError, match=r"nothing\.py"):
        long_run.measure(Setting(str(tmp_path / "nothing.py")))
