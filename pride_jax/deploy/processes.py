"""Flower's processes: a SuperLink, a SuperNode for every role, and a run."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from pride_jax.deploy.certificates import AUTHORITY, CERTIFICATE, KEY
from pride_jax.deploy.enrolment import EXECUTOR_KEY, NODE_KEY, SECRETS
from pride_jax.deploy.outcome import OUTCOME, error_of, full_disk, has_ended
from pride_jax.deploy.pinned import COMMANDS, SUPEREXEC
from pride_jax.deploy.roster import Roster
from pride_jax.deploy.seal import seal
from pride_jax.deploy.server import PROCESS, SERVER
from pride_jax.errors import RunError
from pride_jax.files import claimed, read_json

APP = Path(__file__).parent / "app"
DATABASE = "superlink.db"
LOOPBACK = "127.0.0.1"
RESIDENT = ("-m", "pride_jax.deploy.resident")
_LINK = "federation"
_START_SECONDS = 60.0


def superlink_command(folder: Path, port: int) -> list[str]:
    """Starts the SuperLink: TLS, only nodes that are registered, and for this machine alone.

    Whoever reaches its port may begin runs: other machines' nodes come through a `proxy`.
    """
    command = [
        _program("flower-superlink"),
        *("--host", LOOPBACK, "--port", str(port)),
        *("--ssl-ca-certfile", str(folder / AUTHORITY)),
        *("--ssl-certfile", str(folder / CERTIFICATE)),
        *("--ssl-keyfile", str(folder / SECRETS / KEY)),
        "--enable-supernode-auth",
        *("--database", str(folder / DATABASE)),
        "--disable-runtime-dependency-installation",
        *("--isolation", "process", *_executor_key(folder)),
    ]
    return attended("once", command)


def executor_command(folder: Path, port: int) -> list[str]:
    """Starts what runs the server of a run, once the SuperLink listens at the port."""
    # A run is begun once: to look often would keep the SuperLink busy for half of a core.
    command = _executor(folder, port, 1.0, "--root-certificates", str(folder / AUTHORITY))
    return attended("again", command)


def _executor(folder: Path, port: int, seconds: float, *trust: str) -> list[str]:
    """What looks for something to run every so many seconds, and runs it."""
    looks = ["env", f"FLWR_SUPEREXEC_TASK_POLL_INTERVAL={seconds}"]
    command = [*looks, str((folder / COMMANDS / SUPEREXEC).resolve()), *trust]
    return [*command, "--runtime-api-address", f"{LOOPBACK}:{port}", *_executor_key(folder)]


def _executor_key(folder: Path) -> list[str]:
    """Without it, every user of this machine could take what there is to run for their own."""
    return ["--superexec-auth-secret-file", str(folder / SECRETS / EXECUTOR_KEY)]


def role_command(
    folder: Path, superlink: str, port: int, own: Sequence[str] = RESIDENT
) -> list[str]:
    """Starts a role: its own process, the SuperNode that brings it requests, and what runs these.

    The SuperNode knows the SuperLink by ``ca.crt``, and logs in with the role's key.

    Args:
      folder: the role's own.
      superlink: address of the SuperLink.
      port: for the SuperNode, on this machine.
      own: what Python runs as the role's own process.
    """
    resident = [sys.executable, *own, str(folder.resolve())]
    supernode = [
        *(sys.executable, "-m", "pride_jax.deploy.prompt"),
        *("--superlink", superlink, "--port", str(port)),
        *("--root-certificates", str(folder / AUTHORITY)),
        *("--auth-supernode-private-key", str(folder / SECRETS / NODE_KEY)),
        *("--node-config", f'folder="{folder.resolve()}"'),
        *("--isolation", "process", *_executor_key(folder)),
    ]
    return attended("again", resident, supernode, _executor(folder, port, 0.05, "--insecure"))


def environment(folder: Path) -> dict[str, str]:
    """A Flower process's environment: nothing is reported home, all state is in its folder.

    Where an application is pinned, nothing else runs one.

    Compiled programs are kept there, too, if the user has no other place for them: a role that is
    begun again needs the same ones.
    """
    here = Path(sys.executable).parent
    programs = {"JAX_COMPILATION_CACHE_DIR": str((folder / "programs").resolve())}
    return (
        programs
        | os.environ
        | {
            "PATH": os.pathsep.join(
                [str((folder / COMMANDS).resolve()), str(here), os.environ.get("PATH", "")]
            ),
            "FLWR_HOME": str((folder / "flower").resolve()),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
        }
    )


@contextlib.contextmanager
def running(folder: Path, command: Sequence[str], log: str) -> Iterator[subprocess.Popen]:
    """A process that writes to ``folder / log`` and ends, with its children, with the block."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / log).open("ab") as output:
        process = _start(folder, command, output)
        try:
            yield process
        finally:
            stop(process)


def _start(folder: Path, command: Sequence[str], output: IO[bytes]) -> subprocess.Popen:
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment(folder),
        start_new_session=True,
    )


def stop(process: subprocess.Popen) -> None:
    """Ends a process and those it started: kindly, then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
            if number == signal.SIGKILL:
                return


def link(folder: Path, address: str) -> None:
    """Tells the ``flwr`` command of the SuperLink."""
    home = folder / "flower"
    home.mkdir(parents=True, exist_ok=True)
    (home / "config.toml").write_text(
        f'[superlink]\ndefault = "{_LINK}"\n\n[superlink.{_LINK}]\naddress = "{address}"\n'
        f'root-certificates = "{(folder / AUTHORITY).resolve()}"\n'
    )


def wait_for(address: str, process: subprocess.Popen, log: Path) -> None:
    """Waits until a server accepts connections.

    Raises:
      RunError: it ended, or did not in time.
    """
    host, _, port = address.rpartition(":")
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((host, int(port)), 1):
            return
        time.sleep(0.2)
    raise RunError(f"The SuperLink does not answer at {address}: see {log}")


def register(folder: Path, roster: Roster) -> None:
    """Lets the nodes of everyone in the roster, and no others, log in at the SuperLink.

    Raises:
      RunError: the SuperLink refuses.
    """
    done = folder / f"registered-{roster.digest[:16]}"
    if done.exists():
        return

    node_keys = [each.node_key for each in (*roster.parties, *roster.key_holders)]
    files = [folder / f"node-{number}.pub" for number in range(len(node_keys))]
    for file, node_key in zip(files, node_keys, strict=True):
        file.write_text(node_key)
    _flwr(folder, *(["supernode", "register", str(file), _LINK] for file in files))
    for file in files:
        file.unlink()
    done.touch()


def start_run(superlink: Path, server: Path, app: Path = APP) -> None:
    """Starts a run.

    Args:
      superlink: the folder of the SuperLink.
      server: that of the server, whose run it is.
      app: what Flower sends to the nodes.

    Raises:
      RunError: the SuperLink refuses.
    """
    for old in (OUTCOME, PROCESS):
        (server / old).unlink(missing_ok=True)
    folder = server.resolve()
    settings = f'folder="{folder}" seal="{seal(superlink, folder)}"'
    _flwr(superlink, ["run", str(app), _LINK, "--run-config", settings])


def ended(server: Path) -> bool:
    """Whether the server's run has ended.

    Raises:
      RunError: it has, but not well.
    """
    gone = _is_gone(server)
    if not has_ended(server):
        if gone:
            raise RunError(f"The server's process is gone: go on with --resume{_full(server)}")
        return False
    if (error := error_of(server)) is not None:
        raise RunError(f"{error}{_full(server)}")
    return True


def _full(server: Path) -> str:
    """What may be why the server, or Flower's processes beside it, did not go on."""
    return full_disk(server, Path(read_json(server / SERVER)["workdir"]))


def _is_gone(server: Path) -> bool:
    """Whether the process that served from a folder has ended.

    It keeps the folder claimed. Its number would not do: Flower does not wait for a process of its
    own that was killed, whose number then stays taken.
    """
    if not (server / PROCESS).exists():
        return False
    try:
        with claimed(server):
            return True
    except RunError:
        return False


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nothing listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in sockets]


def _flwr(folder: Path, *commands: Sequence[str]) -> None:
    given = json.dumps([[*words, "--format", "json"] for words in commands])
    answer = subprocess.run(
        [sys.executable, "-m", "pride_jax.deploy.flwr_commands", given],
        capture_output=True,
        text=True,
        env=environment(folder),
        stdin=subprocess.DEVNULL,
    )
    # A command that was refused may end with status 0.
    if answer.returncode or answer.stdout.count('"success": true') != len(commands):
        said = " ".join((answer.stdout + answer.stderr).split())[-500:]
        raise RunError(f"flwr {commands[0][0]} failed: {said}")


def attended(how: str, *commands: Sequence[str]) -> list[str]:
    """Runs commands ``once`` or ``again`` and again, until the process that started them ends."""
    return [sys.executable, "-m", "pride_jax.deploy.attended", how, json.dumps(commands)]


def _program(name: str) -> str:
    found = shutil.which(name, path=environment(Path())["PATH"])
    if found is None:
        raise RunError(f"{name} is not installed: pip install -e '.[deploy]'")
    return found
