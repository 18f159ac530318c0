"""The page's lines for three hospitals, word for word but for names, numbers and the address."""

import csv
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from federation import wait_until
from pages import ROOT, blocks, commands_of

from pride_jax.deploy.bundle import read_bundle
from pride_jax.deploy.finishing import MODEL
from pride_jax.deploy.processes import free_ports
from pride_jax.runs.load import load

PARTIES = (0, 1, 2)


def lines():
    """The page's commands for machines of their own."""
    shown = blocks(ROOT / "pride_jax" / "deploy" / "README.md", "sh")
    (block,) = [block for block in shown if "hospital-0" in block]
    return [shlex.split(command) for command in commands_of(block)]


def table(path, rows, seed):
    rng = np.random.default_rng(seed)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["patient", "age", "size", "finding"])
        for number in range(rows):
            size = rng.uniform(0, 50)
            finding = "malignant" if size + rng.normal(0, 5) > 25 else "benign"
            writer.writerow([number, rng.integers(20, 90), f"{size:.1f}", finding])


def environment():
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "scripts")])}


def told(command, **names):
    """A command for others: whose folder, number, port and host it is."""
    text = shlex.join(command[1:])
    for old, new in names.items():
        text = text.replace(old.replace("_", "-"), new)
    return [sys.executable, *shlex.split(text.replace("scripts/", f"{ROOT}/scripts/"))]


@pytest.mark.deploy
@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_hospitals_follow_the_page_and_everybody_ends_with_the_model(tmp_path):
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    enrol, hold, collect, serve, join, status = lines()
    (port,) = free_ports(1)

    def run(command):
        return subprocess.run(
            command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
        ).stdout

    for party in PARTIES:
        table(tmp_path / "mine.csv", 40, party)
        command = told(enrol, hospital_0=f"hospital-{party}")
        command[command.index("--party") + 1] = str(party)
        run(command)
    run(told(hold))
    table(tmp_path / "test.csv", 60, 9)
    # All lie in one folder: each is named as its role's folder is.
    for handed_in in list(tmp_path.glob("*/*.enrolment.json")):
        shutil.copy(handed_in, tmp_path)
    enrolments = [str(path) for path in sorted(tmp_path.glob("*.enrolment.json"))]
    at = collect.index("*.enrolment.json")
    collect[at : at + 1] = enrolments
    run([*told(collect), "--host", "127.0.0.1", "--port", str(port)])
    bundle = read_bundle(tmp_path / "server" / "bundle.json")
    shutil.copy(tmp_path / "server" / "bundle.json", tmp_path / "bundle.json")

    def start(name, command):
        with (tmp_path / f"{name}.txt").open("ab") as file:
            return subprocess.Popen(
                command, cwd=tmp_path, env=environment(), stdout=file, stderr=file
            )

    def joins(name):
        command = told(join, hospital_0=name)
        return start(name, [*command, "--roster", bundle.roster.short])

    names = [*(f"hospital-{party}" for party in PARTIES), "key-holder"]
    roles = {name: joins(name) for name in names}
    served = start("serve", told(serve))
    try:
        rows = tmp_path / "runs" / "server_deployed" / "metrics.jsonl"
        wait_until(lambda: rows.exists() and len(rows.read_text().splitlines()) > 2)
        # The server is killed, and so is a hospital; another is ended.
        served.send_signal(signal.SIGKILL)
        roles["hospital-1"].send_signal(signal.SIGKILL)
        roles["hospital-2"].send_signal(signal.SIGTERM)
        for process in (served, roles["hospital-1"], roles["hospital-2"]):
            process.wait()
        # All three are started again, as the page says.
        roles |= {name: joins(name) for name in ("hospital-1", "hospital-2")}
        served = start("serve", [*told(serve), "--resume"])
        assert "round" in run(told(status))
        # One misses the end, and receives the model later, as its last line says.
        wait_until(lambda: len(rows.read_text().splitlines()) > 4)
        late = "hospital-2"
        roles[late].send_signal(signal.SIGTERM)
        roles.pop(late).wait()
        ends = time.monotonic() + 300
        assert served.wait(ends - time.monotonic()) == 0
        for process in roles.values():
            assert process.wait(max(1, ends - time.monotonic())) == 0
        assert not (tmp_path / late / MODEL).exists()
        roles[late] = joins(late)
        served = start("serve", [*told(serve), "--resume"])
        for process in (served, roles[late]):
            assert process.wait(max(1, ends - time.monotonic())) == 0
    finally:
        for process in (*roles.values(), served):
            process.kill()
    for name in names:
        assert "the run has ended" in (tmp_path / f"{name}.txt").read_text()
    mine, others = (load(tmp_path / f"hospital-{party}") for party in (1, 2))
    inputs = np.array([[50, 5], [50, 45]], np.float32)
    assert mine.predict(inputs).answers.tolist() == ["benign", "malignant"]
    assert others.predict(inputs).answers.tolist() == ["benign", "malignant"]
