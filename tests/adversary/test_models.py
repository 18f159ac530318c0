"""T5. An active server sends the others a model that silences them, and adds up the victim alone.

What it still may do is send everybody the same model of its choice (Boenisch et al. 2023; Fowl et
al. 2022): then no sum is of one client, and what it tells is what a sum of that model's updates
tells. Differential privacy covers that, secure aggregation does not.
"""

import dataclasses

import numpy as np
import pytest
from active_server import PARTIES, vector

from pride_jax.aggregation.secure_sum import Directory
from pride_jax.deploy import roles as roles_module
from pride_jax.errors import ProtocolError

VICTIM = 2


def nan(server):
    return np.full(server.length, np.nan, "<f4").tobytes()


def test_parameters_that_silence_are_refused(server):
    for silencing in (nan(server), np.full(server.length, np.inf, "<f4").tobytes()):
        about = server.about(0, PARTIES, silencing)
        with pytest.raises(ProtocolError, match="not finite"):
            server.train(0, about, silencing)


def test_parameters_of_another_digest_than_the_others_were_told_are_refused(server):
    about = server.about(0, PARTIES)
    with pytest.raises(ProtocolError, match="not those of the round's digest"):
        server.train(0, about, np.ones(server.length, "<f4").tobytes())


def test_no_sum_has_clients_in_it_who_were_sent_different_models(server):
    flat = np.full(server.length, 1e6, "<f4").tobytes()
    told = {party: server.params if party == VICTIM else flat for party in PARTIES}
    sent = []
    for party in PARTIES:
        about = server.about(0, PARTIES, told[party])
        sent.append(server.train(party, about, told[party]))
    for about in (server.about(0, PARTIES), server.about(0, PARTIES, flat)):
        # The key holder's own check: the server's code is the attacker's.
        with pytest.raises(ProtocolError, match="the sum is not opened"):
            server.open(about, sent)


def test_without_the_remedies_it_gets_the_victims_vector(server, monkeypatch):
    monkeypatch.setattr(roles_module, "_model", lambda _, content: np.frombuffer(content, "<f4"))
    about = server.about(0, PARTIES)
    sent = [
        server.train(party, about, server.params if party == VICTIM else nan(server))
        for party in PARTIES
    ]
    np.testing.assert_array_equal(server.open(about, sent), vector(VICTIM, server.length))


def test_without_the_digest_in_the_fingerprint_finite_models_differ_unnoticed(server, monkeypatch):
    fingerprint = Directory.__dict__["fingerprint"].func

    def without_model(directory):
        return fingerprint(dataclasses.replace(directory, model=b""))

    monkeypatch.setattr(Directory, "fingerprint", property(without_model))
    flat = np.full(server.length, 1e6, "<f4").tobytes()
    sent = []
    for party in PARTIES:
        params = server.params if party == VICTIM else flat
        sent.append(server.train(party, server.about(0, PARTIES, params), params))
    summed = server.open(server.about(0, PARTIES), sent)
    np.testing.assert_array_equal(summed, sum(vector(party, server.length) for party in PARTIES))
