"""All roles of a deployment in this process."""

import functools
import os

import numpy as np

from pride_jax.aggregation.messages import (
    enclosed_of,
    enclosed_to_bytes,
    from_bytes,
    sign_message,
    to_bytes,
)
from pride_jax.aggregation.secure_sum import Secret
from pride_jax.deploy.agreement import directory_from, load_agreement
from pride_jax.deploy.enrolment import ENROLMENT, load_signing_key
from pride_jax.deploy.network import Network
from pride_jax.deploy.outcome import error_of
from pride_jax.deploy.roles import awake, respond
from pride_jax.deploy.server import SERVER, serve
from pride_jax.errors import PrideError
from pride_jax.files import read_json, write_json
from pride_jax.settings.experiment import (
    Aggregation,
    Data,
    Engine,
    Experiment,
    Model,
    Partition,
)

CONFIG = Experiment(
    rounds=2,
    data=Data("iris", test_examples=90),
    partition=Partition("iid", clients=3),
    model=Model("logistic"),
    aggregation=Aggregation("plain", limit=4.0, key_bits=1024, workers=1),
    engine=Engine(per_client=True),
)


def resident():
    """Roles that keep what they have compiled: folder, request -> reply."""
    roles = functools.cache(awake)
    return lambda role, request: roles(role)(request)


def network(folder, answer):
    """Reaches the roles whose folders are there; ``answer`` gives None for one that is silent."""
    roles = sorted(enrolment.parent for enrolment in folder.rglob(f"*{ENROLMENT}"))

    def exchange(requests, seconds):
        for node, request in requests.items():
            try:
                reply = answer(roles[node], request)
            except PrideError as error:
                reply = {"refused": str(error)}
            if reply is not None:
                yield node, reply

    return Network(lambda: range(len(roles)), exchange)


def served(folder, workdir, answer=respond, timeout=1.0):
    """How a run ended; it waits so many seconds for who is silent."""
    workdir.mkdir(exist_ok=True)
    write_json(folder / "server" / SERVER, {"workdir": str(workdir), "timeout": timeout})
    serve(folder / "server", network(folder, answer))
    return error_of(folder / "server")


def digest(workdir):
    return read_json(workdir / "summary.json")["parameters_sha256"]


def asked_to_open(roles, round_, clients=(0, 1, 2), signer=None, model=bytes(32)):
    """What a server writes down before it asks key holders: signed messages of ones."""
    agreement = load_agreement(roles / "server")
    record = {"round": round_, "cohort": [0, 1, 2], "model": model}
    directory, protocol = directory_from(agreement, record), agreement.protocol
    messages = []
    for client in clients:
        prepared = protocol.prepare(os.urandom, directory, Secret(), client)
        ones = np.ones(agreement.terms.length, np.int32)
        message = protocol.protect(directory, prepared, ones)
        key = load_signing_key(roles / f"party-{client if signer is None else signer}")
        messages.append(to_bytes(sign_message(key, message)))
    return record | {"messages": messages}


def open_request(asked):
    """What a key holder is asked: the round, and of each message what it encloses."""
    messages = [enclosed_of(from_bytes(message)) for message in asked["messages"]]
    about = {name: asked[name] for name in ("round", "cohort", "model")}
    return about | {"kind": "open", "enclosed": list(map(enclosed_to_bytes, messages))}
