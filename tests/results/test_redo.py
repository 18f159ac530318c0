"""A study's numbers are made by its steps, from a clean commit, and each finished step once."""

import functools
import shlex
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from pride_jax.errors import RunError
from pride_jax.files import read_json, write_json
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import to_dict
from pride_jax.sweeps.sweep import grid, override, parse_over
from results import earlier, redo
from results.redo import OUT, RESULTS, Step, steps_of

STEPS = {f"{study}/{name}": (study, name) for study in redo.studies() for name in steps_of(study)}
each_step = pytest.mark.parametrize(("study", "name"), STEPS.values(), ids=STEPS)

NOT_REDONE = {
    "benchmarks/features.json": "read by hand in others' released packages",
    "correlated/oracle.json": "jax_privacy's, in an environment of its own",
    "deploy/engine/before.json": "a process for every message: that code is gone",
    "encryption/ckks.json": "that protocol is gone",
    "encryption/lattice_schedule.json": "needs CUDA's libraries; lattice_schedule.py says how",
    "encryption/lattice_security.json": "needs Sage; lattice_security.py says how",
    "encryption/published.json": "others' figures",
    "privacy/tuned/before.json": "noise in floats, as it was: that code is gone",
}
"""Numbers that no step makes, and why."""


@each_step
def test_what_a_step_makes_is_there(study, name):
    step = steps_of(study)[name]
    assert step.makes and all((RESULTS / study / made).is_file() for made in step.makes)
    assert all(OUT in command for command in step.commands)


@pytest.mark.parametrize("study", redo.studies())
def test_what_took_time_is_a_step(study):
    assert set(redo._took(RESULTS, study)) <= set(steps_of(study))


def test_all_numbers_can_be_redone_but_those_that_are_listed():
    numbers = {str(path.relative_to(RESULTS)) for path in RESULTS.rglob("*.json*")}
    numbers = {path for path in numbers if not path.endswith("/steps.json")}
    made = {
        f"{study}/{made}" for study, name in STEPS.values() for made in steps_of(study)[name].makes
    }
    assert numbers - made == NOT_REDONE.keys()


class Accepted(Exception):  # noqa: N818, since nothing went wrong
    """In place of what a script would do with what it has read of a command."""


def accept(*read):
    raise Accepted(*read)


THEN = {
    "attack": (
        "pride_jax.attacks.run_inversion.measure",
        "pride_jax.attacks.run_membership.measure",
    ),
    "audit": ("audit.audit",),
    "deploy": ("deploy.run",),
    "sweep": ("sweep.executor", "sweep.tune_privately"),
    "train": ("train.others",),
}
"""A script -> its functions that do what was read; of a benchmark, ``measure``."""


@functools.cache
def read_by_script(command):
    """What the script has read of a command; SystemExit if it does not accept the command."""
    script, *options = shlex.split(command.partition(" > ")[0])
    name = Path(script).stem
    with pytest.MonkeyPatch.context() as patch:
        for function in THEN.get(name) or (f"bench.{options[0]}.measure",):
            patch.setattr(function, accept)
        patch.setattr(sys, "argv", [script, *options])
        with pytest.raises(Accepted) as accepted:
            import_module(name).main()
    return accepted.value.args


def read_of_experiments(step):
    """Config and arguments of a step's commands that train."""
    for command in step.commands:
        if command.startswith(("scripts/sweep.py", "scripts/train.py", "scripts/deploy.py")):
            read = read_by_script(command)
            (config,) = (each for each in read if isinstance(each, Experiment))
            (arguments,) = (each for each in read if hasattr(each, "workdir"))
            yield config, arguments


@each_step
def test_scripts_accept_the_commands(study, name):
    step = steps_of(study)[name]
    for command in step.commands:
        program, module, *_ = shlex.split(command)
        if program == "-m":
            assert find_spec(module), command
        else:
            read_by_script(command)
    for config, arguments in read_of_experiments(step):
        if hasattr(arguments, "over"):
            *_, last = grid([parse_over(text) for text in arguments.over])
            override(config, last)


def test_a_command_with_an_option_that_is_not_there_is_refused(capsys):
    with pytest.raises(SystemExit):
        read_by_script("scripts/benchmark.py engine --cunks 1 --json > OUT/engine.json")
    with pytest.raises(SystemExit):
        read_by_script("scripts/train.py --config configs/iris_two_party.py --runds 1")
    assert "cunks" in (told := capsys.readouterr().err) and "runds" in told


OF_EARLIER_CODE = {
    "aggregation.holders",
    "aggregation.limit",
    "aggregation.threshold",
    "cohort.weighting",
}
"""Settings whose defaults are others now, to no effect on the runs beside which they stand."""
UNDER_EARLIER_NAMES = {"writers/fedprox"}
"""Sweeps of a setting that is called otherwise now."""


def flat(settings, prefix=""):
    for name, value in settings.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def recorded(folder):
    """The settings beside the numbers of a run or a sweep."""
    if (folder / "config.json").exists():
        return read_json(folder / "config.json")
    if (folder / "sweep.json").exists():
        return read_json(folder / "sweep.json")["config"]
    return read_json(folder / "private_sweep.json")["asked"]["config"]


@each_step
def test_numbers_are_of_the_settings_that_their_step_asks_for(study, name):
    for config, arguments in read_of_experiments(steps_of(study)[name]):
        folder = RESULTS / study / arguments.workdir.relative_to(OUT)
        asked, had = dict(flat(to_dict(config))), dict(flat(recorded(folder)))
        both = asked.keys() & had.keys() - OF_EARLIER_CODE
        assert {each: asked[each] for each in both} == {each: had[each] for each in both}
        if (folder / "sweep.json").exists() and f"{study}/{name}" not in UNDER_EARLIER_NAMES:
            runs = [run["settings"] for run in read_json(folder / "sweep.json")["runs"]]
            swept = list(grid([parse_over(text) for text in arguments.over]))
            assert len(runs) == len(swept) and all(settings in runs for settings in swept)


def test_a_checkout_with_changes_and_unknown_names_are_refused(monkeypatch):
    with pytest.raises(RunError, match="'nothing' cannot be redone: expected one of attacks, "):
        redo.redo("nothing", [])
    with pytest.raises(RunError, match="attacks has no step 'all': expected threats, "):
        redo.redo("attacks", ["all"])
    monkeypatch.setattr(redo, "environment", lambda: {"git_commit": "a", "git_changes": True})
    with pytest.raises(RunError, match="The checkout has changes"):
        redo.redo("attacks", [])


def test_without_a_study_all_are_listed(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["redo"])
    assert redo.main() == 0
    listed = capsys.readouterr().out.splitlines()
    assert "writers: fedavg, fedprox, fedavgm, fedadam" in listed
    assert "mnist_2nn_iid: mnist_2nn_iid" in listed


def test_a_finished_step_is_not_repeated_and_a_failed_one_begins_anew(tmp_path):
    write = '-c \'import pathlib; pathlib.Path("OUT/{}").write_text("made")\''
    fails = Step((write.format("first"), "-c 'raise SystemExit(1)'"), ("first",))
    with pytest.raises(RunError, match="ended with 1"):
        redo._carried_out(fails, tmp_path / "step")
    assert (tmp_path / "step" / "first").read_text() == "made"
    # An audit without power is an answer.
    works = Step((write.format("second"), "-c 'raise SystemExit(3)'"), ("second",))
    seconds = redo._carried_out(works, tmp_path / "step")
    assert not (tmp_path / "step" / "first").exists()
    (tmp_path / "step" / "second").write_text("kept")
    assert redo._carried_out(works, tmp_path / "step") == seconds > 0
    assert (tmp_path / "step" / "second").read_text() == "kept"


def test_the_last_line_is_kept_where_a_command_says_so(tmp_path, capsys):
    prints = '-c \'print("a table"); print("[1]")\' > OUT/deep/numbers.json'
    redo._carried_out(Step((prints,), ("deep/numbers.json",)), tmp_path / "step")
    assert read_json(tmp_path / "step" / "deep" / "numbers.json") == [1]
    assert "a table\n[1]\n" in capsys.readouterr().out


def test_a_last_line_that_is_no_json_and_what_is_not_made_are_told(tmp_path):
    talks = Step(("-c 'print(\"done\")' > OUT/numbers.json",), ("numbers.json",))
    with pytest.raises(RunError, match=r"'done\\n': expected JSON for numbers.json"):
        redo._carried_out(talks, tmp_path / "talks")
    idle = Step(("-c pass",), ("numbers.json",))
    with pytest.raises(RunError, match="ended without numbers"):
        redo._carried_out(idle, tmp_path / "idle")


def test_steps_under_ten_minutes_are_marked(tmp_path):
    took = {"seconds": 120.0, "cores": 2}, {"seconds": 1200.0, "cores": 1}
    (tmp_path / "writers").mkdir()
    steps = dict(zip(("fedavg", "fedprox"), took, strict=True))
    write_json(tmp_path / "writers" / "steps.json", {"steps": steps})
    _, _, *rows = redo.steps_table("writers")(tmp_path).splitlines()
    assert rows[0].startswith("| `fedavg` | 2.0 ✓ | 2 | `scripts/sweep.py ")
    assert rows[1].startswith("| `fedprox` | 20 | 1 | ")
    assert rows[2].startswith("| `fedavgm` | not recorded |  | ")


def test_an_earlier_commits_files_are_had(tmp_path):
    earlier.main("HEAD:scripts", tmp_path / "before")
    assert (tmp_path / "before" / "train.py").is_file()
