"""A driver's process: started, asked for rounds, and gone at the end."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from bench.common.peer_environments import DRIVERS, Peer, without_paths
from pride_jax.errors import RunError

_ROOT = Path(__file__).parents[3]
_LEAVING_SECONDS = 30
_QUIET = {"FLWR_TELEMETRY_ENABLED": "0", "RAY_USAGE_STATS_ENABLED": "0", "JAX_PLATFORMS": "cpu"}


class Driver(NamedTuple):
    """A driver that runs.

    Attributes:
      process: of it.
      errors: where its standard error goes.
      patience: seconds that it has for an answer.
    """

    process: subprocess.Popen
    errors: Path
    patience: float

    def ask(self, line: str) -> dict[str, Any]:
        """Its answer.

        Raises:
          RunError: it ended, or did not answer in time.
        """
        assert self.process.stdin is not None
        _signal(self.process, signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
        return self.hear()

    def hear(self) -> dict[str, Any]:
        """What it says next; then it stands still until it is asked.

        Raises:
          RunError: see `ask`.
        """
        assert self.process.stdout is not None
        hurry = threading.Timer(self.patience, _end, [self.process])
        hurry.start()
        try:
            line = self.process.stdout.readline()
        finally:
            hurry.cancel()
        if not line:
            said = [each for each in self.errors.read_text().splitlines() if each.strip()]
            raise RunError(f"it ended early: {said[-1].strip() if said else 'without a word'}")
        # Some frameworks are busy also while nothing is asked of them.
        _signal(self.process, signal.SIGSTOP)
        return json.loads(line)


@contextlib.contextmanager
def driver(peer: Peer, python: Path, task: dict[str, Any], patience: float) -> Iterator[Driver]:
    """The driver of a peer at work on a task; all that it started ends with the block."""
    threads = str(len(task["cores"]))
    pools = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    environment = without_paths() | dict.fromkeys(pools, threads) | _QUIET
    if not peer.requirements:
        environment["PYTHONPATH"] = os.pathsep.join([str(_ROOT), str(_ROOT / "scripts")])
    with tempfile.TemporaryDirectory() as folder:
        path, errors = Path(folder) / "task.json", Path(folder) / "errors.txt"
        path.write_text(json.dumps(task))
        with errors.open("w") as file:
            process = subprocess.Popen(
                [str(python), str(DRIVERS / peer.driver), str(path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env=environment,
                start_new_session=True,
            )
        try:
            yield Driver(process, errors, patience)
            _let_go(process)
        finally:
            _end(process)
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def _let_go(process: subprocess.Popen) -> None:
    assert process.stdin is not None
    _signal(process, signal.SIGCONT)
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_LEAVING_SECONDS)


def _end(process: subprocess.Popen) -> None:
    _signal(process, signal.SIGKILL)
    process.wait()


def _signal(process: subprocess.Popen, number: signal.Signals) -> None:
    """To the process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)
