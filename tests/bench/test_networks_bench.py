"""The networks' benchmark reports nothing unless PyTorch did the same work."""

import sys
from pathlib import Path

import pytest

from bench import networks
from pride_jax.errors import ConfigError, PrideError


def small(torch: Path) -> networks.Setting:
    """One image, one step."""
    return networks.Setting(torch, networks=("lenet",), images=1, steps=1, clients=1, turns=1)


def interpreter(folder: Path, *lines: str) -> Path:
    """A program in PyTorch's place."""
    path = folder / "python"
    path.write_text("\n".join([f"#!{sys.executable}", *lines]))
    path.chmod(0o700)
    return path


def test_an_interpreter_without_pytorch_is_refused(tmp_path):
    without = interpreter(tmp_path, "raise SystemExit(1)")
    with pytest.raises(ConfigError, match="expected an interpreter with PyTorch"):
        networks.measure(small(without))
    with pytest.raises(ConfigError, match="expected a Python interpreter"):
        networks.measure(small(tmp_path / "nothing"))


def test_other_work_is_not_reported(tmp_path):
    other = interpreter(
        tmp_path, "print('ready', '2.0', flush=True)", "input()", "print('0.5', '99.0', flush=True)"
    )
    with pytest.raises(PrideError, match=r"lenet: our loss is .*, PyTorch's 99.0: they did not do"):
        networks.measure(small(other))
