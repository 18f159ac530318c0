"""Sweeps through a small stand-in for Slurm, which runs what it is given and ends it at will."""

import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pride_jax.errors import ConfigError, RunError
from pride_jax.reporting import metrics
from pride_jax.runs.experiment import run
from pride_jax.settings.experiment import Data, Engine, Evaluation, Experiment, Model
from pride_jax.sweeps import slurm
from pride_jax.sweeps.slurm import Requeued, Resources, on_slurm
from pride_jax.sweeps.sweep import parse_over, plan, sweep

CONFIG = Experiment(
    rounds=150,
    data=Data("iris"),
    model=Model("logistic"),
    evaluation=Evaluation(every=1),
    engine=Engine(devices=1),
)
CLUSTER = '''#!{python}
"""sbatch, srun, squeue, scontrol and scancel of a cluster of one machine."""
import fcntl, json, os, re, signal, subprocess, sys
from pathlib import Path

HERE = Path(__file__).parent
name, *words = sys.argv
name = Path(name).name


def start(job):
    """Runs a task of the array in a session of its own."""
    task = job.partition("_")[2]
    if task:
        told = dict(SLURM_JOB_ID="9", SLURM_ARRAY_JOB_ID="7", SLURM_ARRAY_TASK_ID=task)
    else:
        told = dict(SLURM_JOB_ID="7")
    script = (HERE / "script").read_text()
    process = subprocess.Popen(["bash", script], start_new_session=True, env=os.environ | told,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    (HERE / f"{{job}}.pid").write_text(str(process.pid))


def end(job):
    """Kills it with all that it started."""
    try:
        os.killpg(int((HERE / f"{{job}}.pid").read_text()), signal.SIGKILL)
    except ProcessLookupError:
        pass


def alive(job):
    pid = (HERE / f"{{job}}.pid").read_text()
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


if name == "sbatch":
    (HERE / "script").write_text(words[0])
    array = re.search("--array=0-([0-9]+)", Path(words[0]).read_text())
    jobs = ["7_%d" % task for task in range(int(array[1]) + 1)] if array else ["7"]
    print("Submitted batch job 7", flush=True)
    for job in jobs:
        start(job)
elif name == "srun":
    while words[0].startswith("--"):
        option = words.pop(0)
        if option in ("--output", "--error"):
            words.pop(0)
    job = os.environ.get("SLURM_ARRAY_JOB_ID", "7")
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    job = job if task is None else f"{{job}}_{{task}}"
    (HERE / f"{{job}}.started").open("a").write("once\\n")
    script = Path((HERE / "script").read_text())
    log = script.parent / f"{{job}}_0_log.out"
    with log.open("a") as file, log.with_suffix(".err").open("a") as errors:
        os.dup2(file.fileno(), 1)
        os.dup2(errors.fileno(), 2)
    os.execvp(words[0], words)
elif name == "squeue":
    for pid in HERE.glob("*.pid"):
        print(pid.stem, "RUNNING" if alive(pid.stem) else "OUT_OF_MEMORY")
elif name == "scontrol":
    job = words[1]
    if os.fork():
        sys.exit()
    os.setsid()
    end(job)
    start(job)
elif name == "scancel":
    end(words[0])
'''


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """The folder of the cluster's commands and of the process of each job."""
    folder = tmp_path / "cluster"
    folder.mkdir()
    for name in ("sbatch", "srun", "squeue", "scontrol", "scancel"):
        (folder / name).write_text(CLUSTER.format(python=sys.executable))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    monkeypatch.setattr(slurm, "_QUEUE_SECONDS", 0.2)
    monkeypatch.setattr(slurm, "_SHARED_SECONDS", 1.0)
    return folder


def silent(running, waiting):
    del running, waiting


def when_round(folder: Path, round_: int) -> None:
    """Waits until a run has come so far."""
    while (metrics.latest(folder / "metrics.jsonl") or {"round": -1})["round"] < round_:
        time.sleep(0.002)


def python_of(cluster: Path, job: str) -> int:
    """The process of a job that trains; the job's own is a shell."""
    session = (cluster / f"{job}.pid").read_text()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text().rpartition(")")[2].split()
            if stat[3] == session and b"submitit" in (folder / "cmdline").read_bytes():
                return int(folder.name)
        except OSError:
            continue
    raise AssertionError(f"{job} has no process")


def test_a_job_that_is_signalled_is_requeued_and_ends_with_the_bits_of_an_undisturbed_run(
    tmp_path, cluster
):
    over = [parse_over("seed=1,2")]
    folders = [planned.folder for planned in plan(CONFIG, over, tmp_path / "sweep")]

    def disturb():
        when_round(folders[0], 3)
        os.kill(python_of(cluster, "7_0"), signal.SIGUSR2)
        when_round(folders[1], 3)
        # What Slurm does at a preemption: it neither waits nor lets submitit know.
        os.kill(python_of(cluster, "7_1"), signal.SIGTERM)
        os.system("scontrol requeue 7_1")

    disturber = threading.Thread(target=disturb, daemon=True)
    disturber.start()
    execute = on_slurm(Resources(at_a_time=2), tmp_path / "jobs", silent)
    rows = sweep(CONFIG, over, tmp_path / "sweep", execute, print)["runs"]
    disturber.join()
    for job, row, folder in zip(("7_0", "7_1"), rows, folders, strict=True):
        assert (cluster / f"{job}.started").read_text() == "once\nonce\n"
        assert len(json.loads((folder / "env.json").read_text())) == 2
        rounds = [each["round"] for each in metrics.read(folder / "metrics.jsonl")]
        assert rounds == list(range(CONFIG.rounds + 1))
        seed = row["settings"]["seed"]
        alone = run(replace(CONFIG, seed=int(seed)), tmp_path / f"alone{seed}")
        assert row["parameters_sha256"] == alone["parameters_sha256"]


def test_a_job_that_slurm_kills_is_told_and_only_it_is_run_again(tmp_path, cluster):
    over = [parse_over("seed=1,2")]
    killed = plan(CONFIG, over, tmp_path / "sweep")[1].folder

    def kill():
        when_round(killed, 3)
        os.kill(python_of(cluster, "7_1"), signal.SIGKILL)

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    execute = on_slurm(Resources(), tmp_path / "jobs", silent)
    fine, row = sweep(CONFIG, over, tmp_path / "sweep", execute, print)["runs"]
    killer.join()
    assert "error" not in fine
    assert row["error"].startswith("killed (OUT_OF_MEMORY): its process ended without a word")
    for file in cluster.glob("*.pid"):
        file.unlink()
    execute = on_slurm(Resources(), tmp_path / "more", silent)
    _, row = sweep(CONFIG, over, tmp_path / "sweep", execute, print)["runs"]
    assert "error" not in row
    assert [file.stem for file in cluster.glob("*.pid")] == ["7"]


def test_an_interrupted_sweep_leaves_no_job(tmp_path, cluster):
    endless = replace(CONFIG, rounds=10**6)
    (folder,) = (each.folder for each in plan(endless, [parse_over("seed=1")], tmp_path))

    def interrupted(running, waiting):
        if metrics.latest(folder / "metrics.jsonl"):
            raise KeyboardInterrupt

    execute = on_slurm(Resources(), tmp_path / "jobs", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sweep(endless, [parse_over("seed=1")], tmp_path, execute, print)
    with pytest.raises(AssertionError, match="has no process"):
        python_of(cluster, "7")
    assert (folder / "config.json").exists()


def test_slurm_is_asked_for_what_the_options_say_and_a_run_without_its_gpu_is_told(
    tmp_path, cluster
):
    resources = Resources(
        cores=3, memory=1.5, hours=2.5, partition="long", account="lab", gpu=True, at_a_time=2
    )
    execute = on_slurm(resources, tmp_path / "jobs", silent)
    rows = sweep(CONFIG, [parse_over("seed=1,2")], tmp_path, execute, print)["runs"]
    assert all(row["error"].startswith("--gpus: this process sees no GPU") for row in rows)
    script = Path((cluster / "script").read_text()).read_text()
    for line in (
        *("--array=0-1%2", "--cpus-per-task=3", "--mem=1536M", "--time=150", "--gres=gpu:1"),
        *("--partition=long", "--account=lab", "--requeue"),
    ):
        assert f"#SBATCH {line}\n" in script
    assert " --cpus-per-task=3 " in script.splitlines()[-1]


def test_what_slurm_refuses_is_told_of_each_run(tmp_path, cluster):
    (cluster / "sbatch").write_text("#!/bin/sh\necho no such partition >&2\nexit 1\n")
    execute = on_slurm(Resources(), tmp_path / "jobs", silent)
    rows = sweep(CONFIG, [parse_over("seed=1,2")], tmp_path, execute, print)["runs"]
    assert all("no such partition" in row["error"] for row in rows)


def test_a_run_that_never_comes_further_is_not_requeued_for_ever(tmp_path):
    def next_of(job: Requeued) -> Requeued:
        following = job.checkpoint(CONFIG, tmp_path, False).function
        assert isinstance(following, Requeued)
        return following

    def row(round_: int) -> None:
        metrics.append(tmp_path / "metrics.jsonl", {"round": round_})

    job = next_of(next_of(Requeued()))
    with pytest.raises(RunError, match=r"3 times in a row .* raise --hours"):
        next_of(job)
    row(0)
    job = next_of(job)
    assert job == Requeued(0, 0)
    with pytest.raises(RunError, match="after round 0"):
        next_of(next_of(next_of(job)))
    for round_ in range(1, 9):
        row(round_)
        job = next_of(job)
        assert job == Requeued(round_, 0)


@pytest.mark.parametrize(
    ("resources", "told"),
    [
        (Resources(cores=0), "--cores=0: expected a whole number of at least 1"),
        (Resources(memory=-1.0), "--memory -1.0: expected a number of GiB"),
        (Resources(memory=float("nan")), "--memory nan: expected"),
        (Resources(hours=0.01), "--hours 0.01: expected a number of hours from 0.1 on"),
        (Resources(hours=float("inf")), "--hours inf: expected"),
        (Resources(partition="a\nb"), "--partition 'a.nb': expected the name"),
        (Resources(account=""), "--account '': expected the name"),
        (Resources(hours=2.0), "--hours 2.0 with SBATCH_TIMELIMIT=10, which Slurm prefers"),
    ],
)
def test_impossible_resources_are_refused_and_leave_nothing(
    tmp_path, cluster, monkeypatch, resources, told
):
    monkeypatch.setenv("SBATCH_TIMELIMIT", "10")
    with pytest.raises(ConfigError, match=told):
        on_slurm(resources, tmp_path / "jobs", silent)
    assert [file.name for file in tmp_path.iterdir()] == ["cluster"]
