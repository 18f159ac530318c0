"""What a party and a key holder answer: from its own folder and one request, to one reply.

Each request is a flat record, as is its reply. Nothing that a request says is believed that the
role can know for itself: config, roster, terms and its own id come from its folder.

========= ================== ============================================================
request   to                 reply
========= ================== ============================================================
hello     everyone           who it is, signed
keys      a party            its public keys for the round, signed
letter    a party            its letter to its helpers
train     a party            its message: integers, protected and signed
consent   a party            to those whom it helps: the one sum that it opens
share     a party            its share of a total, signed
open      a key holder       its share of the sum of the messages that it adds, signed
========= ================== ============================================================

Parties are asked for keys, letters, consents and shares only where clients open the sums.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from pride_jax.aggregation.holder import Holder, help_open
from pride_jax.aggregation.messages import enclosed_from_bytes, sign_message, to_bytes
from pride_jax.aggregation.owner_only import read_owner_only, write_owner_only
from pride_jax.aggregation.round_keys import (
    Member,
    RoundKeys,
    member_from_bytes,
    round_keys_from_bytes,
    sign_round_keys,
)
from pride_jax.aggregation.secure_sum import Directory, Question, Role, Secret, header
from pride_jax.aggregation.shares import signed_share
from pride_jax.aggregation.signatures import sign
from pride_jax.deploy.agreement import (
    Agreement,
    Record,
    directory_from,
    load_agreement,
    shared_settings,
)
from pride_jax.deploy.enrolment import (
    ENROLMENT,
    SECRETS,
    load_examples,
    load_key,
    load_signing_key,
)
from pride_jax.deploy.mail import mail_from, notes_from
from pride_jax.deploy.memory import Opened, digest_of, load_opened, save_opened
from pride_jax.errors import ProtocolError, RunError
from pride_jax.files import claimed, read_json
from pride_jax.reporting import metrics
from pride_jax.settings.files import differences

HELLO = b"PRIDEhlo"
_FRESH, _WRITING, _WRITTEN = "round-keys", "round-keys-writing", "round-keys-written"
_MEMBER = "round-member"


class Me(NamedTuple):
    """A role: its folder, what it knows, and which party or key holder it is."""

    folder: Path
    agreement: Agreement
    role: str
    number: int


def respond(folder: Path, request: Record) -> Record:
    """A role's reply.

    Args:
      folder: the role's own.
      request: as received.

    Raises:
      PrideError: the request is refused; nothing was sent.
    """
    # One at a time: what was opened must be remembered before anything else is. A later request
    # waits: a holder may be asked again before it is done with what the others have opened.
    with claimed(folder, wait=True):
        entry = read_json(folder / ENROLMENT)
        me = Me(folder, load_agreement(folder), entry["role"], entry["number"])
        kind = request.get("kind")
        answers = _PARTY if me.role == "party" else _KEY_HOLDER
        if kind not in answers:
            raise ProtocolError(f"kind={kind!r}: a {me.role} answers {sorted(answers)} only")
        try:
            return answers[kind](me, request)
        except (KeyError, TypeError) as error:
            raise ProtocolError(
                f"A request of kind {kind!r} is incomplete or of wrong types ({error})"
            ) from None


def hello_bytes(roster: str, challenge: bytes, role: str, number: int) -> bytes:
    """What a role signs to tell who it is.

    Args:
      roster: digest of the roster.
      challenge: random, from the server.
      role: ``party`` or ``key holder``.
      number: its id.
    """
    return HELLO + json.dumps([roster, challenge.hex(), role, number]).encode()


def _hello(me: Me, request: Record) -> Record:
    changed = differences(json.loads(request["config"]), shared_settings(me.agreement.config))
    if changed:
        raise RunError(
            f"The server's settings are not this {me.role}'s: {'; '.join(changed)} (its -> "
            "here). Everyone needs the same config"
        )
    roster = me.agreement.roster.digest
    if request["roster"] != roster:
        raise RunError("The server's roster is not the one here: everyone needs the same file")
    signed = hello_bytes(roster, request["challenge"], me.role, me.number)
    signature = sign(load_signing_key(me.folder), signed)
    return {"role": me.role, "number": me.number, "signature": signature}


def _called(me: Me, request: Record) -> Directory:
    """The directory of a round to which this party was called.

    Raises:
      ProtocolError: it was not.
    """
    directory = directory_from(me.agreement, request)
    if me.number not in directory.roster:
        raise ProtocolError(f"Party {me.number} is not called to round {directory.round}")
    return directory


def _keys(me: Me, request: Record) -> Record:
    round_ = request["round"]
    _refuse_opened(me.folder, round_)
    secret, public = me.agreement.protocol.keygen(os.urandom, Role.CLIENT)
    if not isinstance(secret, RoundKeys):
        raise _not_spoken(me, "keys")
    for name in (_FRESH, _WRITING, _WRITTEN, _MEMBER):
        (me.folder / SECRETS / name).unlink(missing_ok=True)
    _keep(me.folder, _FRESH, round_, secret)
    key, run = load_signing_key(me.folder), me.agreement.roster.run
    signature = sign_round_keys(key, run, round_, me.number, public)
    return {"public": public.to_bytes(), "signature": signature}


def _letter(me: Me, request: Record) -> Record:
    directory = _called(me, request)
    letters = me.agreement.protocol.letters
    if letters is None:
        raise _not_spoken(me, "letter")
    secret = round_keys_from_bytes(_kept(me.folder, _FRESH, directory.round))
    # A second letter, to other helpers or other keys, would give a second set of shares away.
    (me.folder / SECRETS / _FRESH).rename(me.folder / SECRETS / _WRITING)
    letter = letters.write(os.urandom, directory, secret, me.number)
    _keep(me.folder, _WRITTEN, directory.round, secret)
    (me.folder / SECRETS / _WRITING).unlink()
    return {"letter": to_bytes(sign_message(load_signing_key(me.folder), letter))}


def _not_spoken(me: Me, kind: str) -> ProtocolError:
    name = me.agreement.config.aggregation.protocol
    return ProtocolError(
        f"kind={kind!r} with aggregation.protocol={name!r}: expected only where clients open the "
        "sums, as with masking"
    )


def _train(me: Me, request: Record) -> Record:
    from pride_jax.deploy import training
    from pride_jax.runs.devices import keep_programs, use_cores

    directory = _called(me, request)
    _refuse_opened(me.folder, directory.round)
    secret, letters = Secret(), me.agreement.protocol.letters
    if letters is not None:
        keys = round_keys_from_bytes(_kept(me.folder, _WRITTEN, directory.round))
        # A mask that had two vectors under it would give their difference away.
        (me.folder / SECRETS / _WRITTEN).unlink()
        secret = letters.read(directory, keys, me.number, mail_from(request))
    prepared = me.agreement.protocol.prepare(os.urandom, directory, secret, me.number)
    if isinstance(secret, Member):
        # Shares are given under this very directory, and under no other.
        _keep(me.folder, _MEMBER, directory.round, secret)
    use_cores(me.agreement.config.engine.devices)
    keep_programs()
    params = _model(directory, request["params"])
    integers, told = training.train_party(
        me.agreement, me.number, load_examples(me.folder), directory.round, params
    )
    metrics.append(me.folder / "metrics.jsonl", told)
    noised = training.with_noise(me.agreement, os.urandom, integers, len(directory.roster))
    message = me.agreement.protocol.protect(directory, prepared, noised)
    return {"message": to_bytes(sign_message(load_signing_key(me.folder), message))}


def _model(directory: Directory, content: bytes) -> Float[np.ndarray, "length"]:
    """What to train from.

    Raises:
      ProtocolError: others were sent another model, or one that would make honest clients silent.
    """
    if hashlib.sha256(content).digest() != directory.model:
        raise ProtocolError(
            f"Round {directory.round}: the parameters are not those of the round's digest: others "
            "were sent other ones"
        )
    params = np.frombuffer(content, "<f4")
    if not np.isfinite(params).all():
        raise ProtocolError(
            f"Round {directory.round}: parameters are not finite: expected a model to train from"
        )
    return params


def _consent(me: Me, request: Record) -> Record:
    directory, letters = _called(me, request), me.agreement.protocol.letters
    if letters is None:
        raise _not_spoken(me, "consent")
    member = member_from_bytes(_kept(me.folder, _MEMBER, directory.round))
    consent = letters.consent(directory, member, _asked(me, directory, request))
    # On disk before it is told: to one set of contributors, whatever dies.
    _keep(me.folder, _MEMBER, directory.round, member)
    return {"consent": to_bytes(sign_message(load_signing_key(me.folder), consent))}


def _share(me: Me, request: Record) -> Record:
    directory = _called(me, request)

    def secret() -> Secret:
        return member_from_bytes(_kept(me.folder, _MEMBER, directory.round))

    return _opening(me, secret, directory, _asked(me, directory, request))


def _asked(me: Me, directory: Directory, request: Record) -> Question:
    """What a party is asked to help to open."""
    about = header(directory, me.agreement.protocol.name)
    question = Question(about, tuple(request["contributors"]))
    included, agreed = notes_from(request)
    return question._replace(included=included, agreed=agreed)


def _open(me: Me, request: Record) -> Record:
    directory = directory_from(me.agreement, request)
    about = header(directory, me.agreement.protocol.name)
    enclosed = tuple(map(enclosed_from_bytes, request["enclosed"]))
    asked = Question(about, tuple(each.client for each in enclosed), enclosed)
    secret = partial(load_key, me.folder, me.agreement.config, me.number)
    return _opening(me, secret, directory, asked)


def _opening(me: Me, secret: Callable[[], Secret], directory: Directory, asked: Question) -> Record:
    """Helps to open one sum, remembering it first; the same question gets the same answer."""
    opened = load_opened(me.folder)
    digest = digest_of(directory, asked)
    if digest == opened.asked:
        return {"share": opened.answer}
    enrolled = {party.id: party.signing_key for party in me.agreement.roster.parties}
    smallest = me.agreement.terms.smallest_cohort
    holder = Holder(secret(), enrolled, smallest, opened.next_round)
    share, after = help_open(me.agreement.protocol, holder, directory, asked)
    answer = signed_share(load_signing_key(me.folder), share)
    save_opened(me.folder, Opened(after.next_round, digest, answer))
    return {"share": answer}


def _refuse_opened(folder: Path, round_: int) -> None:
    next_round = load_opened(folder).next_round
    if round_ < next_round:
        raise ProtocolError(f"Round {round_} is over: a sum of round {next_round - 1} was opened")


def _keep(folder: Path, name: str, round_: int, secret: RoundKeys | Member) -> None:
    """Keeps a secret of a round until the next request; on disk when this returns."""
    content = round_.to_bytes(8, "big") + secret.to_bytes()
    write_owner_only(folder / SECRETS / name, content, replace=True)


def _kept(folder: Path, name: str, round_: int) -> bytes:
    """A secret of a round.

    Raises:
      ProtocolError: it has none of this round, or has used it.
    """
    path = folder / SECRETS / name
    content = read_owner_only(path) if path.exists() else b""
    if content[:8] != round_.to_bytes(8, "big"):
        raise ProtocolError(
            f"No keys of round {round_} that are still to be used: ask for keys of the round first"
        )
    return content[8:]


Answer = Callable[[Me, Record], Record]
_PARTY: Mapping[Any, Answer] = {
    "hello": _hello,
    "keys": _keys,
    "letter": _letter,
    "train": _train,
    "consent": _consent,
    "share": _share,
}
_KEY_HOLDER: Mapping[Any, Answer] = {"hello": _hello, "open": _open}
