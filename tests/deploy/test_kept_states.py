"""What parties keep between rounds: the simulation's very bits, theirs alone, stepped once."""

import stat
from dataclasses import replace

import jax
import numpy as np
import pytest
from federation import simulated, wait_until
from in_process import CONFIG, digest, resident, served

import pride_jax as pride
from pride_jax.deploy.agreement import load_agreement
from pride_jax.deploy.kept_states import OWN_MODEL, STATES
from pride_jax.deploy.local import enrol_all
from pride_jax.deploy.memory import MESSAGES
from pride_jax.files import read_json
from pride_jax.reporting import metrics
from pride_jax.runs import experiment
from pride_jax.runs.client_states import client_states
from pride_jax.settings import Client, Cohort, Method, Partition, Privacy

pytestmark = pytest.mark.usefixtures("blank_pictures")

SAMPLED = replace(
    CONFIG,
    rounds=3,
    client=Client(learning_rate=0.2, batch_size=8),
    cohort=Cohort("fixed_size", size=2, weighting="uniform"),
)
METHODS = {
    "scaffold": Method("scaffold"),
    "feddyn": Method("feddyn", {"alpha": 0.1}),
    "ditto": Method("ditto", {"attraction": 0.1}),
    "personal": Method(personal=("layers/0/bias",)),
}


def config_of(method, protocol):
    aggregation = replace(SAMPLED.aggregation, protocol=protocol)
    return replace(SAMPLED, method=METHODS[method], aggregation=aggregation)


def states(folder):
    """The latest state that is kept there, by names."""
    kept = client_states(folder)
    return kept.read(kept.latest())


@pytest.mark.parametrize(
    ("method", "protocol"),
    [
        ("scaffold", "masking"),
        ("feddyn", "two_servers"),
        ("ditto", "paillier"),
        ("personal", "plain"),
    ],
)
def test_parties_keep_what_the_simulations_clients_keep(method, protocol, tmp_path):
    config = config_of(method, protocol)
    enrol_all(config, tmp_path / "roles")
    assert served(tmp_path / "roles", tmp_path / "run", resident()) is None
    experiment.run(config, tmp_path / "simulated")
    assert digest(tmp_path / "run") == digest(tmp_path / "simulated")
    # The server's folder has nothing of them.
    assert not (tmp_path / "run" / "clients").exists()
    everyones = states(tmp_path / "simulated" / "clients")
    for party in range(3):
        folder = tmp_path / "roles" / f"party-{party}"
        for name, each in states(folder / "secrets" / STATES).items():
            np.testing.assert_array_equal(each, everyones[name][party])
        assert stat.S_IMODE((folder / "secrets" / STATES).stat().st_mode) == 0o700
        for file in (folder / "secrets" / STATES).iterdir():
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        if method in ("scaffold", "feddyn"):
            assert not (folder / OWN_MODEL).exists()
            continue
        own, simulated = (
            pride.load(folder / OWN_MODEL),
            pride.load(tmp_path / "simulated", client=party),
        )
        jax.tree.map(np.testing.assert_array_equal, own.params, simulated.params)


class Killed(BaseException):
    """As a signal: nothing in a role catches it."""


@pytest.mark.parametrize("method", ["scaffold", "personal"])
def test_a_party_that_dies_before_or_after_its_answer_steps_once(method, tmp_path, monkeypatch):
    config = config_of(method, "plain")
    enrol_all(config, tmp_path / "roles")
    asked, others = [], resident()

    def answer(role, request):
        if request["kind"] != "train" or role.name != "party-1":
            return others(role, request)
        respond = resident()
        with monkeypatch.context() as patch:
            # What it keeps next is on disk, and its answer is not.
            patch.setattr("pride_jax.deploy.roles.sign_message", _die)
            with pytest.raises(Killed):
                respond(role, request)
        first = respond(role, request)
        assert respond(role, request) == first
        # The answer was lost, and what is kept is that of the round after.
        (role / "secrets" / MESSAGES).unlink()
        assert respond(role, request) == first
        asked.append(request["round"])
        return first

    assert served(tmp_path / "roles", tmp_path / "run", answer) is None
    assert asked
    experiment.run(config, tmp_path / "simulated")
    assert digest(tmp_path / "run") == digest(tmp_path / "simulated")


def _die(*_):
    raise Killed


def test_a_round_without_its_sum_leaves_parties_as_it_leaves_the_simulations_clients(tmp_path):
    """Whoever has trained keeps what it has learned, whether or not the sum was opened."""
    config = replace(config_of("scaffold", "plain"), cohort=Cohort(weighting="uniform"))
    enrol_all(config, tmp_path / "roles")

    roles = resident()

    def answer(role, request):
        reply = roles(role, request)
        spoilt = request["kind"] == "train" and request["round"] == 1
        return {"message": b"garbage"} if spoilt else reply

    assert served(tmp_path / "roles", tmp_path / "run", answer) is None
    assert read_json(tmp_path / "run" / "summary.json")["refused_sums"] == 1
    folder = tmp_path / "roles" / "party-0" / "secrets" / STATES
    assert client_states(folder).latest() == 3
    assert sorted(path.stem for path in folder.iterdir()) == ["2", "3"]


def test_a_server_that_goes_on_from_its_checkpoint_asks_no_party_to_step_again(tmp_path):
    config = replace(
        config_of("scaffold", "plain"),
        rounds=4,
        cohort=Cohort(weighting="uniform"),
        evaluation=replace(SAMPLED.evaluation, every=4),
    )
    enrol_all(config, tmp_path / "roles")

    roles, party = resident(), tmp_path / "roles" / "party-0" / "secrets" / STATES

    def last_is_silent(role, request):
        silent = request["kind"] == "train" and request["round"] == 3
        return None if silent else roles(role, request)

    assert "--resume" in served(tmp_path / "roles", tmp_path / "run", last_is_silent, timeout=0.1)
    assert [row["round"] for row in metrics.read(tmp_path / "run" / "metrics.jsonl")] == [0]
    assert client_states(party).latest() == 3
    asked = []

    def answer(role, request):
        asked.append((request["kind"], request.get("round")))
        return roles(role, request)

    assert served(tmp_path / "roles", tmp_path / "run", answer) is None
    assert {round_ for kind, round_ in asked if kind == "train"} == {3}
    experiment.run(config, tmp_path / "simulated")
    assert digest(tmp_path / "run") == digest(tmp_path / "simulated")


def test_under_a_plan_what_parties_remember_is_accounted_for(tmp_path):
    private = Privacy(clipping_norm=0.5, mechanism="gaussian", noise_multiplier=1.0, delta=1e-2)
    for name, method in {"ditto": METHODS["ditto"], "fedavg": Method()}.items():
        aggregation = replace(SAMPLED.aggregation, limit=None)
        cohort = Cohort(weighting="uniform")
        config = replace(
            SAMPLED, method=method, cohort=cohort, privacy=private, aggregation=aggregation
        )
        enrol_all(config, tmp_path / name)
        plan = load_agreement(tmp_path / name / "party-0").plan
        assert plan.client_state == (name == "ditto")


ANSWERS_AND_SLEEPS = """
import time


def respond(honest, folder, request):
    reply = honest(folder, request)
    if request["kind"] == "train" and request["round"] == 1 and not (folder / "here").exists():
        (folder / "here").touch()
        time.sleep(600)
    return reply
"""


@pytest.mark.deploy
def test_a_party_killed_with_its_answer_in_hand_steps_once(federation, tmp_path):
    """With processes of its own: another one answers, from what is on disk."""
    config = replace(config_of("scaffold", "plain"), partition=Partition("iid", clients=2))
    parties = federation(config)
    parties.tamper("party-1", ANSWERS_AND_SLEEPS)
    parties.begin()
    wait_until((parties.role("party-1") / "here").exists)
    parties.kill("party-1")
    parties.node("party-1")
    summary = parties.finish()
    assert (summary["rounds"], summary["lost_messages"]) == (3, 0)
    assert summary["parameters_sha256"] == simulated(config, tmp_path / "sim")
    for party in range(2):
        folder = parties.role(f"party-{party}") / "secrets" / STATES
        assert client_states(folder).latest() == 3
