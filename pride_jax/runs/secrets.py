"""A run's secret keys: in its ``secrets`` folder, that only its owner can enter; nowhere else."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pride_jax.aggregation.secure_sum import Public, Rng, Role, Secret, SecureSum
from pride_jax.runs.files import explained


class KeyFiles(NamedTuple):
    """How the key holder's secret of one protocol is written to a folder and read from it.

    Attributes:
      save: folder, secret -> None.
      load: folder -> secret and public key.
    """

    save: Callable[[Path, Any], None]
    load: Callable[[Path], tuple[Secret, Public]]


def key_holder_keys(
    folder: Path, protocol: SecureSum, files: KeyFiles | None, rng: Rng
) -> tuple[Secret, Public]:
    """The key holder's keys: those kept in ``folder``, or new ones that are not kept yet.

    Args:
      folder: the run's ``secrets``.
      protocol: whose keys they are.
      files: how they are kept; None where the key holder has none.
      rng: makes new ones.

    Raises:
      ProtocolError: what the folder holds is open to others or not a key.
    """
    if files is None or not folder.exists():
        return protocol.keygen(rng, Role.KEY_HOLDER)
    return files.load(folder)


def keep_keys(folder: Path, files: KeyFiles | None, secret: Secret) -> None:
    """Keeps the key holder's secret in ``folder``, all of it or nothing, unless it is there.

    Raises:
      RunError: it cannot be written.
    """
    if files is None or folder.exists():
        return
    unfinished = folder.with_suffix(".tmp")
    with explained("write to", folder):
        shutil.rmtree(unfinished, ignore_errors=True)
        files.save(unfinished, secret)
        unfinished.rename(folder)
