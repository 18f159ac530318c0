"""Where the helpers are that play all roles."""

import os
import sys
from pathlib import Path

for _folder in ("aggregation", "deploy"):
    sys.path.append(str(Path(__file__).parents[1] / _folder))

import pytest  # noqa: E402
from active_server import FIVE, ActiveServer, fresh, train_at_once  # noqa: E402

from pride_jax.deploy.local import enrol_all  # noqa: E402


@pytest.fixture(autouse=True)
def quick_disk(monkeypatch):
    """Nobody pulls the plug here: what is written need not reach the disk before a test goes on."""
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="session")
def five_enrolled(tmp_path_factory):
    """Five parties and a key holder, of ``two_servers``."""
    folder = tmp_path_factory.mktemp("five") / "roles"
    enrol_all(FIVE, folder)
    return folder


@pytest.fixture
def roles(five_enrolled, tmp_path):
    return fresh(five_enrolled, tmp_path)


@pytest.fixture
def server(roles, monkeypatch):
    """An active server of these roles."""
    train_at_once(monkeypatch)
    return ActiveServer(roles).hello()
