"""Real parties, each in processes of its own: what goes wrong, and what becomes of it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from federation import (
    Relay,
    children,
    is_running,
    resident,
    signals,
    simulated,
    wait_until,
)

from pride_jax.deploy.processes import register, stop
from pride_jax.deploy.server import PROCESS
from pride_jax.errors import RunError
from pride_jax.files import read_json
from pride_jax.reporting import metrics
from pride_jax.runs.refusals import REFUSALS
from pride_jax.settings.experiment import (
    Aggregation,
    Client,
    Cohort,
    Data,
    Evaluation,
    Experiment,
    Model,
    Partition,
    Privacy,
)
from pride_jax.settings.files import to_dict

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
    "message._replace(enclosed=message.enclosed + message.enclosed[:256])))",
)
REPLAY = FORGER.format(round=1, forged='(folder / "before").read_bytes()')


def test_forged_messages_are_left_out_and_nan_is_nothing(federation, tmp_path):
    config = with_parties(ENCRYPTED, 5, rounds=2)
    parties = federation(config)
    held = parties.role("party-0") / "examples.npz"
    with np.load(held) as examples:
        targets = examples["targets"]
        np.savez(held, inputs=np.full_like(examples["inputs"], np.nan), targets=targets)
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
    alike = simulated(config, tmp_path / "sim", lost, broken=[0])
    assert summary["parameters_sha256"] == alike
    assert summary["lost_messages"] == 4
    own = metrics.read(parties.role("party-0") / "metrics.jsonl")
    assert [row["nonfinite"] for row in own] == [1, 1]
    reasons = {(row["round"], row["from"]): row["reason"] for row in parties.refusals()}
    assert "starts with" in reasons[0, 1]
    assert "client 3 signed it in its name" in reasons[0, 2]
    assert "bytes of enclosed" in reasons[1, 3]
    assert "made for round 0" in reasons[1, 4]


STARTS_AND_SLEEPS = """
import time


def respond(honest, folder, request):
    if request["kind"] == "train" and request["round"] == {round}:
        (folder / "training").touch()
        time.sleep(600)
    return honest(folder, request)
"""


def test_without_the_key_holder_or_the_server_nothing_is_opened_until_it_is_back(
    federation, tmp_path
):
    config = replace(ENCRYPTED, rounds=2)
    parties = federation(config, timeout=30.0)
    parties.tamper("key-holder", STARTS_AND_SLEEPS.replace('"train"', '"open"').format(round=1))
    parties.begin()
    wait_until((parties.role("key-holder") / "training").exists)
    stop(parties.nodes["key-holder"])
    with pytest.raises(RunError, match=r"0 of 1 key holders helped.* with --resume"):
        parties.finish()
    assert [row["round"] for row in parties.rows()] == [0, 1]
    parties.start()
    # The server's process alone: whoever follows the run is told how to go on.
    wait_until((parties.server / PROCESS).exists)
    os.kill(int((parties.server / PROCESS).read_text()), signal.SIGKILL)
    with pytest.raises(RunError, match="go on with --resume"):
        parties.finish()
    (parties.role("key-holder") / "tamper.py").unlink()
    parties.node("key-holder")
    parties.start()
    summary = parties.finish()
    assert summary["parameters_sha256"] == simulated(config, tmp_path / "sim")
    # What was asked before is asked again: nobody trains for a second sum of the round.
    assert summary["lost_messages"] == 0
    for party in ("party-0", "party-1"):
        trained = metrics.read(parties.role(party) / "metrics.jsonl")
        assert [row["round"] for row in trained] == [0, 1]


def test_two_of_three_key_holders_go_on_without_the_one_that_is_killed(federation, tmp_path):
    config = replace(TWO, aggregation=replace(TWO.aggregation, protocol="threshold"))
    parties = federation(config, timeout=150.0)
    killed = "key-holder/holder-2"
    parties.tamper(killed, STARTS_AND_SLEEPS.replace('"train"', '"open"').format(round=1))
    parties.begin()
    wait_until((parties.role(killed) / "training").exists)
    parties.kill(killed)
    summary = parties.finish()
    assert summary["parameters_sha256"] == simulated(config, tmp_path / "sim")
    assert summary["lost_messages"] == 0
    left_out = {(row["round"], row["from"]): row["reason"] for row in parties.refusals()}
    assert "key holder, open" in left_out[1, 2]
    assert "key holder, open" in left_out[2, 2]


def test_all_that_is_killed_goes_on_to_the_same_bits(tmp_path, programs):
    config = replace(ENCRYPTED, evaluation=Evaluation(every=3))
    (tmp_path / "config.py").write_text(
        "from pride_jax.settings.files import from_dict\n\n"
        f"config = from_dict({to_dict(config)!r})\n"
    )
    run = tmp_path / "run"

    # Everything, two rounds after the only checkpoint. What is not killed ends by itself.
    launcher = launch(tmp_path, run)
    wait_until(lambda: any((run / "sums").glob("1.*sum")))
    everyone = children(launcher.pid)
    os.kill(launcher.pid, signal.SIGKILL)
    os.kill(int((run / "deployment" / "server" / PROCESS).read_text()), signal.SIGKILL)
    launcher.communicate()
    wait_until(lambda: not any(map(is_running, everyone)))
    assert not (run / "summary.json").exists()

    launcher = launch(tmp_path, run, "--resume")
    _, said = launcher.communicate(timeout=300)
    assert launcher.returncode == 0, said
    summary = read_json(run / "summary.json")
    assert summary["parameters_sha256"] == simulated(config, tmp_path / "sim")
    assert summary["lost_messages"] == 0


def launch(folder, run, *arguments):
    """``deploy.py --local``, with a process for every role."""
    script = Path(__file__).parents[2] / "scripts" / "deploy.py"
    command = [sys.executable, str(script), "--local", "--timeout", "60", *arguments]
    command += ["--config", str(folder / "config.py"), "--workdir", str(run)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


DIES = """
import os


def respond(honest, folder, request):
    reply = honest(folder, request)
    if request["kind"] == "train" and not (folder / "died").exists():
        (folder / "died").touch()
        os._exit(1)
    return reply
"""


def test_a_process_that_dies_a_machine_that_stops_and_a_cut_wire_are_waited_for(
    federation, link, tmp_path
):
    parties = federation(TWO, timeout=150.0)
    relay = Relay(link[1])
    parties.tamper("party-0", DIES)
    parties.begin(["party-0"])
    parties.node("party-1", relay.address)
    wait_until(lambda: len(parties.rows()) > 1)
    relay.cut()
    everyone = children(parties.nodes["party-0"].pid)
    signals(everyone, signal.SIGSTOP)
    # For longer than it takes the SuperLink to miss both.
    time.sleep(25)
    assert not parties.ended()
    signals(everyone, signal.SIGCONT)
    relay.mend()
    summary = parties.finish()
    relay.cut()
    assert (parties.role("party-0") / "died").exists()
    assert summary["parameters_sha256"] == simulated(TWO, tmp_path / "sim")
    assert summary["lost_messages"] == 0
    trained = metrics.read(parties.role("party-0") / "metrics.jsonl")
    # The answer that was on disk is the one that was sent: nobody trains twice for a round.
    assert [row["round"] for row in trained] == [0, 1, 2]


def test_the_server_sees_no_update_and_no_secret_and_what_is_sent_is_what_was_predicted(
    federation, link, tmp_path
):
    config = replace(ENCRYPTED, rounds=2, model=Model("mlp", {"hidden": (400,)}))
    parties = federation(config)
    relay = Relay(link[1])
    parties.tamper("party-1", KEEPS_ITS_INTEGERS)
    parties.begin(["party-0", "key-holder"])
    parties.node("party-1", relay.address)
    summary = parties.finish()
    relay.cut()
    assert summary["parameters_sha256"] == simulated(config, tmp_path / "sim")
    party = parties.role("party-1")
    secrets = [
        (party / "secrets" / "signing-key").read_bytes(),
        (party / "examples.npz").read_bytes()[200:264],
        *_primes(parties.role("key-holder") / "secrets" / "paillier-key.json"),
    ]
    for width in ("<i2", "<i4", "<i8", "<f4"):
        values = np.load(party / "integers.npy").astype(width)
        secrets += [values[at : at + 8].tobytes() for at in range(0, 1000, 100)]
        assert len(np.unique(values)) > 100
    # All that the server's processes keep: its folder, the run's, the SuperLink's and its state.
    files = [
        file
        for folder in (parties.server, parties.workdir, link[0])
        for file in folder.rglob("*")
        if file.is_file()
    ]
    content = b"".join(file.read_bytes() for file in files)
    assert summary["parameters_sha256"].encode() in content
    assert not [secret for secret in secrets if secret in content or _hex(secret) in content]
    predicted = summary["bytes_per_client_round"]
    per_round = relay.sent / config.rounds
    assert predicted <= per_round <= 1.05 * predicted + 60_000


KEEPS_ITS_INTEGERS = """
import numpy as np

from pride_jax.deploy import training

_real = training.trainer


def _kept(*known):
    honest = _real(*known)

    def kept(*asked):
        trained = honest.train(*asked)
        np.save(_folder / "integers.npy", trained.integers)
        return trained

    return honest._replace(train=kept)


def respond(honest, folder, request):
    global _folder
    _folder = folder
    training.trainer = _kept
    return honest(folder, request)
"""


def _primes(file):
    numbers = json.loads(file.read_text())
    return [int(numbers[name], 16).to_bytes(64, "big") for name in ("p", "q")]


def _hex(secret):
    return secret.hex().encode()


def test_the_round_goes_on_without_who_is_killed_whose_masks_are_taken_away(federation, tmp_path):
    config = with_parties(MASKED, 5, rounds=2)
    # Whoever waits for as long fails: `wait_until` has less patience.
    parties = federation(config, timeout=3600.0)
    parties.tamper("party-4", STARTS_AND_SLEEPS.format(round=0))
    parties.begin()
    wait_until((parties.role("party-4") / "training").exists)
    parties.kill("party-4")
    wait_until(parties.ended)
    summary = parties.finish()
    assert summary["parameters_sha256"] == simulated(config, tmp_path / "sim", {0: [4], 1: [4]})
    assert summary["lost_messages"] == 2
    assert [row["clients"] for row in parties.rows()[1:]] == [4, 4]


SAYS_WHAT_IT_LIKES = """
from pride_jax.deploy import roles


def respond(honest, folder, request):
    roles.check_compared = roles.check_enrolled = lambda *_: None
    return honest(folder, request)
"""


def test_strangers_are_not_listened_to(federation, tmp_path):
    config = replace(TWO, rounds=1)
    parties, others, unknown = (federation(config) for _ in range(3))
    # One that the SuperLink does not know.
    unknown.node("party-0")
    # One that may log in, and says that it is party 1, without that party's key.
    register(parties.link[0], others.roster)
    for name in ("party-1.enrolment.json", "roster.json", "agreed.json"):
        shutil.copy(parties.role("party-1") / name, others.role("party-1") / name)
    others.tamper("party-1", SAYS_WHAT_IT_LIKES)
    others.node("party-1")
    parties.begin(["party-0"])
    wait_until(lambda: any("not the keys of anyone" in row["reason"] for row in parties.refusals()))
    assert len(parties.rows()) == 0
    parties.node("party-1")
    summary = parties.finish()
    assert summary["parameters_sha256"] == simulated(config, tmp_path / "sim")
    assert summary["lost_messages"] == 0
    assert len(parties.refusals()) == 1
    log = unknown.role("party-0") / "role.log"
    assert "Failed to" in log.read_text()
    assert not (others.role("party-1") / "metrics.jsonl").exists()


def test_a_party_that_hangs_costs_the_timeout_and_a_private_round_its_epsilon(federation):
    config = with_parties(
        TWO,
        3,
        rounds=1,
        cohort=Cohort(weighting="uniform"),
        privacy=Privacy(
            clipping_norm=0.5, mechanism="skellam", noise_multiplier=1.0, delta=1e-2, colluders=0
        ),
        aggregation=Aggregation("plain", bits=12),
    )
    parties = federation(config, timeout=30.0)
    parties.tamper("party-2", STARTS_AND_SLEEPS.format(round=0))
    parties.begin()
    wait_until((parties.role("party-2") / "training").exists)
    # Its SuperNode still answers the SuperLink: nobody can tell it from one that trains.
    hung = resident(parties.nodes["party-2"].pid)
    os.kill(hung, signal.SIGSTOP)
    assert parties.finish()["releases"] == 1
    os.kill(hung, signal.SIGCONT)
    reasons = [
        row["reason"]
        for row in metrics.read(parties.workdir / "private" / REFUSALS)
        if row["from"] == 2
    ]
    assert any("party, train: " in reason for reason in reasons), reasons
    assert read_json(parties.workdir / "private" / "summary.json")["unopened_sums"] == 1
    assert parties.rows()[0]["test_loss"] == parties.rows()[1]["test_loss"]
