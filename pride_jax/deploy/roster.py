"""The roster: everyone's public keys, and all that parties know of one another; enrolled once."""

import base64
import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from pride_jax.errors import ConfigError
from pride_jax.files import read_json, write_json

_MOST_EXAMPLES, _MOST_NUMBERS, _MOST_CLASSES = 2**24, 2**24, 2**20
"""Of a party, in an example, and of labels: everyone reserves memory for what a roster tells."""

_DTYPES, _TARGETS = ("uint8", "float32", "int32"), ("classes", "quantities", "tokens")


class Party(NamedTuple):
    """A client with examples of its own.

    Attributes:
      id: its place in the roster, from 0.
      examples: how many it trains on; weights by examples are public.
      held_out: how many it holds out, to test on.
      signing_key: Ed25519, 32 bytes.
      node_key: of its SuperNode, as OpenSSH writes it.
    """

    id: int
    examples: int
    held_out: int
    signing_key: bytes
    node_key: str


class KeyHolder(NamedTuple):
    """Who helps to open sums.

    Attributes:
      number: as its shares have it: 0, or from 1 where there are several.
      signing_key: Ed25519, 32 bytes.
      node_key: of its SuperNode, as OpenSSH writes it.
    """

    number: int
    signing_key: bytes
    node_key: str


class Roster(NamedTuple):
    """Who takes part, and what is public of the data.

    Attributes:
      features: shape of an example's inputs.
      dtype: of inputs.
      targets: ``classes``, ``quantities`` or ``tokens``.
      classes: how many there are.
      shift: with ``scale``, public constants: a model sees ``(inputs − shift) · scale``.
      scale: see ``shift``.
      parties: by ascending id, from 0.
      key_holders: by ascending number; none where clients open the sums, or nothing is hidden.
      public_key: the key holders' one, as bytes; empty where there is none.
      run: 16 random bytes that name the run: nothing signed for another run passes in it.
      code: SHA-256 of each file or module of the users' own that the config names; each role runs
        its own copy.
    """

    features: tuple[int, ...]
    dtype: str
    targets: str
    classes: int
    shift: Float[np.ndarray, "..."]
    scale: Float[np.ndarray, "..."]
    parties: tuple[Party, ...]
    key_holders: tuple[KeyHolder, ...]
    public_key: bytes
    run: bytes
    code: Mapping[str, str]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Examples of each party."""
        return tuple(party.examples for party in self.parties)

    @property
    def digest(self) -> str:
        """Equal for equal rosters only."""
        return hashlib.sha256(json.dumps(to_plain(self), sort_keys=True).encode()).hexdigest()

    @property
    def short(self) -> str:
        """What people compare: 160 bits of the digest as eight groups of four letters.

        Whoever writes two rosters of one short digest must try 2^80 of them.
        """
        letters = base64.b32encode(bytes.fromhex(self.digest)[:20]).decode()
        return "-".join(letters[start : start + 4] for start in range(0, len(letters), 4))


def save_roster(path: Path, roster: Roster) -> None:
    """Writes a roster as JSON."""
    write_json(path, to_plain(roster))


def load_roster(path: Path) -> Roster:
    """The roster in a file.

    Raises:
      ConfigError: it is not one.
      RunError: it cannot be read.
    """
    return roster_from(read_json(path), path)


def roster_from(content: Any, path: Path) -> Roster:
    """The roster in what a file's JSON has of it.

    Raises:
      ConfigError: it is not one.
    """
    try:
        roster = Roster(
            features=tuple(int(size) for size in content["features"]),
            dtype=str(content["dtype"]),
            targets=str(content["targets"]),
            classes=int(content["classes"]),
            shift=np.asarray(content["shift"], np.float32),
            scale=np.asarray(content["scale"], np.float32),
            parties=tuple(
                Party(
                    int(each["id"]),
                    int(each["examples"]),
                    int(each["held_out"]),
                    bytes.fromhex(each["signing_key"]),
                    str(each["node_key"]),
                )
                for each in content["parties"]
            ),
            key_holders=tuple(
                KeyHolder(
                    int(each["number"]), bytes.fromhex(each["signing_key"]), str(each["node_key"])
                )
                for each in content["key_holders"]
            ),
            public_key=bytes.fromhex(content["public_key"]),
            run=bytes.fromhex(content["run"]),
            code={str(source): str(digest) for source, digest in content["code"].items()},
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"{path} is not a roster ({type(error).__name__}: {error}): make it anew from "
            "everyone's enrolment"
        ) from None
    check_roster(roster)
    return roster


def check_roster(roster: Roster) -> None:
    """Refuses a roster in which someone is missing, or there twice.

    Raises:
      ConfigError: as above.
    """
    ids = [party.id for party in roster.parties]
    if not ids or ids != list(range(len(ids))):
        raise ConfigError(
            f"The roster's parties are {ids}, expected 0, 1, 2, … without a gap: collect "
            "everyone's enrolment once"
        )
    everyone = (*roster.parties, *roster.key_holders)
    for what in ("signing_key", "node_key"):
        keys = [getattr(each, what) for each in everyone]
        if len(set(keys)) < len(keys):
            raise ConfigError(
                f"Two in the roster have one {what}: each enrols with keys of its own"
            )
    if any(len(each.signing_key) != 32 for each in everyone):
        raise ConfigError("A signing key in the roster is not of 32 bytes: enrol it again")
    for party in roster.parties:
        declared = max(party.examples, party.held_out)
        if declared > _MOST_EXAMPLES:
            raise ConfigError(
                f"Party {party.id} declares {declared} examples: expected at most "
                f"{_MOST_EXAMPLES}, since everyone reserves memory for the most that any has"
            )
    if roster.dtype not in _DTYPES or roster.targets not in _TARGETS:
        raise ConfigError(
            f"The roster's examples are {roster.dtype} with {roster.targets}: expected "
            f"{', '.join(_DTYPES)} with {', '.join(_TARGETS)}"
        )
    sizes = roster.features
    if any(size < 1 for size in sizes) or math.prod(sizes) > _MOST_NUMBERS:
        raise ConfigError(
            f"The roster's examples are of shape {list(sizes)}: expected positive numbers of a "
            f"product of at most {_MOST_NUMBERS}"
        )
    if not 1 <= roster.classes <= _MOST_CLASSES:
        raise ConfigError(f"The roster has {roster.classes} classes: expected 1 … {_MOST_CLASSES}")
    empty = [party.id for party in roster.parties if party.examples < 1]
    if empty:
        raise ConfigError(f"Parties {empty} hold no example: expected at least one each")


def to_plain(roster: Roster) -> dict[str, Any]:
    """A roster as JSON has it."""
    return {
        "features": list(roster.features),
        "dtype": roster.dtype,
        "targets": roster.targets,
        "classes": roster.classes,
        "shift": roster.shift.tolist(),
        "scale": roster.scale.tolist(),
        "parties": [
            party._asdict() | {"signing_key": party.signing_key.hex()} for party in roster.parties
        ],
        "key_holders": [
            holder._asdict() | {"signing_key": holder.signing_key.hex()}
            for holder in roster.key_holders
        ],
        "public_key": roster.public_key.hex(),
        "run": roster.run.hex(),
        "code": dict(roster.code),
    }
