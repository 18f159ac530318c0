"""A run's secret keys: in its ``secrets`` folder, that only its owner can enter; nowhere else."""

from pathlib import Path

from pride_jax.aggregation.paillier_keys import PaillierSecret, load_secret, save_secret
from pride_jax.aggregation.secure_sum import Public, Rng, Role, Secret, SecureSum
from pride_jax.runs.files import explained


def paillier_key(folder: Path, protocol: SecureSum, rng: Rng) -> tuple[Secret, Public]:
    """The key holder's keys: those kept in ``folder``, or new ones that are not kept yet.

    Raises:
      ProtocolError: what the folder holds is open to others or not a key.
    """
    if not _is_kept(folder):
        return protocol.keygen(rng, Role.KEY_HOLDER)
    secret = load_secret(folder)
    return secret, secret.public


def keep_paillier_key(folder: Path, secret: Secret) -> None:
    """Keeps the key holder's secret in ``folder``, unless it holds one.

    Raises:
      RunError: it cannot be written.
      ProtocolError: the folder is open to others.
    """
    if not _is_kept(folder):
        assert isinstance(secret, PaillierSecret)
        with explained("write to", folder):
            save_secret(folder, secret)


def _is_kept(folder: Path) -> bool:
    # A crash while a key is written leaves a folder with half of it, under another kind of name.
    return any(folder.glob("*.json"))
