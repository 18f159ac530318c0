"""What config and roster imply for every role, worked out once and kept beside them."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from pride_jax.aggregation import bfv_keys
from pride_jax.aggregation.books import Rules
from pride_jax.aggregation.holder_keys import key_from_bytes
from pride_jax.aggregation.secure_sum import Directory, Public, Role, SecureSum
from pride_jax.aggregation.terms import Terms
from pride_jax.deploy.mail import keys_from, letters_from
from pride_jax.deploy.roster import Roster, load_roster
from pride_jax.errors import ConfigError
from pride_jax.files import read_json, write_json
from pride_jax.privacy.no_plan import NoPlan
from pride_jax.privacy.plan import Plan, plan_of, smallest_sum
from pride_jax.settings import own
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import read_settings, to_dict, trust
from pride_jax.settings.protocols import (
    build_key_files,
    build_secure_sum,
    key_holders,
    with_key_apart,
)

CONFIG = "config.json"
ROSTER = "roster.json"
DERIVED = "agreed.json"
_LOCAL = {"aggregation": ("workers",), "data": ("dir",), "engine": None, "evaluation": None}
"""Settings that a role may have of its own: they change nothing that others depend on."""


Record = dict[str, Any]
"""Names and their ints, texts, bytes, or lists of such, as they travel and are kept."""


class Agreement(NamedTuple):
    """What every role of a run knows.

    Attributes:
      config: the settings.
      roster: who takes part.
      protocol: how sums are protected.
      public_key: the key holders' one.
      terms: of a sum, but for the fewest clients of a round.
      rules: what the run may ask of anyone.
      plan: what is private, or that nothing is.
      parameters: how many numbers the model has.
      scores: names of the sums of scores that parties give; none where they hold nothing out.
      subject: what is added, if not updates.
    """

    config: Experiment
    roster: Roster
    protocol: SecureSum
    public_key: Public
    terms: Terms
    rules: Rules
    plan: Plan | NoPlan
    parameters: int
    scores: tuple[str, ...]
    subject: str = ""

    @property
    def run(self) -> bytes:
        """What names the run and all that its roles must have in common, 32 bytes.

        It is in every signature: nothing of a role with other settings, another plan for instance,
        passes for this run's; and nothing of sums of one subject for those of another.
        """
        shared = json.dumps(shared_settings(self.config), sort_keys=True) + self.subject
        return hashlib.sha256(self.roster.run + shared.encode()).digest()


def write_config(folder: Path, config: Experiment) -> None:
    """Puts a config into a role's folder, with the role's own copy of the code that it names.

    Raises:
      PrideError: a file is not the one that the config was made with, or cannot be written.
    """
    own.keep(config.code, folder)
    write_json(folder / CONFIG, to_dict(config))


def load_agreement(folder: Path) -> Agreement:
    """What the config and the roster in a role's own folder imply.

    Raises:
      PrideError: they cannot be read, or contradict each other.
    """
    # Whose role it is put the config and the code there: a request brings neither.
    config, roster = trust(read_settings(folder), folder / own.CODE), load_roster(folder / ROSTER)
    own.compare(roster.code, config.code.digests, f"{folder}, against its {ROSTER}")
    settings = config.aggregation
    check_protocol(config)
    check_key_holders(config, roster)
    files = build_key_files(settings)
    public_key = Public() if files is None else files.read_public(roster.public_key)
    derived = _derived(folder, config, roster)
    terms = Terms(**derived["terms"])
    return Agreement(
        config=config,
        roster=roster,
        protocol=with_key_apart(settings, build_secure_sum(settings), terms.length),
        public_key=public_key,
        terms=terms,
        rules=Rules(
            config.rounds, derived["releases"], terms.smallest_cohort, settings.most_refused
        ),
        plan=plan_of(derived["plan"]),
        parameters=derived["parameters"],
        scores=tuple(derived["scores"]),
    )


def check_protocol(config: Experiment) -> None:
    """Refuses what real parties cannot do.

    Raises:
      ConfigError: no integers are added.
    """
    if config.aggregation.protocol == "none":
        raise ConfigError(
            "aggregation.protocol='none': expected plain, two_servers, paillier, threshold, "
            "masking or bfv with real parties"
        )


def check_key_holders(config: Experiment, roster: Roster) -> None:
    """Refuses a roster whose key holders are not those of the config's protocol.

    Raises:
      ConfigError: as above.
    """
    found = [holder.number for holder in roster.key_holders]
    expected = list(key_holders(config.aggregation).numbers)
    if found != expected:
        raise ConfigError(
            f"The roster has the key holders {found}, expected {expected} for aggregation.protocol="
            f"{config.aggregation.protocol!r}: collect everyone's enrolment once"
        )


def shared_settings(config: Experiment) -> dict[str, Any]:
    """The settings in which all roles must agree."""
    settings = to_dict(config)
    for section, names in _LOCAL.items():
        for name in names or list(settings[section]):
            settings[section].pop(name)
    return settings


def directory_from(agreement: Agreement, record: Record) -> Directory:
    """The directory of a round, as each role makes it for itself.

    Args:
      agreement: what the role knows.
      record: ``round``, ``cohort``, the parties called to it, and ``model``, the digest of what
        they train from; where the key holder has a key for the round, that ``holder_key``; where
        parties have keys for a round, those of who sent them in time, and then the digests of
        their letters, as in ``mail``.

    Raises:
      PrideError: a party is not in the roster, a key or letter is none, or there are too few.
    """
    round_, cohort = record["round"], tuple(record["cohort"])
    enrolled = agreement.roster.parties
    if any(not 0 <= client < len(enrolled) for client in cohort):
        raise ConfigError(f"Cohort {list(cohort)}: expected parties of the roster only")
    keys: dict[int | Role, Public] = {Role.KEY_HOLDER: _holder_key(agreement, record)}
    signatures: dict[int, bytes] = {}
    if "keyed" in record:
        # Who sent no key for the round is not in it.
        sent, signatures = keys_from(record)
        cohort = tuple(client for client in cohort if client in sent)
        keys |= {client: sent[client] for client in cohort}
    smallest = smallest_sum(agreement.plan, round_, len(cohort))
    return Directory(
        round_,
        cohort,
        dataclasses.replace(agreement.terms, smallest_cohort=smallest),
        keys,
        {client: enrolled[client].signing_key for client in cohort},
        signatures,
        letters_from(record),
        record["model"],
        agreement.run,
    )


def _holder_key(agreement: Agreement, record: Record) -> Public:
    """The key holder's key: that of the run, or the one that it signed for the round.

    Raises:
      ProtocolError: the key is not signed for this round, or is none.
    """
    if not agreement.protocol.renews:
        return agreement.public_key
    (holder,) = agreement.roster.key_holders
    run, round_ = agreement.run, record["round"]
    signed = record["holder_key"]
    return bfv_keys.public_from_bytes(key_from_bytes(signed, holder.signing_key, run, round_))


def _derived(folder: Path, config: Experiment, roster: Roster) -> dict[str, Any]:
    """What takes JAX and a while to work out, from the file that keeps it, or anew."""
    path = folder / DERIVED
    about = json.loads(json.dumps([shared_settings(config), roster.digest]))
    if path.exists():
        kept = read_json(path)
        if kept["of"] == about:
            return kept
    from pride_jax.deploy.derived import derive

    derived = {"of": about, **derive(config, roster)}
    write_json(path, derived)
    return json.loads(json.dumps(derived))
