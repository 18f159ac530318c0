"""``scripts/benchmark.py`` finds benchmarks by their files."""

import importlib
import inspect
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
NAMES = sorted(path.stem for path in (SCRIPTS / "bench").glob("*.py") if path.stem != "__init__")


def run(*arguments):
    command = [sys.executable, str(SCRIPTS / "benchmark.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_has_what_the_command_calls(name):
    module = importlib.import_module(f"bench.{name}")
    assert is_dataclass(module.Setting)
    if all(field.name != "before" or field.default is None for field in fields(module.Setting)):
        assert module.Setting() == module.Setting()
    assert list(inspect.signature(module.measure).parameters) == ["setting"]
    assert len(inspect.signature(module.show).parameters) == 1
    assert next(iter(inspect.signature(module.as_json).parameters)) == "setting"


def test_help_lists_every_benchmark_and_the_settings_of_one():
    assert all(name in run("--help").stdout for name in NAMES)
    assert "--starts" in run("process", "--help").stdout


def test_a_benchmark_that_is_not_there_is_refused():
    refused = run("nothing")
    assert refused.returncode == 2
    assert "'nothing'" in refused.stderr and "scale" in refused.stderr
