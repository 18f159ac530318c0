"""The server of real parties: it samples, asks, combines, has the sum opened, and steps."""

import contextlib
import functools
import hashlib
import itertools
import json
import math
import os
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from pride_jax.aggregation import masking
from pride_jax.aggregation.messages import (
    MessageError,
    NotInRosterError,
    from_bytes,
    sift,
    to_bytes,
)
from pride_jax.aggregation.secure_sum import Directory, Message, Role, Secret, Share, Total
from pride_jax.aggregation.signatures import is_signed_by
from pride_jax.aggregation.simulation import Transport
from pride_jax.aggregation.totals import share_from_bytes, total_to_bytes
from pride_jax.deploy import derived, training
from pride_jax.deploy.agreement import (
    Agreement,
    Record,
    directory_from,
    load_agreement,
    shared_settings,
)
from pride_jax.deploy.journal import Done, Journal, journal
from pride_jax.deploy.network import PROCESSOR_SECONDS, UNREACHED, Network
from pride_jax.deploy.roles import hello_bytes
from pride_jax.engine.evaluation import evaluator
from pride_jax.engine.federation import starting, without_clients
from pride_jax.engine.rounds import Algorithm, RoundInfo, ServerState, no_program, repeated
from pride_jax.engine.secure import Collected, host_round, unopened
from pride_jax.engine.server import Server
from pride_jax.engine.states import on_host
from pride_jax.errors import PrideError, ProtocolError, RunError, TooFewError
from pride_jax.files import claimed, read_json, write_json
from pride_jax.methods.method import parts
from pride_jax.privacy.mechanisms.share_noise import centre
from pride_jax.privacy.plan import Plan
from pride_jax.reporting import metrics
from pride_jax.runs.devices import keep_programs, use_cores
from pride_jax.runs.experiment import run_in
from pride_jax.runs.figures import own_folder
from pride_jax.runs.prepared import Prepared, RealParties
from pride_jax.settings import build, protocols
from pride_jax.types import Cohort

SERVER = "server.json"
OUTCOME = "outcome.json"
PROCESS = "server.pid"
REFUSALS, EXCHANGES = "refusals.jsonl", "exchanges.jsonl"
_HELLO_SECONDS, _LOOK_SECONDS = 30.0, 0.5
_REJOIN_SECONDS = 90.0
"""For so long the SuperLink may take a node that was killed for one that is still there."""
_PARTY, _KEY_HOLDER = "party", "key holder"


class Ask(NamedTuple):
    """How the server speaks with everyone who said who it is.

    Attributes:
      parties: kind of request, its record, parties -> their replies, of those who gave one.
      key_holders: kind of request, its record -> the number and reply of each key holder that
        gives one, as they come; whoever has enough of them closes it and waits no longer.
    """

    parties: Callable[[str, Record, Sequence[int]], dict[int, Record]]
    key_holders: Callable[[str, Record], Generator[tuple[int, Record], None, None]]


def serve(folder: Path, network: Network) -> None:
    """Runs an experiment with real parties; how it ended is in ``outcome.json``.

    Args:
      folder: the server's own: config, roster, and in ``server.json`` the run's folder and how
        long to wait for replies.
      network: reaches the nodes.

    Raises:
      RunError: another process serves from the folder.
    """
    with claimed(folder):
        (folder / PROCESS).write_text(str(os.getpid()))
        outcome: dict[str, str | None] = {"error": None}
        try:
            _serve(folder, network)
        except PrideError as error:
            outcome["error"] = str(error)
        except BaseException as error:
            outcome["error"] = f"{type(error).__name__}: {error}"
            raise
        finally:
            write_json(folder / OUTCOME, outcome)


def _serve(folder: Path, network: Network) -> None:
    settings, agreement = read_json(folder / SERVER), load_agreement(folder)
    use_cores(agreement.config.engine.devices)
    keep_programs()
    workdir = Path(settings["workdir"])
    notes = own_folder(workdir, agreement.config.privacy.hides)
    ask = _introduced(agreement, network, settings, notes)
    run_in(prepare(agreement, ask, workdir), workdir)


def prepare(agreement: Agreement, ask: Ask, workdir: Path) -> Prepared:
    """Everything a run with real parties is made of, as far as the server has it."""
    notes = own_folder(workdir, agreement.config.privacy.hides)
    config, roster, plan = agreement.config, agreement.roster, agreement.plan
    dataset = build.build_dataset(config)
    mesh = build.build_mesh(config.engine)
    task = training.build_task(config, roster)
    server, clients = derived.halves(config, roster, plan)
    secure = derived.secure_aggregation(config, agreement.protocol, agreement.public_key)
    collect = functools.partial(
        _collect,
        agreement,
        ask,
        journal(workdir / "sums", config.evaluation.every),
        notes,
        server,
    )
    one_round = host_round(server, jnp.asarray(roster.sizes, jnp.int32), secure, collect)
    # Parties keep what they keep to themselves.
    states = on_host(len(roster.parties))
    algorithm = Algorithm(
        init=starting(server, clients, states, mesh),
        round=one_round,
        rounds=repeated(one_round),
        rounds_on=no_program,
        params=server.params,
        states=states,
    )
    return Prepared(
        config=config,
        task=task,
        length=server.length,
        parts=tuple(parts(server.update)),
        secure=secure,
        plan=plan,
        algorithm=algorithm,
        evaluate=evaluator(task, dataset, mesh),
        sizes=np.asarray(roster.sizes),
        holders=1,
        test_examples=len(dataset.test_targets),
        inputs=lambda: roster.digest,
        hyper={},
        simulated=RealParties(),
    )


def _introduced(
    agreement: Agreement, network: Network, settings: dict[str, Any], notes: Path
) -> Ask:
    """Waits until everyone in the roster has said, and signed, who it is.

    Nodes that the roster does not know are refused.

    Raises:
      RunError: a party has not, in time, or fewer key holders than it takes to open a sum.
    """
    roster = agreement.roster
    keys = {(_PARTY, party.id): party.signing_key for party in roster.parties}
    keys |= {(_KEY_HOLDER, holder.number): holder.signing_key for holder in roster.key_holders}
    patience: float = settings["timeout"]
    end = time.monotonic() + patience + _REJOIN_SECONDS
    known: dict[tuple[str, int], int] = {}
    strangers: set[int] = set()
    why = "no node has connected"
    shared = json.dumps(shared_settings(agreement.config))
    while len(known) < len(keys) and (left := end - time.monotonic()) > 0:
        asked = set(network.nodes()) - strangers - set(known.values())
        challenge = os.urandom(32)
        request = {
            "kind": "hello",
            "config": shared,
            "roster": roster.digest,
            "challenge": challenge,
        }
        replies = network.exchange(dict.fromkeys(asked, request), min(left, _HELLO_SECONDS))
        for node, reply in replies:
            name = _name(keys, roster.digest, challenge, reply)
            if name is not None and name not in known:
                known[name] = node
                if len(known) == len(keys):
                    break
                continue
            if UNREACHED in reply:
                why = reply[UNREACHED]
                continue
            strangers.add(node)
            why = str(reply.get("refused", "it has not the keys of anyone in the roster"))
            _note(notes, None, None, f"node {node} is not listened to: {why}")
        if not asked:
            time.sleep(_LOOK_SECONDS)
    missing = [name for name in keys if name not in known]
    holders = sum(role == _KEY_HOLDER for role, _ in known)
    needed = protocols.key_holders(agreement.config.aggregation).needed
    if holders < needed or any(role == _PARTY for role, _ in missing):
        raise RunError(
            f"{', '.join(f'{role} {number}' for role, number in missing)} did not join within "
            f"{patience + _REJOIN_SECONDS:g} s ({why}): start each with --join, and then this "
            "again with --resume"
        )
    for role, number in missing:
        _note(notes, None, number, f"{role}: did not join in time ({why}); the others suffice")
    return _ask(network, known, patience, notes)


def _name(
    keys: Mapping[tuple[str, int], bytes], roster: str, challenge: bytes, reply: Record
) -> tuple[str, int] | None:
    """Who in the roster gave and signed a reply to ``hello``, if anyone."""
    role, number, signature = (reply.get(name) for name in ("role", "number", "signature"))
    if not (isinstance(role, str) and isinstance(number, int) and isinstance(signature, bytes)):
        return None
    public = keys.get((role, number))
    signed = hello_bytes(roster, challenge, role, number)
    return (role, number) if public and is_signed_by(public, signed, signature) else None


def _ask(
    network: Network, known: Mapping[tuple[str, int], int], patience: float, notes: Path
) -> Ask:
    def replies(
        role: str, kind: str, record: Record, numbers: Sequence[int]
    ) -> Generator[tuple[int, Record], None, None]:
        waiting = {known[role, number]: number for number in numbers}
        request, start = {"kind": kind, **record}, time.monotonic()
        why: dict[int, str] = {}
        try:
            while waiting and (left := start + patience - time.monotonic()) > 0:
                for node, reply in network.exchange(dict.fromkeys(waiting, request), left):
                    if UNREACHED in reply:
                        # A cut is waited for.
                        why[node] = reply[UNREACHED]
                        continue
                    number = waiting.pop(node)
                    row = {"round": record["round"], "to": f"{role} {number}", "kind": kind}
                    row |= {
                        "seconds": time.monotonic() - start,
                        PROCESSOR_SECONDS: _number_in(reply, PROCESSOR_SECONDS),
                    }
                    metrics.append(notes / EXCHANGES, row)
                    if "refused" in reply:
                        reason = f"{role}, {kind}: {reply['refused']}"
                        _note(notes, record["round"], number, reason)
                    else:
                        yield number, reply
                if waiting:
                    time.sleep(_LOOK_SECONDS)
        finally:
            # Also of those whose answer whoever asked has not waited for.
            waited = f"no answer within {time.monotonic() - start:.0f} s"
            for node, number in waiting.items():
                reason = f"{role}, {kind}: {why.get(node, waited)}"
                _note(notes, record["round"], number, reason)

    def parties(kind: str, record: Record, ids: Sequence[int]) -> dict[int, Record]:
        return dict(replies(_PARTY, kind, record, ids))

    joined = [number for role, number in known if role == _KEY_HOLDER]

    def key_holders(kind: str, record: Record) -> Generator[tuple[int, Record], None, None]:
        return replies(_KEY_HOLDER, kind, record, joined)

    return Ask(parties, key_holders)


def _collect(
    agreement: Agreement,
    ask: Ask,
    kept: Journal,
    notes: Path,
    server: Server,
    state: ServerState,
    cohort: Cohort,
) -> Collected:
    """Has a cohort of real parties train, and its sum opened: once a round, whatever dies."""
    round_, start = int(state.round), time.perf_counter()
    ids, present = jax.device_get(cohort)
    called = ids[present].tolist()
    draw = _draw_of(agreement.plan, state)

    def nothing() -> Collected:
        transport = Transport(len(called), 0, None, None, 0.0, 0.0)
        info = _info(len(called), transport, 0.0)
        return unopened(info, transport, time.perf_counter() - start, state.clients)

    if kept.too_few(round_, draw):
        return nothing()
    done = kept.sum(round_, draw)
    if done is None:
        asked = kept.question(round_, draw)
        try:
            if asked is None:
                asked = _gather(agreement, ask, notes, server, state, called)
                kept.ask(round_, draw, asked)
            done = _opened(agreement, ask, notes, asked)
        except TooFewError:
            if agreement.plan is None:
                raise
            # Before anything is released: the same noise must never meet another sum.
            kept.give_up(round_, draw)
            return nothing()
        kept.open(round_, draw, done)
    total = done.total
    if agreement.noise_bits is not None:
        total = centre(total, agreement.noise_bits)
    lost = done.called - len(done.contributors)
    transport = Transport(lost, done.bytes_sent, None, None, done.combining, done.opening)
    info = _info(done.called, transport, done.training)
    return Collected(total, done.contributors, info, state.clients)


def _draw_of(plan: Plan | None, state: ServerState) -> str:
    """A name of the keys that cohorts and noise come from, which tells nothing of them.

    Where the server draws no noise, a sum that was opened may be released again: it has its noise.
    """
    if plan is None or not plan.mechanism.draws_from_key:
        return "any"
    words = np.asarray(jax.random.key_data(state.keys.noise.value))
    return hashlib.sha256(b"pride_jax: draw of a journal" + words.tobytes()).hexdigest()[:32]


def _info(called: int, transport: Transport, seconds: float) -> RoundInfo:
    """What the server knows of a round: parties keep to themselves how they trained."""
    none = jnp.zeros((), jnp.int32)
    return RoundInfo(
        clients=jnp.int32(called),
        empty=none,
        examples=None,
        loss=None,
        nonfinite=None,
        clipped=None,
        fitted=None,
        fitted_parts=None,
        unopened=none,
        transport=transport,
        train_seconds=seconds,
    )


def _gather(
    agreement: Agreement,
    ask: Ask,
    notes: Path,
    server: Server,
    state: ServerState,
    called: list[int],
) -> Record:
    """What the holders are to be asked: the round's directory, and the messages to be added.

    Raises:
      TooFewError: fewer good messages than a sum must have to be opened.
    """
    protocol, round_, start = agreement.protocol, int(state.round), time.perf_counter()
    record: Record = {"round": round_, "cohort": called}
    directory = directory_from(agreement, record)
    sent = 0
    if protocol.letters is not None:
        keys = ask.parties("keys", record, directory.roster)
        publics = _public_keys(keys, notes, round_)
        record |= {"keyed": list(publics), "publics": list(publics.values())}
        directory = directory_from(agreement, record)
        given = ask.parties("letter", record, directory.roster)
        letters = _read(given, "letter", notes, round_)
        collected, accepted = _taken(protocol.letters.collect, directory, letters, notes)
        directory = directory if collected is None else collected
        record["letters"] = [to_bytes(letter) for letter in accepted]
        sent += sum(map(len, (*publics.values(), *record["letters"])))
    flat = ravel_pytree(jax.device_get(server.tell(without_clients(state)).sent))[0]
    params = np.asarray(flat).astype("<f4").tobytes()
    given = ask.parties("train", record | {"params": params}, sorted(directory.members))
    trained = time.perf_counter()
    messages = _read(given, "message", notes, round_)
    accepted = _taken(protocol.combine, directory, messages, notes)[1]
    needed = max(directory.terms.smallest_cohort, protocol.quorum(directory))
    if protocol.openers != Role.CLIENT:
        needed = directory.terms.smallest_cohort
    if len(accepted) < needed:
        raise TooFewError(
            f"Round {round_}: {len(accepted)} of {len(called)} parties sent what can be added, "
            f"expected at least {needed}; {notes / REFUSALS} tells why. Go on with --resume once "
            "they are back"
        )
    kept = [to_bytes(message) for message in accepted]
    return record | {
        "messages": kept,
        "called": len(called),
        "bytes_sent": sent + sum(map(len, kept)),
        "training": trained - start,
        "combining": time.perf_counter() - trained,
    }


def _opened(agreement: Agreement, ask: Ask, notes: Path, asked: Record) -> Done:
    """The sum, from whoever holds what opens it.

    Raises:
      RunError: too few of them gave a share of it.
    """
    protocol, start = agreement.protocol, time.perf_counter()
    directory = directory_from(agreement, asked)
    total = protocol.combine(directory, [from_bytes(message) for message in asked["messages"]])
    shares = _shares(agreement, ask, notes, directory, total, asked)
    summed = protocol.open(directory, total, shares)
    sent: int = asked["bytes_sent"]
    if protocol.openers == Role.CLIENT:
        sent += sum(len(share.body) for share in shares)
    return Done(
        total=summed,
        contributors=total.contributors,
        called=asked["called"],
        bytes_sent=sent,
        training=asked["training"],
        combining=asked["combining"],
        opening=time.perf_counter() - start,
    )


def _shares(
    agreement: Agreement, ask: Ask, notes: Path, directory: Directory, total: Total, asked: Record
) -> list[Share]:
    """What opens a total, each holder's share signed by that holder; others are noted.

    Raises:
      RunError: they are too few.
    """
    protocol, round_ = agreement.protocol, directory.round
    about = {name: asked[name] for name in _DIRECTORY if name in asked}

    def good(
        role: str, keys: Mapping[int, bytes], replies: Iterable[tuple[int, Record]]
    ) -> Iterator[Share]:
        for number, reply in replies:
            try:
                # Signed by the one who was asked: nobody answers for another.
                share = share_from_bytes(_bytes_in(reply, "share"), {number: keys[number]})
                protocol.check_share(directory, total, share)
            except ProtocolError as error:
                _note(notes, round_, number, f"{role}: {error}")
            else:
                yield share

    needed = protocol.quorum(directory)
    if protocol.openers == Role.CLIENT:
        who, signers = "parties", directory.signers or {}
        keys = {client: signers[client] for client in total.contributors}
        given = ask.parties("share", about | {"total": total_to_bytes(total)}, list(keys))
        shares = list(good(_PARTY, keys, given.items()))
    elif agreement.roster.key_holders:
        who = "key holders"
        keys = {holder.number: holder.signing_key for holder in agreement.roster.key_holders}
        question = about | {"messages": asked["messages"]}
        with contextlib.closing(ask.key_holders("open", question)) as replies:
            shares = list(itertools.islice(good(_KEY_HOLDER, keys, replies), needed))
    else:
        return [protocol.share(directory, Secret(), total)]
    if len(shares) < needed:
        counted = f"{len(shares)} of {len(keys)} {who} helped to open the sum, expected at least"
        told = f"{counted} {needed}"
        if agreement.config.privacy.hides:
            # How many parties were called is for the run's owner.
            told = f"too few {who} helped to open the sum"
        raise RunError(
            f"Round {round_}: {told}; {notes / REFUSALS} tells why. Go on with --resume once they "
            "are back"
        )
    return shares


_DIRECTORY = ("round", "cohort", "keyed", "publics", "letters")
"""Of what is asked: what `directory_from` takes."""


def _read(given: Mapping[int, Record], name: str, notes: Path, round_: int) -> list[Message]:
    """The messages in parties' replies, without those that are none, or in another's name."""
    messages = []
    for client, reply in given.items():
        try:
            message = from_bytes(_bytes_in(reply, name))
            if message.client != client:
                raise NotInRosterError(message.client, f"party {client} sent it")
            messages.append(message)
        except MessageError as error:
            _note(notes, round_, client, str(error))
    return messages


def _public_keys(given: Mapping[int, Record], notes: Path, round_: int) -> dict[int, bytes]:
    """The keys for a round that are keys, by whose they are; others are noted."""
    publics = {}
    for client, reply in given.items():
        try:
            masking.public_from_bytes(_bytes_in(reply, "public"))
        except ProtocolError as error:
            _note(notes, round_, client, f"{_PARTY}, keys: {error}")
        else:
            publics[client] = reply["public"]
    return publics


def _bytes_in(reply: Record, name: str) -> bytes:
    """The bytes of that name in a reply, which can hold anything."""
    value = reply.get(name)
    return value if isinstance(value, bytes) else b""


def _number_in(reply: Record, name: str) -> float | None:
    """The number of that name in a reply, which can hold anything."""
    value = reply.get(name)
    return value if isinstance(value, float) and math.isfinite(value) else None


_Taken = TypeVar("_Taken")


def _taken(
    take: Callable[[Directory, Sequence[Message]], _Taken],
    directory: Directory,
    messages: Sequence[Message],
    notes: Path,
) -> tuple[_Taken | None, Sequence[Message]]:
    """What is made of the good messages, and these; the others, and why, are noted.

    None of no good message.
    """
    try:
        result, accepted, refused = sift(functools.partial(take, directory), messages)
    except TooFewError as error:
        _note(notes, directory.round, None, str(error))
        return None, ()
    for each in refused:
        _note(notes, directory.round, each.client, str(each))
    return result, accepted


def _note(notes: Path, round_: int | None, who: int | None, reason: str) -> None:
    """Writes down what was refused, or missing."""
    metrics.append(notes / REFUSALS, {"round": round_, "from": who, "reason": reason})
