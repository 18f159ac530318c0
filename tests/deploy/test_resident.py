"""A role's own process, and the socket that it is asked through."""

import contextlib
import os
import socket
import stat
import struct
import sys
import threading

import pytest
from in_process import CONFIG

from pride_jax.deploy import resident, wire
from pride_jax.deploy.local import enrol_all
from pride_jax.deploy.processes import RESIDENT, running
from pride_jax.deploy.wire import FOLDER, ask, listening
from pride_jax.errors import ProtocolError, RunError
from pride_jax.reporting import metrics

ECHO = """
import os, sys
from pathlib import Path

from pride_jax.deploy.resident import serve
from pride_jax.errors import ProtocolError


def respond(request):
    if request.get("kind") == "refuse":
        raise ProtocolError("not this")
    if request.get("kind") == "die" and not (Path(sys.argv[1]) / "died").exists():
        (Path(sys.argv[1]) / "died").touch()
        os._exit(1)
    return request


serve(Path(sys.argv[1]), respond)
"""


@pytest.fixture
def echo(tmp_path):
    """The folder of a role whose process answers with what it is asked, in a long path."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    with running(folder, [sys.executable, "-c", ECHO, str(folder)], "role.log"):
        assert ask(folder, {"kind": "hello"}) == {"kind": "hello"}
        yield folder


def raw(folder):
    """A connection that says what it likes."""
    connection = socket.socket(socket.AF_UNIX)
    with wire._path_in(folder) as path:
        connection.connect(path)
    return connection


def test_a_request_and_its_reply_pass_as_they_are(echo):
    request = {"a": b"\xff" * 3_000_000, "b": [1, -(2**40)], "c": "ü", "d": [b"", b"x"], "e": 0.5}
    assert ask(echo, request) == request
    assert ask(echo, {"kind": "refuse"}) == {"refused": "not this"}


def test_only_its_owner_reaches_the_socket(echo):
    assert stat.S_IMODE((echo / FOLDER).stat().st_mode) == 0o700
    assert stat.S_IMODE((echo / FOLDER / "socket").stat().st_mode) == 0o600
    (echo / FOLDER).chmod(0o755)
    with pytest.raises(ProtocolError, match="mode 0755"):
        ask(echo, {"kind": "hello"})


@pytest.mark.parametrize("content", [b"\xc1", b"\x93\x01", b"[]", b""])
def test_what_is_no_request_is_refused_and_the_next_one_answered(echo, content):
    with raw(echo) as connection:
        connection.sendall(struct.pack(">Q", len(content)) + content)
        assert list(wire.receive(connection)) == ["refused"]
    with raw(echo) as connection:
        connection.sendall(struct.pack(">Q", 2**63))
        assert "at most" in wire.receive(connection)["refused"]
    with raw(echo) as connection:
        connection.sendall(b"half")
    assert ask(echo, {"kind": "hello"}) == {"kind": "hello"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_users_process_is_not_spoken_with():
    one, other = socket.socketpair()
    with one, other:
        wire.check_peer(one)
        os.seteuid(65534)
        try:
            with pytest.raises(ProtocolError, match="user 0: expected one of user 65534"):
                wire.check_peer(one)
        finally:
            os.seteuid(0)


def test_a_role_has_one_process(echo):
    before = (echo / FOLDER / "socket").stat().st_ino
    with pytest.raises(RunError, match="in use"):
        resident.serve(echo, dict)
    assert (echo / FOLDER / "socket").stat().st_ino == before
    assert ask(echo, {"kind": "hello"}) == {"kind": "hello"}


def test_who_asks_waits_for_a_process_that_starts_and_asks_again_if_it_dies(tmp_path):
    replies = []
    (tmp_path / FOLDER).mkdir(mode=0o700)
    asking = threading.Thread(target=lambda: replies.append(ask(tmp_path, {"kind": "die"})))
    asking.start()
    command = [sys.executable, "-c", ECHO, str(tmp_path)]
    with running(tmp_path, command, "role.log") as first:
        assert first.wait(60) == 1
    with running(tmp_path, command, "role.log"):
        asking.join(60)
    assert replies == [{"kind": "die"}]


def test_a_process_that_always_dies_is_a_refusal(tmp_path):
    with listening(tmp_path) as listener, contextlib.ExitStack() as stack:

        def hang_up():
            for _ in range(2):
                connection, _ = listener.accept()
                stack.enter_context(connection)
                wire.receive(connection)
                connection.close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        assert "its own log tells why" in ask(tmp_path, {"kind": "x"})["refused"]
        thread.join()


def test_a_role_answers_in_its_own_process_and_what_that_took_stays_there(tmp_path):
    """Also of a refusal: with a secret at hand, it could tell something of it."""
    enrol_all(CONFIG, tmp_path / "roles")
    party = tmp_path / "roles" / "party-0"
    with running(party, [sys.executable, *RESIDENT, str(party)], "role.log"):
        for request in ({"kind": "no such kind"}, {}):
            assert list(ask(party, request)) == ["refused"]
    rows = metrics.read(party / resident.ANSWERS)
    assert [row["kind"] for row in rows] == ["no such kind", "None"]
    assert all(row["processor_seconds"] >= 0 for row in rows)
