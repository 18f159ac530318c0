"""``scripts/train.py`` as a person runs it: refusals, Ctrl-C, and dying at any moment."""

import contextlib
import html
import importlib.util
import json
import os
import random
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pride_jax.reporting import metrics

TOO_MANY = 1 + (os.cpu_count() or 1)
SCRIPT = Path(__file__).parent.parent / "scripts" / "train.py"
CONFIG = """
from pride_jax.settings.experiment import Aggregation, Data, Evaluation, Experiment, Model

config = Experiment(
    rounds={rounds},
    data=Data("iris", test_examples=90),
    model=Model("logistic"),
    aggregation=Aggregation("{protocol}", key_bits=1024, workers=1),
    evaluation=Evaluation(every=2),
)
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(CONFIG.format(protocol="none", rounds=1500))
    return path


@contextlib.contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen]:
    """A training process, gone when the block is left."""
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def train(*arguments: object) -> tuple[int, str, str]:
    """Exit status, output and errors of a training process that is let be."""
    with started(*arguments) as process:
        output, errors = process.communicate()
    return process.returncode, output, errors


def files(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file()
    }


# Refusals on the command line


@pytest.fixture
def main(monkeypatch, tmp_path):
    """The script's main function on given arguments, in an empty directory."""
    spec = importlib.util.spec_from_file_location("train", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run_main(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        try:
            return module.main()
        except SystemExit as exit_:
            return exit_.code

    return run_main


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--client.learning_rat", "0.1"], "--client.learning_rat"),
        (["--clientlearning_rate", "0.1"], "--clientlearning_rate"),
        (["stray"], "stray"),
        (["--rounds", "many"], "--rounds: invalid literal for int"),
        (["--rounds", "2.5"], "--rounds: invalid literal for int"),
        (["--rounds"], "--rounds"),
        (["--rounds", "0"], "rounds=0: expected at least 1"),
        (["--client.optimizer", "sdg"], "invalid choice 'sdg'"),
        (["--client.learning_rate", "nan"], "client.learning_rate=nan: expected a finite number"),
        (["--client.learning_rate", "-1"], "client.learning_rate=-1.0: expected more than 0"),
        (["--partition.kind", "sizes"], "expected sizes if, and only if, kind is 'sizes'"),
        (["--workdir"], "--workdir: expected one argument"),
    ],
)
def test_an_impossible_setting_is_told_and_nothing_is_written(
    main, config, capsys, arguments, told
):
    assert main("--config", config, *arguments) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert told in " ".join(errors.replace("│", " ").split())
    assert "Traceback" not in errors
    assert not list(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "There is no config file"),
        ("", "defines config=None, expected an Experiment"),
        ("config = Experiment()", "NameError: name 'Experiment' is not defined"),
        (CONFIG.format(protocol="pailier", rounds=1500), "aggregation.protocol='pailier'"),
    ],
)
def test_a_config_file_that_is_none_is_told_in_a_line(main, tmp_path, capsys, content, told):
    file = tmp_path / "other.py"
    if content is not None:
        file.write_text(content)
    assert main("--config", file) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert str(file) in errors
    assert told in errors
    assert errors.count("\n") == 1
    assert not list(Path.cwd().iterdir())


def test_a_config_file_is_required(main, capsys):
    assert main() == 2
    assert "--config" in capsys.readouterr().err


def test_help_is_a_screen_with_every_option_of_the_script_and_every_section(main, capsys):
    assert main("--help") == 0
    shown = capsys.readouterr().out
    assert shown.count("\n") <= 45
    for word in ("--config", "--workdir", "--resume", "--seeds", "--coordinator", "--processes"):
        assert word in shown
    for section in ("partition", "client", "privacy", "evaluation"):
        assert f"\n  {section} " in shown


def test_help_of_a_section_is_that_of_the_config(main, capsys):
    assert main("--help", "model", "--model.name", "resnet") == 0
    shown = capsys.readouterr().out
    assert "--model.options.width" in shown and "--client.learning_rate" not in shown
    assert main("--help", "clients") == 2
    assert "--help clients: expected data, partition" in capsys.readouterr().err


def test_configs_are_listed_with_their_first_lines(main, capsys):
    assert main("list") == 0
    shown = capsys.readouterr().out
    assert "iris_two_party.py" in shown
    assert "Iris, two parties, every update encrypted: the original PRIDE experiment." in shown


def test_help_lists_every_setting(main, capsys):
    assert main("--help", "all") == 0
    shown = capsys.readouterr().out
    for setting in ("--rounds", "--client.learning_rate", "--aggregation.key_bits", "--data.dir"):
        assert setting in shown


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--engine.devices", TOO_MANY], f"engine.devices={TOO_MANY}: this process sees"),
        (["--data.name", "irris"], "'irris' is no data set"),
        (["--resume"], "There is nothing to resume in"),
    ],
)
def test_a_run_that_cannot_start_is_told_in_a_line_and_nothing_is_written(
    config, tmp_path, arguments, told
):
    folder = tmp_path / "runs" / "run"
    status, output, errors = train("--config", config, "--workdir", folder, *arguments)
    assert status == 2
    assert output.startswith("computes on ")
    assert output.count("\n") == 1
    assert errors.startswith(f"error: {told}")
    assert errors.count("\n") == 1
    assert not folder.parent.exists()


@pytest.mark.parametrize(
    "other", [["--overwrite"], ["--start-from", "run"], ["--resume"], ["--coordinator", "here:1"]]
)
def test_seeds_go_with_no_option_that_is_of_one_run(main, config, capsys, tmp_path, other):
    before = files(tmp_path)
    assert main("--config", config, "--workdir", tmp_path / "all", "--seeds", "0..1", *other) == 2
    output, errors = capsys.readouterr()
    assert output == ""
    assert errors.startswith(f"error: --seeds with {other[0]}: expected --seeds alone")
    assert errors.count("\n") == 1
    assert files(tmp_path) == before


def test_seeds_are_trained_together_and_left_as_they_are_when_they_are_finished(config, tmp_path):
    command = ["--config", config, "--rounds", 2, "--seeds", "0..1", "--workdir", tmp_path / "all"]
    status, output, errors = train(*command)
    assert (status, errors) == (0, "")
    last = output.splitlines()[-1]
    assert last.endswith(f"of 2 seeds; everything is in {tmp_path / 'all'}")
    before = files(tmp_path / "all")
    assert {path.parent.name for path in before if path.name == "summary.json"} == {
        *("seed=0", "seed=1")
    }
    assert train(*command)[::2] == (0, "")
    assert files(tmp_path / "all") == before


# Dying and going on

# A round that is encrypted takes as long as ten that are not.
ROUNDS = {"none": 1500, "paillier": 150}


@pytest.fixture(scope="module")
def undisturbed(request, tmp_path_factory):
    """A config file and the folder of its finished run, for the protocol that a test names."""
    place = tmp_path_factory.mktemp("undisturbed")
    config = place / "small.py"
    config.write_text(CONFIG.format(protocol=request.param, rounds=ROUNDS[request.param]))
    status, output, errors = train("--config", config, "--workdir", place / "run")
    assert (status, errors) == (0, "")
    assert "test accuracy" in output
    assert str(place / "run") in output
    return config, place / "run"


def outcome(folder: Path):
    """Rows, summary and last parameters, timings aside."""

    def without_times(figures):
        return {name: value for name, value in figures.items() if not name.startswith("seconds")}

    rows = [without_times(row) for row in metrics.read(folder / "metrics.jsonl")]
    summary = without_times(json.loads((folder / "summary.json").read_text()))
    last = max((folder / "checkpoints").glob("*.npz"), key=lambda path: int(path.stem))
    with np.load(last) as saved:
        return rows, summary, {name: saved[name].tobytes() for name in saved}


def wait_for_rows(process: subprocess.Popen, folder: Path, count: int) -> None:
    """Waits until a process has written so many more rows, or has ended."""
    path = folder / "metrics.jsonl"

    def written() -> int:
        return path.read_bytes().count(b"\n") if path.exists() else 0

    enough = written() + count
    while written() < enough and process.poll() is None:
        time.sleep(0.001)


@pytest.mark.parametrize("undisturbed", ["none"], indirect=True)
def test_a_finished_run_shows_its_summary_again_and_is_left_as_it_is(undisturbed):
    config, folder = undisturbed
    before = files(folder)
    status, output, errors = train("--config", config, "--workdir", folder, "--resume")
    assert (status, errors) == (0, "")
    accuracy = json.loads((folder / "summary.json").read_text())["test_accuracy"]
    assert f"{accuracy:.4f}" in output
    assert files(folder) == before


@pytest.mark.parametrize("undisturbed", ["none"], indirect=True)
def test_a_folder_that_is_not_empty_is_refused(undisturbed):
    config, folder = undisturbed
    before = files(folder)
    status, _, errors = train("--config", config, "--workdir", folder)
    assert status == 2
    assert errors.startswith(f"error: {folder} is not empty: continue its run with --resume")
    assert files(folder) == before


KILL, CTRL_C = signal.SIGKILL, signal.SIGINT


@pytest.mark.parametrize(
    # What stops a run after how many more rows; after 0 rows, no file is written yet.
    ("undisturbed", "stops"),
    [
        ("none", [(KILL, 0), (CTRL_C, 6), (KILL, 15)]),
        ("paillier", [(KILL, 4)]),
    ],
    indirect=["undisturbed"],
)
def test_a_run_that_is_stopped_again_and_again_ends_with_the_same_bits(
    undisturbed, stops, tmp_path
):
    config, expected = undisturbed
    folder = tmp_path / "run"
    folder.mkdir()
    rng = random.Random(0)
    for signal_, rows in stops:
        with started("--config", config, "--workdir", folder, "--resume") as process:
            wait_for_rows(process, folder, rows)
            time.sleep(rng.uniform(0, 0.02))
            process.send_signal(signal_)
            _, errors = process.communicate()
        if signal_ == CTRL_C:
            assert process.returncode == 130
            # Before it, Python may tell that the error was raised in a callback of a library.
            assert errors.endswith("interrupted: --resume RUN, with its folder, continues\n")
        else:
            assert process.returncode == -KILL
        assert not (folder / "summary.json").exists()
    status, _, errors = train("--config", config, "--workdir", folder, "--resume")
    assert (status, errors) == (0, "")
    assert outcome(folder) == outcome(expected)


def test_the_second_start_of_a_config_compiles_nothing(config, tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path / "programs"))

    def compiled(workdir):
        assert train("--config", config, "--workdir", workdir, "--rounds", 4)[0] == 0
        return {path.name for path in (tmp_path / "programs").glob("*-cache")}

    first = compiled(tmp_path / "first")
    assert first
    assert compiled(tmp_path / "second") == first


# What a run's page says of running it again


def test_the_command_on_a_runs_page_gives_the_same_models(main, tmp_path):
    path = tmp_path / "few.py"
    path.write_text(CONFIG.format(protocol="none", rounds=2))
    assert not main("--config", path, "--workdir", "first")
    page = Path("first/report.html").read_text(encoding="utf-8")
    (told,) = re.findall(r"python scripts/train\.py ([^<]*)<", page)
    assert not main(*shlex.split(html.unescape(told)))
    first, again = (
        json.loads(Path(folder, "summary.json").read_text()) for folder in ("first", "first-again")
    )
    assert first["parameters_sha256"] == again["parameters_sha256"]
