"""Every command of the README and of the pages beside the code is executed.

Some are executed by the tests that ``ELSEWHERE`` names. The others are executed here, in the order
of the pages and in one folder, as a reader would:

    PRIDE_DATA_DIR=… pytest -n 0 -m pages -v --durations=0 tests/test_commands.py

What takes long is made shorter (``CHANGED``), and what needs others' machines is not run
(``NOT_RUN``); each with its reason.
"""

import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from pages import PAGES, ROOT, commands, name_of
from sklearn.datasets import load_iris

from pride_jax.deploy.processes import free_ports

ELSEWHERE = {
    "pip install -e . && python scripts/train.py --config configs/iris_two_party.py": ".ci/run",
    "pip install -e '.[test]' && pytest": ".ci/run",
    "python scripts/train.py --config configs/own.py": "tests/test_own_data.py",
    "python scripts/train.py --config configs/mine.py": "tests/test_readme.py",
    "python scripts/deploy.py --config configs/hospitals.py": "tests/deploy/test_hospitals.py",
    "python scripts/deploy.py --serve": "tests/deploy/test_hospitals.py",
    "python scripts/deploy.py --join": "tests/deploy/test_hospitals.py",
    "python scripts/deploy.py --status": "tests/deploy/test_hospitals.py",
    "pytest -n 0 -m deploy": "tests/deploy",
    "pip install -e '.[deploy]' && pytest -n 0 -m deploy": "tests/deploy",
    "pip install -e '.[tensorboard,wandb]' && pytest": "tests/reporting/test_watching.py",
    "pytest -n 0 -m pages": "tests/test_commands.py",
    "python scripts/plot.py results": "tests/results/test_studies.py",
    "pip install -e '.[dev]'": ".ci/run",
    "ruff check . && ruff format --check . && pyright": ".ci/run",
}
"""The beginning of a command -> who executes it."""

NOT_RUN = {
    "pip install -e '.[cuda]'": "a GPU's libraries are several gigabytes",
    "wandb sync": "it sends the run to a server that asks for an account",
    "python -m venv": "the tests run in an environment already",
}

CHANGED = {
    "--launcher slurm --gpus 8": ("--launcher local --rounds 1", "there is no cluster"),
    "192.0.2.1:9876": ("127.0.0.1:{port} --rounds 3", "that address is an example's"),
    "tensorboard --logdir runs": ("tensorboard --logdir runs --port {port}", "it serves for ever"),
    "pip install": ("pip install --dry-run", "the environment stays as it is"),
}
"""A part of a command -> what it is replaced by, and why."""


def first(command, known):
    """What is known of the beginning of a command, if anything."""
    return next((value for start, value in known.items() if command.startswith(start)), None)


SHOWN = [(page, command) for page in PAGES for command in commands(page)]
RUN = [
    pytest.param(command, id=f"{name_of(page)}: {command}")
    for page, command in SHOWN
    if first(command, ELSEWHERE) is None and first(command, NOT_RUN) is None
]


def test_what_is_executed_elsewhere_or_changed_is_still_shown():
    every = [command for _, command in SHOWN]
    for start in (*ELSEWHERE, *NOT_RUN):
        assert any(command.startswith(start) for command in every), start
    for part in CHANGED:
        assert any(part in command for command in every), part


@pytest.mark.parametrize("where", sorted(set(ELSEWHERE.values())))
def test_what_executes_commands_elsewhere_is_there(where):
    assert (ROOT / where).exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A checkout with what the commands read, where the README's first command has been run."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("scripts", "configs", "pride_jax", "pyproject.toml", "README.md", "LICENSE"):
        (folder / name).symlink_to(ROOT / name)
    np.save(folder / "flowers.npy", load_iris().data[:5].astype(np.float32))
    execute("python scripts/train.py --config configs/iris_two_party.py", folder)
    return folder


def environment():
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": programs, "PYTHONPATH": str(ROOT)}


def execute(command, folder):
    subprocess.run(["bash", "-c", command], cwd=folder, env=environment(), check=True)


@pytest.fixture(scope="module")
def waiting():
    """Processes that were begun and wait for another's: the first of two on many machines."""
    processes = []
    yield processes
    for process in processes:
        process.kill()


@pytest.fixture(scope="module")
def port():
    return free_ports(1)[0]


@pytest.mark.pages
@pytest.mark.parametrize("command", RUN)
def test_the_command_does_what_it_says(command, folder, port, waiting):
    for part, (instead, _) in CHANGED.items():
        command = command.replace(part, instead.format(port=port))
    if command.startswith("tensorboard"):
        serves(command, folder, port)
    elif command.endswith("--process 0"):
        waiting.append(subprocess.Popen(["bash", "-c", command], cwd=folder, env=environment()))
    else:
        execute(command, folder)
        while waiting:
            assert waiting.pop().wait(timeout=300) == 0


def serves(command, folder, port):
    """Starts a server of pages, and ends it when it has answered."""
    if shutil.which(command.split()[0], path=environment()["PATH"]) is None:
        pytest.skip(f"{command.split()[0]} is not installed")
    with subprocess.Popen(command.split(), cwd=folder, env=environment()) as process:
        try:
            while process.poll() is None:
                try:
                    with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=10) as page:
                        assert page.status == 200
                        return
                except urllib.error.URLError:
                    continue
            pytest.fail("the server ended by itself")
        finally:
            process.terminate()
