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

    def run(*arguments, bound=1.0):
        def measure(config, setting, secrets):
            fails = bound > config.privacy.epsilon
            rows = [Row(200, 190, bound, 7.0)] * setting.repetitions
            return Report(config.privacy.epsilon, 1e-3, 40, 1100, fails, 0, not fails, 1.0, rows)

        monkeypatch.setattr(audit, "measure", measure)
        monkeypatch.setattr(sys, "argv", ["audit.py", *map(str, arguments)])
        return script.main()

    return run


def test_it_passes_with_0_and_fails_with_1(run, capsys):
    assert run("--config", CONFIG) == 0
    assert run("--config", CONFIG, bound=9.0) == 1
    assert run("--config", CONFIG, "--privacy.epsilon", "0.5") == 1
    assert capsys.readouterr().out.count("FAIL") == 2


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
