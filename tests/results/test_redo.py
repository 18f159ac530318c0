"""A study's numbers are made by its steps, from a clean commit, and each finished step once."""

import pytest

from pride_jax.errors import RunError
from pride_jax.files import read_json
from results import redo

STUDIES = sorted(path.parent.name for path in redo.RESULTS.glob("*/steps.py"))


@pytest.mark.parametrize("study", STUDIES)
def test_what_steps_make_is_there_and_what_each_took_is_told(study):
    steps = redo.steps_of(study)
    assert set(read_json(redo.RESULTS / study / "steps.json")["steps"]) <= set(steps)
    for step in steps.values():
        assert all((redo.RESULTS / study / name).is_file() for name in step.makes)
        assert all(redo.OUT in command for command in step.commands)


def test_a_checkout_with_changes_and_unknown_names_are_refused(monkeypatch):
    with pytest.raises(RunError, match="'nothing' cannot be redone"):
        redo.redo("nothing", [])
    with pytest.raises(RunError, match="attacks has no step 'all': expected threats, "):
        redo.redo("attacks", ["all"])
    monkeypatch.setattr(redo, "environment", lambda: {"git_commit": "a", "git_changes": True})
    with pytest.raises(RunError, match="The checkout has changes"):
        redo.redo("attacks", [])


def test_a_finished_step_is_not_repeated_and_a_failed_one_begins_anew(tmp_path):
    write = '-c \'import pathlib; pathlib.Path("OUT/{}").write_text("made")\''
    fails = redo.Step((write.format("first"), "-c 'raise SystemExit(1)'"), ("first",))
    with pytest.raises(RunError, match="ended with 1"):
        redo._carried_out(fails, tmp_path / "step")
    assert (tmp_path / "step" / "first").read_text() == "made"
    # An audit without power is an answer.
    works = redo.Step((write.format("second"), "-c 'raise SystemExit(3)'"), ("second",))
    seconds = redo._carried_out(works, tmp_path / "step")
    assert not (tmp_path / "step" / "first").exists()
    (tmp_path / "step" / "second").write_text("kept")
    assert redo._carried_out(works, tmp_path / "step") == seconds > 0
    assert (tmp_path / "step" / "second").read_text() == "kept"
