"""Real parties, each in processes of its own: what goes wrong, and what becomes of it."""

import time
from dataclasses import replace

import pytest
from federation import Relay, simulated, wait_until

from pride_jax.config import (
    Aggregation,
    Client,
    Data,
    Experiment,
    Model,
    Partition,
)
from pride_jax.deploy.processes import stop
from pride_jax.errors import RunError

pytestmark = pytest.mark.deploy

TWO = Experiment(
    rounds=3,
    data=Data("iris", test_examples=90),
    partition=Partition("sizes", sizes=(20, 30)),
    model=Model("logistic"),
    client=Client(learning_rate=0.3, epochs=2),
    aggregation=Aggregation("plain", limit=4.0, key_bits=1024, workers=1),
)
ENCRYPTED = replace(TWO, aggregation=replace(TWO.aggregation, protocol="paillier"))
MASKED = replace(TWO, aggregation=replace(TWO.aggregation, protocol="masking"))


def with_parties(config, count, **changes):
    return replace(config, partition=Partition("iid", clients=count), **changes)


FORGER = """
from pathlib import Path

from pride_jax.aggregation.messages import from_bytes, sign_message, to_bytes
from pride_jax.deploy.enrolment import load_signing_key


def respond(honest, folder, request):
    reply = honest(folder, request)
    if request["kind"] != "train" or request["round"] != {round}:
        (folder / "before").write_bytes(reply.get("message", b""))
        return reply
    message = from_bytes(reply["message"])
    return {{"message": {forged}}}
"""
GARBAGE = FORGER.format(round=0, forged='b"\\x00" * 5000')
FOREIGN = FORGER.format(
    round=0,
    forged='to_bytes(sign_message(load_signing_key(folder.parent / "party-3"), message))',
)
ONE_CIPHERTEXT_MORE = FORGER.format(
    round=1,
    forged="to_bytes(sign_message(load_signing_key(folder), "
    "message._replace(body=message.body + message.body[:256])))",
)
REPLAY = FORGER.format(round=1, forged='(folder / "before").read_bytes()')


def test_forged_messages_are_left_out(federation, tmp_path):
    config = with_parties(ENCRYPTED, 5, rounds=2)
    parties = federation(config)
    for name, code in {
        "party-1": GARBAGE,
        "party-2": FOREIGN,
        "party-3": ONE_CIPHERTEXT_MORE,
        "party-4": REPLAY,
    }.items():
        parties.tamper(name, code)
    parties.begin()
    summary = parties.finish()
    lost = {0: [1, 2], 1: [3, 4]}
    assert summary["parameters_sha256"] == simulated(config, tmp_path / "sim", lost)
    assert summary["lost_messages"] == 4
    reasons = {(row["round"], row["from"]): row["reason"] for row in parties.refusals()}
    assert "starts with" in reasons[0, 1]
    assert "client 3 signed it in its name" in reasons[0, 2]
    assert "bytes of body" in reasons[1, 3]
    assert "made for round 0" in reasons[1, 4]


STARTS_AND_SLEEPS = """
import time


def respond(honest, folder, request):
    if request["kind"] == "train" and request["round"] == {round}:
        (folder / "training").touch()
        time.sleep(600)
    return honest(folder, request)
"""


def test_the_round_goes_on_without_who_is_killed_or_silent(federation, tmp_path):
    config = with_parties(TWO, 4, rounds=1)
    parties = federation(config, timeout=30.0)
    for name in ("party-1", "party-2"):
        parties.tamper(name, STARTS_AND_SLEEPS.format(round=0))
    parties.begin()
    wait_until((parties.role("party-1") / "training").exists)
    parties.kill("party-1")
    summary = parties.finish()
    assert summary["parameters_sha256"] == simulated(config, tmp_path / "sim", {0: [1, 2]})
    assert summary["lost_messages"] == 2


def test_without_the_key_holder_nothing_is_opened_until_it_is_back(federation, tmp_path):
    config = replace(ENCRYPTED, rounds=2)
    parties = federation(config, timeout=30.0)
    parties.tamper("key-holder", STARTS_AND_SLEEPS.replace('"train"', '"open"').format(round=1))
    parties.begin()
    wait_until((parties.role("key-holder") / "training").exists)
    stop(parties.nodes["key-holder"])
    with pytest.raises(RunError, match="the key holder opened nothing"):
        parties.finish()
    assert [row["round"] for row in parties.rows()] == [0, 1]
    (parties.role("key-holder") / "tamper.py").unlink()
    parties.node("key-holder")
    parties.start()
    summary = parties.finish()
    assert summary["parameters_sha256"] == simulated(config, tmp_path / "sim")
    # What was asked before is asked again: nobody trains for a second sum of the round.
    assert summary["lost_messages"] == 0


def test_a_cut_of_half_a_minute_is_waited_for(federation, link, tmp_path):
    parties = federation(TWO, timeout=120.0)
    relay = Relay(link[1])
    parties.begin(["party-0"])
    parties.node("party-1", relay.address)
    wait_until(lambda: len(parties.rows()) > 1)
    relay.cut()
    time.sleep(30)
    assert not parties.ended()
    relay.mend()
    summary = parties.finish()
    relay.close()
    assert summary["parameters_sha256"] == simulated(TWO, tmp_path / "sim")
    assert summary["lost_messages"] == 0


def test_masks_of_one_who_dies_after_its_keys_are_taken_away(federation, tmp_path):
    config = with_parties(MASKED, 5, rounds=2)
    parties = federation(config, timeout=30.0)
    parties.tamper("party-4", STARTS_AND_SLEEPS.format(round=1))
    parties.begin()
    wait_until((parties.role("party-4") / "training").exists)
    parties.kill("party-4")
    summary = parties.finish()
    assert summary["parameters_sha256"] == simulated(config, tmp_path / "sim", {1: [4]})
    assert summary["lost_messages"] == 1
