"""Runs Flower's part of a role for one application only: the one whose SHA-256 is pinned here.

``python -m pride_jax.deploy.pinned COMMAND SHA256 …``. Flower sends the application with each run,
and asks nobody who reaches its control service for a password. A SuperNode and a SuperLink start
what runs an application by name, so ``pin`` puts these names first in a role's ``PATH``: however a
run was begun, no other code than the pinned application is installed or run.
"""

# pyright: reportMissingImports=false
# Flower is an extra.

import hashlib
import importlib
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pride_jax.aggregation.owner_only import write_owner_only
from pride_jax.deploy import prompt
from pride_jax.deploy.enrolment import EXECUTOR_KEY, SECRETS
from pride_jax.errors import RunError
from pride_jax.files import write_atomically

COMMANDS = "commands"
"""The folder of commands in a role's own."""
_RUNS = {
    "flwr-clientapp": ("flwr.supernode.runtime.run_clientapp", "flwr.supernode.cli.flwr_clientapp"),
    "flwr-serverapp": ("flwr.superlink.runtime.run_serverapp", "flwr.superlink.cli.flwr_serverapp"),
}
SUPEREXEC = "flower-superexec"
_NEVER = ("flwr-agentapp", "flwr-connector", "flwr-model", "flwr-simulation")
_INSTALL = "install_from_fab"


def digest_of_app(app: Path) -> str:
    """SHA-256 of an application as Flower sends it: the same bytes of the same files."""
    from flwr.cli.build import build_fab_from_disk

    return hashlib.sha256(build_fab_from_disk(app)).hexdigest()


def pin(folder: Path, app: Path) -> None:
    """Has a role, whose processes have the `environment` of its folder, run one application only.

    Args:
      folder: the role's own.
      app: the folder of the application.

    Raises:
      RunError: the commands cannot be written.
    """
    write_owner_only(folder / SECRETS / EXECUTOR_KEY, os.urandom(32), replace=True)
    commands = folder / COMMANDS
    commands.mkdir(mode=0o700, parents=True, exist_ok=True)
    python = f"{shlex.quote(sys.executable)} -m pride_jax.deploy.pinned"
    lines = {name: f'exec {python} {name} {digest_of_app(app)} "$@"' for name in _RUNS}
    lines[SUPEREXEC] = f'exec {python} {SUPEREXEC} {digest_of_app(app)} "$@"'
    lines |= dict.fromkeys(_NEVER, "echo refused: not a part of this federation >&2; exit 1")
    for name, line in lines.items():
        write_atomically(commands / name, f"#!/bin/sh\n{line}\n")
        (commands / name).chmod(0o700)


def pinned(install: Callable[..., Any], digest: str) -> Callable[..., Any]:
    """Installs an application only if it is the one of that SHA-256.

    Raises (the function):
      RunError: it is another.
    """

    def checked(content: bytes, *rest: Any, **named: Any) -> Any:
        found = hashlib.sha256(content).hexdigest()
        if found != digest:
            raise RunError(
                f"Refused to run an application of SHA-256 {found}: this role was started for "
                f"{digest}"
            )
        return install(content, *rest, **named)

    return checked


def main(command: str, digest: str, arguments: Sequence[str]) -> None:
    """Runs a Flower command with the check in place."""
    if command == SUPEREXEC:
        prompt.superexec(partial(main, "flwr-clientapp", digest), arguments)
        return
    runtime, entry = map(importlib.import_module, _RUNS[command])
    # Of a Flower that installs elsewhere, this fails, and nothing is run.
    setattr(runtime, _INSTALL, pinned(getattr(runtime, _INSTALL), digest))
    sys.argv = [command, *arguments]
    getattr(entry, command.replace("-", "_"))()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
