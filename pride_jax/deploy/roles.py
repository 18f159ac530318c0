"""What a party and a key holder answer: from its own folder and one request, to one reply.

Each request is a flat record, as is its reply. Nothing that a request says is believed that the
role can know for itself: config, roster, terms and its own id come from its folder.

========= ================== ============================================================
request   to                 reply
========= ================== ============================================================
hello     everyone           who it is, signed
keys      a party            its public keys for the round, signed
keys      a key holder       its public key for the round, signed
letter    a party            its letter to its helpers
train     a party            its message: integers, protected and signed
consent   a party            to those whom it helps: the one sum that it opens
share     a party            its share of a total, signed
open      a key holder       its share of the sum of the messages that it adds, signed
========= ================== ============================================================

Parties are asked for keys, letters, consents and shares only in protocols whose clients open the
sums, and a key holder for keys only where it makes new ones for every round. Each of these may be
asked for of sums of scores, too, as ``scores train``: with books of their own, see `scores`.
"""

import contextlib
import hashlib
import json
import os
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from pride_jax.aggregation import bfv_keys
from pride_jax.aggregation.books import check_cohort
from pride_jax.aggregation.holder import Holder, give_share
from pride_jax.aggregation.holder_keys import signed_key
from pride_jax.aggregation.messages import enclosed_from_bytes, sign_message, to_bytes
from pride_jax.aggregation.round_keys import (
    Member,
    RoundKeys,
    member_from_bytes,
    round_keys_from_bytes,
    sign_round_keys,
)
from pride_jax.aggregation.secure_sum import (
    Directory,
    Public,
    Question,
    Role,
    Secret,
    header,
)
from pride_jax.aggregation.shares import signed_share
from pride_jax.aggregation.signatures import is_signed_by, sign
from pride_jax.deploy.agreement import (
    Agreement,
    Record,
    directory_from,
    shared_settings,
)
from pride_jax.deploy.comparison import check_compared, check_enrolled
from pride_jax.deploy.enrolment import (
    load_signing_key,
)
from pride_jax.deploy.finishing import check_length, keep_model
from pride_jax.deploy.mail import mail_from, notes_from
from pride_jax.deploy.memory import CONSENTS, LETTERS, MESSAGES, SHARES, load_kept, once
from pride_jax.deploy.role import (
    Me,
    found_of_round,
    keep_of_round,
    kept_of_round,
    load_role,
    of_scores,
)
from pride_jax.deploy.scores import SCORES
from pride_jax.errors import PrideError, ProtocolError, RunError
from pride_jax.files import claimed
from pride_jax.reporting import metrics
from pride_jax.runs.refusals import REFUSALS, note
from pride_jax.settings.files import differences
from pride_jax.settings.protocols import key_holders

HELLO = b"PRIDEhlo"
_APPROVAL = b"PRIDEros"
_ROUND_KEYS, _MEMBER = "round-keys", "round-member"
NOT_OPENED = f"the sum is not opened; why is in {REFUSALS} of the one who refuses"
"""All that whoever asks learns of a refusal: more could tell something of what was to be opened."""


_WRONG_TYPES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RecursionError,
    TypeError,
    ValueError,
    struct.error,
)


def respond(folder: Path, request: Record) -> Record:
    """A role's reply.

    Args:
      folder: the role's own.
      request: as received.

    Raises:
      PrideError: the request is refused; nothing was sent.
    """
    return awake(folder)(request)


def awake(folder: Path) -> Callable[[Record], Record]:
    """A role that keeps what it has read and compiled from one request to the next.

    Args:
      folder: the role's own.

    Returns:
      As `respond`.

    Raises:
      PrideError: what is in the folder cannot be read, or contradicts itself.
    """
    me = load_role(folder)
    return partial(_respond, me, cache(partial(of_scores, me)))


def _respond(updates: Me, scores: Callable[[], Me], request: Record) -> Record:
    # One at a time: what was opened must be remembered before anything else is. A later request
    # waits: a holder may be asked again before it is done with what the others have opened.
    with claimed(updates.folder, wait=True):
        check_compared(updates.folder, updates.agreement.roster)
        kind, role = request.get("kind"), updates.role
        answers = _PARTY if role == "party" else _KEY_HOLDER
        subject, _, of_scores = kind.rpartition(" ") if isinstance(kind, str) else ("", "", "")
        is_of_scores = subject == SCORES and of_scores not in _OF_THE_RUN
        name = of_scores if is_of_scores else kind
        if not isinstance(name, str) or name not in answers:
            raise ProtocolError(f"kind={kind!r}: a {role} answers {sorted(answers)} only")
        try:
            return answers[name](scores() if is_of_scores else updates, request)
        except PrideError:
            raise
        except _WRONG_TYPES as error:
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
    key = load_signing_key(me.folder)
    check_enrolled(me.folder, me.agreement.roster, me.role, me.number)
    signature = sign(key, hello_bytes(roster, request["challenge"], me.role, me.number))
    reply = {"role": me.role, "number": me.number, "signature": signature}
    if me.role == "party":
        return reply
    if not me.agreement.protocol.renews:
        _check_own_key(me)
    return reply | {"approval": sign(key, approval_bytes(roster))}


def _check_own_key(me: Me) -> None:
    secret: Any = me.secret()
    if secret.public != me.agreement.public_key:
        raise ProtocolError(
            "The roster's key to encrypt for is not this key holder's: whoever wrote it could "
            "read what is encrypted for it"
        )


def approval_bytes(roster: str) -> bytes:
    """What a key holder signs once it has found its own keys in a roster.

    Args:
      roster: its digest.
    """
    return _APPROVAL + bytes.fromhex(roster)


def _check_approved(agreement: Agreement, request: Record) -> None:
    """Refuses to work for a roster that too few of its key holders have approved.

    Raises:
      ProtocolError: as above.
    """
    needed = key_holders(agreement.config.aggregation).needed
    signed = approval_bytes(agreement.roster.digest)
    given = request.get("approved_by", ()), request.get("approvals", ())
    approvals = dict(zip(*given, strict=True))
    found = sum(
        is_signed_by(holder.signing_key, signed, approvals.get(holder.number, b""))
        for holder in agreement.roster.key_holders
    )
    if found < needed:
        raise ProtocolError(
            f"{found} key holders have signed this roster, expected at least {needed}: the server "
            "must send what they signed"
        )


def _called(me: Me, request: Record) -> Directory:
    """The directory of a round to which this party was called, by a roster that stands.

    Raises:
      ProtocolError: it was not.
    """
    directory = directory_from(me.agreement, request)
    if me.number not in directory.roster:
        raise ProtocolError(f"Party {me.number} is not called to round {directory.round}")
    _check_approved(me.agreement, request)
    return directory


def _keys(me: Me, request: Record) -> Record:
    round_ = request["round"]
    if round_ < load_kept(me.kept, LETTERS).books.next_round:
        raise ProtocolError(f"Round {round_}: a letter was written with this party's keys of it")
    secret, public = me.agreement.protocol.keygen(os.urandom, Role.CLIENT)
    if not isinstance(secret, RoundKeys):
        raise _not_spoken(me, "keys")
    keep_of_round(me.kept, _ROUND_KEYS, round_, secret.to_bytes())
    key, run = load_signing_key(me.folder), me.agreement.run
    signature = sign_round_keys(key, run, round_, me.number, public)
    return {"public": public.to_bytes(), "signature": signature}


def _holder_keys(me: Me, request: Record) -> Record:
    round_, protocol = request["round"], me.agreement.protocol
    if round_ < load_kept(me.kept, SHARES).books.next_round:
        raise ProtocolError(f"Round {round_} is over: this key holder makes no more keys for it")
    if not protocol.renews:
        name = me.agreement.config.aggregation.protocol
        raise ProtocolError(
            f"kind='keys' with aggregation.protocol={name!r}: expected only where the key holder "
            "makes a new key for every round, as with bfv"
        )
    kept = found_of_round(me.kept, _ROUND_KEYS, round_)
    if kept:
        # Clients may have trained under this round's key already: they train once a round.
        public: Public = bfv_keys.secret_from_bytes(kept).public
    else:
        secret, public = protocol.keygen(os.urandom, Role.KEY_HOLDER)
        assert isinstance(secret, bfv_keys.BFVSecret)
        keep_of_round(me.kept, _ROUND_KEYS, round_, secret.to_bytes())
    signing, run = load_signing_key(me.folder), me.agreement.run
    return {"public": signed_key(signing, run, round_, public)}


def _letter(me: Me, request: Record) -> Record:
    letters = me.agreement.protocol.letters
    if letters is None:
        raise _not_spoken(me, "letter")
    directory = _called(me, request)
    secret = round_keys_from_bytes(kept_of_round(me.kept, _ROUND_KEYS, directory.round))

    def written() -> bytes:
        letter = letters.write(os.urandom, directory, secret, me.number)
        # That these keys have written is on disk before anybody has the letter.
        keep_of_round(me.kept, _ROUND_KEYS, directory.round, secret.to_bytes())
        return to_bytes(sign_message(load_signing_key(me.folder), letter))

    return {"letter": once(me.kept, LETTERS, me.agreement.rules, _of(me, directory), written)}


def _of(me: Me, directory: Directory) -> Question:
    """What a party is asked that is called to a round."""
    about = header(directory, me.agreement.protocol.name)
    return Question(about, tuple(sorted(directory.members)))


def _not_spoken(me: Me, kind: str) -> ProtocolError:
    name = me.agreement.config.aggregation.protocol
    return ProtocolError(
        f"kind={kind!r} with aggregation.protocol={name!r}: expected only where clients open the "
        "sums, as with masking"
    )


def _train(me: Me, request: Record) -> Record:
    directory = _called(me, request)
    check_cohort(me.agreement.rules, directory.round, directory.members)
    secret, letters = Secret(), me.agreement.protocol.letters
    if letters is not None:
        keys = round_keys_from_bytes(kept_of_round(me.kept, _ROUND_KEYS, directory.round))
        secret = letters.read(directory, keys, me.number, mail_from(request))
    params = _model(directory, request["params"])

    def trained() -> bytes:
        if isinstance(secret, Member):
            # Shares are given under this very directory, and under no other.
            keep_of_round(me.kept, _MEMBER, directory.round, secret.to_bytes())
        start = time.perf_counter()
        prepared = me.agreement.protocol.prepare(os.urandom, directory, secret, me.number)
        begun = time.perf_counter()
        integers, told = me.integers(directory.round, params, len(directory.roster))
        training = time.perf_counter() - begun
        message = me.agreement.protocol.protect(directory, prepared, integers)
        content = to_bytes(sign_message(load_signing_key(me.folder), message))
        protecting = time.perf_counter() - start - training
        seconds = {"seconds_train": training, "seconds_protect": protecting}
        metrics.append(me.kept / "metrics.jsonl", told | seconds)
        return content

    # A second message, of other noise or under the same mask, would tell more than one does.
    return {"message": once(me.kept, MESSAGES, me.agreement.rules, _of(me, directory), trained)}


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
    letters = me.agreement.protocol.letters
    if letters is None:
        raise _not_spoken(me, "consent")
    with _unexplained(me, request):
        directory, asked = _asked(me, request)
        member = member_from_bytes(kept_of_round(me.kept, _MEMBER, directory.round))

        def consented() -> bytes:
            consent = letters.consent(directory, member, asked)
            # On disk before it is told: to one set of contributors, whatever dies.
            keep_of_round(me.kept, _MEMBER, directory.round, member.to_bytes())
            return to_bytes(sign_message(load_signing_key(me.folder), consent))

        return {"consent": once(me.kept, CONSENTS, me.agreement.rules, asked, consented)}


def _share(me: Me, request: Record) -> Record:
    with _unexplained(me, request):
        directory, asked = _asked(me, request)
        member = member_from_bytes(kept_of_round(me.kept, _MEMBER, directory.round))
        return _opening(me, member, directory, asked)


def _asked(me: Me, request: Record) -> tuple[Directory, Question]:
    """The sum that a party is asked to help to open."""
    directory = _called(me, request)
    about = header(directory, me.agreement.protocol.name)
    question = Question(about, tuple(request["contributors"]))
    included, agreed = notes_from(request)
    return directory, question._replace(included=included, agreed=agreed)


def _open(me: Me, request: Record) -> Record:
    with _unexplained(me, request):
        directory = directory_from(me.agreement, request)
        about = header(directory, me.agreement.protocol.name)
        enclosed = tuple(map(enclosed_from_bytes, request["enclosed"]))
        asked = Question(about, tuple(each.client for each in enclosed), enclosed)
        if not me.agreement.protocol.renews:
            return _opening(me, me.secret(), directory, asked)
        secret = bfv_keys.secret_from_bytes(kept_of_round(me.kept, _ROUND_KEYS, directory.round))
        return _opening(me, secret, directory, asked)


def _opening(me: Me, secret: Secret, directory: Directory, asked: Question) -> Record:
    """Helps to open one sum a round, whether or not the first question of a round is refused."""
    rules = me.agreement.rules
    enrolled = {party.id: party.signing_key for party in me.agreement.roster.parties}
    give = partial(
        give_share, me.agreement.protocol, Holder(secret, enrolled, rules), directory, asked
    )
    key = load_signing_key(me.folder)
    return {"share": once(me.kept, SHARES, rules, asked, lambda: signed_share(key, give()))}


@contextlib.contextmanager
def _unexplained(me: Me, request: Record) -> Iterator[None]:
    """Keeps why a sum is refused to this role's own folder."""
    try:
        yield
    except Exception as error:
        # Of any kind: with a secret at hand, what went wrong may tell something of it.
        round_ = request.get("round")
        reason = str(error) if isinstance(error, PrideError) else repr(error)
        note(me.folder, round_ if isinstance(round_, int) else None, None, reason)
        raise ProtocolError(NOT_OPENED) from None


def _finish(me: Me, request: Record) -> Record:
    check_length(request, me.agreement.parameters)
    if me.role == "party":
        me.finish(np.frombuffer(request["sent"], "<f4"), request["described"])
    return keep_model(me.folder, request)


Answer = Callable[[Me, Record], Record]
_OF_THE_RUN = ("hello", "finish")
_PARTY: Mapping[Any, Answer] = {
    "hello": _hello,
    "keys": _keys,
    "letter": _letter,
    "train": _train,
    "consent": _consent,
    "share": _share,
    "finish": _finish,
}
_KEY_HOLDER: Mapping[Any, Answer] = {
    "hello": _hello,
    "keys": _holder_keys,
    "open": _open,
    "finish": _finish,
}
