"""The one file that everyone gets back from the server, and what becomes of it."""

from pathlib import Path
from typing import Any, NamedTuple

from pride_jax.deploy.agreement import CONFIG, ROSTER, shared_settings
from pride_jax.deploy.certificates import AUTHORITY
from pride_jax.deploy.roster import Roster, roster_from, save_roster, to_plain
from pride_jax.errors import ConfigError, RunError
from pride_jax.files import explained, read_json, write_json
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import differences

BUNDLE = "bundle.json"


class Bundle(NamedTuple):
    """All that a role needs of others. None of it is secret; all of it is the server's word.

    Attributes:
      roster: who takes part.
      authority: the certificate by which the server is known, PEM.
      address: where the server is reached, host:port.
      settings: the server's, as far as all roles must have the same.
    """

    roster: Roster
    authority: str
    address: str
    settings: dict[str, Any]


def save_bundle(folder: Path, config: Experiment, roster: Roster, address: str) -> Path:
    """Writes the bundle of a server's folder; returns its path.

    Raises:
      RunError: it cannot be written.
    """
    content = {
        "roster": to_plain(roster),
        "authority": (folder / AUTHORITY).read_text(),
        "address": address,
        "settings": shared_settings(config),
    }
    write_json(folder / BUNDLE, content)
    return folder / BUNDLE


def read_bundle(path: Path) -> Bundle:
    """The bundle in a file.

    Raises:
      ConfigError: it is none.
      RunError: it cannot be read.
    """
    content = read_json(path)
    try:
        roster, settings = content["roster"], content["settings"]
        authority, address = content["authority"], content["address"]
        if not (isinstance(authority, str) and isinstance(address, str)):
            raise TypeError("authority and address are texts")
        if not isinstance(settings, dict):
            raise TypeError("settings are names and values")
    except (KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} is no bundle ({error}): expected {BUNDLE} of the server's folder"
        ) from None
    return Bundle(roster_from(roster, path), authority, address, settings)


def unpack(bundle: Bundle, folder: Path, config: Experiment) -> None:
    """Puts a bundle's roster and certificate into a role's folder, unless others are there.

    Args:
      bundle: as the server gave it.
      folder: the role's own.
      config: what the role enrolled with; what it lets others do stands there.

    Raises:
      ConfigError: the server has other settings.
      RunError: another bundle was unpacked before, or it cannot be written.
    """
    changed = differences(bundle.settings, shared_settings(config))
    if changed:
        raise ConfigError(
            f"The bundle's settings are not those in {folder / CONFIG}: {'; '.join(changed)} "
            "(the server's -> here). Everyone enrols with the same config"
        )
    kept = folder / ROSTER
    if kept.exists() and read_json(kept) != to_plain(bundle.roster):
        raise RunError(
            f"{kept} is another roster than the bundle's: one enrolment is for one run; enrol in "
            "a new folder"
        )
    save_roster(kept, bundle.roster)
    with explained("write to", folder):
        (folder / AUTHORITY).write_text(bundle.authority)
