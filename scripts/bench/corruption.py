"""Random damage to every kind of message that crosses a wire: none accepted, none a crash.

Every message is of one round of small vectors, signed. Whoever receives it is the protocol itself,
with all its checks: the aggregator combines messages, collects letters and consents, and opens with
shares; a key holder is asked about what is enclosed; clients read the key holder's key of the
round, one another's keys, what is sealed for them in letters, and what others tell them of the sum
that they are asked to open. Everything is accepted as it was sent, before it is damaged.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

from rich.console import Console
from rich.table import Table

from bench.common.secure_rounds import Round, call, protect, shares_of
from pride_jax.aggregation.consents import agreed_word, included_word
from pride_jax.aggregation.corruption import (
    ACCEPTED,
    Wire,
    of_boxes,
    of_consents,
    of_enclosed,
    of_holder_keys,
    of_letters,
    of_messages,
    of_notes,
    of_round_keys,
    of_shares,
    try_corruptions,
)
from pride_jax.aggregation.holder_keys import signed_key
from pride_jax.aggregation.messages import sign_message
from pride_jax.aggregation.protocols.bfv import bfv
from pride_jax.aggregation.protocols.lattice import lattice
from pride_jax.aggregation.protocols.masking import masking
from pride_jax.aggregation.protocols.paillier import paillier
from pride_jax.aggregation.protocols.plain import plain
from pride_jax.aggregation.protocols.threshold import threshold_paillier
from pride_jax.aggregation.protocols.two_servers import two_servers
from pride_jax.aggregation.round_keys import Member, round_keys_from_bytes
from pride_jax.aggregation.secure_sum import Message, Public, Role, Secret, SecureSum
from pride_jax.aggregation.signatures import signing_key
from pride_jax.aggregation.terms import Terms
from pride_jax.errors import ConfigError, PrideError, ProtocolError
from pride_jax.runs.lines import as_line

Protocol = Literal[
    "plain",
    "two_servers",
    "masking",
    "bfv",
    "paillier",
    "threshold_paillier",
    "lattice(two_servers)",
    "lattice(masking)",
    "lattice(paillier)",
    "lattice(threshold_paillier)",
]

_MAKE: dict[str, Callable[[], SecureSum]] = {
    "plain": plain,
    "two_servers": two_servers,
    "masking": masking,
    "bfv": bfv,
    "paillier": lambda: paillier(2048),
    "threshold_paillier": lambda: threshold_paillier(2048),
    "lattice(two_servers)": lambda: lattice(two_servers()),
    "lattice(masking)": lambda: lattice(masking()),
    "lattice(paillier)": lambda: lattice(paillier(2048)),
    "lattice(threshold_paillier)": lambda: lattice(threshold_paillier(2048)),
}


@dataclass(frozen=True)
class Setting:
    """What is damaged.

    Attributes:
      protocols: any of them.
      tries: damaged messages of each kind and protocol.
      clients: in the round.
      length: of their vectors.
      seed: of the damage.
    """

    protocols: tuple[Protocol, ...] = get_args(Protocol)
    tries: int = 100_000
    clients: int = 3
    length: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses what there is nothing to damage for.

        Raises:
          ConfigError: a number that is too small.
        """
        if self.clients < 2 or min(self.tries, self.length) < 1:
            raise ConfigError(
                f"clients={self.clients}, tries={self.tries}, length={self.length}: expected at "
                "least 2 clients and at least 1 of the others"
            )


class Row(NamedTuple):
    """What became of one kind of message.

    Attributes:
      protocol: its name here.
      kind: of message.
      tries: how many were damaged.
      accepted: how many of them were.
      refused: how many were refused, by the name of the error.
    """

    protocol: str
    kind: str
    tries: int
    accepted: int
    refused: dict[str, int]


class Report(NamedTuple):
    """All that was damaged."""

    rows: list[Row]


def measure(setting: Setting) -> Report:
    """Everything; an error that is no refusal ends it."""
    rows = []
    for name in setting.protocols:
        for kind, wire in _wires(_MAKE[name](), setting).items():
            outcomes = try_corruptions(wire, setting.tries, setting.seed)
            accepted = outcomes.pop(ACCEPTED, 0)
            refused = dict(sorted(outcomes.items()))
            rows.append(Row(name, kind, setting.tries, accepted, refused))
    return Report(rows)


def _wires(protocol: SecureSum, setting: Setting) -> dict[str, Wire]:
    """Every kind of message of one round."""
    key_holder = protocol.keygen(os.urandom, Role.KEY_HOLDER)
    terms = Terms(setting.length, 16, 1.0, 2, setting.clients)
    called = call(protocol, key_holder, terms, setting.clients)
    directory = called.directory
    sent = [protect(called, client)[0] for client in directory.roster]
    wires = {"message": of_messages(protocol, directory, sent)}
    given = list(shares_of(called, key_holder, sent))
    if given[0].body:
        keys = [signing_key(os.urandom) for _ in given]
        wires["share"] = of_shares(protocol, directory, sent, given, keys)
    if sent[0].enclosed and protocol.openers == Role.KEY_HOLDER:
        holder = protocol.deal(key_holder[0])[0]
        wires["enclosed"] = of_enclosed(protocol, directory, holder, sent)
    if protocol.renews:
        wires["key of a round"] = _renewed(called, key_holder)
    if protocol.letters is not None:
        before, write = directory.before_letters, protocol.letters.write
        letters = [
            sign_message(key, write(os.urandom, before, round_keys_from_bytes(fresh), client))
            for client, (fresh, key) in enumerate(zip(called.keys, called.signing, strict=True))
        ]
        wires["letter"] = of_letters(protocol, before, letters)
        wires |= _between_clients(called, sent)
    for kind, wire in wires.items():
        for intact in wire.intact:
            try:
                wire.receive(intact)
            except ProtocolError as error:
                raise PrideError(f"{protocol.name}, {kind}: refused as sent ({error})") from None
    return wires


def _between_clients(called: Round, sent: Sequence[Message]) -> dict[str, Wire]:
    """What clients that open sums tell one another, and the aggregator of it."""
    protocol, directory, me = called.protocol, called.directory, 0
    letters, member = protocol.letters, called.secrets[me]
    assert letters is not None
    assert isinstance(member, Member)
    told = letters.ask(directory, sent, [])
    consents = [
        sign_message(
            called.signing[client], letters.consent(directory, called.secrets[client], question)
        )
        for client, question in told.items()
    ]
    question = letters.ask(directory, sent, consents)[me]
    keys = round_keys_from_bytes(called.written[me])
    return {
        "consent": of_consents(protocol, directory, sent, consents),
        "key of a round": of_round_keys(directory),
        "sealed in a letter": of_boxes(directory, me, keys, called.mail[me]),
        "in the sum": of_notes(member, question.included, included_word(question.header)),
        "agreed": of_notes(member, question.agreed, agreed_word(question)),
    }


def _renewed(called: Round, key_holder: tuple[Secret, Public]) -> Wire:
    owner, directory = signing_key(os.urandom), called.directory
    publics = [key_holder[1], called.protocol.keygen(os.urandom, Role.KEY_HOLDER)[1]]
    keys = [signed_key(owner, directory.run, directory.round, public) for public in publics]
    return of_holder_keys(directory, owner.public, keys)


def as_json(setting: Setting, report: Report) -> str:
    """The report, the setting and what it ran on, in one line."""
    return as_line(report._asdict(), setting)


def show(report: Report) -> None:
    """The report as a table."""
    table = Table("protocol", "kind", "damaged", "accepted", "refused by")
    for row in report.rows:
        refused = ", ".join(f"{name} {count:,}" for name, count in row.refused.items())
        table.add_row(row.protocol, row.kind, f"{row.tries:,}", f"{row.accepted:,}", refused)
    Console().print(table)
