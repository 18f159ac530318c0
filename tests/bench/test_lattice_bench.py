"""What the benchmark of hidden vectors reports, at a size where no time means anything."""

import json

import pytest

from bench import lattice
from bench.lattice import Setting
from pride_jax.errors import ConfigError


def test_rows_add_up_and_are_told_in_one_line(capsys):
    setting = Setting(params=(300, 20_000), repetitions=1)
    report = lattice.measure(setting)
    assert [row.params for row in report.rows] == [300, 20_000]
    for row in report.rows:
        assert row.client == pytest.approx(row.expand + row.draw + row.mask + row.hide)
        assert min(row.add, row.reveal, row.first) > 0 and row.bytes > 3
    line = lattice.as_json(setting, report)
    assert "\n" not in line and json.loads(line)["rows"][0]["params"] == 300
    lattice.show(report)
    assert "20,000" in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [{"repetitions": 0}, {"messages": 0}, {"params": (0,)}])
def test_nothing_to_time_is_refused(wrong):
    with pytest.raises(ConfigError, match="expected at least 1 of each"):
        Setting(**wrong)
