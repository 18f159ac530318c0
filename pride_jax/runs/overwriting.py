"""A run in the place of another, and what stays of the other: what its releases have cost."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from pride_jax.errors import RunError
from pride_jax.files import claimed, explained
from pride_jax.runs.budget import LEDGER, PLAN
from pride_jax.runs.resuming import CONFIG, is_used
from pride_jax.runs.start import FROM, releases_in, spent_before

_MADE_BY_US = (CONFIG, "sweep.json")
_PRIVATE_SWEEP = "private_sweep.json"
_KEPT = (CONFIG, PLAN, LEDGER, FROM, _PRIVATE_SWEEP, "disclosure.json")
"""Files of a private run that say what it released, and under which settings."""


def told_of_overwriting(folder: Path) -> list[str]:
    """What somebody must know before a folder is overwritten: a sentence, or nothing.

    Args:
      folder: in whose place a run is to be; it need not exist.

    Raises:
      PrideError: what it released cannot be read.
    """
    if not _has_released(folder):
        return []
    if not (folder / LEDGER).is_file():
        cost = "released models of its clients at a cost of ε"
    else:
        spent = spent_before(folder)
        epsilon = "that nothing bounds" if spent is None else f"{spent[0]:.4g} at δ = {spent[1]:g}"
        cost = f"has made {releases_in(folder)} private releases, at an ε of {epsilon}"
    return [
        f"{folder} {cost}: --overwrite takes none of them back. Their plan and ledger stay in "
        f"{_place(folder)}, models and secrets do not; ε of the new run leaves that cost out"
    ]


@contextlib.contextmanager
def set_aside(folder: Path) -> Iterator[None]:
    """Makes room for a run in the place of a run or sweep, which is gone when the block ends.

    Of a private one, the files that say what it released stay beside its place, as
    ``NAME.overwritten``. The old one comes back if the block raises, and lies there as a whole if
    the process dies meanwhile.

    Raises:
      RunError: the folder holds neither a run nor a sweep, is in use, or cannot be moved.
    """
    if not is_used(folder):
        yield
        return
    if not any((folder / name).is_file() for name in _MADE_BY_US):
        raise RunError(
            f"{folder} holds neither a run nor a sweep: expected one of them to --overwrite; "
            "choose another --workdir"
        )
    with claimed(folder):
        aside = _place(folder)
        with explained("move", folder):
            folder.rename(aside)
        try:
            yield
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            aside.rename(folder)
            raise
        with explained("clear", aside):
            _clear(aside)


def _place(folder: Path) -> Path:
    """Where an old run lies: a name that nothing has, so that what stayed there before stays."""
    place, number = folder.with_name(f"{folder.name}.overwritten"), 1
    while place.exists():
        number += 1
        place = folder.with_name(f"{folder.name}.overwritten-{number}")
    return place


def _has_released(folder: Path) -> bool:
    """Whether a private run, or one of a sweep's, released anything."""
    return any(any(folder.rglob(name)) for name in (LEDGER, _PRIVATE_SWEEP))


def _clear(aside: Path) -> None:
    """Removes what an old run left, but for what its releases have cost."""
    if not _has_released(aside):
        shutil.rmtree(aside)
        return
    # A folder comes after what is in it.
    for path in sorted(aside.rglob("*"), reverse=True):
        if path.is_symlink() or not path.is_dir():
            if path.name not in _KEPT:
                path.unlink()
        elif not any(path.iterdir()):
            path.rmdir()
