"""How the secrets of a protocol's key holders lie in a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pride_jax.aggregation.secure_sum import Public, Secret


class KeyFiles(NamedTuple):
    """How secrets of one protocol's key holders are written to a folder and read from it.

    Attributes:
      save: folder, all that ``keygen`` made -> None.
      load: folder -> that, and the public key.
      save_holder: folder, one holder's secret -> None.
      load_holder: folder, the holder's number -> that secret.
      read_public: what the public key's ``to_bytes`` gave -> that key.
    """

    save: Callable[[Path, Any], None]
    load: Callable[[Path], tuple[Secret, Public]]
    save_holder: Callable[[Path, Any], None]
    load_holder: Callable[[Path, int], Secret]
    read_public: Callable[[bytes], Public]
