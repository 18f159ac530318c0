"""Two real processes train one model; losing one, and going on with another number of them."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pride_jax.errors import ConfigError, RunError
from pride_jax.reporting import metrics
from pride_jax.runs.experiment import run
from pride_jax.runs.hosts import Action, Order, check_alike, joined, meet
from pride_jax.settings.experiment import Engine
from pride_jax.settings.files import load_config

SCRIPT = Path(__file__).parent.parent / "scripts" / "train.py"
CONFIG = """
from pride_jax.settings import Cohort, Data, Evaluation, Experiment, Model, Partition, Privacy

config = Experiment(
    rounds=60,
    data=Data("wine", test_examples=58),
    partition=Partition("iid", clients=21),
    model=Model("logistic"),
    cohort=Cohort("truncated_poisson", size=5),
    privacy=Privacy(
        mechanism="gaussian", clipping_norm=0.5, noise_multiplier=1.0, delta=1e-3, seed=3
    ),
    evaluation=Evaluation(every=20),
)
"""
KEEPING = """
from pride_jax.settings import *

config = Experiment(
    rounds=4,
    data=Data("flowers.py:flowers"),
    partition=Partition("iid", clients=5, held_out=0.3),
    model=Model("logistic"),
    method=Method(personal=("layers/0/bias",)),
    cohort=Cohort("fixed_size", size=3),
    evaluation=Evaluation(every=2),
)
"""
FLOWERS = """
from pride_jax.data.datasets import load_dataset

def flowers():
    return load_dataset("iris")
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(CONFIG)
    return path


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextlib.contextmanager
def started(config, workdir, processes, *arguments) -> Iterator[list[subprocess.Popen]]:
    """As many training processes, gone when the block is left."""
    command = [sys.executable, SCRIPT, "--config", config, "--workdir", workdir, *arguments]
    command += ["--engine.devices", 1, "--coordinator", f"127.0.0.1:{free_port()}"]
    command += ["--processes", processes]

    def start(process: int) -> subprocess.Popen:
        full = [str(part) for part in (*command, "--process", process)]
        with (workdir.with_suffix(f".{process}.out")).open("w") as out:
            return subprocess.Popen(full, stdout=out, stderr=subprocess.STDOUT)

    everyone = [start(process) for process in range(processes)]
    try:
        yield everyone
    finally:
        for each in everyone:
            each.kill()
            each.wait()


def last_saved(folder):
    latest = max(folder.glob("*.npz"), key=lambda path: int(path.stem))
    with np.load(latest) as saved:
        return dict(saved)


def assert_close(one, other):
    assert one.keys() == other.keys() and one
    for name, leaf in one.items():
        np.testing.assert_allclose(leaf, other[name], rtol=1e-3, atol=1e-5)


def wait_for_rows(workdir, count):
    for _ in range(1800):
        path = workdir / "metrics.jsonl"
        if path.exists() and len(metrics.read(path)) >= count:
            return
        time.sleep(0.1)
    raise AssertionError(f"no {count} rows within three minutes")


def test_two_processes_give_the_numbers_of_one(config, tmp_path):
    one = run(load_config(config), tmp_path / "one")
    with started(config, tmp_path / "two", 2) as everyone:
        assert [each.wait() for each in everyone] == [0, 0]
    two = json.loads((tmp_path / "two" / "summary.json").read_text())
    assert json.loads((tmp_path / "two" / "env.json").read_text())[0]["num_processes"] == 2
    same = ("test_accuracy", "releases", "epsilon", "clipped_updates", "accuracy_over_clients")
    assert {name: one[name] for name in same} == {name: two[name] for name in same}
    rows = [metrics.read(tmp_path / name / "metrics.jsonl") for name in ("one", "two")]
    for here, there in zip(*rows, strict=True):
        assert here.get("clients") == there.get("clients")
        assert here["test_loss"] == pytest.approx(there["test_loss"], rel=1e-4)
    assert_close(*(last_saved(tmp_path / name / "checkpoints") for name in ("one", "two")))


def test_what_clients_keep_is_saved_by_two_processes_and_resumed_by_one(tmp_path):
    (tmp_path / "flowers.py").write_text(FLOWERS)
    path, two = tmp_path / "keeping.py", tmp_path / "two"
    path.write_text(KEEPING)
    one = run(load_config(path), tmp_path / "one")
    expected = last_saved(tmp_path / "one" / "clients")
    (biases,) = expected.values()
    assert len(np.unique(biases, axis=0)) == 5
    with started(path, two, 2) as everyone:
        assert [each.wait() for each in everyone] == [0, 0]
    assert_close(last_saved(two / "clients"), expected)
    # As it was between the states of round 4 and their checkpoint.
    (two / "summary.json").unlink()
    (two / "checkpoints" / "4.npz").unlink()
    (two / "clients" / "4.npz").unlink()
    alone = replace(load_config(path), engine=Engine(devices=1))
    resumed = run(alone, two, resume=True)
    assert_close(last_saved(two / "clients"), expected)
    assert resumed["held_out"]["personal"] == pytest.approx(one["held_out"]["personal"], rel=1e-3)


def test_processes_with_other_code_are_refused_by_its_name():
    same, other = {"nets.py": "aa", "sets.py": "bb"}, {"nets.py": "aa", "sets.py": "cc"}
    check_alike([same, same, same])
    with pytest.raises(
        ConfigError, match=r"sets\.py: .* was bb in process 0, and is cc in process 2"
    ):
        check_alike([same, same, other])
    with pytest.raises(ConfigError, match=r"sets\.py: .* was bb in process 0, and is none in proc"):
        check_alike([same, {"nets.py": "aa"}])


def test_a_lost_process_ends_the_run_and_another_number_continues_it(config, tmp_path):
    workdir, long = tmp_path / "run", ("--rounds", 1_000_000)
    with started(config, workdir, 2, *long) as (leader, other):
        wait_for_rows(workdir, 2)
        other.send_signal(signal.SIGKILL)
        assert leader.wait(180) == 2
    said = workdir.with_suffix(".0.out").read_text()
    assert re.search(r"error: Process 0 lost the others .*start all of them again .*--resume", said)
    before = metrics.read(workdir / "metrics.jsonl")
    released = metrics.read(workdir / "ledger.jsonl")

    def stop(row):
        raise KeyboardInterrupt

    alone = replace(load_config(config), rounds=1_000_000, engine=Engine(devices=1))
    with pytest.raises(KeyboardInterrupt):
        run(alone, workdir, resume=True, report=stop)
    after = metrics.read(workdir / "metrics.jsonl")
    assert after[: len(before)] == before
    again = metrics.read(workdir / "ledger.jsonl")[len(released)]
    lost = [entry for entry in released if entry["until"] > before[-1]["round"]]
    # Rounds that were written down and lost get other noise, and are charged once more.
    assert again["attempt"] == (1 if lost else 0)
    twice = sum(entry["until"] - entry["first"] for entry in lost)
    assert after[len(before)]["releases"] == after[len(before)]["round"] + twice


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("127.0.0.1:9", 2, 2), "process=2 of processes=2: expected 0 to 1"),
        (("127.0.0.1", 2, 0), "expected ADDRESS:PORT"),
        (("127.0.0.1:x", 2, 0), "expected ADDRESS:PORT"),
    ],
)
def test_impossible_processes_are_refused(arguments, reason):
    with pytest.raises(ConfigError, match=reason):
        joined(*arguments).__enter__()


def meeting(numbers, processes, patience):
    """What each of some processes, a thread each, is told."""
    coordinator = f"127.0.0.1:{free_port()}"

    def come(number):
        try:
            with meet(coordinator, processes, number, patience) as others:
                return len(others)
        except RunError as error:
            return str(error)

    with ThreadPoolExecutor(len(numbers)) as threads:
        return list(threads.map(come, numbers))


def test_processes_go_on_when_all_are_there():
    assert meeting([2, 0, 1], 3, patience=30) == [1, 2, 1]


def test_those_who_came_say_who_is_missing():
    leader, other = meeting([0, 1], 4, patience=1)
    assert "Of 4 processes, [2, 3] did not come within 1 s: start all of them" in leader
    assert "Process 1 was not let in at 127.0.0.1:" in other
    assert "Process 2 was not let in" in meeting([2], 3, patience=0.5)[0]


def test_two_processes_of_one_number_are_not_both_let_in():
    told = meeting([0, 1, 1], 3, patience=1)
    assert "[2] did not come" in told[0]
    assert all(isinstance(each, str) for each in told)


def test_a_port_that_is_taken_is_told():
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(RunError, match=f"cannot listen on port {port}: Address already in use"):
            meet(f"127.0.0.1:{port}", 2, 0, patience=1).__enter__()


def test_an_order_does_not_print_its_key():
    assert "12345" not in repr(Order(Action.BEGIN, 7, (12345, 67890)))


def test_a_number_of_processes_needs_a_coordinator(config, tmp_path):
    command = [sys.executable, SCRIPT, "--config", config, "--processes", "2"]
    done = subprocess.run([*command, "--workdir", tmp_path / "w"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "without --coordinator: expected the address and port of process 0" in done.stderr
    assert not (tmp_path / "w").exists()
