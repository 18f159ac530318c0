"""What the encryption benchmark reports, at a size where no time means anything."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench import encryption
from bench.encryption import NAIVE, Setting, as_json, groups, measure, show
from pride_jax.aggregation.protocols.plain import plain
from pride_jax.errors import ConfigError, PrideError

TINY = Setting(
    params=(150,),
    key_bits=(1024,),
    value_bits=(16, 8),
    modes=("default",),
    workers=(1,),
    clients=3,
    repetitions=1,
    naive_values=1,
    models=(83,),
)
CONTRACT = {
    "protocol",
    "key_bits",
    "value_bits",
    "mode",
    "workers",
    "params",
    "encrypt_us",
    "online_us",
    "add_us",
    "decrypt_us",
    "bytes",
    "encrypt_ratio_to_naive",
    "decrypt_ratio_to_naive",
}


@pytest.fixture(scope="module")
def report() -> encryption.Report:
    return measure(TINY)


def test_a_row_for_each_protocol_and_width(report) -> None:
    found = [(row.protocol, row.value_bits) for row in report.rows if row.protocol != NAIVE]
    assert sorted(found) == sorted((name, bits) for name in TINY.protocols for bits in (16, 8))
    naive = [row for row in report.rows if row.protocol == NAIVE]
    assert len(naive) == len(groups(TINY))
    assert {row.encrypt_ratio_to_naive for row in naive} == {1.0}


def test_ratios_are_those_of_the_times(report) -> None:
    naive = report.rows[0]
    for row in report.rows:
        naive = row if row.protocol == NAIVE else naive
        assert row.encrypt_ratio_to_naive == pytest.approx(naive.encrypt_us / row.encrypt_us)
        assert row.online_ratio_to_naive == pytest.approx(naive.encrypt_us / row.online_us)
        assert row.decrypt_ratio_to_naive == pytest.approx(naive.decrypt_us / row.decrypt_us)
        assert 0 < row.online_us <= row.encrypt_us
        assert row.bytes > 0


def test_a_round_for_each_protocol_and_model(report) -> None:
    found = {(each.protocol, each.params): each for each in report.client_rounds}
    assert set(found) == {(name, 83) for name in (*TINY.protocols, NAIVE)}
    for each in report.client_rounds:
        assert each.extrapolated == (each.protocol == NAIVE)
        assert 0 < each.online_seconds <= each.encrypt_seconds
    naive = next(row for row in report.rows if row.protocol == NAIVE)
    assert found[NAIVE, 83].bytes == round(83 * naive.bytes) == 83 * 256


def test_tables_and_conversions(report) -> None:
    for table in report.tables:
        # 40 rows, and 54 for the proofs' longest, of 256 factors of two numbers below n.
        assert (table.exponent_bits, table.window_bits) == (320, 8)
        assert 94 * 256 * 2 * 128 < table.bytes < 3 * 94 * 256 * 2 * 128
    assert {(each.key_bits, each.value_bits) for each in report.conversions} == {
        (1024, 16),
        (1024, 8),
    }
    for each in report.conversions:
        assert min(each.quantize_us, each.pack_us, each.unpack_us, each.share_of_encryption) > 0


def test_proofs(report) -> None:
    assert [(each.key_bits, each.value_bits, each.params) for each in report.proofs] == [
        (1024, 16, 150),
        (1024, 8, 150),
    ]
    for each in report.proofs:
        assert min(each.encrypt_us, each.blind_us, each.prove_us, each.check_us) > 0


def test_every_setting_has_its_rows() -> None:
    setting = dataclasses.replace(
        TINY, protocols=("paillier",), modes=("default", "strict"), params=(40, 80), models=()
    )
    rows = [row for row in measure(setting).rows if row.protocol != NAIVE]
    found = {(row.mode, row.value_bits, row.params) for row in rows}
    assert found == {(m, b, p) for m in ("default", "strict") for b in (16, 8) for p in (40, 80)}


def test_a_slow_contestant_is_repeated_less() -> None:
    setting = dataclasses.replace(
        TINY, protocols=("plain",), repetitions=5, seconds=1e-9, models=()
    )
    assert {row.repetitions for row in measure(setting).rows} == {1}


def test_shown_and_as_json(report, capsys: pytest.CaptureFixture[str]) -> None:
    show(report)
    assert "paillier" in capsys.readouterr().out
    line = as_json(TINY, report)
    assert "\n" not in line
    written = json.loads(line)
    assert all(set(row) >= CONTRACT for row in written["rows"])
    assert written["setting"] == json.loads(json.dumps(dataclasses.asdict(TINY)))
    assert {"client_rounds", "tables", "conversions", "environment"} <= set(written)


def test_no_times_of_a_wrong_sum(monkeypatch) -> None:
    right = plain()
    wrong = right._replace(open=lambda *args: right.open(*args) + np.int64(1))
    monkeypatch.setitem(encryption._KEYLESS, "plain", lambda: wrong)
    with pytest.raises(PrideError, match="plain gave another sum"):
        measure(dataclasses.replace(TINY, protocols=("plain",)))


@pytest.mark.parametrize(
    "change",
    [
        {"params": ()},
        {"params": (0,)},
        {"key_bits": (512,)},
        {"key_bits": ()},
        {"clients": 1},
        {"repetitions": 0},
        {"naive_values": 0},
    ],
)
def test_impossible_settings(change) -> None:
    with pytest.raises(ConfigError, match=next(iter(change))):
        Setting(**change)


def test_command_line_ends_with_one_json_object() -> None:
    script = Path(__file__).parents[2] / "scripts" / "benchmark.py"
    arguments = ["encryption", "--json", "--params", "30", "60", "--key_bits", "1024"]
    arguments += ["--protocols", "bfv", "--models", "--clients", "2", "--repetitions", "1"]
    done = subprocess.run(
        [sys.executable, script, *arguments, "--value-bits", "8"],
        capture_output=True,
        text=True,
        check=True,
    )
    rows = json.loads(done.stdout.splitlines()[-1])["rows"]
    assert [(row["protocol"], row["params"]) for row in rows[1:]] == [("bfv", 30), ("bfv", 60)]
    refused = subprocess.run(
        [sys.executable, script, "encryption", "--key-bits", "512"], capture_output=True, text=True
    )
    assert refused.returncode == 2
    assert "key_bits=(512,)" in refused.stderr
