"""Who was not there at the end of a run is told of it, receives the model, and ends."""

import socket
import subprocess
import sys

import pytest
from in_process import CONFIG, resident, served

from pride_jax.deploy import apart, joining
from pride_jax.deploy.agreement import ROSTER, load_agreement
from pride_jax.deploy.bundle import save_bundle
from pride_jax.deploy.finishing import FINISHED, MODEL, lacking
from pride_jax.deploy.introduction import everyone
from pride_jax.deploy.local import enrol_all
from pride_jax.deploy.roster import load_roster
from pride_jax.deploy.status import status
from pride_jax.files import write_json


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """The folder of a run at whose end party 2 was silent."""
    folder = tmp_path_factory.mktemp("ended")
    enrol_all(CONFIG, folder / "roles")
    roles = resident()

    def answer(role, request):
        gone = (role.name, request["kind"]) == ("party-2", "finish")
        return None if gone else roles(role, request)

    assert served(folder / "roles", folder / "run", answer) is None
    return folder


def test_a_server_that_is_started_again_hands_out_the_model_to_those_who_lack_it(ended):
    roles, asked = resident(), []
    server, party = ended / "roles" / "server", ended / "roles" / "party-2"
    names = everyone(load_roster(server / ROSTER))
    assert lacking(server, names) == ["party 2"]
    assert any("party 2 does not have the model yet" in line for line in status(server))
    assert not (party / FINISHED).exists()

    def answer(role, request):
        asked.append((role.name, request["kind"]))
        return roles(role, request)

    rows = (ended / "run" / "metrics.jsonl").read_bytes()
    assert served(ended / "roles", ended / "run", answer) is None
    assert [kind for kind in asked if kind[1] != "hello"] == [("party-2", "finish")]
    assert lacking(server, names) == []
    assert not any("does not have the model" in line for line in status(server))
    assert (party / MODEL).read_bytes() == (ended / "run" / MODEL).read_bytes()
    # The run is left as it was.
    assert (ended / "run" / "metrics.jsonl").read_bytes() == rows


def test_a_role_that_has_the_model_ends_though_the_server_is_gone(ended):
    server, party = ended / "roles" / "server", ended / "roles" / "party-0"
    roster, said = load_roster(server / ROSTER), []
    bundle = save_bundle(server, CONFIG, roster, "127.0.0.1:1")
    assert apart.join(party, bundle, roster.short, said.append) == 0
    assert said == [f"the run has ended; the model is {party / MODEL}"]


def test_of_a_server_that_is_gone_a_role_is_told_once_and_that_it_is_back(
    ended, tmp_path, monkeypatch
):
    """Whoever has joined waits, and knows for whom."""
    monkeypatch.setattr(joining, "_KNOCK_SECONDS", 0.0)
    monkeypatch.setattr(joining, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(joining, "_GRACE_SECONDS", 0.0)
    agreement, said = load_agreement(ended / "roles" / "party-0"), []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    listening = []

    def say(line):
        said.append(line)
        if "does not answer" in line:
            listening.append(socket.create_server(("127.0.0.1", port)))
        if "again" in line:
            write_json(tmp_path / FINISHED, {"rounds": 2})

    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        assert joining.take_part(tmp_path, agreement, f"127.0.0.1:{port}", process, say) == 0
    listening.pop().close()
    assert [line.split(",")[0] for line in said] == [
        f"the server at 127.0.0.1:{port} does not answer",
        f"the server is at 127.0.0.1:{port} again",
        f"the run has ended; the model is {tmp_path / MODEL}",
    ]
    assert "--serve with --resume hands out the model" in said[0]
