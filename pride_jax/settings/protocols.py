"""From settings to aggregation protocols, without JAX: processes that only encrypt start fast."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from pride_jax import settings as config
from pride_jax.aggregation.key_files import KeyFiles
from pride_jax.aggregation.lattice.parameters import LONGEST_KEY, SHORTEST_KEY
from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.secure_sum import Public, Secret, SecureSum
from pride_jax.engine.cores import cores
from pride_jax.errors import ConfigError
from pride_jax.progress import Tell, silent


def build_secure_sum(settings: config.Aggregation, tell: Tell = silent) -> SecureSum:
    """The protocol that adds updates, other than ``none``, or the keys that they travel under.

    Args:
      settings: say which.
      tell: told of progress by those that encrypt number by number.
    """
    # Each protocol's libraries are imported where it is chosen.
    workers = settings.workers or len(cores())
    match settings.protocol:
        case "plain":
            return plain()
        case "two_servers":
            from pride_jax.aggregation.protocols.two_servers import two_servers

            return two_servers()
        case "paillier":
            from pride_jax.aggregation.protocols.paillier import paillier

            return paillier(settings.key_bits, settings.exponent, workers, tell)
        case "threshold":
            from pride_jax.aggregation.protocols.threshold import threshold_paillier

            return threshold_paillier(
                settings.key_bits,
                settings.holders,
                settings.threshold,
                settings.exponent,
                workers,
                tell,
            )
        case "masking":
            from pride_jax.aggregation.protocols.masking import masking

            return masking(settings.server, settings.corrupted, settings.silent)
        case "bfv":
            from pride_jax.aggregation.protocols.bfv import bfv

            return bfv()
    raise ConfigError(f"aggregation.protocol={settings.protocol!r} adds no integers")


CHEAPER = ("paillier", "threshold")
"""Protocols whose rounds take fewer seconds and bytes where the keys of longer updates are apart;
measured in results/encryption."""


def with_key_apart(settings: config.Aggregation, protocol: SecureSum, length: int) -> SecureSum:
    """The protocol, or updates under one-time keys that the protocol adds.

    Args:
      settings: say where.
      protocol: from `build_secure_sum`.
      length: of an update.

    Raises:
      ConfigError: keys are to be apart from updates that no key is shorter than.
    """
    is_cheaper = settings.protocol in CHEAPER and length > LONGEST_KEY
    if settings.key_apart == "never" or not (is_cheaper or settings.key_apart == "always"):
        return protocol
    if length <= SHORTEST_KEY:
        raise ConfigError(
            f"aggregation.key_apart='always' with {length} values in an update: expected "
            f"'where_cheaper' or 'never', since a key has at least {SHORTEST_KEY}"
        )
    from pride_jax.aggregation.protocols.lattice import lattice

    return lattice(protocol)


class KeyHolders(NamedTuple):
    """Who opens a protocol's sums, apart from clients and aggregator.

    Attributes:
      numbers: as their shares have them.
      needed: how many of them it takes.
    """

    numbers: tuple[int, ...]
    needed: int


def key_holders(settings: config.Aggregation) -> KeyHolders:
    """The key holders of the protocol, if it has any."""
    match settings.protocol:
        case "threshold":
            return KeyHolders(tuple(range(1, settings.holders + 1)), settings.threshold)
        case "two_servers" | "paillier" | "bfv":
            return KeyHolders((0,), 1)
        case _:
            return KeyHolders((), 0)


def build_key_files(settings: config.Aggregation) -> KeyFiles | None:
    """How the protocol's key holders keep their keys of a run; None where they have none."""
    match settings.protocol:
        case "paillier":
            from pride_jax.aggregation import paillier_keys as keys

            read_public = partial(keys.public_from_bytes, key_bits=settings.key_bits)
        case "threshold":
            from pride_jax.aggregation import threshold_keys as keys

            read_public = partial(
                keys.public_from_bytes,
                key_bits=settings.key_bits,
                holders=settings.holders,
                threshold=settings.threshold,
            )
            load = partial(_load, keys.load_secret)
            return KeyFiles(keys.save_secret, load, keys.save_holder, keys.load_holder, read_public)
        case "two_servers":
            from pride_jax.aggregation.protocols import two_servers as keys

            read_public = keys.public_from_bytes
        case _:
            return None

    load = partial(_load, keys.load_secret)
    return KeyFiles(
        keys.save_secret, load, keys.save_secret, lambda folder, _: load(folder)[0], read_public
    )


def _load(load_secret: Callable[[Path], Any], folder: Path) -> tuple[Secret, Public]:
    secret = load_secret(folder)
    return secret, secret.public
