"""A run's figures in Weights & Biases' offline files (extra ``wandb``)."""

# pyright: reportMissingImports=false
# Weights & Biases is an extra.

import contextlib
import hashlib
import shutil
from collections.abc import Iterator, Sequence
from typing import Any

from pride_jax.errors import RunError
from pride_jax.files import explained
from pride_jax.reporting.metrics import Row, figures
from pride_jax.reporting.watched import Log, Watched

FOLDER = "wandb"
"""The folder, in a run's, of what ``wandb sync`` uploads."""
PROJECT = "pride_jax"


@contextlib.contextmanager
def wandb_log(run: Watched, rows: Sequence[Row]) -> Iterator[Log]:
    """Writes rows for ``wandb sync``, all at once when the run ends or stops.

    Nothing is sent anywhere: ``wandb sync FOLDER/wandb/offline-run-*`` uploads the files when
    somebody asks for it. A run that went on after a crash has one file with each round once, under
    the same id as before. Weights & Biases itself would add a host's name, a user's, a program's
    path, commands, a repository, packages and what the machine does: all of that is switched off.
    Versions of Python and of Weights & Biases, the platform, the time of writing and how long that
    took stay; so does the run's path in ``logs/``, which is not uploaded. Rows have the time that
    `Watched` gives.

    Args:
      run: what the log tells of the run beside its rows.
      rows: those that the run keeps.

    Raises:
      RunError: the files cannot be written.
    """
    found = list(rows)
    try:
        yield found.append
    finally:
        _write(run, found)


def _write(run: Watched, rows: Sequence[Row]) -> None:
    import wandb

    where = run.folder / FOLDER
    with explained("replace", where):
        shutil.rmtree(where, ignore_errors=True)
    digest = hashlib.sha256(f"{run.folder.resolve()} {run.began}".encode()).hexdigest()
    try:
        with wandb.init(
            project=PROJECT,
            name=run.folder.resolve().name,
            id=digest[:8],
            config=dict(run.settings),
            # A run of the caller's own, in this process, is not ours to end.
            reinit="create_new",
            settings=_settings(run),
        ) as log:
            for row in rows:
                log.log(figures(row) | {"_timestamp": run.time_of(row)}, step=row["round"])
    except wandb.errors.Error as error:
        raise RunError(
            f"Weights & Biases cannot write {where}: {error}. The run's own files are whole; leave "
            "out --watch.wandb, or resume the run to write them again"
        ) from error


def _settings(run: Watched) -> Any:
    """Offline, silent, and without what Weights & Biases adds of person and machine."""
    import wandb

    return wandb.Settings(
        mode="offline",
        root_dir=str(run.folder),
        silent=True,
        console="off",
        host="",
        username="",
        program="",
        disable_git=True,
        disable_code=True,
        save_code=False,
        symlink=False,
        x_disable_meta=True,
        x_disable_machine_info=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )
