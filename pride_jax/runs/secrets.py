"""A run's secret keys: in its ``secrets`` folder, that only its owner can enter; nowhere else."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from pride_jax.aggregation.key_files import KeyFiles
from pride_jax.aggregation.owner_only import read_owner_only, write_owner_only
from pride_jax.aggregation.secure_sum import Public, Rng, Role, Secret, SecureSum
from pride_jax.errors import ProtocolError
from pride_jax.files import explained
from pride_jax.privacy.randomness import SECRET_BYTES

_SEED = "noise_and_cohorts"


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


def private_seed(folder: Path, rng: Rng) -> bytes:
    """The 32 bytes from which noise and cohorts are drawn: those kept in ``folder``, or new ones.

    Raises:
      ProtocolError: what the folder holds is open to others or not such a seed.
    """
    if not folder.exists():
        return rng(SECRET_BYTES)
    seed = read_owner_only(folder / _SEED)
    if len(seed) != SECRET_BYTES:
        raise ProtocolError(
            f"{folder / _SEED} holds {len(seed)} bytes, expected {SECRET_BYTES}: restore it, or "
            "start anew in another --workdir"
        )
    return seed


def keep(folder: Path, savers: Sequence[Callable[[Path], None]]) -> None:
    """Keeps a run's secrets in ``folder``, all of them or nothing, unless it is there.

    Args:
      folder: the run's ``secrets``.
      savers: each writes one secret to the folder it is given.

    Raises:
      RunError: they cannot be written.
    """
    if not savers or folder.exists():
        return
    unfinished = folder.with_suffix(".tmp")
    with explained("write to", folder):
        shutil.rmtree(unfinished, ignore_errors=True)
        for save in savers:
            save(unfinished)
        unfinished.rename(folder)


def save_seed(folder: Path, seed: bytes) -> None:
    """Writes what `private_seed` reads."""
    write_owner_only(folder / _SEED, seed)
