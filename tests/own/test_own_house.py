"""A method, a model, a loss and data of a researcher's own are trained as the package's are."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pride_jax.files import read_json
from pride_jax.runs.experiment import run
from pride_jax.settings.command_line import override
from pride_jax.settings.files import load_config
from pride_jax.sweeps.sweep import one_after_another, parse_over, sweep

HERE = Path(__file__).parent

METHOD = '''
"""Normalised descent: a client's steps are no longer than its learning rate."""

import jax
import jax.numpy as jnp
import optax

from pride_jax.methods.fedavg import averaged, descend
from pride_jax.methods.method import ClientRule, no_state


def normed(task, client_optimizer, server_optimizer, weighting, training, longest: float = 1.0):
    """FedAvg whose clients scale a longer gradient down."""

    def shorter(gradient, params, received):
        factor = jnp.minimum(1.0, longest / (optax.tree.norm(gradient) + 1e-9))
        return jax.tree.map(lambda leaf: factor * leaf, gradient)

    def start(round_, sent, state):
        return descend(task, client_optimizer, round_, sent, shorter)

    rule = ClientRule(no_state, start)
    return averaged(task, rule, server_optimizer, weighting=weighting, training=training)
'''

LOSS = '''
"""The hinge: the right class should lead every other by a margin."""

import jax
import jax.numpy as jnp

from pride_jax.task import Scores, Task


def hinge(model, outputs, margin: float = 1.0):
    """Crammer & Singer 2001."""

    def losses(logits, targets):
        right = jax.nn.one_hot(targets, outputs)
        lead = jnp.sum(right * logits, axis=-1)
        nearest = jnp.max(jnp.where(right > 0, -jnp.inf, logits), axis=-1)
        return jnp.maximum(margin - lead + nearest, 0.0)

    def loss(params, batch, key):
        return losses(model.train(params, batch.inputs, key), batch.targets)

    def score(params, batch):
        logits = model.apply(params, batch.inputs)
        answer = jnp.argmax(logits, axis=-1).astype(jnp.int32)
        each = losses(logits, batch.targets)
        right = (answer == batch.targets).astype(jnp.float32)
        return Scores(jnp.ones_like(each), {"accuracy": right, "loss": each}, answer)

    return Task(model.init, loss, score)
'''

CONFIG = """
from pride_jax.settings import *

config = Experiment(
    rounds=6,
    data=Data("sets.py:blobs", {"examples": 120}),
    model=Model("nets.py:net", {"width": 6}),
    task=Task("loss.py:hinge", {"margin": 0.5}),
    method=Method("method.py:normed", {"longest": 2.0}),
    partition=Partition("iid", clients=4),
    client=Client(learning_rate=0.3),
    evaluation=Evaluation(every=2),
)
"""

DEPLOYED = ["--rounds", "2", "--partition.clients", "2", "--aggregation.protocol", "plain"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All that she wrote: a method, a loss, a model, data, and a config beside them."""
    folder = tmp_path_factory.mktemp("study")
    for name, content in (("method.py", METHOD), ("loss.py", LOSS), ("study.py", CONFIG)):
        (folder / name).write_text(content.lstrip())
    for name in ("nets.py", "sets.py"):
        shutil.copy(HERE / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def config(folder):
    return load_config(folder / "study.py")


@pytest.fixture(scope="module")
def finished(config, tmp_path_factory):
    """The folder of a finished run, and its rows; not to be changed."""
    folder, rows = tmp_path_factory.mktemp("finished") / "run", []
    run(config, folder, report=rows.append)
    return folder, rows


def test_the_method_is_short():
    assert len(METHOD.strip().splitlines()) < 40


def test_it_learns(finished):
    _, rows = finished
    assert rows[-1]["test_accuracy"] > max(0.8, rows[0]["test_accuracy"])
    assert rows[-1]["test_loss"] < rows[0]["test_loss"]


class Killed(BaseException):
    """As a signal: nothing in a run catches it."""


def test_it_is_killed_and_resumes_to_the_same_bits(config, finished, tmp_path):
    def report(row):
        if row["round"] == 4:
            raise Killed

    with pytest.raises(Killed):
        run(config, tmp_path / "run", report=report)
    resumed = run(config, tmp_path / "run", resume=True)
    summary = read_json(finished[0] / "summary.json")
    assert resumed["parameters_sha256"] == summary["parameters_sha256"]


def test_its_options_are_swept(config, tmp_path):
    over = [parse_over("method.options.longest=0.01,2.0")]
    swept = sweep(config, over, tmp_path, one_after_another(lambda *_: None), lambda *_: None)
    slow, fast = (row["test_loss"] for row in swept["runs"])
    assert slow > fast


def test_it_is_private(config, tmp_path):
    private = override(
        config,
        [
            "--cohort.sampling",
            "truncated_poisson",
            "--cohort.size",
            "2",
            "--cohort.weighting",
            "uniform",
            "--privacy.mechanism",
            "gaussian",
            "--privacy.clipping-norm",
            "0.5",
            "--privacy.noise-multiplier",
            "2",
            "--privacy.delta",
            "0.01",
        ],
    )
    summary = run(private, tmp_path / "run")
    assert 0 < summary["epsilon"] < 100


def test_it_is_encrypted_and_the_bits_are_those_of_the_clear(config, tmp_path):
    short = override(config, ["--rounds", "2", "--aggregation.limit", "4"])
    sums = [
        run(override(short, arguments), tmp_path / arguments[1])["parameters_sha256"]
        for arguments in (
            ["--aggregation.protocol", "plain"],
            [
                "--aggregation.protocol",
                "paillier",
                "--aggregation.key-bits",
                "1024",
                "--aggregation.workers",
                "1",
            ],
        )
    ]
    assert sums[0] == sums[1]


@pytest.mark.deploy
def test_real_parties_train_it(folder, tmp_path):
    script = HERE.parents[1] / "scripts" / "deploy.py"
    command = [sys.executable, script, "--local", "--config", folder / "study.py"]
    command += ["--workdir", tmp_path / "run", *DEPLOYED]
    subprocess.run(command, check=True, timeout=300)
    simulated = override(load_config(folder / "study.py"), [*DEPLOYED, "--engine.per-client"])
    deployed = read_json(tmp_path / "run" / "summary.json")
    expected = run(simulated, tmp_path / "simulated")
    assert deployed["parameters_sha256"] == expected["parameters_sha256"]
