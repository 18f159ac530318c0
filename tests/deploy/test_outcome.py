"""How a run ended is said even where the server's disk is full, and names the disk."""

import errno
import shutil
import tempfile
from collections import namedtuple
from pathlib import Path

import pytest
from in_process import CONFIG, resident, served

from pride_jax.deploy.journal import journal
from pride_jax.deploy.local import enrol_all
from pride_jax.deploy.outcome import conclude, error_of, has_ended, take_room
from pride_jax.deploy.processes import ended
from pride_jax.deploy.server import PROCESS, SERVER
from pride_jax.errors import RunError
from pride_jax.files import write_json

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def full(monkeypatch):
    """Folders -> None: no new file can be made in them any more."""
    make = tempfile.mkstemp

    def fill(*folders):
        def refused(*given, **named):
            if any(Path(named["dir"]).is_relative_to(folder) for folder in folders):
                raise OSError(errno.ENOSPC, "No space left on device")
            return make(*given, **named)

        monkeypatch.setattr(tempfile, "mkstemp", refused)

    return fill


def test_a_server_that_can_write_nothing_more_says_so(tmp_path, full):
    enrol_all(CONFIG, tmp_path / "roles")
    roles = resident()

    def answer(role, request):
        reply = roles(role, request)
        full(tmp_path / "run", tmp_path / "roles" / "server")
        return reply

    said = served(tmp_path / "roles", tmp_path / "run", answer)
    assert f"Cannot write {tmp_path / 'run'}" in said
    assert "No space left on device" in said


def test_so_says_what_the_server_writes_down_of_sums(tmp_path, full):
    kept = journal(tmp_path / "sums", 1)
    full(tmp_path)
    with pytest.raises(RunError, match=r"sums.*No space left on device"):
        kept.give_up(0, "any", refused=False)


@pytest.fixture
def server(tmp_path):
    """The folder of a server that has begun, and whose process is gone."""
    (tmp_path / "run").mkdir()
    write_json(tmp_path / SERVER, {"workdir": str(tmp_path / "run"), "timeout": 1.0})
    take_room(tmp_path)
    (tmp_path / PROCESS).write_text("1")
    return tmp_path


@pytest.mark.parametrize("is_full", [False, True])
def test_of_a_server_that_is_gone_a_full_disk_is_named(is_full, server, monkeypatch):
    free = 0 if is_full else 2**30
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**30, 0, free))
    with pytest.raises(RunError, match="process is gone") as refused:
        ended(server)
    assert (f"disk of {server} and of {server / 'run'} is full" in str(refused.value)) == is_full


@pytest.mark.parametrize("error", [None, "out of luck", "é" * 10_000])
def test_an_outcome_takes_the_room_that_it_has(error, server):
    size = (server / "outcome.tmp").stat().st_size
    assert not has_ended(server)
    conclude(server, error)
    assert has_ended(server)
    assert (server / "outcome.json").stat().st_size == size
    assert error_of(server) == (error and error[:2000])
