"""What the corruption benchmark reports, of few tries."""

import json

import pytest

from bench.corruption import Setting, as_json, measure, show
from pride_jax.errors import ConfigError


def test_every_kind_is_damaged_and_none_accepted(capsys: pytest.CaptureFixture[str]) -> None:
    setting = Setting(("plain", "two_servers", "bfv", "lattice(two_servers)"), tries=60)
    report = measure(setting)
    kinds = {(row.protocol, row.kind) for row in report.rows}
    assert kinds == {
        ("plain", "message"),
        *(("two_servers", kind) for kind in ("message", "share", "enclosed")),
        *(("lattice(two_servers)", kind) for kind in ("message", "share", "enclosed")),
        *(("bfv", kind) for kind in ("message", "share", "enclosed", "key of a round")),
    }
    for row in report.rows:
        assert (row.tries, row.accepted, sum(row.refused.values())) == (60, 0, 60)
    show(report)
    assert "two_servers" in capsys.readouterr().out
    assert len(json.loads(as_json(setting, report))["rows"]) == len(report.rows)


@pytest.mark.parametrize("change", [{"tries": 0}, {"clients": 1}, {"length": 0}])
def test_impossible_settings(change: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        Setting(**change)
