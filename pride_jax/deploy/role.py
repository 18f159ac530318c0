"""A role: what it knows, and what it keeps from one request to the next."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pride_jax.aggregation.owner_only import read_owner_only, write_owner_only
from pride_jax.aggregation.secure_sum import Secret
from pride_jax.deploy import scores
from pride_jax.deploy.agreement import Agreement, load_agreement
from pride_jax.deploy.enrolment import SECRETS, enrolment_in, load_examples, load_key
from pride_jax.errors import ProtocolError
from pride_jax.files import claimed, read_json

if TYPE_CHECKING:
    from pride_jax.deploy.kept_states import Party
    from pride_jax.deploy.training import Told


class Me(NamedTuple):
    """A role, and what it keeps from one request to the next.

    Attributes:
      folder: its own.
      kept: the folder of what it remembers of the sums that it is asked about.
      agreement: what it knows of these sums.
      role: ``party`` or ``key holder``.
      number: which of them.
      integers: what a party adds: round, what the server sends, flat, how many parties are called
        -> the integers, and what the party alone is told of them.
      finish: what the server sends at the end, flat, and what it says a model takes and gives ->
        None, once a party's own model is in its folder, if it has one.
      secret: a key holder's secret, read when it is first needed.
    """

    folder: Path
    kept: Path
    agreement: Agreement
    role: str
    number: int
    integers: Callable[..., tuple[Any, "Told"]]
    finish: Callable[[Any, bytes], None]
    secret: Callable[[], Secret]


def load_role(folder: Path) -> Me:
    """A role, from its own folder.

    Raises:
      PrideError: what is in the folder cannot be read, or contradicts itself.
    """
    with claimed(folder, wait=True):
        entry, agreement = read_json(enrolment_in(folder)), load_agreement(folder)
    if entry["role"] == "party":
        # Before anything is computed, which protecting a message may do, too.
        _use_devices(agreement)
    number = entry["number"]
    party = functools.cache(functools.partial(_party, folder, agreement, number))
    return Me(
        folder,
        folder,
        agreement,
        entry["role"],
        number,
        lambda *asked: party().train(*asked),
        lambda *given: party().finish(*given),
        functools.cache(functools.partial(load_key, folder, agreement.config, number)),
    )


def of_scores(me: Me) -> Me:
    """A role as it answers for sums of scores, of which it keeps books of their own.

    Raises:
      ConfigError: by the settings, parties give no scores.
    """
    agreement = scores.of_scores(me.agreement)
    scoring = functools.cache(functools.partial(_scoring, me.folder, agreement))
    return me._replace(
        kept=me.folder / scores.SCORES,
        agreement=agreement,
        integers=lambda *asked: scoring()(*asked),
    )


def _scoring(folder: Path, agreement: Agreement) -> Callable[..., Any]:
    from pride_jax.deploy.held_out import scoring

    return scoring(agreement, load_examples(folder, held_out=True))


def _use_devices(agreement: Agreement) -> None:
    from pride_jax.runs.devices import keep_programs, use_devices

    use_devices(agreement.config.engine)
    keep_programs()


def _party(folder: Path, agreement: Agreement, number: int) -> "Party":
    from pride_jax.deploy.kept_states import keeping
    from pride_jax.deploy.training import trainer

    return keeping(folder, agreement, trainer(agreement, number, load_examples(folder)))


def keep_of_round(folder: Path, name: str, round_: int, content: bytes) -> None:
    """Keeps a secret of a round until the next request; on disk when this returns."""
    content = round_.to_bytes(8, "big") + content
    write_owner_only(folder / SECRETS / name, content, replace=True)


def found_of_round(folder: Path, name: str, round_: int) -> bytes:
    """What this role keeps of a round; empty where there is nothing."""
    path = folder / SECRETS / name
    content = read_owner_only(path) if path.exists() else b""
    return content[8:] if content[:8] == round_.to_bytes(8, "big") else b""


def kept_of_round(folder: Path, name: str, round_: int) -> bytes:
    """What this role keeps of a round.

    Raises:
      ProtocolError: it has nothing of this round.
    """
    kept = found_of_round(folder, name, round_)
    if not kept:
        raise ProtocolError(f"No keys of round {round_}: ask for keys of the round first")
    return kept
