"""An active server: it asks real roles, in their own folders, whatever it likes."""

import hashlib
import json
import os
import shutil
from dataclasses import replace

import numpy as np
from in_process import CONFIG

from pride_jax.aggregation.messages import enclosed_of, enclosed_to_bytes, from_bytes
from pride_jax.aggregation.shares import share_from_bytes
from pride_jax.deploy import training
from pride_jax.deploy.agreement import directory_from, load_agreement, shared_settings
from pride_jax.deploy.roles import respond
from pride_jax.settings.experiment import Partition

FIVE = replace(
    CONFIG,
    rounds=4,
    partition=Partition("iid", clients=5),
    aggregation=replace(CONFIG.aggregation, protocol="two_servers"),
)
PARTIES = range(5)


def vector(party, length):
    """The integers that a party comes to."""
    return np.random.default_rng(party).integers(-30000, 30000, length)


def train_at_once(monkeypatch):
    """Parties come to their vectors without training; from NaN, as in training, to zeros."""

    def trainer(agreement, id_, examples):
        length = agreement.terms.length

        def train(round_, params, called, state):
            finite = np.isfinite(params).all()
            integers = vector(id_, length) if finite else np.zeros(length, np.int64)
            return training.Trained(integers, {"round": round_}, state)

        return training.Trainer((), train, lambda params, state: ())

    monkeypatch.setattr(training, "trainer", trainer)


class ActiveServer:
    """What it asks, and what it can make of the answers."""

    subject = ""

    def __init__(self, roles):
        self.roles = roles
        self.agreement = self.agreed(load_agreement(roles / "server"))
        self.length = self.agreement.terms.length
        self.params = np.zeros(self.length, "<f4").tobytes()
        self.approved = {}

    def agreed(self, agreement):
        """What it knows of the sums that it asks for."""
        return agreement

    def hello(self):
        """Gets the key holder to sign the roster, as every server must."""
        request = {
            "kind": "hello",
            "config": json.dumps(shared_settings(self.agreement.config)),
            "roster": self.agreement.roster.digest,
            "challenge": os.urandom(32),
        }
        reply = respond(self.roles / "key-holder", request)
        self.approved = {"approved_by": [reply["number"]], "approvals": [reply["approval"]]}
        return self

    def about(self, round_, cohort, params=None):
        model = hashlib.sha256(self.params if params is None else params).digest()
        return {"round": round_, "cohort": list(cohort), "model": model}

    def train(self, party, about, params=None):
        """A party's message."""
        params = self.params if params is None else params
        request = about | self.approved | {"kind": f"{self.subject}train", "params": params}
        return from_bytes(respond(self.roles / f"party-{party}", request)["message"])

    def open(self, about, messages):
        """The sum of messages, with the key holder's help."""
        messages = sorted(messages, key=lambda message: message.client)
        enclosed = [enclosed_to_bytes(enclosed_of(message)) for message in messages]
        request = about | {"kind": f"{self.subject}open", "enclosed": enclosed}
        (holder,) = self.agreement.roster.key_holders
        reply = respond(self.roles / "key-holder", request)
        share = share_from_bytes(reply["share"], {holder.number: holder.signing_key})
        directory, protocol = directory_from(self.agreement, about), self.agreement.protocol
        total = protocol.combine(directory, messages)
        return protocol.open(directory, total, [share])

    def sum(self, round_, cohort, params=None):
        """A round, from first to last."""
        about = self.about(round_, cohort, params)
        return self.open(about, [self.train(party, about, params) for party in cohort])


def agree(roles, **changes):
    """Has everyone's settings imply something else, as if they had agreed on other ones."""
    for role in roles.iterdir():
        content = json.loads((role / "agreed.json").read_text())
        terms = content["terms"]
        content |= {name: value for name, value in changes.items() if name in content}
        terms |= {name: value for name, value in changes.items() if name in terms}
        content["plan"] |= {"fewest": terms["smallest_cohort"]}
        (role / "agreed.json").write_text(json.dumps(content))


def fresh(enrolled, tmp_path):
    """Everyone's folders as they were enrolled."""
    return shutil.copytree(enrolled, tmp_path / "roles")
