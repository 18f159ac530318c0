"""A run from the server's machine: its SuperLink, the run at it, and what becomes of it."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pride_jax.deploy.agreement import ROSTER
from pride_jax.deploy.pinned import pin
from pride_jax.deploy.processes import (
    APP,
    DATABASE,
    LOOPBACK,
    ended,
    executor_command,
    link,
    register,
    running,
    start_run,
    superlink_command,
    wait_for,
)
from pride_jax.deploy.roster import load_roster
from pride_jax.deploy.server import SERVER
from pride_jax.files import explained, read_json, write_json
from pride_jax.reporting import metrics
from pride_jax.runs.experiment import Summary
from pride_jax.settings import own
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import to_dict


def conduct(
    config: Experiment,
    server: Path,
    workdir: Path,
    *,
    port: int,
    nodes: Callable[[str], contextlib.AbstractContextManager[object]] = contextlib.nullcontext,
    timeout: float,
    report: Callable[[metrics.Row], None] | None = None,
) -> Summary:
    """Has the server of a folder serve a run to its end.

    Args:
      config: the settings.
      server: the server's folder, complete.
      workdir: the run's folder.
      port: of the SuperLink.
      nodes: its address -> what brings nodes to it, for as long as the run lasts: those of this
        machine, or the door for others'.
      timeout: seconds to wait for an answer.
      report: called with each new row of the metrics.

    Raises:
      PrideError: the run cannot start, or ended otherwise.
    """
    with explained("write to", workdir):
        workdir.mkdir(parents=True, exist_ok=True)
    own.keep(config.code, workdir)
    write_json(workdir / "config.json", to_dict(config))
    write_json(server / SERVER, {"workdir": str(workdir.resolve()), "timeout": timeout})
    with superlink(server, port) as address:
        register(server, load_roster(server / ROSTER))
        with nodes(address):
            start_run(server, server)
            return follow(server, workdir, report)


@contextlib.contextmanager
def superlink(folder: Path, port: int, app: Path = APP) -> Iterator[str]:
    """A SuperLink of this machine, until the block ends; gives its address here.

    Only this machine can reach it. It knows nothing of an earlier one: a run that was killed would
    still be running for it.

    Args:
      folder: its own.
      port: of this machine.
      app: the one application that it runs.
    """
    for old in (*folder.glob("superlink.db*"), *folder.glob("registered-*")):
        old.unlink()
    # SQLite would make it readable to all, and what it adds beside it as the file is.
    (folder / DATABASE).touch(mode=0o600)
    pin(folder, app)
    address = f"{LOOPBACK}:{port}"
    with running(folder, superlink_command(folder, port), "superlink.log") as process:
        wait_for(address, process, folder / "superlink.log")
        link(folder, address)
        with running(folder, executor_command(folder, port), "executor.log"):
            yield address


def follow(
    server: Path, workdir: Path, report: Callable[[metrics.Row], None] | None = None
) -> Summary:
    """Reports a run's rows as they come, and gives its summary at its end.

    Raises:
      RunError: it ended otherwise.
    """
    path, seen = workdir / "metrics.jsonl", 0
    is_over = False
    while not is_over:
        is_over = ended(server)
        rows = metrics.read_so_far(path)
        for row in rows[seen:]:
            if report:
                report(row)
        seen = len(rows)
        time.sleep(0.3)
    return read_json(workdir / "summary.json")
