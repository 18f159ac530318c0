"""Flower's processes at a role, without the waiting: ``python -m pride_jax.deploy.prompt …``.

Three of Flower 1.42's habits would cost most of a round, and no option of Flower's changes them.
Each is changed here, in the processes that a role starts and nowhere else:

- a SuperNode looks for a message every three seconds: here as `pause` says;
- a SuperLink misses a node after a minute: here after twice `HEARTBEAT_SECONDS`, the shortest
  that a SuperLink takes;
- every message starts Python, which imports Flower anew: here the process that starts
  them has done so, and forks.
"""

# pyright: reportMissingImports=false
# Flower is an extra.

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from types import ModuleType, SimpleNamespace
from typing import Any

POLL_SECONDS = 0.2
PATIENCE = 0.05
"""Of the time that a node has waited, what its next look may add."""
HEARTBEAT_SECONDS = 10
_SUPERNODE, _SUPEREXEC = "flower-supernode", "flower-superexec"


def supernode(arguments: Sequence[str]) -> None:
    """Is a SuperNode that looks for messages often, and is missed soon."""
    from flwr.supercore import heartbeat
    from flwr.supernode import fleet_http_connection, start_client_internal
    from flwr.supernode.cli.flower_supernode import flower_supernode

    push, answered = start_client_internal._push_messages, time.monotonic()

    def pushed(*given: Any, **named: Any) -> None:
        nonlocal answered
        push(*given, **named)
        answered = time.monotonic()

    def sleep(seconds: float) -> None:
        time.sleep(pause(seconds, time.monotonic() - answered))

    _put(start_client_internal, "_push_messages", pushed)
    _put(start_client_internal, "time", SimpleNamespace(sleep=sleep))
    for module in (heartbeat, fleet_http_connection):
        _put(module, "HEARTBEAT_DEFAULT_INTERVAL", HEARTBEAT_SECONDS)
    sys.argv = [_SUPERNODE, *arguments]
    flower_supernode()


def pause(longest: float, waited: float) -> float:
    """Seconds until a node looks for a message again.

    A look sends some 450 bytes. Who waits long looks more and more rarely: a night of waiting
    costs little, and a message is seen late by a twentieth of what it took to come.

    Args:
      longest: Flower's own seconds.
      waited: seconds since the node's last answer.
    """
    return min(longest, max(POLL_SECONDS, PATIENCE * waited))


def superexec(run: Callable[[Sequence[str]], None], arguments: Sequence[str]) -> None:
    """Is a SuperExec that forks for a message.

    Args:
      run: ``flwr-clientapp``, by its arguments.
      arguments: of ``flower-superexec``.
    """
    # What the forked processes need is here when they begin.
    from flwr.supercore.cli.flower_superexec import flower_superexec
    from flwr.supercore.constant import TASK_TYPE_TO_APPIO_API_ADDRESS_ARG, TaskType
    from flwr.supercore.superexec import run_superexec
    from flwr.supercore.superexec.executor.subprocess_executor import SubprocessExecutor
    from flwr.supercore.superexec.executor.types import LaunchResult

    import pride_jax.deploy.flower  # noqa: F401

    class Forking(SubprocessExecutor):
        """Forks for clients' messages."""

        def launch(self, spec: Any) -> LaunchResult:
            """Starts what answers a message."""
            if spec.task_type != TaskType.CLIENT_APP:
                return super().launch(spec)
            address = TASK_TYPE_TO_APPIO_API_ADDRESS_ARG[spec.task_type]
            # Flower's own process speaks with the SuperNode of its machine without TLS.
            given = [address, spec.runtime_api_address, "--token", spec.token, "--insecure"]
            _fork(run, [*given, "--parent-pid", str(os.getpid())])
            return LaunchResult.accepted()

        def reconcile(self) -> None:
            """Buries those that have ended."""
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass

    _put(run_superexec, "get_executor", lambda *_, **__: Forking())
    sys.argv = [_SUPEREXEC, *arguments]
    flower_superexec()


def _fork(run: Callable[[Sequence[str]], None], arguments: Sequence[str]) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    if os.fork():
        return
    status = 1
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, signal.SIG_DFL)
        run(arguments)
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _put(module: ModuleType, name: str, value: object) -> None:
    """Puts another value in a module; fails where Flower no longer has one of that name."""
    getattr(module, name)
    setattr(module, name, value)


if __name__ == "__main__":
    supernode(sys.argv[1:])
