"""``scripts/sweep.py --private`` as a person runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sweep as script
from pride_jax.files import read_json

SCRIPT = Path(__file__).parents[2] / "scripts" / "sweep.py"
CONFIG = """
from pride_jax.settings.experiment import (
    Cohort, Data, Evaluation, Experiment, Model, Partition, Privacy,
)

config = Experiment(
    rounds=2,
    data=Data("iris", test_examples=60),
    partition=Partition("iid", clients=12),
    model=Model("logistic"),
    cohort=Cohort(weighting="uniform"),
    privacy=Privacy(clipping_norm=0.5, mechanism="gaussian", epsilon=2.0, delta=1e-2),
    evaluation=Evaluation(every=2),
)
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "small.py"
    path.write_text(CONFIG)
    return path


def test_it_tells_its_promise_and_its_best_run_and_leaves_nothing_else(tmp_path, config):
    options = ["--over", "client.learning_rate=0.1,0.3", "--private", "logarithmic"]
    options += ["--mean-runs", "1.2", "--server.learning_rate", "0.5"]
    places = {"JAX_COMPILATION_CACHE_DIR": "programs", "XDG_CACHE_HOME": "cache"}
    done = subprocess.run(
        [sys.executable, SCRIPT, "--config", config, "--workdir", tmp_path / "out", *options],
        env=os.environ | {name: str(tmp_path / place) for name, place in places.items()},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    result = read_json(tmp_path / "out" / "private_sweep.json")
    promise, silence, best = done.stdout.splitlines()
    assert promise == result["guarantee"]
    assert silence.startswith("How many runs there are is secret")
    assert best.startswith("best: client.learning_rate=0.")
    assert f"; ε of everything = {result['epsilon']:.4g} at δ = 0.01" in best
    # What the config asks for is the ε of everything.
    assert 1.98 <= result["epsilon"] <= 2.0 and result["epsilon_of_one_run"] < 1.9
    assert read_json(tmp_path / "out" / "config.json")["privacy"]["epsilon"] is None
    # A compiled program would tell which settings were drawn.
    files = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    told = {"private_sweep.json", "model.safetensors", "disclosure.json", "env.json", "config.json"}
    assert files == {"small.py", *told}
    assert read_json(tmp_path / "out" / "config.json")["server"]["learning_rate"] == 0.5


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--score-noise", "2"], "--score-noise: expected --private with it"),
        (["--private", "poisson", "--together"], "--private with --together: expected"),
        (["--private", "geometric", "--mean-runs", "1"], "mean=1.0: expected 1.001"),
        (["--private", "geometric", "--score", "held-out"], "expected --score-noise with"),
    ],
)
def test_options_that_mean_nothing_together_are_refused(
    tmp_path, config, monkeypatch, capsys, options, told
):
    over = ["--over", "client.learning_rate=0.1,0.3", "--workdir", str(tmp_path / "out")]
    monkeypatch.setattr(sys, "argv", ["sweep.py", "--config", str(config), *over, *options])
    assert script.main() == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
