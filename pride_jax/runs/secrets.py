"""A run's secret keys: in its ``secrets`` folder, which only its owner can enter, and nowhere else."""

from pathlib import Path

from pride_jax.aggregation.paillier_keys import PaillierSecret, load_secret, save_secret
from pride_jax.aggregation.secure_sum import Public, Rng, Role, Secret, SecureSum


def keep_paillier_key(folder: Path, protocol: SecureSum, rng: Rng) -> tuple[Secret, Public]:
    """The key holder's keys: the ones kept in ``folder``, or new ones that are then kept there.

    Raises:
      ProtocolError: the folder is open to others, or what it holds is not a key.
    """
    if folder.exists():
        secret = load_secret(folder)
        return secret, secret.public
    secret, public = protocol.keygen(rng, Role.KEY_HOLDER)
    assert isinstance(secret, PaillierSecret)
    save_secret(folder, secret)
    return secret, public
