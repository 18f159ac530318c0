"""The scripts of a checkout, where the package is not installed: only what it needs is."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

SCRIPTS = Path(__file__).parent.parent / "scripts"
NEEDED = Path(jax.__file__).parents[1]


def run(folder: Path, script: str, *arguments: str, needed: str = str(NEEDED)):
    """A process that finds what is needed, and no package that a ``.pth`` file names."""
    return subprocess.run(
        [sys.executable, "-S", str(SCRIPTS / script), *arguments],
        env=os.environ | {"PYTHONPATH": needed},
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.mark.skipif((NEEDED / "pride_jax").exists(), reason="the package is installed beside JAX")
def test_a_run_trains_with_the_package_of_the_checkout_and_its_workers_do(tmp_path):
    config = SCRIPTS.parent / "configs" / "iris_two_party.py"
    fast = ("--aggregation.key_bits", "1024", "--aggregation.workers", "2")
    ended = run(tmp_path, "train.py", "--config", str(config), "--rounds", "1", *fast)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (tmp_path / "runs").exists()


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.py")), ids=lambda path: path.stem)
def test_where_nothing_is_installed_a_line_says_so(script, tmp_path):
    refused = run(tmp_path, script.name, "--help", needed="")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: numpy, jax, tyro cannot be found: expected")
    assert refused.stderr.count("\n") == 1
    assert f"pip install -e {SCRIPTS.parent}" in refused.stderr
