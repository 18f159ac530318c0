"""What each role of one protocol takes, with this checkout's code or an earlier one's.

Run as a program with a checkout in PYTHONPATH, so that two of them are timed alike; it prints one
JSON object. Seconds are the processor's, of one core.
"""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false, reportCallIssue=false
# Of the two ways to import what is timed, one is another checkout's.

import importlib
import json
import os
import sys
import time

import numpy as np


def module(*names: str):
    """The first of these that there is."""
    for name in names:
        try:
            return importlib.import_module(f"pride_jax.aggregation.{name}")
        except ModuleNotFoundError:
            continue
    raise ModuleNotFoundError(names)


def protocol_of(name: str, key_bits: int):
    """The protocol, by the name of its file."""
    if name == "bfv":
        return module("protocols.bfv", "lattice").bfv()
    made = getattr(module(f"protocols.{name}", name), name)
    return made(key_bits) if name == "paillier" else made()


def laps(name: str, key_bits: int, params: int, clients: int, repetitions: int) -> dict:
    """Of each step the seconds of every repetition, and a client's bytes."""
    seam, messages = module("secure_sum"), module("messages")
    terms_of = module("terms", "secure_sum").Terms
    signing_key = module("signatures").signing_key
    protocol = protocol_of(name, key_bits)
    secret, public = protocol.keygen(os.urandom, seam.Role.KEY_HOLDER)
    signing = [signing_key(os.urandom) for _ in range(clients)]
    directory = seam.Directory(
        0,
        tuple(range(clients)),
        terms_of(params, 16, 1.0, 2, 128),
        {seam.Role.KEY_HOLDER: public},
        {client: key.public for client, key in enumerate(signing)},
    )
    vector = np.random.default_rng(0).integers(-32767, 32768, params)

    def sent(client: int):
        prepared = protocol.prepare(os.urandom, directory, seam.Secret(), client)
        message = protocol.protect(directory, prepared, vector)
        return messages.sign_message(signing[client], message)

    def share(given):
        if hasattr(messages, "question_of"):
            return protocol.share(directory, secret, messages.question_of(given))
        # A holder added the messages itself there, too.
        return protocol.share(directory, secret, protocol.combine(directory, given))

    given = [sent(client) for client in range(clients)]
    found: dict = {"encrypt": [], "add": [], "share": [], "open": []}
    for _ in range(repetitions):
        times = [time.process_time()]
        sent(0)
        times.append(time.process_time())
        total = protocol.combine(directory, given)
        times.append(time.process_time())
        of_holder = share(given)
        times.append(time.process_time())
        summed = protocol.open(directory, total, [of_holder])
        times.append(time.process_time())
        assert np.array_equal(summed, clients * vector)
        for step, seconds in zip(found, np.diff(times).tolist(), strict=True):
            found[step].append(seconds)
    return found | {"bytes": len(messages.to_bytes(given[0]))}


if __name__ == "__main__":
    print(json.dumps(laps(sys.argv[1], *map(int, sys.argv[2:]))))
