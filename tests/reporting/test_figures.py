"""Figures are drawn from the committed numbers, and only from those."""

import shutil
from pathlib import Path

import pytest

from pride_jax.errors import RunError
from pride_jax.reporting.figures import draw
from pride_jax.runs.files import read_json

RESULTS = Path(__file__).parents[2] / "results"


@pytest.mark.parametrize(
    ("name", "pictures"),
    [
        ("encryption/benchmark.json", {"client_costs.png", "stages.png"}),
        ("benchmarks/scale.json", {"growth.png", "ways.png"}),
    ],
)
def test_every_picture_of_a_benchmark_is_redrawn(tmp_path, name, pictures):
    copied = tmp_path / name
    copied.parent.mkdir()
    shutil.copy(RESULTS / name, copied)
    drawn = draw(copied.parent)
    assert {path.name for path in drawn} == pictures
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_a_folder_without_numbers_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"no numbers to draw: expected one of benchmarks/scale"):
        draw(tmp_path)


def test_tables_of_scale_are_their_numbers():
    folder = RESULTS / "benchmarks"
    text = (folder / "README.md").read_text()
    rows = read_json(folder / "devices.json")["rows"]
    for model in ("2nn", "cnn"):
        one, two = (
            row["seconds_per_round"]
            for row in rows
            if (row["model"], row["how"], row["chunk"]) == (model, "engine", None)
        )
        assert f"| {model.upper()} | {one:.3g} | {two:.3g} | {one / two:.2f} |" in text
