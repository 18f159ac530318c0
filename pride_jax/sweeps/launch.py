"""Runs of a sweep as processes of their own on this machine (submitit)."""

import contextlib
import datetime
import importlib.util
import os
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pride_jax.engine.cores import cores, keep_to
from pride_jax.errors import ConfigError, PrideError, RunError
from pride_jax.files import explained
from pride_jax.reporting import metrics
from pride_jax.reporting.sweep_terminal import Going
from pride_jax.settings.experiment import Experiment
from pride_jax.sweeps.sweep import Ended, Execute, Planned, Watch
from pride_jax.validated import expect_whole

if TYPE_CHECKING:
    from submitit import Job, LocalExecutor

_LONGEST_MINUTES = 60 * 24 * 365
_POLL_SECONDS = 0.5
_GRACE_SECONDS = 3.0


class Place(NamedTuple):
    """Where one run at a time goes on.

    Attributes:
      gpu: the GPU that it sees, as CUDA_VISIBLE_DEVICES names it; none if empty.
      share: the cores that it is kept to; None leaves that to the system.
    """

    gpu: str = ""
    share: frozenset[int] | None = None


def launched(
    jobs_folder: Path, watch: Watch, *, gpus: int | None = None, jobs: int | None = None
) -> Execute:
    """Carries out each run in a process of its own; this one neither computes nor sees a GPU.

    A process that fails, or is killed, is told of and leaves its run resumable; so does an
    interruption of this process, which ends the others.

    Args:
      jobs_folder: where submitit keeps what it passes to processes, configs and paths, and their
        logs.
      watch: told of progress, twice a second.
      gpus: runs at a time, each with one GPU: the first that CUDA_VISIBLE_DEVICES names.
      jobs: runs at a time without a GPU; as many as there are cores, which they share out among
        them, if None.

    Raises:
      ConfigError: submitit is missing, or there are no such GPUs.
    """
    need_submitit("local")
    check_counts(gpus, jobs)
    names = None if gpus is None else visible_gpus(gpus)
    started = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")

    def submit(run: Planned, place: Place) -> "Job[str | None]":
        folder = jobs_folder / started / run.folder.name
        with explained("write to", folder):
            executor = _executor(folder)
            folder.mkdir(parents=True, exist_ok=True)
            with _errors_to(folder / "submission.err"):
                return executor.submit(carry_out_at, place, run.config, run.folder.absolute())

    def execute(runs: Sequence[Planned]) -> Ended:
        waiting = list(runs)
        free = places(len(runs), names, jobs)
        running: list[tuple[Planned, Place, Job[str | None]]] = []
        try:
            while waiting or running:
                while waiting and free:
                    run, place = waiting.pop(0), free.pop(0)
                    running.append((run, place, submit(run, place)))
                watch([going(run) for run, *_ in running], len(waiting))
                time.sleep(_POLL_SECONDS)
                for ended in [each for each in running if each[2].done()]:
                    running.remove(ended)
                    run, place, job = ended
                    free.append(place)
                    yield run, outcome(job)
        finally:
            _stop([job for *_, job in running])

    return execute


def need_submitit(launcher: str) -> None:
    """Refuses a launcher without its extra.

    Raises:
      ConfigError: as above.
    """
    if importlib.util.find_spec("submitit") is None:
        raise ConfigError(f"--launcher {launcher} needs submitit: pip install 'pride-jax[slurm]'")


def check_counts(gpus: int | None, jobs: int | None) -> None:
    """Refuses numbers of runs at a time.

    Raises:
      ConfigError: there are two, or one below 1.
    """
    if gpus is not None and jobs is not None:
        raise ConfigError(f"--gpus {gpus} and --jobs {jobs}: expected one of them")
    for name, count in (("gpus", gpus), ("jobs", jobs)):
        if count is not None:
            expect_whole(f"--{name}", count)


def carry_out_at(place: Place, config: Experiment, folder: Path) -> str | None:
    """What a process launched here does: one run, see `carry_out`, at its place."""
    os.environ["CUDA_VISIBLE_DEVICES"] = place.gpu
    return carry_out(config, folder, place.share, bool(place.gpu))


def carry_out(
    config: Experiment, folder: Path, share: frozenset[int] | None, gpu: bool
) -> str | None:
    """What a launched process does: one run, from where it was left.

    Args:
      config: of the run.
      folder: of the run.
      share: of the machine's cores, if it is given one.
      gpu: whether there must be a GPU.

    Returns:
      Why there is no result, or None.
    """
    if share is not None:
        keep_to(share)
    import jax

    from pride_jax.runs.devices import keep_programs, use_devices
    from pride_jax.runs.experiment import run

    try:
        use_devices(config.engine)
        keep_programs()
        if gpu and jax.default_backend() == "cpu":
            raise RunError(
                "--gpus: this process sees no GPU: ask for as many as there are, and install the "
                "extra cuda"
            )
        run(config, folder, resume=folder.exists())
    except PrideError as error:
        return str(error)
    return None


def going(run: Planned) -> Going:
    """How far a run has come, as its folder tells."""
    return Going(run.name, run.config.rounds, metrics.latest(run.folder / "metrics.jsonl"))


def places(runs: int, gpus: Sequence[str] | None, jobs: int | None) -> list[Place]:
    """Where so many runs go on at the same time, see `launched`; ``gpus`` as of `visible_gpus`."""
    if gpus is not None:
        return [Place(gpu=name) for name in gpus[:runs]]
    mine = cores()
    count = min(runs, jobs or len(mine))
    shares = (mine[place::count] or [mine[place % len(mine)]] for place in range(count))
    return [Place(share=frozenset(share)) for share in shares]


def visible_gpus(count: int) -> list[str]:
    """The machine's first GPUs, of those that CUDA_VISIBLE_DEVICES leaves: numbers or UUIDs.

    Raises:
      ConfigError: it leaves fewer.
    """
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return [str(number) for number in range(count)]
    names = [name.strip() for name in named.split(",") if name.strip()]
    if len(names) < count:
        raise ConfigError(
            f"--gpus {count} with CUDA_VISIBLE_DEVICES={named}: expected at least {count} of them "
            "there"
        )
    return names[:count]


def outcome(job: "Job[str | None]") -> str | None:
    """What went wrong with a job that has ended, or None."""
    if not job.paths.result_pickle.exists():
        return killed(job)
    error = job.exception()
    if error is None:
        return job.result()
    trace = str(error).partition("trace:\n")[2].split("\n---")[0]
    return f"{trace.strip().splitlines()[-1]}; its log is {job.paths.stderr}"


def killed(job: "Job[str | None]", state: str = "") -> str:
    """What is told of a job that left no result; ``state`` is its launcher's word for it."""
    told = f" ({state})" if state else ""
    return f"killed{told}: its process ended without a word; its log is {job.paths.stderr}"


def _executor(folder: Path) -> "LocalExecutor":
    import submitit

    executor = submitit.LocalExecutor(folder)
    executor.update_parameters(timeout_min=_LONGEST_MINUTES)
    return executor


@contextlib.contextmanager
def _errors_to(path: Path) -> Iterator[None]:
    """Where processes started within write their errors.

    submitit keeps a process beside each local run, whose traceback at every Ctrl-C would otherwise
    come to the terminal.
    """
    kept = os.dup(2)
    with path.open("ab") as file:
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _stop(jobs: "Sequence[Job[str | None]]") -> None:
    """Ends jobs, and waits until they have."""

    def alive() -> list["Job[str | None]"]:
        return [job for job in jobs if not job.done(force_check=True)]

    # A terminal's Ctrl-C goes to local jobs as well; a second signal would disturb their clean-up.
    patience = time.monotonic() + _GRACE_SECONDS
    while alive() and time.monotonic() < patience:
        time.sleep(_POLL_SECONDS)
    for job in alive():
        job.cancel(check=False)
    while alive():
        time.sleep(_POLL_SECONDS)
