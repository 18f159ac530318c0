"""Launched sweeps: processes that fail, are killed or interrupted, and what is run again."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from submitit.core.utils import DelayedSubmission

from pride_jax.errors import ConfigError
from pride_jax.files import claimed
from pride_jax.reporting import metrics
from pride_jax.settings.experiment import Data, Evaluation, Experiment, Model
from pride_jax.settings.files import load_config
from pride_jax.sweeps.launch import carry_out_at, launched, places, visible_gpus
from pride_jax.sweeps.sweep import Planned, parse_over, plan, sweep

ROOT = Path(__file__).parents[2]
CONFIG = Experiment(
    rounds=60, data=Data("iris"), model=Model("logistic"), evaluation=Evaluation(every=1)
)


def processes(*words: str) -> list[int]:
    """Ids of the processes on whose command line every word stands."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode()
        except OSError:
            continue
        if all(word in command for word in words):
            found.append(int(folder.name))
    return found


def never(runs):
    raise AssertionError(f"{runs} are finished")


def test_a_killed_run_and_a_failing_one_stop_nothing_and_only_they_are_run_again(tmp_path):
    over = [parse_over("client.learning_rate=0.1,0.2,1e20")]
    fine, killed, diverging = (run.folder for run in plan(CONFIG, over, tmp_path))
    went_on = set()

    def watch(running, waiting):
        went_on.update(going.name for going in running)

    def kill_one():
        while (metrics.latest(killed / "metrics.jsonl") or {"round": 0})["round"] < 3:
            time.sleep(0.002)
        (process,) = processes("submitit.core._submit", str(tmp_path), killed.name)
        os.kill(process, signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    result = sweep(CONFIG, over, tmp_path, launched(tmp_path / "jobs", watch), print)
    killer.join()
    rows = {row["settings"]["client.learning_rate"]: row for row in result["runs"]}
    assert rows["0.1"]["test_accuracy"] > 0.9
    assert rows["0.2"]["error"].startswith("killed: its process ended without a word; its log is")
    assert rows["1e20"]["error"].startswith("Training diverged")
    assert result["over_runs"]["test_accuracy"]["mean"] == rows["0.1"]["test_accuracy"]
    assert json.loads((tmp_path / "sweep.json").read_text()) == result
    assert 3 < len(metrics.read(killed / "metrics.jsonl")) < CONFIG.rounds
    for pickled in tmp_path.glob("jobs/*/*/*_submitted.pkl"):
        loaded = DelayedSubmission.load(pickled)
        assert loaded.function.__name__ == carry_out_at.__name__
        kinds = [type(argument).__name__ for argument in loaded.args]
        assert kinds == ["Place", "Experiment", "PosixPath"]

    before = (fine / "summary.json").stat().st_mtime_ns
    went_on.clear()
    result = sweep(CONFIG, over, tmp_path, launched(tmp_path / "jobs", watch), print)
    assert went_on == {killed.name, diverging.name}
    assert (fine / "summary.json").stat().st_mtime_ns == before
    assert ["error" in row for row in result["runs"]] == [False, False, True]
    assert len(metrics.read(killed / "metrics.jsonl")) == CONFIG.rounds + 1
    assert len(json.loads((killed / "env.json").read_text())) == 2

    finished = [parse_over("client.learning_rate=0.1,0.2")]
    result = sweep(CONFIG, finished, tmp_path, never, print)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert sweep(CONFIG, finished, tmp_path, never, print) == result
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == files


LAUNCHER = f"""
import runpy, sys
sys.argv[0] = {str(ROOT / "scripts" / "sweep.py")!r}
sys.path.insert(0, {str(ROOT / "scripts")!r})
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as exit_:
    print("JAX:", "jax" in sys.modules)
    raise
"""


def test_an_interrupted_sweep_leaves_no_process_and_its_own_never_imports_jax(tmp_path):
    (tmp_path / "small.py").write_text(
        "from pride_jax.settings import *\n"
        "config = Experiment(rounds=10**6, data=Data('iris'), model=Model('logistic'))"
    )
    arguments = [
        "--config",
        "small.py",
        "--over",
        "seed=0..4",
        "--launcher",
        "local",
        "--jobs",
        "2",
    ]
    command = [sys.executable, "-c", LAUNCHER, *arguments, "--workdir", tmp_path / "sweep"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, **pipes) as process:
        begun = [tmp_path / "sweep" / f"seed={seed}" for seed in (0, 1)]
        while not all(metrics.latest(folder / "metrics.jsonl") for folder in begun):
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate()
    assert (process.returncode, errors) == (130, "interrupted: the same command continues\n")
    assert output == "JAX: False\n"
    while processes("_submit", str(tmp_path)):
        time.sleep(0.05)
    for folder in begun:
        with claimed(folder):
            assert (folder / "config.json").exists()
    assert not (tmp_path / "sweep" / "seed=2").exists()


def test_a_launched_process_runs_the_code_that_the_settings_were_made_with(tmp_path):
    folder = tmp_path / "study"
    shutil.copytree(ROOT / "tests" / "own", folder)
    config = load_config(folder / "blobs.py")
    execute = launched(tmp_path / "jobs", lambda running, waiting: None)
    over = [parse_over("model.options.width=3")]
    (row,) = sweep(config, over, tmp_path / "one", execute, print)["runs"]
    assert "error" not in row
    (folder / "nets.py").write_text((folder / "nets.py").read_text() + "\n")
    ((_, error),) = execute([Planned({}, config, tmp_path / "other")])
    assert f"nets.py: its SHA-256 was {config.code.digests['nets.py']} when" in error


def test_runs_share_out_the_cores_or_have_a_gpu_each(monkeypatch):
    everything = os.sched_getaffinity(0)
    for jobs in (None, 1, 2):
        shares = [place.share or frozenset() for place in places(2, None, jobs)]
        assert len(shares) == min(2, jobs or len(everything))
        assert frozenset().union(*shares) == everything
    assert len(places(2 * len(everything), None, None)) == len(everything)
    assert [place.gpu for place in places(2, visible_gpus(8), None)] == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4, GPU-8a,7")
    assert [place.gpu for place in places(9, visible_gpus(2), None)] == ["4", "GPU-8a"]


@pytest.mark.parametrize(
    ("visible", "options", "told"),
    [
        ("0,1", {"gpus": 3}, "--gpus 3 with CUDA_VISIBLE_DEVICES=0,1: expected"),
        ("", {"gpus": 1}, "--gpus 1 with CUDA_VISIBLE_DEVICES=: expected"),
        ("0", {"gpus": 0}, "expected a whole number of at least 1"),
        ("0", {"jobs": -1}, "expected a whole number of at least 1"),
        ("0", {"gpus": 1, "jobs": 1}, "--gpus 1 and --jobs 1: expected one of them"),
    ],
)
def test_what_cannot_be_launched_is_refused_at_once(tmp_path, monkeypatch, visible, options, told):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(ConfigError, match=told):
        launched(tmp_path / "jobs", print, **options)
    assert not list(tmp_path.iterdir())


SCRIPT = [sys.executable, ROOT / "scripts" / "sweep.py", "--config", "none.py", "--over", "seed=0"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--launcher", "local", "--cores", "2"], "--cores 2: expected --launcher slurm with it"),
        (["--hours", "2"], "--hours 2.0: expected --launcher slurm with it"),
        (["--launcher", "slurm"], "there is no sbatch here"),
    ],
)
def test_options_of_slurm_are_refused_elsewhere(tmp_path, options, told):
    (tmp_path / "none.py").write_text(
        "from pride_jax.settings import *\nconfig = Experiment(data=Data('iris'))"
    )
    # Without a PATH, so that a machine which has Slurm does not count.
    done = subprocess.run(
        [*SCRIPT, *options],
        cwd=tmp_path,
        env=os.environ | {"PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["none.py"]
