"""Runs of a sweep as one array of Slurm jobs, requeued where Slurm ends them early (submitit)."""

import datetime
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pride_jax.errors import ConfigError, RunError
from pride_jax.files import explained
from pride_jax.reporting import metrics
from pride_jax.settings.experiment import Experiment
from pride_jax.sweeps.launch import carry_out, going, killed, need_submitit, outcome
from pride_jax.sweeps.sweep import Ended, Execute, Planned, Watch
from pride_jax.validated import expect_whole

if TYPE_CHECKING:
    from submitit import Job, SlurmExecutor
    from submitit.core.utils import DelayedSubmission

_HOURS = 24.0
_LEAST_HOURS = 0.1
_FRUITLESS = 3
"""Starts in a row that may end before the run has another row."""
_POLL_SECONDS = 0.5
_QUEUE_SECONDS = 5.0
_SHARED_SECONDS = 15.0
"""Until every machine sees what a job wrote, and Slurm has put back what it requeues."""
_ENDED = frozenset(
    (
        *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
        *("OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"),
    )
)
_VARIABLES = {
    "hours": "SBATCH_TIMELIMIT",
    "memory": "SBATCH_MEM_PER_NODE",
    "partition": "SBATCH_PARTITION",
    "account": "SBATCH_ACCOUNT",
}
"""Slurm prefers these to what a job asks for."""


class Resources(NamedTuple):
    """What Slurm gives each run.

    Attributes:
      cores: of one machine; Slurm's default if None.
      memory: GiB; Slurm's default if None, or that of ``SBATCH_MEM_PER_NODE``.
      hours: until the job is requeued; 24 if None, or what ``SBATCH_TIMELIMIT`` says.
      partition: where it goes on; Slurm's default if None, or that of ``SBATCH_PARTITION``.
      account: who is charged; Slurm's default if None, or that of ``SBATCH_ACCOUNT``.
      gpu: whether it has a GPU.
      at_a_time: how many runs may go on at the same time; all of them if None.
    """

    cores: int | None = None
    memory: float | None = None
    hours: float | None = None
    partition: str | None = None
    account: str | None = None
    gpu: bool = False
    at_a_time: int | None = None


class Requeued(NamedTuple):
    """A run as a job that goes on where it was left, each time that Slurm starts the job.

    Slurm signals a job 90 s before its time limit, and may at a preemption; submitit then asks for
    `checkpoint` and requeues the job. A job that Slurm ends and requeues by itself begins with the
    same arguments again. Either way the run resumes from its last checkpoint.

    Attributes:
      round: the last of the run's rows when the job was requeued; -1 without one.
      fruitless: starts in a row without another row.
    """

    round: int = -1
    fruitless: int = 0

    def __call__(self, config: Experiment, folder: Path, gpu: bool) -> str | None:
        """Carries out the run; see `launch.carry_out`."""
        # This thread stays free for signals: it would not hear them while XLA computes.
        worker = ThreadPoolExecutor(1)
        try:
            return worker.submit(carry_out, config, folder, None, gpu).result()
        except subprocess.CalledProcessError as error:
            if error.returncode >= 0:
                raise
            # The requeue's own signal ended scontrol before it had answered: no result is left.
            sys.exit("requeued")

    def checkpoint(self, config: Experiment, folder: Path, gpu: bool) -> "DelayedSubmission":
        """What submitit starts next.

        Raises:
          RunError: there have been too many starts without another row.
        """
        from submitit.core.utils import DelayedSubmission

        row = metrics.latest(folder / "metrics.jsonl") or {"round": -1}
        fruitless = 0 if row["round"] > self.round else self.fruitless + 1
        if fruitless == _FRUITLESS:
            raise RunError(
                f"{folder}: Slurm ended the job {_FRUITLESS} times in a row after round "
                f"{self.round} and before the next evaluation: raise --hours, or evaluate more "
                "often with --evaluation.every"
            )
        return DelayedSubmission(Requeued(row["round"], fruitless), config, folder, gpu)


def on_slurm(resources: Resources, jobs_folder: Path, watch: Watch) -> Execute:
    """Carries out the runs as one job array; this process neither computes nor sees a GPU.

    A job that is preempted, reaches its time limit or loses its machine is requeued and continues
    its run. A job that fails or is cancelled is told of and leaves its run resumable; so does an
    interruption of this process, which cancels the jobs.

    Args:
      resources: what each run is given.
      jobs_folder: where submitit keeps what it passes to jobs, configs and paths, and their logs;
        all machines must share its file system.
      watch: told of progress, twice a second.

    Raises:
      ConfigError: submitit or Slurm is missing, or resources are impossible.
    """
    need_submitit("slurm")
    if shutil.which("sbatch") is None:
        raise ConfigError(
            "--launcher slurm: there is no sbatch here; use a Slurm cluster's machine"
        )
    _check(resources)
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    folder = jobs_folder / datetime.datetime.now().strftime("%Y%m%d-%H%M%S")

    def execute(runs: Sequence[Planned]) -> Ended:
        try:
            submitted = _submit(runs, folder, resources)
        except (FailedJobError, FailedSubmissionError) as error:
            yield from ((run, f"slurm refuses it: {error}") for run in runs)
            return
        jobs, queue = list(zip(runs, submitted, strict=True)), _Queue()
        try:
            while jobs:
                begun = [run for run, job in jobs if job.paths.stdout.exists()]
                watch([going(run) for run in begun], len(jobs) - len(begun))
                time.sleep(_POLL_SECONDS)
                for run, job in list(jobs):
                    if job.paths.result_pickle.exists():
                        told = outcome(job)
                    elif queue.is_gone(job.job_id):
                        told = killed(job, queue.state(job.job_id))
                    else:
                        continue
                    jobs.remove((run, job))
                    yield run, told
        finally:
            _cancel([job for _, job in jobs], queue)

    return execute


class _Queue:
    """What Slurm knows of this user's jobs, asked now and then for all of them.

    Of ``squeue``: ``sacct``, which submitit asks, says nothing on a cluster without accounting.
    """

    def __init__(self) -> None:
        self._asked = -math.inf
        self._states: dict[str, str] | None = None
        self._gone: dict[str, float] = {}

    def is_gone(self, job: str) -> bool:
        """Whether a job has ended, and long enough ago for its result to be seen."""
        now = time.monotonic()
        if now - self._asked > _QUEUE_SECONDS:
            self._asked, self._states = now, _states()
        if self._states is None or self._states.get(job, "COMPLETED") not in _ENDED:
            self._gone.pop(job, None)
            return False
        return now - self._gone.setdefault(job, now) >= _SHARED_SECONDS

    def state(self, job: str) -> str:
        """The last known state of a job, as Slurm calls it."""
        return (self._states or {}).get(job, "gone from Slurm's queue")


def _states() -> dict[str, str] | None:
    """The state of each job, and of each of an array's; None if Slurm does not answer now."""
    command = ["squeue", "--array", "--noheader", "--states=all", "--format=%i %T"]
    answer = subprocess.run(
        [*command, f"--user={os.getuid()}"], capture_output=True, text=True, check=False
    )
    if answer.returncode != 0:
        return None
    return dict(line.split(maxsplit=1) for line in answer.stdout.splitlines())


def _submit(runs: Sequence[Planned], folder: Path, resources: Resources) -> "list[Job[str | None]]":
    with explained("write to", folder):
        executor = _executor(folder, resources)
        folder.mkdir(parents=True, exist_ok=True)
        with executor.batch():
            return [
                executor.submit(Requeued(), run.config, run.folder.absolute(), resources.gpu)
                for run in runs
            ]


def _executor(folder: Path, resources: Resources) -> "SlurmExecutor":
    import submitit

    options: dict[str, Any] = {
        "job_name": "pride_jax",
        "time": math.ceil(60 * (resources.hours or _HOURS)),
        "partition": resources.partition,
        "account": resources.account,
        "additional_parameters": {"requeue": True},
    }
    if resources.cores is not None:
        # Since 22.05, srun no longer takes the number of cores from its job.
        options |= {
            "cpus_per_task": resources.cores,
            "srun_args": [f"--cpus-per-task={resources.cores}"],
        }
    if resources.memory is not None:
        options["mem"] = f"{math.ceil(1024 * resources.memory)}M"
    if resources.gpu:
        options["gres"] = "gpu:1"
    if resources.at_a_time is not None:
        options["array_parallelism"] = resources.at_a_time
    # A job ends by itself after some fruitless starts, however often it was requeued before.
    executor = submitit.SlurmExecutor(folder, max_num_timeout=10**6)
    executor.update_parameters(**options)
    return executor


def _cancel(jobs: "Sequence[Job[str | None]]", queue: _Queue) -> None:
    """Cancels jobs, and waits until their processes have ended."""
    for job in jobs:
        job.cancel(check=False)
    while not all(job.paths.result_pickle.exists() or queue.is_gone(job.job_id) for job in jobs):
        time.sleep(_POLL_SECONDS)


def _check(resources: Resources) -> None:
    """Refuses what Slurm cannot give, or would not give.

    Raises:
      ConfigError: as above.
    """
    if resources.cores is not None:
        expect_whole("--cores", resources.cores)
    for name, least, unit in (("memory", 0.001, "GiB"), ("hours", _LEAST_HOURS, "hours")):
        value = getattr(resources, name)
        if value is not None and not least <= value < math.inf:
            raise ConfigError(f"--{name} {value}: expected a number of {unit} from {least} on")
    for name in ("partition", "account"):
        value = getattr(resources, name)
        if value is not None and (not value or not value.isprintable() or " " in value):
            raise ConfigError(f"--{name} {value!r}: expected the name of Slurm's {name}")
    for name, variable in _VARIABLES.items():
        if getattr(resources, name) is not None and variable in os.environ:
            raise ConfigError(
                f"--{name} {getattr(resources, name)} with {variable}={os.environ[variable]}, "
                "which Slurm prefers: expected one of them"
            )
