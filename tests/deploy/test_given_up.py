"""A private round that was not opened never is, though its server dies and all are there later.

The server's way through a round, with its journal on disk; parties' answers are made here.
"""

import hashlib
from dataclasses import replace
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest
from test_roles import asked_to_open
from test_serving import CONFIG

from pride_jax.deploy import server
from pride_jax.deploy.agreement import load_agreement
from pride_jax.deploy.introduction import Replies
from pride_jax.deploy.journal import journal
from pride_jax.deploy.local import enrol_all
from pride_jax.engine.rounds import Keys, ServerState
from pride_jax.privacy.randomness import study_key
from pride_jax.settings.experiment import Privacy
from pride_jax.types import Cohort, Hidden

pytestmark = pytest.mark.usefixtures("blank_pictures")

PRIVATE = replace(
    CONFIG,
    privacy=Privacy(clipping_norm=0.5, mechanism="gaussian", noise_multiplier=1.0, delta=1e-2),
    aggregation=replace(CONFIG.aggregation, limit=None),
)
ALL = Cohort(jnp.arange(3), jnp.ones(3, bool))
SENT = np.zeros(3, np.float32)
STEPS = SimpleNamespace(tell=lambda state: SimpleNamespace(sent=SENT), length=3)
"""What parties are sent; the server does not step here."""


@pytest.fixture(scope="module")
def roles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("private") / "roles"
    enrol_all(PRIVATE, folder)
    return folder


def a_round(roles, workdir, there, noise=0):
    """Whether a server that was just started opens round 0, and whether it asks the parties."""
    model = hashlib.sha256(SENT.tobytes()).digest()
    messages, asked = asked_to_open(roles, 0, model=model)["messages"], []

    def parties(kind, record, ids, needed):
        asked.append(kind)
        return Replies({client: {"message": messages[client]} for client in there}, frozenset())

    hidden = Hidden(study_key(noise), "key")
    state = ServerState(jnp.int32(0), (), Keys(hidden, hidden, hidden), (), (), {})
    kept, ask = (
        journal(workdir / "sums", 10),
        server.Ask(parties, lambda *_: iter(()), lambda _: None),
    )
    found = server._collect(load_agreement(roles / "server"), ask, kept, workdir, STEPS, state, ALL)
    opened = int(found.info.unopened) == 0
    assert opened == found.total.any() == (len(found.contributors) > 0)
    return opened, asked == ["train"]


def test_a_round_that_was_given_up_stays_so_when_the_server_dies(roles, tmp_path):
    assert a_round(roles, tmp_path, there=[0]) == (False, True)
    # Started again, from the checkpoint before: all would answer, and none is asked.
    assert a_round(roles, tmp_path, there=[0, 1, 2]) == (False, False)
    # Another draw, another noise: that sum may be opened.
    assert a_round(roles, tmp_path, there=[0, 1, 2], noise=1) == (True, True)


def test_a_server_that_forgot_would_open_it_under_the_same_noise(roles, tmp_path):
    """The test above can fail."""
    assert a_round(roles, tmp_path, there=[0]) == (False, True)
    (given_up,) = (tmp_path / "sums").glob("0.*.unopened")
    given_up.unlink()
    assert a_round(roles, tmp_path, there=[0, 1, 2]) == (True, True)


def test_a_round_that_was_opened_is_the_same_sum_when_the_server_dies(roles, tmp_path):
    assert a_round(roles, tmp_path, there=[0, 1, 2]) == (True, True)
    assert a_round(roles, tmp_path, there=[0]) == (True, False)
