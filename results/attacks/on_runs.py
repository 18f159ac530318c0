"""T5 to T10 and T13: attacks on runs and deployments, see `adversary`."""

# pyright: reportMissingImports=false
# The tests' modules are found once `adversary` is imported.

import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from pytest import MonkeyPatch

from pride_jax.aggregation.books import Books
from pride_jax.aggregation.messages import enclosed_of
from pride_jax.aggregation.protocols import two_servers as protocol
from pride_jax.aggregation.words import stream, to_signed, words_of
from pride_jax.data.datasets import load_dataset
from pride_jax.data.federated import federate
from pride_jax.data.partition import iid
from pride_jax.deploy import memory, roles
from pride_jax.deploy.agreement import ROSTER
from pride_jax.deploy.comparison import compare
from pride_jax.deploy.local import enrol_all
from pride_jax.deploy.pinned import digest_of_app, pinned
from pride_jax.deploy.processes import APP
from pride_jax.deploy.roster import load_roster
from pride_jax.engine import simulated
from pride_jax.errors import PrideError
from pride_jax.federated import federated
from pride_jax.methods.fedavg import fedavg
from pride_jax.methods.method import uniform
from pride_jax.models.networks import logistic
from pride_jax.runs import experiment, prepared
from pride_jax.settings.experiment import Engine
from pride_jax.task import classification
from pride_jax.types import Hidden
from results.attacks.adversary import part

# isort: split
import test_cohorts as cohorts
import test_hidden_keys as hidden_keys
import test_models as models
import test_refusals as refusals
import test_rosters as rosters
from active_server import FIVE, PARTIES, ActiveServer, agree, train_at_once, vector
from test_two_servers import masked_in


def folder(patch: MonkeyPatch) -> Path:
    """An empty one, gone after the attack, for roles that nobody pulls the plug of."""
    patch.setattr(os, "fsync", lambda _: None)
    return Path(tempfile.mkdtemp(prefix="threats"))


def server(patch: MonkeyPatch) -> ActiveServer:
    """An active server of five parties and a key holder, of ``two_servers``."""
    enrol_all(FIVE, home := folder(patch) / "roles")
    train_at_once(patch)
    return ActiveServer(home).hello()


def without_books(patch: MonkeyPatch) -> None:
    """Everybody serves whatever is asked."""
    patch.setattr(memory, "enter", lambda rules, books, round_: Books(round_ + 1, 1, 1))


def silences_the_others(patch: MonkeyPatch, remedied: bool) -> float:
    """By a model of NaN, which they train to zeros."""
    asking, victim = server(patch), models.VICTIM
    if not remedied:
        patch.setattr(roles, "_model", lambda _, content: np.frombuffer(content, "<f4"))
    about, nan = asking.about(0, PARTIES), models.nan(asking)
    sent = [asking.train(p, about, asking.params if p == victim else nan) for p in PARTIES]
    return part(asking.open(about, sent), vector(victim, asking.length))


def calls_two(patch: MonkeyPatch, remedied: bool) -> float:
    """The victim and a client that colludes."""
    asking, victim, colluder = server(patch), cohorts.VICTIM, cohorts.COLLUDER
    if not remedied:
        agree(asking.roles, smallest_cohort=2)
        asking = ActiveServer(asking.roles).hello()
    got = asking.sum(0, [victim, colluder]) - vector(colluder, asking.length)
    return part(got, vector(victim, asking.length))


def calls_all_and_all_but_one(patch: MonkeyPatch, remedied: bool) -> float:
    """In two rounds of one model: nothing but noise is a remedy."""
    del remedied
    asking, victim = server(patch), cohorts.VICTIM
    others = [party for party in PARTIES if party != victim]
    return part(asking.sum(0, PARTIES) - asking.sum(1, others), vector(victim, asking.length))


def goes_on(patch: MonkeyPatch, remedied: bool) -> float:
    """For as many rounds again as the run has."""
    asking = server(patch)
    if not remedied:
        without_books(patch)
    last = FIVE.rounds
    for round_ in range(last):
        asking.sum(round_, PARTIES)
    sums = [asking.sum(round_, PARTIES) for round_ in range(last, 2 * last)]
    return len(sums) / last


def writes_the_roster(patch: MonkeyPatch, remedied: bool) -> float:
    """With a key of its own for the key holder's; who compares nothing works for it."""
    home = server(patch).roles
    honest = load_roster(home / "key-holder" / ROSTER)
    forged, secret = rosters.forge(home, honest)
    if not remedied:
        for party in PARTIES:
            compare(home / f"party-{party}", forged, forged.short)
    fake = ActiveServer(home).hello()
    about = fake.about(0, PARTIES)
    return float(np.mean([_read_by(secret, fake.train(p, about)) for p in PARTIES]))


def _read_by(secret: Any, message: Any) -> float:
    """Which part of its vector a message tells whom it is sealed for."""
    words = words_of(message.header.terms)
    seed = protocol._unsealed(secret, enclosed_of(message))
    found = to_signed(words, masked_in(message) - stream(words, seed))
    return part(found, vector(message.client, message.header.terms.length))


def sends_its_own_code(patch: MonkeyPatch, remedied: bool) -> float:
    """An application that reads secrets: whether a node of Flower's installs it."""
    from flwr.cli.build import build_fab_from_disk
    from flwr.cli.install import install_from_fab

    home = folder(patch)
    evil = shutil.copytree(APP, home / "app")
    (evil / "pride_app.py").write_text("print(open('secrets/signing-key', 'rb').read())\n")
    patch.setenv("FLWR_HOME", str(home / "flower"))
    install = pinned(install_from_fab, digest_of_app(APP)) if remedied else install_from_fab
    install(build_fab_from_disk(evil), skip_prompt=True)
    found = [file.read_text() for file in (home / "flower").rglob("pride_app.py")]
    return part(found, [(evil / "pride_app.py").read_text()])


def spoils_sums(patch: MonkeyPatch, remedied: bool) -> float:
    """Of twelve parties one, in every third round: the part of the rounds without a sum."""
    real, opened = protocol.two_servers(), set()

    def protect(directory: Any, prepared: Any, values: Any) -> Any:
        message = real.protect(directory, prepared, values)
        if message.client != refusals.WRONG or directory.round % 3:
            return message
        return message._replace(body=refusals.out_of_range(message))

    def opening(directory: Any, total: Any, shares: Any) -> Any:
        found = real.open(directory, total, shares)
        opened.add(directory.round)
        return found

    wrong = real._replace(protect=protect, open=opening)
    patch.setattr(prepared, "build_secure_sum", lambda *_: wrong)
    config = replace(refusals.TWELVE, engine=Engine())
    if not remedied:
        # Nobody catches what a refused sum raises: it ends the run.
        patch.setattr(simulated, "BurntError", type("NeverRaised", (Exception,), {}))
    try:
        experiment.run(config, folder(patch) / "run")
    except PrideError:
        assert not remedied
    return 1 - len(opened) / config.rounds


def prints_a_state(patch: MonkeyPatch, remedied: bool) -> float:
    """Of a private run: the part of the words of its secret keys that stand in the text."""
    dataset = load_dataset("iris", test_examples=90)
    data = federate(dataset, iid(np.random.default_rng(0), 60, 4))
    task = classification(logistic((4,), 3), 3)
    method = fedavg(task, optax.sgd(0.1), weighting=uniform)
    state = federated(method, data, hidden_keys.PLAN).init(jax.random.key(0), hidden_keys.SECRET)
    if not remedied:
        patch.setattr(Hidden, "__repr__", lambda self: repr(self.value))
    text = repr(state)
    keys = (state.keys.sampling.value, state.keys.noise.value)
    words = np.concatenate([np.ravel(jax.random.key_data(key)) for key in keys])
    return float(
        np.mean([any(form in text for form in hidden_keys.forms_of(word)) for word in words])
    )
