"""``scripts/audit.py`` says by its exit status whether a claim stands."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from pride_jax.attacks import run_audit as audit
from pride_jax.attacks.run_audit import Report, Row

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "configs" / "digits_dp.py"


@pytest.fixture
def run(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("audit_script", ROOT / "scripts" / "audit.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.chdir(tmp_path)

    def run(*arguments, verdict="pass"):
        def measure(config, setting, secrets):
            rows = [Row(200, 190, 1.0, 7.0)] * setting.repetitions
            return Report(
                config.privacy.epsilon, 1e-3, 40, 1100, 1000, 4.2, 0, 0, verdict, 1.0, rows
            )

        monkeypatch.setattr(audit, "measure", measure)
        monkeypatch.setattr(sys, "argv", ["audit.py", *map(str, arguments)])
        return script.main()

    return run


def test_it_passes_with_0_fails_with_1_and_has_no_power_with_3(run, capsys):
    for verdict, status in (("pass", 0), ("FAIL", 1), ("no power", 3)):
        assert run("--config", CONFIG, verdict=verdict) == status
        assert f"perfect guesses prove 4.200: {verdict}" in " ".join(
            capsys.readouterr().out.split()
        )


def test_it_leaves_its_numbers_and_a_picture(run, capsys, tmp_path):
    arguments = ("--repetitions", 3, "--canaries", 50, "--json", "--out", tmp_path / "there")
    assert run("--config", CONFIG, *arguments) == 0
    printed = json.loads(capsys.readouterr().out.splitlines()[-1])
    (saved,) = json.loads((tmp_path / "there" / "audit.json").read_text())["audits"]
    assert printed == saved
    assert len(saved["rows"]) == 3 and saved["setting"]["canaries"] == 50
    assert (tmp_path / "there" / "audit.png").exists()


def test_what_cannot_be_audited_is_said_with_2(run, capsys, tmp_path):
    assert run("--config", tmp_path / "none.py") == 2
    assert run("--config", CONFIG, "--canaries", 1) == 2
    assert capsys.readouterr().err.count("error: ") == 2
