"""T9. Whoever reaches Flower's control service begins a run of its own code, on every node.

The service is reached from the server's machine alone, see ``deploy/test_proxy``; and what a node,
or the server, runs is one pinned application, however a run was begun.
"""

import importlib
import shutil
import subprocess
import sys
import types

import pytest

from pride_jax.deploy import pinned
from pride_jax.deploy import seal as sealed
from pride_jax.deploy.pinned import COMMANDS, digest_of_app, pin
from pride_jax.deploy.processes import APP, environment
from pride_jax.deploy.seal import seal
from pride_jax.errors import RunError

pytest.importorskip("flwr")
# Flower's command line imports what its own libraries have deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture
def evil(tmp_path):
    """The same application, but for what it does."""
    app = shutil.copytree(APP, tmp_path / "app")
    (app / "pride_app.py").write_text("print(open('secrets/signing-key', 'rb').read())\n")
    return app


def test_the_pinned_application_is_installed_and_no_other(evil):
    from flwr.cli.build import build_fab_from_disk

    installed = []
    install = pinned.pinned(installed.append, digest_of_app(APP))
    install(build_fab_from_disk(APP))
    with pytest.raises(RunError, match="Refused to run an application"):
        install(build_fab_from_disk(evil))
    assert installed == [build_fab_from_disk(APP)]


def test_without_the_pin_flower_installs_what_it_is_sent(evil, tmp_path, monkeypatch):
    from flwr.cli.build import build_fab_from_disk
    from flwr.supernode.runtime import run_clientapp

    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    run_clientapp.install_from_fab(build_fab_from_disk(evil), skip_prompt=True)
    found = list((tmp_path / "home").rglob("pride_app.py"))
    assert [file.read_text() for file in found] == [(evil / "pride_app.py").read_text()]


def test_all_that_flower_starts_by_name_is_pinned_or_refused(tmp_path):
    from flwr.supercore.constant import TASK_TYPE_TO_COMMAND

    pin(tmp_path, APP)
    # A SuperNode also starts, by name, what starts these.
    names = {*TASK_TYPE_TO_COMMAND.values(), "flower-superexec"}
    assert {file.name for file in (tmp_path / COMMANDS).iterdir()} == names
    for name in names:
        found = shutil.which(name, path=environment(tmp_path)["PATH"])
        assert found == str((tmp_path / COMMANDS / name).resolve())
    refused = subprocess.run([tmp_path / COMMANDS / "flwr-agentapp"], capture_output=True)
    assert refused.returncode == 1


@pytest.mark.parametrize("command", ["flwr-clientapp", "flwr-serverapp"])
def test_the_commands_begin_with_the_check_in_place(command, monkeypatch):
    runtime, entry = map(importlib.import_module, pinned._RUNS[command])
    monkeypatch.setattr(sys, "argv", list(sys.argv))
    monkeypatch.setattr(runtime, "install_from_fab", lambda content: content)
    seen = []

    def entered():
        with pytest.raises(RunError):
            runtime.install_from_fab(b"another")
        seen.append(list(sys.argv))

    monkeypatch.setattr(entry, command.replace("-", "_"), entered)
    pinned.main(command, "0" * 64, ["--token", "x"])
    assert seen == [[command, "--token", "x"]]


@pytest.fixture
def serves(tmp_path, monkeypatch):
    """What the server's process does with a run's settings: it serves from the folders listed."""
    from pride_jax.deploy import flower, grid
    from pride_jax.deploy import server as serving

    served = []
    monkeypatch.setattr(grid, "network", lambda grid: None)
    monkeypatch.setattr(serving, "serve", lambda folder, network: served.append(folder))
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "link" / "flower"))
    pin(tmp_path / "link", APP)

    def begun(**settings):
        flower.main(None, types.SimpleNamespace(run_config=settings))
        return served

    return begun


def test_a_server_serves_from_no_folder_but_its_owners(serves, tmp_path):
    """The pinned application in a run of somebody else's, who has a folder with code of its own."""
    link, mine, theirs = (tmp_path / name for name in ("link", "server", "evil"))
    pin(tmp_path / "another", APP)
    for given in ("", "0" * 64, seal(link, mine), seal(tmp_path / "another", theirs)):
        with pytest.raises(RunError, match="Refused to serve from"):
            serves(folder=str(theirs), seal=given)
    assert serves(folder=str(mine), seal=seal(link, mine)) == [mine]


def test_without_the_seal_it_serves_from_theirs(serves, tmp_path, monkeypatch):
    monkeypatch.setattr(sealed, "check_seal", lambda *_: None)
    assert serves(folder=str(tmp_path / "evil"), seal="") == [tmp_path / "evil"]
