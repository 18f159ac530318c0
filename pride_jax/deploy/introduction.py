"""How the server comes to know who everyone is, and asks them."""

import json
import os
import time
from collections.abc import Callable, Collection, Generator, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pride_jax.aggregation.signatures import is_signed_by
from pride_jax.deploy.agreement import Agreement, Record, shared_settings
from pride_jax.deploy.network import UNREACHED, Network
from pride_jax.deploy.roles import approval_bytes, hello_bytes
from pride_jax.deploy.roster import Roster
from pride_jax.errors import RunError
from pride_jax.reporting import metrics
from pride_jax.runs.refusals import note
from pride_jax.settings import protocols

EXCHANGES = "exchanges.jsonl"
PARTY, KEY_HOLDER = "party", "key holder"
_HELLO_SECONDS, _LOOK_SECONDS, _STRANGERS_SECONDS = 30.0, 0.5, 10.0
REJOIN_SECONDS = 45.0
"""For about so long the SuperLink may take a node that was killed for one that is still there."""
_END_SECONDS = 60.0
"""For so long the end of a run waits for who is to hear of it."""
_REFUSED = "refused"


class Replies(NamedTuple):
    """What came of a request.

    Attributes:
      given: replies, by party.
      refused: who refused; of those in neither nothing was heard.
    """

    given: dict[int, Record]
    refused: frozenset[int]


class Ask(NamedTuple):
    """How the server speaks with everyone who said who it is.

    Attributes:
      parties: kind of request, its record, of each party that is asked what only it is told, and
        how many answers it takes -> what came of it. Once so many are there, nobody waits for a
        party that is not connected.
      key_holders: kind of request, its record -> the number and reply of each key holder, as they
        come, refusals included; whoever has enough of them closes it and waits no longer.
      end: tells everyone that the run has ended, and what they receive of it -> who has kept it,
        such as ``party 0``.
    """

    parties: Callable[[str, Record, Mapping[int, Record], int], Replies]
    key_holders: Callable[[str, Record], Generator[tuple[int, Record], None, None]]
    end: Callable[[Record], list[str]]


def to_all(numbers: Iterable[int]) -> dict[int, Record]:
    """Nothing that only one of them is told."""
    return {number: {} for number in numbers}


def is_refusal(reply: Record) -> bool:
    """Whether a reply says that there is none."""
    return _REFUSED in reply


def introduced(
    agreement: Agreement, network: Network, settings: dict[str, Any], notes: Path
) -> Ask:
    """Waits until everyone in the roster has said, and signed, who it is.

    Nodes that the roster does not know are refused.

    Raises:
      RunError: a party has not, in time, or fewer key holders than it takes to open a sum.
    """
    met = _meet(agreement, network, settings, notes, _keys(agreement.roster))
    holders = sum(role == KEY_HOLDER for role, _ in met.known)
    needed = protocols.key_holders(agreement.config.aggregation).needed
    if holders < needed or any(role == PARTY for role, _ in met.missing):
        raise RunError(
            f"{', '.join(name_of(*who) for who in met.missing)} did not join within "
            f"{settings['timeout'] + REJOIN_SECONDS:g} s ({met.why}): start each with --join, and "
            "then this again with --resume"
        )
    for role, number in met.missing:
        note(notes, None, number, f"{role}: did not join in time ({met.why}); the others suffice")
    return asking(network, met.known, met.approvals, settings["timeout"], notes)


def introduced_late(
    agreement: Agreement,
    network: Network,
    settings: dict[str, Any],
    notes: Path,
    names: Collection[str],
) -> Ask:
    """As `introduced`, after the end: of some, such as ``party 0``, who may come or not."""
    keys = {who: key for who, key in _keys(agreement.roster).items() if name_of(*who) in names}
    met = _meet(agreement, network, settings, notes, keys)
    for role, number in met.missing:
        note(notes, None, number, f"{role}: did not join in time ({met.why})")
    return asking(network, met.known, met.approvals, settings["timeout"], notes)


def everyone(roster: Roster) -> list[str]:
    """The names of all roles of a roster."""
    return [name_of(*who) for who in _keys(roster)]


def name_of(role: str, number: int) -> str:
    """A role's name, such as ``party 0``."""
    return f"{role} {number}"


def _keys(roster: Roster) -> dict[tuple[str, int], bytes]:
    keys = {(PARTY, party.id): party.signing_key for party in roster.parties}
    return keys | {(KEY_HOLDER, each.number): each.signing_key for each in roster.key_holders}


class _Met(NamedTuple):
    """Who has said who it is: each one's node, what key holders signed, and who is missing."""

    known: dict[tuple[str, int], int]
    approvals: dict[int, bytes]
    missing: list[tuple[str, int]]
    why: str


def _meet(
    agreement: Agreement,
    network: Network,
    settings: dict[str, Any],
    notes: Path,
    keys: Mapping[tuple[str, int], bytes],
) -> _Met:
    """Waits until everyone of these keys has said who it is, or for as long as anyone does."""
    roster = agreement.roster
    end = time.monotonic() + settings["timeout"] + REJOIN_SECONDS
    known: dict[tuple[str, int], int] = {}
    approvals: dict[int, bytes] = {}
    strangers: dict[int, float] = {}
    why = "no node has connected"
    shared = json.dumps(shared_settings(agreement.config))
    while len(known) < len(keys) and (left := end - time.monotonic()) > 0:
        # Who joined by an earlier bundle may have the right one by now.
        again = {node for node, since in strangers.items() if since < time.monotonic()}
        asked = set(network.nodes()) - (strangers.keys() - again) - set(known.values())
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
                if name[0] == KEY_HOLDER and _is_approval(keys[name], roster.digest, reply):
                    approvals[name[1]] = reply["approval"]
                if len(known) == len(keys):
                    break
                continue
            if UNREACHED in reply:
                why = reply[UNREACHED]
                continue
            why = str(reply.get(_REFUSED, "it has not the keys of anyone in the roster"))
            if node not in strangers:
                note(notes, None, None, f"node {node} is not listened to: {why}")
            strangers[node] = time.monotonic() + _STRANGERS_SECONDS
        if not asked:
            time.sleep(_LOOK_SECONDS)
    return _Met(known, approvals, [name for name in keys if name not in known], why)


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


def _is_approval(public: bytes, roster: str, reply: Record) -> bool:
    """Whether a key holder's reply to ``hello`` holds its signature of the roster."""
    approval = reply.get("approval")
    return isinstance(approval, bytes) and is_signed_by(public, approval_bytes(roster), approval)


def asking(
    network: Network,
    known: Mapping[tuple[str, int], int],
    approvals: Mapping[int, bytes],
    patience: float,
    notes: Path,
) -> Ask:
    """How to ask those who are known.

    Args:
      network: reaches the nodes.
      known: each one's node, by role and number.
      approvals: what key holders signed of the roster; parties work for no other.
      patience: seconds to wait for an answer.
      notes: folder of what is written down.
    """
    approved = {"approved_by": list(approvals), "approvals": list(approvals.values())}

    def replies(
        role: str,
        kind: str,
        record: Record,
        own: Mapping[int, Record],
        needed: int,
        patience: float = patience,
    ) -> Generator[tuple[int, Record], None, None]:
        waiting = {known[role, number]: number for number in own}
        request, start = {"kind": kind, **record}, time.monotonic()
        why: dict[int, str] = {}
        try:
            while waiting and (left := start + patience - time.monotonic()) > 0:
                requests = {node: request | own[number] for node, number in waiting.items()}
                for node, reply in network.exchange(requests, left):
                    if UNREACHED in reply:
                        # A cut is waited for.
                        why[node] = reply[UNREACHED]
                        continue
                    number = waiting.pop(node)
                    row = {"round": record["round"], "to": name_of(role, number), "kind": kind}
                    row |= {"seconds": time.monotonic() - start}
                    metrics.append(notes / EXCHANGES, row)
                    if is_refusal(reply):
                        reason = f"{role}, {kind}: {reply[_REFUSED]}"
                        note(notes, record["round"], number, reason)
                    yield number, reply
                answered = len(own) - len(waiting)
                if answered >= needed and waiting.keys().isdisjoint(network.nodes()):
                    break
                if waiting:
                    time.sleep(_LOOK_SECONDS)
        finally:
            # Also of those whose answer whoever asked has not waited for.
            waited = f"no answer within {time.monotonic() - start:.0f} s"
            for node, number in waiting.items():
                reason = f"{role}, {kind}: {why.get(node, waited)}"
                note(notes, record["round"], number, reason)

    def parties(kind: str, record: Record, own: Mapping[int, Record], needed: int) -> Replies:
        given = dict(replies(PARTY, kind, record | approved, own, needed))
        refused = frozenset(number for number, reply in given.items() if is_refusal(reply))
        return Replies(
            {number: given[number] for number in given if number not in refused}, refused
        )

    joined = to_all(number for role, number in known if role == KEY_HOLDER)

    def key_holders(kind: str, record: Record) -> Generator[tuple[int, Record], None, None]:
        return replies(KEY_HOLDER, kind, record, joined, len(joined))

    def end(record: Record) -> list[str]:
        kept = []
        for role in (PARTY, KEY_HOLDER):
            own = to_all(number for named, number in known if named == role)
            answers = replies(role, "finish", record, own, 0, min(patience, _END_SECONDS))
            kept += [name_of(role, number) for number, reply in answers if reply.get("kept")]
        return kept

    return Ask(parties, key_holders, end)
