"""What the benchmark of keys apart reports, at a size where no time means anything."""

import json

import pytest

from bench.key_apart import Setting, as_json, measure, show
from pride_jax.errors import ConfigError


def test_a_row_for_each_protocol_with_keys_apart_and_without(capsys) -> None:
    setting = Setting(
        ("plain", "two_servers", "paillier", "masking"),
        params=(200, 300),
        longest_opened=200,
        key_bits=1024,
        clients=4,
        masked=20_000,
        cohorts=(4, 5),
        repetitions=1,
    )
    report = measure(setting)
    found = [(row.protocol, row.params) for row in report.rows]
    paillier = "paillier-1024-unsafe"
    assert found == [
        ("plain", 200),
        ("plain", 300),
        *((name, 200) for name in ("two_servers", "lattice(two_servers)")),
        *((name, 300) for name in ("two_servers", "lattice(two_servers)")),
        *((name, 200) for name in (paillier, f"lattice({paillier})")),
        (f"lattice({paillier})", 300),
        *((name, 200) for name in ("masking-active", "lattice(masking-active)")),
        *((name, 300) for name in ("masking-active", "lattice(masking-active)")),
    ]
    assert all(min(row[2:]) > 0 for row in report.rows)
    assert [(masks.clients, masks.params) for masks in report.masks] == [(4, 20_000), (5, 20_000)]
    assert all(0 < masks.key < 20_000 for masks in report.masks)
    show(report)
    assert "lattice" in capsys.readouterr().out
    assert len(json.loads(as_json(setting, report))["rows"]) == len(found)


@pytest.mark.parametrize(
    "change", [{"clients": 1}, {"cohorts": (1,)}, {"repetitions": 0}, {"params": (0,)}]
)
def test_impossible_settings(change: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        Setting(**change)
