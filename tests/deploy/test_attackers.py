"""Who has ``ca.crt``, host and port, and a party's own keys, against real processes and the door.

The server and party 1 are there and wait for party 0. Starting another application is in
``adversary/test_flower`` and ``test_proxy``.
"""

# pyright: reportMissingImports=false
# Flower is an extra.

import contextlib
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
import types
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from federation import wait_until
from in_process import CONFIG

from pride_jax.deploy import conduct
from pride_jax.deploy.agreement import ROSTER
from pride_jax.deploy.bundle import read_bundle, save_bundle
from pride_jax.deploy.certificates import AUTHORITY, make_certificates
from pride_jax.deploy.enrolment import EXECUTOR_KEY, NODE_KEY, SECRETS
from pride_jax.deploy.local import enrol_all
from pride_jax.deploy.pinned import pin
from pride_jax.deploy.processes import APP, LOOPBACK, free_ports, link, start_run
from pride_jax.deploy.roster import load_roster
from pride_jax.deploy.server import PROCESS
from pride_jax.files import read_json
from pride_jax.settings.experiment import Partition

pytestmark = [
    pytest.mark.deploy,
    pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed"),
    # Flower's command line imports what its own libraries have deprecated.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
SCRIPT = Path(__file__).parents[2] / "scripts" / "deploy.py"
TWO = replace(CONFIG, partition=Partition("iid", clients=2))


@pytest.fixture(scope="module")
def meeting(tmp_path_factory, programs):
    """Folders, bundle, and how to start ``deploy.py``; the server and party 1 are started."""
    folder = tmp_path_factory.mktemp("meeting")
    roles = folder / "roles"
    enrol_all(TWO, roles)
    roster = load_roster(roles / "server" / ROSTER)
    (port,) = free_ports(1)
    bundle = save_bundle(roles / "server", TWO, roster, f"{LOOPBACK}:{port}")
    with contextlib.ExitStack() as stack:

        def start(name, *arguments):
            file = stack.enter_context((folder / f"{name}.txt").open("ab"))
            command = [sys.executable, str(SCRIPT), *map(str, arguments)]
            process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file)
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        def join(name, role, by=bundle):
            told = read_bundle(by).roster.short
            return start(name, "--join", role, "--bundle", by, "--roster", told)

        def said(name):
            return (folder / f"{name}.txt").read_text()

        start("server", "--serve", roles / "server", "--workdir", folder / "run")
        join("first", roles / "party-1")
        # Party 1's own place, before it has joined, with all its keys.
        shutil.copytree(roles / "party-1", folder / "thief")
        wait_until(lambda: "answered: hello" in said("first"))
        yield types.SimpleNamespace(folder=folder, roles=roles, join=join, said=said, port=port)


def node_key(folder):
    """That with which a role's node logs in."""
    key = serialization.load_ssh_private_key((folder / SECRETS / NODE_KEY).read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


@pytest.fixture
def client(meeting):
    """Speaks with the server's machine as party 0's node would."""
    from flwr.supernode.fleet_http_client import FleetHttpClient
    from flwr.supernode.node_auth_http_interceptor import NodeAuthHttpInterceptor

    private = node_key(meeting.roles / "party-0")
    signs = NodeAuthHttpInterceptor(private, private.public_key())
    authority = str(meeting.roles / "party-0" / AUTHORITY)
    address = f"{LOOPBACK}:{meeting.port}"
    with FleetHttpClient.from_server_address(
        address, False, authority, interceptors=[signs]
    ) as client:
        yield client


def node_of(folder, key):
    """A node's number at a SuperLink: of those who ask, the server's machine alone can know it."""
    from flwr.supercore.primitives.asymmetric import public_key_to_bytes

    public = public_key_to_bytes(node_key(key).public_key())
    with contextlib.closing(sqlite3.connect(folder / conduct.DATABASE)) as database:
        rows = database.execute("select node_id, public_key from node").fetchall()
    (number,) = [number for number, known in rows if known == public]
    return number % 2**64


def requests(client, number):
    """Name -> a request that only the node of a number should make."""
    from flwr.proto.fleet_pb2 import DeactivateNodeRequest, PullMessagesRequest
    from flwr.proto.heartbeat_pb2 import SendNodeHeartbeatRequest
    from flwr.proto.node_pb2 import Node

    node = Node(node_id=number)
    return {
        "reads its messages": lambda: client.PullMessages(PullMessagesRequest(node=node)),
        "says that it lives": lambda: client.SendNodeHeartbeat(
            SendNodeHeartbeatRequest(node=node, heartbeat_interval=30)
        ),
        "logs it out": lambda: client.DeactivateNode(DeactivateNodeRequest(node_id=number)),
    }


def status_of(request):
    import httpx

    try:
        request()
    except httpx.HTTPStatusError as error:
        return error.response.status_code
    return 200


def test_a_party_joins_once_and_the_first_goes_on(meeting):
    thief = meeting.join("thief", meeting.folder / "thief")
    again = meeting.join("again", meeting.roles / "party-1")
    assert again.wait(60) == 2
    assert "has joined already" in meeting.said("again")
    wait_until(lambda: "does not let this role in" in meeting.said("thief"))
    thief.terminate()
    thief.wait()
    assert "answered" not in meeting.said("thief")
    assert "does not let" not in meeting.said("first")


def test_nobody_reads_or_speaks_for_another(meeting, client):
    server = meeting.roles / "server"
    victim, own = (
        requests(client, node_of(server, meeting.roles / f"party-{each}")) for each in (1, 0)
    )
    for name, request in victim.items():
        assert (name, status_of(request)) == (name, 401)
    # The same, of its own node: it is the key that was missing.
    assert status_of(own["reads its messages"]) == 200


def test_nobody_asks_another_node_and_nobody_else_becomes_one(meeting, client):
    from flwr.proto.fleet_pb2 import PushMessagesRequest, RegisterNodeFleetRequest
    from flwr.proto.message_pb2 import Message, Metadata, ObjectTree
    from flwr.proto.node_pb2 import Node
    from flwr.proto.recorddict_pb2 import RecordDict

    roles, id_ = meeting.roles, "0" * 64
    own, victim = (node_of(roles / "server", roles / f"party-{each}") for each in (0, 1))
    with contextlib.closing(sqlite3.connect(roles / "server" / conduct.DATABASE)) as database:
        (run,) = (row[0] % 2**64 for row in database.execute("select run_id from run"))

        def pushed(to, reply_to):
            about = Metadata(run_id=run, message_id=id_, src_node_id=own, dst_node_id=to)
            about.MergeFrom(Metadata(reply_to_message_id=reply_to, message_type="query"))
            about.MergeFrom(Metadata(created_at=time.time(), ttl=60.0))
            client.PushMessages(
                PushMessagesRequest(
                    node=Node(node_id=own),
                    messages_list=[Message(metadata=about, content=RecordDict())],
                    message_object_trees=[ObjectTree(object_id=id_)],
                )
            )
            kept = ("message_ins", "message_res")
            counts = (f"select count(*) from {name} where message_id = ?" for name in kept)
            return [database.execute(each, (id_,)).fetchone()[0] for each in counts]

        # A question to another, and an answer to what nobody has asked.
        assert pushed(victim, "") == [0, 0]
        assert pushed(1, "1" * 64) == [0, 0]
    assert status_of(lambda: client.RegisterNode(RegisterNodeFleetRequest(public_key=b"x"))) >= 400


def test_other_users_of_a_partys_machine_are_not_told_what_it_is_asked(meeting):
    from flwr.proto.runtime_pb2 import AcquireTaskRequest
    from flwr.supercore.constant import TaskType
    from flwr.supercore.interceptors.http.superexec_auth import SuperExecAuthHttpInterceptor
    from flwr.supercore.runtime.runtime_http_client import RuntimeHttpClient
    from flwr.supercore.superexec.run_superexec import _SUPEREXEC_AUTH_METHODS

    node = command_of("pride_jax.deploy.prompt", f"{LOOPBACK}:{meeting.port}")
    address = f"{LOOPBACK}:{node[node.index('--port') + 1]}"
    key = (meeting.roles / "party-1" / SECRETS / EXECUTOR_KEY).read_bytes()
    signs = SuperExecAuthHttpInterceptor(
        master_secret=key, protected_methods=_SUPEREXEC_AUTH_METHODS
    )
    asks = AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP])
    for interceptors, expected in (([], 401), ([signs], 200)):
        with RuntimeHttpClient.from_server_address(
            address, True, None, interceptors=interceptors
        ) as client:
            assert status_of(lambda client=client: client.AcquireTask(asks)) == expected


def test_other_users_of_the_servers_machine_neither_begin_a_run_nor_take_one(meeting, tmp_path):
    """Who has no key, but reaches the SuperLink's port: the same application, another folder."""
    from flwr.proto.control_pb2 import ListRunsRequest
    from flwr.proto.runtime_pb2 import AcquireTaskRequest
    from flwr.supercore.constant import TaskType
    from flwr.supercore.control.control_http_client import ControlHttpClient
    from flwr.supercore.runtime.runtime_http_client import RuntimeHttpClient

    words = command_of("--enable-supernode-auth", f"{meeting.roles / 'server' / conduct.DATABASE}")
    address = f"{LOOPBACK}:{words[words.index('--port') + 1]}"
    authority = str(meeting.roles / "server" / AUTHORITY)
    asks = AcquireTaskRequest(supported_task_types=[TaskType.SERVER_APP])
    with RuntimeHttpClient.from_server_address(
        address, False, authority, interceptors=[]
    ) as client:
        assert status_of(lambda: client.AcquireTask(asks)) == 401
    # What is told: that there is a run.
    with ControlHttpClient.from_server_address(
        address, False, authority, interceptors=[]
    ) as client:
        assert status_of(lambda: client.ListRuns(ListRunsRequest())) == 200
    mine, evil = tmp_path / "link", tmp_path / "evil"
    pin(mine, APP)
    shutil.copy(authority, mine / AUTHORITY)
    link(mine, address)
    shutil.copytree(meeting.roles / "server", evil)
    (evil / PROCESS).unlink(missing_ok=True)
    start_run(mine, evil)
    # What became of a run is in the SuperLink's database.
    with contextlib.closing(sqlite3.connect(meeting.roles / "server" / conduct.DATABASE)) as kept:
        ends = "select count(*) from task where details like ?"
        refused = (f"%Refused to serve from {evil}%",)
        wait_until(lambda: kept.execute(ends, refused).fetchone() == (1,))
    assert not (evil / PROCESS).exists()


def command_of(*words):
    """The command of the one process that was started with these words."""
    (found,) = [
        command
        for file in Path("/proc").glob("[0-9]*/cmdline")
        if set(words) <= set(command := words_of(file)) and "attended" not in command[2]
    ]
    return found


def words_of(file):
    with contextlib.suppress(OSError):
        return file.read_text(errors="replace").split("\0")
    return []


def test_a_bundle_of_another_run_leads_nowhere(meeting, tmp_path):
    """The same parties, the same address: of a run that was, or of a server that is none."""
    roles, server = meeting.roles, tmp_path / "server"
    make_certificates(server, [LOOPBACK])
    roster = load_roster(roles / "server" / ROSTER)._replace(run=bytes(16))
    address = f"{LOOPBACK}:{meeting.port}"
    other = save_bundle(server, TWO, roster, address)
    assert meeting.join("other", meeting.folder / "thief", other).wait(60) == 2
    assert "another roster than the bundle's" in meeting.said("other")
    # From a folder that knows no roster yet.
    fresh = shutil.copytree(roles / "party-0", tmp_path / "fresh")
    (fresh / ROSTER).unlink()
    assert meeting.join("fresh", fresh, other).wait(60) == 2
    assert "is not the server of the bundle" in meeting.said("fresh")
    # With this server's certificate it gets as far as the server, which has another run.
    shutil.copy(roles / "server" / AUTHORITY, server / AUTHORITY)
    replayed = shutil.copytree(roles / "party-0", tmp_path / "replayed")
    (replayed / ROSTER).unlink()
    process = meeting.join("replayed", replayed, save_bundle(server, TWO, roster, address))
    refused = meeting.folder / "run" / "refusals.jsonl"
    wait_until(lambda: refused.exists() and "roster is not the one" in refused.read_text())
    process.terminate()
    process.wait()


def test_what_a_role_keeps_is_its_owners_alone(meeting):
    kept = [role for role in meeting.roles.iterdir() if role.is_dir()]
    assert {stat.S_IMODE(role.stat().st_mode) for role in kept} == {0o700}
    secrets = [file for role in kept for file in (role / SECRETS).rglob("*") if file.is_file()]
    assert len(secrets) > 2 * len(kept)
    assert {stat.S_IMODE(file.stat().st_mode) for file in secrets} == {0o600}
    for database in (meeting.roles / "server").glob(f"{conduct.DATABASE}*"):
        assert stat.S_IMODE(database.stat().st_mode) == 0o600


def test_after_all_of_it_the_run_ends_and_everyone_has_the_model(meeting):
    roles = [meeting.roles / f"party-{each}" for each in (0, 1)]
    last = meeting.join("last", roles[0])
    assert last.wait(240) == 0
    wait_until(lambda: "the run has ended" in meeting.said("first"))
    wait_until((meeting.folder / "run" / "summary.json").exists)
    assert read_json(meeting.folder / "run" / "summary.json")["lost_messages"] == 0
    models = [(role / "model.safetensors").read_bytes() for role in roles]
    assert models[0] == models[1]
    assert not (meeting.folder / "thief" / "metrics.jsonl").exists()
