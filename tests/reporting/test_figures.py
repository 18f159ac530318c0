"""Figures are drawn from the committed numbers, and only from those."""

import shutil
from pathlib import Path

import pytest

from pride_jax.errors import RunError
from pride_jax.reporting.figures import draw

RESULTS = Path(__file__).parents[2] / "results"


def test_every_picture_of_the_encryption_benchmark_is_redrawn(tmp_path):
    folder = tmp_path / "encryption"
    folder.mkdir()
    shutil.copy(RESULTS / "encryption" / "benchmark.json", folder)
    drawn = draw(folder)
    assert {path.name for path in drawn} == {"client_costs.png", "stages.png"}
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_a_folder_without_numbers_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"no numbers to draw: expected one of benchmarks/scale"):
        draw(tmp_path)
