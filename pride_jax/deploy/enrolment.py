"""A role's own folder: its secrets, made where they stay, and the public half to enrol."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from pride_jax.aggregation.key_files import KeyFiles
from pride_jax.aggregation.owner_only import read_owner_only, write_owner_only
from pride_jax.aggregation.secure_sum import Public, Role, Secret
from pride_jax.aggregation.signatures import SigningSecret, signing_key
from pride_jax.data.dataset import Dataset
from pride_jax.data.examples import Examples, PublishedSet
from pride_jax.deploy.agreement import write_config
from pride_jax.deploy.own_examples import (
    Outline,
    check_alike,
    held_out_of,
    outline_from,
    outline_of,
    to_test_on,
    with_held_out,
    without_examples,
)
from pride_jax.deploy.roster import KeyHolder, Party, Roster, check_roster
from pride_jax.errors import ConfigError, RunError
from pride_jax.files import explained, read_json, write_json
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.protocols import build_key_files, build_secure_sum, key_holders

ENROLMENT = ".enrolment.json"
"""How the name of the file ends that a role hands in; it begins with the name of its folder."""
EXAMPLES = "examples.npz"
SECRETS = "secrets"
NODE_KEY = "node-key"
EXECUTOR_KEY = "executor-key"
"""A secret of a role's: only who has it is told by its SuperNode what there is to run."""
_SIGNING_KEY = "signing-key"


def enrol_party(folder: Path, config: Experiment, id_: int, own: PublishedSet) -> None:
    """Makes a party's folder: its keys, its examples, and the enrolment to hand in.

    Args:
      folder: new, or empty; on the party's own machine.
      config: the settings, which stay in the folder: the party joins with these and no others.
      id_: the party's number, from 0.
      own: its own examples, which stay in the folder; with those that it holds out, if any are
        chosen, else `partition.held_out` of them.

    Raises:
      PrideError: the folder cannot be made, the examples are none, or there is no such party.
    """
    inputs, targets, _ = own.train
    if not len(targets) or len(inputs) != len(targets):
        raise ConfigError(
            f"{len(inputs)} inputs and {len(targets)} targets: expected as many, and at least one"
        )
    _check_number(config, id_)
    own = with_held_out(own, config)
    public = _make_keys(folder)
    write_config(folder, config)
    keep_examples(folder, own)
    counts = {"examples": len(own.train.targets), "held_out": len(held_out_of(own).targets)}
    about = counts | {"outline": outline_of(own)._asdict()}
    _write_enrolment(folder, {"role": "party", "number": id_, **about, **public})


def enrolment_in(folder: Path) -> Path:
    """What a role has handed in, or has to: its folder keeps it, also under another name.

    Raises:
      RunError: the folder has none, or several.
    """
    found = list(folder.glob(f"*{ENROLMENT}"))
    if len(found) != 1:
        raise RunError(
            f"{folder} has {len(found)} files *{ENROLMENT}, expected one: a folder that --enrol "
            "has made"
        )
    return found[0]


def _write_enrolment(folder: Path, content: dict[str, Any]) -> None:
    # Those of several parties can then lie in one folder.
    write_json(folder / f"{folder.resolve().name}{ENROLMENT}", content)


def keep_examples(folder: Path, own: PublishedSet) -> None:
    """Keeps a role's own examples in its folder, as `load_examples` reads them.

    Raises:
      RunError: they cannot be written.
    """
    with explained("write to", folder):
        np.savez(
            folder / EXAMPLES,
            inputs=own.train.inputs,
            targets=own.train.targets,
            held_out_inputs=held_out_of(own).inputs,
            held_out_targets=held_out_of(own).targets,
            class_names=np.array(own.class_names, np.str_),
            input_names=np.array(own.input_names, np.str_),
        )
        (folder / EXAMPLES).chmod(0o600)


def _check_number(config: Experiment, id_: int) -> None:
    """Refuses a party beyond those that the settings count.

    Raises:
      ConfigError: as above.
    """
    clients = count_of(config)
    if not 0 <= id_ < (clients or id_ + 1):
        raise ConfigError(
            f"party {id_} of {clients} (partition.clients): expected 0 to {clients - 1}"
        )


def count_of(config: Experiment) -> int:
    """How many parties the settings count; 0 where examples would tell."""
    partition = config.partition
    return {"sizes": len(partition.sizes), "groups": 0}.get(partition.kind, partition.clients)


def enrol_key_holders(folder: Path, config: Experiment) -> list[Path]:
    """Makes the folders of all key holders: their keys, and each an enrolment to hand in.

    A key holder that makes new keys for every round enrols what it signs them with.

    Where several open the sums, who calls this is the trusted dealer. Each holder's folder has to
    be moved to that holder's machine, and no copy may stay.

    Args:
      folder: new, or empty; that of the one key holder, or the dealer's, with theirs in it.
      config: the settings.

    Returns:
      Each key holder's folder.

    Raises:
      PrideError: a folder cannot be made, or the protocol has no key holders.
    """
    settings = config.aggregation
    if not key_holders(settings).numbers:
        raise _no_key_holder(config)
    _make_folder(folder)
    protocol, folders = build_secure_sum(settings), []
    secret, public_key = Secret(), Public()
    if not protocol.renews:
        secret, public_key = protocol.keygen(os.urandom, Role.KEY_HOLDER)
    for number, own in zip(key_holders(settings).numbers, protocol.deal(secret), strict=True):
        folders.append(holder_folder(folder, number))
        public = _make_keys(folders[-1])
        if not protocol.renews:
            _key_files(config).save_holder(folders[-1] / SECRETS, own)
        write_config(folders[-1], config)
        public |= {"public_key": public_key.to_bytes().hex()}
        _write_enrolment(folders[-1], {"role": "key holder", "number": number, **public})
    return folders


def holder_folder(folder: Path, number: int) -> Path:
    """The folder of a key holder in what `enrol_key_holders` made."""
    return folder / f"holder-{number}" if number else folder


def collect_roster(enrolments: list[Path], dataset: Dataset, code: Mapping[str, str]) -> Roster:
    """The roster of everyone whose enrolment was handed in.

    Args:
      enrolments: their files.
      dataset: for what is public of all data: shapes, classes, constants.
      code: digests of the users' own code that the config names.

    Raises:
      PrideError: a file is not an enrolment, someone is missing or there twice, or a party's
        examples are of another kind.
    """
    parties, holders, public_keys = [], [], set()
    outlines: dict[int, Outline] = {}
    for path in enrolments:
        entry = read_json(path)
        try:
            keys = bytes.fromhex(entry["signing_key"]), entry["node_key"]
            if entry["role"] == "party":
                counts = entry["examples"], entry["held_out"]
                parties.append(Party(entry["number"], *counts, *keys))
                outlines[entry["number"]] = outline_from(entry["outline"])
            else:
                holders.append(KeyHolder(entry["number"], *keys))
                public_keys.add(bytes.fromhex(entry["public_key"]))
        except (KeyError, TypeError, ValueError):
            raise _not_an_enrolment(path) from None
    for number, found in outlines.items():
        check_alike(f"Party {number}", found, outline_of(dataset))
    if len(public_keys) > 1:
        raise ConfigError(
            "The key holders' enrolments are for different keys: expected those that were made "
            "together"
        )
    roster = Roster(
        features=tuple(dataset.train_inputs.shape[1:]),
        dtype=outline_of(dataset).dtype,
        targets=outline_of(dataset).targets,
        classes=dataset.outputs,
        shift=np.asarray(dataset.shift, np.float32),
        scale=np.asarray(dataset.scale, np.float32),
        parties=tuple(sorted(parties)),
        key_holders=tuple(sorted(holders)),
        public_key=next(iter(public_keys), b""),
        run=os.urandom(16),
        code=dict(code),
    )
    check_roster(roster)
    return roster


def _not_an_enrolment(path: Path) -> ConfigError:
    """That a file is none."""
    return ConfigError(f"{path} is not an enrolment: expected FOLDER{ENROLMENT} of --enrol FOLDER")


def common_set(enrolments: list[Path]) -> PublishedSet:
    """What is public of all data, from what parties have handed in: a set without an example.

    Raises:
      ConfigError: a file is not an enrolment, or none is a party's.
    """
    found = []
    for path in enrolments:
        entry = read_json(path)
        try:
            if entry["role"] == "party":
                found.append(outline_from(entry["outline"]))
        except (KeyError, TypeError, ValueError):
            raise _not_an_enrolment(path) from None
    if not found:
        raise ConfigError("No party's enrolment: expected everyone's")
    return without_examples(found)


def load_examples(folder: Path, held_out: bool = False) -> Examples:
    """A party's own examples: those that it trains on, or those that it holds out.

    Raises:
      RunError: they cannot be read.
    """
    path, kind = folder / EXAMPLES, "held_out_" if held_out else ""
    with explained("read", path):
        try:
            with np.load(path) as saved:
                return Examples(saved[f"{kind}inputs"], saved[f"{kind}targets"])
        except (ValueError, KeyError, EOFError) as error:
            raise RunError(f"{path} does not hold inputs and targets ({error})") from None


def load_test_set(folder: Path, config: Experiment, roster: Roster) -> Dataset:
    """What a server tests on: its own examples, or those of the data set that the config names.

    Raises:
      RunError: they cannot be read.
      DataError: the data set cannot be had.
    """
    path = folder / EXAMPLES
    if not path.exists():
        # Nodes, which start a process for every message, do without JAX where they can.
        from pride_jax.settings import build

        return build.build_dataset(config)
    examples = load_examples(folder)
    with np.load(path) as saved:
        classes, columns = (tuple(saved[name].tolist()) for name in ("class_names", "input_names"))
    own = PublishedSet(
        config.data.name,
        examples,
        None,
        roster.classes,
        roster.shift,
        roster.scale,
        class_names=classes,
        input_names=columns,
    )
    return to_test_on(own)


def load_signing_key(folder: Path) -> SigningSecret:
    """The role's own signing key.

    Raises:
      ProtocolError: it is missing or open to others.
    """
    seed = read_owner_only(folder / SECRETS / _SIGNING_KEY)
    return signing_key(lambda _: seed)


def load_key(folder: Path, config: Experiment, number: int) -> Secret:
    """A key holder's own secret.

    Raises:
      ConfigError: the settings have no key holders.
      ProtocolError: it is missing, damaged or open to others.
    """
    return _key_files(config).load_holder(folder / SECRETS, number)


def _key_files(config: Experiment) -> KeyFiles:
    files = build_key_files(config.aggregation)
    if files is None:
        raise _no_key_holder(config)
    return files


def _no_key_holder(config: Experiment) -> ConfigError:
    return ConfigError(
        f"aggregation.protocol={config.aggregation.protocol!r} has no key holder: expected "
        "two_servers, paillier, threshold or bfv"
    )


def _make_folder(folder: Path) -> None:
    with explained("write to", folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        if any(folder.iterdir()):
            raise RunError(f"{folder} is not empty: enrol in a new folder")


def _make_keys(folder: Path) -> dict[str, str]:
    """Makes the keys with which a role signs and its node logs in; returns their public halves."""
    _make_folder(folder)
    seed = os.urandom(32)
    write_owner_only(folder / SECRETS / _SIGNING_KEY, seed)
    node = ec.generate_private_key(ec.SECP384R1())
    write_owner_only(
        folder / SECRETS / NODE_KEY,
        node.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()),
    )
    public = node.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return {
        "signing_key": signing_key(lambda _: seed).public.hex(),
        "node_key": public.decode(),
    }
