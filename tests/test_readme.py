"""What the README shows runs as it stands there."""

import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from jax.random import key

import pride_jax as pride

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


OWN, TRAINING, METHOD, CONFIG, WATCHING, PRIVACY, AUDIT = re.findall(
    r"```python\n(.*?)```", README, flags=re.DOTALL
)


def printed(example, folder):
    """The numbers that an example prints."""
    file = folder / "example.py"
    file.write_text(example)
    answer = subprocess.run(
        [sys.executable, file], capture_output=True, text=True, cwd=folder, check=True
    )
    return [float(number) for number in re.findall(r"\d+\.\d+", answer.stdout)]


def test_own_arrays_are_clients_by_their_groups(tmp_path):
    answer = subprocess.run(
        [sys.executable, "-c", OWN], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    assert answer.stdout == "('ill', 'well') ('Bergen', 'Narvik', 'Oslo')\n"


def test_the_training_example_runs_and_learns(tmp_path):
    (accuracy,) = printed(TRAINING, tmp_path)
    assert accuracy > 0.85
    model = pride.mlp(features=(8, 8, 1), outputs=10, hidden=(64,))
    params = pride.read_parameters(tmp_path / "digits.safetensors", model)
    task, dataset = pride.classification(model, outputs=10), pride.load_dataset("digits")
    assert round(pride.evaluator(task, dataset)(params).accuracy, 4) == round(accuracy, 4)
    begun = pride.fedavg(task._replace(init=lambda key: params), optax.sgd(0.5)).init(key(0))
    jax.tree.map(np.testing.assert_array_equal, begun.params, params)


def test_the_method_trains_from_the_config_beside_it(tmp_path):
    (tmp_path / "normalised.py").write_text(METHOD)
    (tmp_path / "own.py").write_text(CONFIG)
    script = [sys.executable, ROOT / "scripts" / "train.py", "--config", tmp_path / "own.py"]
    subprocess.run([*script, "--workdir", tmp_path / "run"], check=True, cwd=tmp_path)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["test_accuracy"] > 0.85


def test_the_method_is_as_long_as_its_heading_says():
    body = METHOD.partition("\n\n\n")[2]
    assert len([line for line in body.splitlines() if line]) <= 30


def test_the_function_that_is_called_with_each_row_sees_the_run_learn(tmp_path):
    accuracies = printed(WATCHING, tmp_path)
    rows = (tmp_path / "runs" / "watched" / "metrics.jsonl").read_text().splitlines()
    assert accuracies == [json.loads(row)["test_accuracy"] for row in rows]
    assert len(rows) == 6 and accuracies[-1] > accuracies[0]


@pytest.mark.watch
def test_the_watched_run_leaves_what_the_other_programs_are_told_to_read(tmp_path):
    commands = README.partition("## Watching a run")[2].partition("```sh\n")[2].partition("```")[0]
    (train,) = [line for line in commands.splitlines() if "train.py" in line]
    for folder in ("scripts", "configs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    subprocess.run([sys.executable, *train.split()[1:]], check=True, cwd=tmp_path)
    (synced,) = [line.split()[-1] for line in commands.splitlines() if line.startswith("wandb")]
    assert len(list(tmp_path.glob(synced))) == 1
    assert list((tmp_path / "runs").rglob("*tfevents*"))


def test_the_privacy_example_meets_its_target(tmp_path):
    _, whole, half = printed("import pride_jax as pride\n" + PRIVACY, tmp_path)
    assert half < 2.97 <= whole <= 3.0


def test_the_audited_round_is_at_fault_where_it_says(tmp_path):
    file = tmp_path / "example.py"
    file.write_text(AUDIT)
    answer = subprocess.run([sys.executable, file], capture_output=True, text=True, check=True)
    faults = [line for line in answer.stdout.splitlines() if line.startswith("FAULT ")]
    assert len(faults) == 1
    assert "denominator" in faults[0]


def test_the_two_commands_are_those_of_continuous_integration():
    commands = (ROOT / ".ci" / "run").read_text()
    for command in re.findall(r"^pip install -e .* && .*$", README, flags=re.MULTILINE)[:2]:
        assert f"\n{command}\n" in commands


def test_every_file_and_folder_that_the_readme_links_to_is_there():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
