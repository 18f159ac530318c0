"""Runs a command that must not outlive its parent, and if asked begins it again when it ends.

``python -m pride_jax.deploy.attended once|again COMMAND …``. A SuperNode that was killed cannot log
in again for a minute, until the SuperLink has missed it, and ends when it tries: so it is begun
again.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

_LOOK_SECONDS, _AGAIN_SECONDS = 0.2, 5.0


def attend(command: Sequence[str], *, again: bool) -> int:
    """Runs the command until it ends, this process is told to, or its parent is gone."""
    parent, told = os.getppid(), []
    signal.signal(signal.SIGTERM, lambda *_: told.append(True))
    signal.signal(signal.SIGINT, lambda *_: told.append(True))
    while True:
        child = subprocess.Popen(command)
        while child.poll() is None and not told and os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        if told or os.getppid() != parent:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(10)
            child.kill()
            return 0
        if not again:
            return child.returncode
        time.sleep(_AGAIN_SECONDS)


if __name__ == "__main__":
    sys.exit(attend(sys.argv[2:], again=sys.argv[1] == "again"))
