"""Real processes for tests: one SuperLink, federations of roles at it, and a relay between."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from pride_jax.deploy.agreement import CONFIG, ROSTER, write_config
from pride_jax.deploy.certificates import AUTHORITY
from pride_jax.deploy.conduct import follow
from pride_jax.deploy.enrolment import ENROLMENT
from pride_jax.deploy.local import enrol_all
from pride_jax.deploy.outcome import has_ended
from pride_jax.deploy.pinned import pin
from pride_jax.deploy.processes import (
    APP,
    free_ports,
    register,
    role_command,
    running,
    start_run,
)
from pride_jax.deploy.roster import load_roster
from pride_jax.deploy.server import SERVER
from pride_jax.files import write_json
from pride_jax.reporting import metrics
from pride_jax.runs.refusals import REFUSALS

TAMPERED = (str(Path(__file__).parent / "tampered.py"),)


class Federation(contextlib.ExitStack):
    """Everyone's folders, and the processes of those that were started.

    Args:
      config: the settings.
      folder: new.
      link: folder and address of the SuperLink.
      timeout: seconds the server waits for an answer.
    """

    def __init__(self, config, folder, link, timeout=60.0):
        super().__init__()
        self.config, self.folder, self.link = config, folder, link
        self.workdir, self.server = folder / "run", folder / "roles" / "server"
        enrol_all(config, folder / "roles")
        self.roster = load_roster(self.server / ROSTER)
        enrolled = [enrolment.parent for enrolment in (folder / "roles").rglob(f"*{ENROLMENT}")]
        for role in (self.server, *enrolled):
            (role / AUTHORITY).write_bytes((link[0] / AUTHORITY).read_bytes())
        settings = {"workdir": str(self.workdir.resolve()), "timeout": timeout}
        write_json(self.server / SERVER, settings)
        self.workdir.mkdir()
        self.nodes = {}
        self.everyone = [str(role.relative_to(folder / "roles")) for role in enrolled]

    def role(self, name):
        return self.folder / "roles" / name

    def tamper(self, name, code):
        """Has a role answer by ``respond(honest, folder, request)`` of this code."""
        (self.role(name) / "tamper.py").write_text(code)

    def node(self, name, address=None):
        """Starts a role's SuperNode."""
        (port,) = free_ports(1)
        pin(self.role(name), APP)
        command = role_command(self.role(name), address or self.link[1], port, TAMPERED)
        self.nodes[name] = self.enter_context(running(self.role(name), command, "role.log"))

    def kill(self, name):
        """Ends a role's processes at once, without a chance to say so."""
        pid = self.nodes[name].pid
        signals(children(pid), signal.SIGKILL)
        self.nodes[name].wait()

    def begin(self, names=None):
        """Starts everyone's nodes, or some, and the run."""
        register(self.link[0], self.roster)
        for name in self.everyone if names is None else names:
            self.node(name)
        self.start()

    def start(self):
        start_run(self.link[0], self.server, APP)

    def finish(self):
        """Waits for the end; its summary."""
        return follow(self.server, self.workdir)

    def refusals(self):
        path = self.workdir / REFUSALS
        return metrics.read(path) if path.exists() else []

    def ended(self):
        return has_ended(self.server)

    def rows(self):
        path = self.workdir / "metrics.jsonl"
        return metrics.read(path) if path.exists() else []


def simulated(config, folder, lost=None, broken=()):
    """Digest of the parameters that the simulation ends with.

    Args:
      config: the settings.
      folder: for the config.
      lost: round -> clients whose messages are lost.
      broken: clients whose inputs are NaN.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_config(folder, config)
    answer = subprocess.run(
        [
            sys.executable,
            str(Path(__file__).parent / "simulated.py"),
            str(folder / CONFIG),
            json.dumps(lost or {}),
            json.dumps(broken),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout)


def children(pid):
    """A process, and all that descend from it."""
    answer = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True)
    parents = [tuple(map(int, line.split())) for line in answer.stdout.splitlines()]
    found, new = {pid}, {pid}
    while new:
        new = {child for child, parent in parents if parent in new} - found
        found |= new
    return found


def signals(processes, number):
    """Sends each a signal, if it is still there."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, number)


def resident(pid):
    """Of a role's processes, that which has its keys and examples."""
    (found,) = [
        child
        for child in children(pid)
        if TAMPERED[0].encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[:3]
    ]
    return found


def is_running(pid):
    """Whether a process lives; one that only waits to be buried does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def wait_until(condition, seconds=240):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.1)


class Relay:
    """A TCP relay to an address that counts bytes, and can cut the wire."""

    def __init__(self, address):
        host, _, port = address.rpartition(":")
        self.target = host, int(port)
        self.sent = self.received = 0
        self.sockets = set()
        self.port = 0
        self.mend()
        self.address = f"127.0.0.1:{self.port}"

    def cut(self):
        """Ends all connections; new ones are refused."""
        for each in (self.listener, *self.sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def mend(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def _accept(self, listener):
        with contextlib.suppress(OSError):
            while True:
                near, _ = listener.accept()
                far = socket.create_connection(self.target)
                for one, other, name in ((near, far, "sent"), (far, near, "received")):
                    self.sockets.add(one)
                    threading.Thread(
                        target=self._pass, args=(one, other, name), daemon=True
                    ).start()

    def _pass(self, one, other, name):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                setattr(self, name, getattr(self, name) + len(data))
                other.sendall(data)
        with contextlib.suppress(OSError):
            other.shutdown(socket.SHUT_RDWR)
        self.sockets.discard(one)
        one.close()
