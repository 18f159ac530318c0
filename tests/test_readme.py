"""What the README and the pages beside the code show runs as it stands there."""

import json
import re
import subprocess
import sys

import jax
import numpy as np
import optax
import pytest
from jax.random import key
from pages import ALL, ROOT, blocks, commands, headings, links, name_of
from PIL import Image

import pride_jax as pride

METHOD, CONFIG = blocks(ROOT / "README.md", "python")
(OWN,) = blocks(ROOT / "pride_jax" / "data" / "README.md", "python")
(TRAINING,) = blocks(ROOT / "pride_jax" / "README.md", "python")
(WATCHING,) = blocks(ROOT / "pride_jax" / "reporting" / "README.md", "python")
(PRIVACY,) = blocks(ROOT / "pride_jax" / "privacy" / "README.md", "python")
(AUDIT,) = blocks(ROOT / "pride_jax" / "attacks" / "README.md", "python")


def test_every_example_is_one_of_those_that_are_run_here():
    run = [METHOD, CONFIG, OWN, TRAINING, WATCHING, PRIVACY, AUDIT]
    assert sorted(run) == sorted(block for page in ALL for block in blocks(page, "python"))


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
    (command,) = [each for each in commands(ROOT / "README.md") if "mine.py" in each]
    (tmp_path / "configs").mkdir()
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    (tmp_path / "configs" / "normalised.py").write_text(METHOD)
    (tmp_path / "configs" / "mine.py").write_text(CONFIG)
    subprocess.run([sys.executable, *command.split()[1:]], check=True, cwd=tmp_path)
    summary = json.loads((tmp_path / "runs" / "mine" / "summary.json").read_text())
    assert summary["test_accuracy"] > 0.85


def test_the_method_is_as_long_as_its_heading_says():
    body = METHOD.partition("\n\n\n")[2]
    assert len([line for line in body.splitlines() if line]) <= 30


def test_the_function_that_is_called_with_each_row_sees_the_run_learn(tmp_path):
    accuracies = printed(WATCHING, tmp_path)
    rows = (tmp_path / "runs" / "reported" / "metrics.jsonl").read_text().splitlines()
    assert accuracies == [json.loads(row)["test_accuracy"] for row in rows]
    assert len(rows) == 6 and accuracies[-1] > accuracies[0]


@pytest.mark.watch
def test_the_watched_run_leaves_what_the_other_programs_are_told_to_read(tmp_path):
    shown = commands(ROOT / "pride_jax" / "reporting" / "README.md")
    (train,) = [line for line in shown if "train.py" in line]
    for folder in ("scripts", "configs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    subprocess.run([sys.executable, *train.split()[1:]], check=True, cwd=tmp_path)
    (synced,) = [line.split()[-1] for line in shown if line.startswith("wandb")]
    assert len(list(tmp_path.glob(synced))) == 1
    assert list((tmp_path / "runs").rglob("*tfevents*"))


def test_the_privacy_example_meets_its_target(tmp_path):
    _, whole, half = printed(PRIVACY, tmp_path)
    assert half < 2.97 <= whole <= 3.0


def test_the_audited_round_is_at_fault_where_it_says(tmp_path):
    file = tmp_path / "example.py"
    file.write_text(AUDIT)
    answer = subprocess.run([sys.executable, file], capture_output=True, text=True, check=True)
    faults = [line for line in answer.stdout.splitlines() if line.startswith("FAULT ")]
    assert len(faults) == 1
    assert "denominator" in faults[0]


def test_the_two_commands_are_those_of_continuous_integration():
    integrated = (ROOT / ".ci" / "run").read_text()
    two = commands(ROOT / "README.md")[:2]
    assert all(f"\n{command}\n" in integrated for command in two)


@pytest.mark.parametrize("page", ALL, ids=name_of)
def test_every_link_and_picture_of_a_page_opens(page):
    for link in links(page):
        target = link.target
        assert target.is_relative_to(ROOT) and target.exists(), link.path
        if target.suffix == ".png":
            with Image.open(target) as picture:
                picture.load()
        if link.heading:
            assert link.heading in headings(target), f"{link.path}#{link.heading}"


def test_links_are_found_in_every_form_and_headings_as_they_are_linked_to(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# For whom ε holds\n[a](b.md#c) ![d](e.png)\n"
        '<img src="f.png" width="4">\n[g](https://example.org) `[h](i)`\n[j](#k)\n'
    )
    assert [link[1:] for link in links(page)] == [
        ("b.md", "c"),
        ("e.png", ""),
        ("", "k"),
        ("f.png", ""),
    ]
    assert headings(page) == {"for-whom-ε-holds"}
