"""Pictures and tables are made of the committed numbers, and only of those."""

import json
import re
import shutil
from pathlib import Path

import pytest

from pride_jax.errors import RunError
from pride_jax.files import read_json, write_json
from results.studies import RESULTS, draw, load, texts, with_tables

TEXTS = texts()
STUDIES = sorted(str(path.parent.relative_to(RESULTS)) for path in RESULTS.rglob("study.py"))


def name_of(path):
    return str(path.relative_to(RESULTS.parent))


@pytest.fixture
def copy(tmp_path):
    """A copy of ``results/`` whose numbers a test may change."""
    return shutil.copytree(RESULTS, tmp_path / "results")


@pytest.mark.parametrize("path", TEXTS, ids=name_of)
def test_tables_are_their_numbers(path):
    text = path.read_text()
    assert with_tables(text) == text


def test_every_table_stands_in_a_text():
    shown = {
        name for path in TEXTS for name in re.findall(r"<!-- table (.*?) -->", path.read_text())
    }
    made = {
        f"{study}/{name}".removeprefix("./") for study in STUDIES for name in load(study).tables
    }
    assert made == shown


OF_SETTINGS = ("sources", "made by", "steps", "setting", "who learns what", "in short", "published")
"""What names of tables end with that are made of what was asked for, and where, of code, or of
others' words."""
ASKED = {"config", "settings", "setting", "privacy", "epsilon", "delta"}


def changed(numbers, name=""):
    """The same JSON with every measured number another one; what was asked for is the same."""
    if name in ASKED:
        return numbers
    if isinstance(numbers, dict):
        return {each: changed(value, each) for each, value in numbers.items()}
    if isinstance(numbers, list):
        return [changed(value) for value in numbers]
    counted = "bytes" in name or name == "accepted"
    measured = isinstance(numbers, float) or (isinstance(numbers, int) and counted)
    return 1.25 * numbers + 1 if measured else numbers


def change(path):
    """Changes every measured number of a file."""
    if path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps(changed(row)) + "\n" for row in rows))
    else:
        write_json(path, changed(read_json(path)))


@pytest.mark.parametrize("study", STUDIES)
def test_a_table_is_stale_when_its_numbers_have_changed(copy, study):
    for path in [*copy.rglob("*.json"), *copy.rglob("*.jsonl")]:
        if path.name not in ("config.json", "env.json", "disclosure.json"):
            change(path)
    tables = load(study).tables
    told = {name for name, table in tables.items() if table(copy) == table(RESULTS)}
    assert {name for name in told if not name.endswith(OF_SETTINGS)} == set()


@pytest.mark.parametrize("study", [name for name in STUDIES if load(name).pictures])
def test_every_picture_is_redrawn(copy, study):
    names = load(study).pictures
    for name in names:
        (copy / study / name).unlink()
    drawn = draw(copy / study, copy)
    assert {copy / study / name for name in names} <= set(drawn)
    for name in names:
        assert (copy / study / name).read_bytes().startswith(b"\x89PNG")


def test_a_table_whose_numbers_changed_is_written_anew(copy):
    path = copy / "iris" / "README.md"
    text = path.read_text()
    path.write_text(text.replace("| two | 20 |", "| two | 21 |"))
    assert path in draw(copy / "iris", copy)
    assert path.read_text() == text
    assert path not in draw(copy / "iris", copy)


def test_the_readme_beside_the_results_is_filled_too(copy):
    readme = copy.parent / "README.md"
    readme.write_text("<!-- table headline -->\n<!-- end -->\n")
    assert readme not in draw(copy / "iris", copy)
    assert readme in draw(copy, copy)
    assert "| Iris, two parties" in readme.read_text()


def test_a_table_that_nobody_knows_is_named():
    with pytest.raises(RunError, match=r"No table is called 'iris/rounds': iris has setting, "):
        with_tables("<!-- table iris/rounds -->\n<!-- end -->\n")
    with pytest.raises(RunError, match=r"'nothing' is no study"):
        with_tables("<!-- table nothing/rounds -->\n<!-- end -->\n")


def test_json_has_one_object_a_file():
    for path in RESULTS.rglob("*.json"):
        json.loads(path.read_text())


def test_studies_are_found_where_they_lie():
    assert "iris" in STUDIES and "." in STUDIES
    assert all((Path(RESULTS) / study / "study.py").is_file() for study in STUDIES)
