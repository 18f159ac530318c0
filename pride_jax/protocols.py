"""From settings to aggregation protocols, without JAX: processes that only encrypt start fast."""

from functools import partial
from pathlib import Path

from pride_jax import config
from pride_jax.aggregation.plain import plain
from pride_jax.aggregation.secure_sum import Public, Secret, SecureSum
from pride_jax.errors import ConfigError
from pride_jax.runs.cores import cores
from pride_jax.runs.secrets import KeyFiles


def build_secure_sum(settings: config.Aggregation) -> SecureSum:
    """The protocol that adds updates, other than ``none``."""
    # Each protocol's libraries are imported where it is chosen.
    workers = settings.workers or len(cores())
    match settings.protocol:
        case "plain":
            return plain()
        case "paillier":
            from pride_jax.aggregation.paillier import paillier

            return paillier(settings.key_bits, settings.exponent, workers)
        case "threshold":
            from pride_jax.aggregation.threshold import threshold_paillier

            return threshold_paillier(
                settings.key_bits,
                settings.holders,
                settings.threshold,
                settings.exponent,
                workers,
            )
        case "masking":
            from pride_jax.aggregation.masking import masking

            return masking()
        case "bfv":
            from pride_jax.aggregation.lattice import bfv

            return bfv()
        case "ckks":
            from pride_jax.aggregation.lattice import ckks

            return ckks()
    raise ConfigError(f"aggregation.protocol={settings.protocol!r} adds no integers")


def build_key_files(settings: config.Aggregation) -> KeyFiles | None:
    """How the protocol's key holder keeps its keys; None where it has none."""
    match settings.protocol:
        case "paillier":
            from pride_jax.aggregation import paillier_keys as keys

            read_public = partial(keys.public_from_bytes, key_bits=settings.key_bits)
        case "threshold":
            from pride_jax.aggregation import threshold_keys as keys

            read_public = partial(keys.public_from_bytes, key_bits=settings.key_bits)
        case "bfv" | "ckks":
            from pride_jax.aggregation import lattice as keys

            read_public = keys.public_from_bytes
        case _:
            return None

    def load(folder: Path) -> tuple[Secret, Public]:
        secret = keys.load_secret(folder)
        return secret, secret.public

    return KeyFiles(keys.save_secret, load, read_public)
