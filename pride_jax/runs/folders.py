"""Names of folders: one for each variation of a config, whatever its settings' values are."""

import contextlib
import hashlib
import shutil
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pride_jax.errors import RunError
from pride_jax.runs.resuming import CONFIG, HARMLESS
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import changes, to_dict

_LONGEST_NAME = 200
"""Characters of a folder's name; file systems end at 255 bytes."""


def folder_name(name: str) -> str:
    """A run's name as the name of one folder, whatever its settings' values are.

    Different names have different folders: what a folder's name cannot have is written ``%2F``, a
    blank is ``+``, and of long names a digest takes the place of the end.
    """
    quoted = urllib.parse.quote_plus(name, safe=",=:")
    if len(quoted) <= _LONGEST_NAME:
        return quoted
    digest = hashlib.sha256(quoted.encode()).hexdigest()[:16]
    return f"{quoted[: _LONGEST_NAME - 17]}~{digest}"


def default_folder(file: Path, written: Experiment, config: Experiment, *more: str) -> Path:
    """The folder of a variation of a config: ``runs/NAME``, or ``runs/NAME-rounds=5-…``.

    Settings that do not change results do not change the name.

    Args:
      file: of the config.
      written: the config as it stands in the file.
      config: with what the command line replaced.
      more: what else tells the run from others, such as ``seeds``.
    """
    changed = [
        f"{each.name}={_shown(each.after)}"
        for each in changes(to_dict(written), to_dict(config))
        if each.name not in HARMLESS and each.name.partition(".")[0] != "code"
    ]
    return Path("runs") / folder_name("-".join([file.stem, *changed, *more]))


def _shown(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


@contextlib.contextmanager
def leaving_nothing(folder: Path) -> Iterator[None]:
    """Removes a new run's folder if the run is refused before it begins to train.

    What could not be written is another matter: what is there can be resumed.
    """
    new = not (folder / CONFIG).exists()
    try:
        yield
    except RunError:
        raise
    except Exception:
        if new and not (folder / "checkpoints").exists():
            shutil.rmtree(folder)
        raise
