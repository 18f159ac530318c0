"""Runs commands that must not outlive their parent, and if asked begins each again when it ends.

``python -m pride_jax.deploy.attended once|again COMMANDS``, these as JSON: lists of words. A
SuperNode that was killed cannot log in again until the SuperLink has missed it, and ends when it
tries: so it is begun again. So is a role's own process.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

_LOOK_SECONDS, _AGAIN_SECONDS = 0.2, 2.0


def attend(commands: Sequence[Sequence[str]], *, again: bool) -> int:
    """Runs commands until one ends, this process is told to, or its parent is gone.

    Args:
      commands: all at once.
      again: begin what ends again.

    Returns:
      The status of the one that ended; 0 otherwise.
    """
    parent, told = os.getppid(), []
    signal.signal(signal.SIGTERM, lambda *_: told.append(True))
    signal.signal(signal.SIGINT, lambda *_: told.append(True))
    running = {number: subprocess.Popen(each) for number, each in enumerate(commands)}
    due: dict[int, float] = {}
    status = 0
    while not told and os.getppid() == parent:
        for number, process in list(running.items()):
            if process.poll() is None:
                continue
            if not again:
                status = process.returncode
                told.append(True)
            elif time.monotonic() >= due.setdefault(number, time.monotonic() + _AGAIN_SECONDS):
                del due[number]
                running[number] = subprocess.Popen(commands[number])
        time.sleep(_LOOK_SECONDS)
    for process in running.values():
        process.terminate()
    for process in running.values():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
    return status


if __name__ == "__main__":
    sys.exit(attend(json.loads(sys.argv[2]), again=sys.argv[1] == "again"))
