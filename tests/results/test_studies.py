"""Figures and tables are made of the committed numbers, and only of those."""

import shutil
from pathlib import Path

import pytest
from pride_jax.reporting.figures import draw, with_tables

from pride_jax.errors import RunError

RESULTS = Path(__file__).parents[2] / "results"
TEXTS = [*sorted(RESULTS.rglob("*.md")), RESULTS.parent / "README.md"]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(RESULTS.parent)))
def test_tables_are_their_numbers(path):
    text = path.read_text()
    assert with_tables(text, RESULTS) == text


@pytest.mark.parametrize("folder", sorted({path.parent.name for path in RESULTS.glob("*/*.png")}))
def test_every_picture_is_redrawn(tmp_path, folder):
    results = tmp_path / "results"
    shutil.copytree(RESULTS, results)
    for path in (results / folder).glob("*.png"):
        path.unlink()
    drawn = {path.name for path in draw(results / folder) if path.suffix == ".png"}
    kept = {path.name for path in (RESULTS / folder).glob("*.png")}
    assert drawn and drawn <= kept
    assert all((results / folder / name).read_bytes().startswith(b"\x89PNG") for name in drawn)


def test_a_table_whose_numbers_changed_is_written_anew(tmp_path):
    results = tmp_path / "results"
    shutil.copytree(RESULTS, results)
    path = results / "iris" / "README.md"
    text = path.read_text()
    path.write_text(text.replace("| two | 20 |", "| two | 21 |"))
    assert path in draw(results / "iris")
    assert path.read_text() == text


def test_a_folder_without_numbers_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"is not in results/"):
        draw(tmp_path)
    folder = tmp_path / "results" / "empty"
    folder.mkdir(parents=True)
    with pytest.raises(RunError, match=r"no pictures to draw: expected one of attacks/audit"):
        draw(folder)


def test_a_table_that_nobody_knows_is_named():
    with pytest.raises(RunError, match=r"No table is called 'rounds': expected one of balance"):
        with_tables("<!-- table rounds -->\n<!-- end -->\n", RESULTS)
