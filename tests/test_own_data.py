"""The pages' commands for one's own data: each from a file to a private, masked model."""

import csv
import shlex
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from pages import ROOT, commands
from PIL import Image
from sklearn.datasets import load_wine

import predict
import pride_jax as pride
from pride_jax.data.text import CHARACTERS, encode
from pride_jax.files import read_json
from pride_jax.runs.experiment import run
from pride_jax.settings.command_line import override
from pride_jax.settings.files import load_config

TABLE, IMAGES, TEXT = (
    shlex.split(command)[2:]
    for page in (ROOT / "README.md", ROOT / "pride_jax" / "data" / "README.md")
    for command in commands(page)
    if "configs/own.py" in command
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PRIDE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    # Optax's cosine promotes its count.
    with jax.numpy_dtype_promotion("standard"):
        yield tmp_path


def in_this_process(arguments):
    """The run of a command, what it said of the data and its summary."""
    assert arguments[0] == "--config"
    said = []
    config = override(load_config(ROOT / arguments[1]), arguments[2:])
    summary = run(config, Path("run"), note=said.append)
    assert config.aggregation.protocol == "masking"
    assert summary["epsilon"] <= config.privacy.epsilon == 8
    return said, summary


def test_a_table_of_wines_whose_clients_are_a_column(folder):
    wines, rng = load_wine(), np.random.default_rng(0)
    with Path("wine.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow([*wines.feature_names, "cultivar", "winery"])
        for features, target in zip(wines.data, wines.target, strict=True):
            rows.writerow([*features, "ABC"[target], f"winery {rng.integers(40)}"])
    script = [sys.executable, ROOT / "scripts" / "train.py", "--config", ROOT / TABLE[1]]
    answer = subprocess.run(
        [*script, *TABLE[2:], "--rounds", "8", "--workdir", "run"],
        capture_output=True,
        text=True,
        check=True,
    )
    first = next(line for line in answer.stdout.splitlines() if line.startswith("note: "))
    assert first == (
        "note: wine: 35 test examples of [11] (float32), seen centred and scaled by public "
        "constants; 3 classes: A, B, C; 39 clients"
    )
    summary = read_json(Path("run/summary.json"))
    assert summary["test_accuracy"] > 0.6
    assert summary["epsilon"] <= 8


def test_a_folder_of_images(folder):
    rng = np.random.default_rng(0)
    for name in ("left", "right"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(60):
            pixels = rng.normal(60, 20, (8, 8, 3))
            pixels[:, : 4 if name == "left" else None :][:, -4:] += 130
            pixels = pixels.clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{number}.png")
    smaller = ["--partition.clients", "32", "--rounds", "6"]
    said, summary = in_this_process([*IMAGES, *smaller])
    assert said == [
        "photos: 24 test examples of [8, 8, 3] (uint8), seen times 0.00392; 2 classes: left, "
        "right; 32 clients"
    ]
    assert summary["test_accuracy"] > 0.6


LONG = "Thus said he: to be or not to"


def test_a_text_of_speakers_which_goes_on(folder, monkeypatch):
    lines = "".join(f"SPEAKER {n}:\n{'to be or not to be ' * 12}\n\n" for n in range(12))
    Path("speeches.txt").write_text(lines)
    smaller = ["--rounds", "3", "--data.length", "20", "--model.options.hidden", "8"]
    said, summary = in_this_process([*TEXT, *smaller])
    assert said == [
        "speeches: 24 test examples of ids [20] (int32); tokens 0 to 96; 12 clients",
    ]
    assert summary["test_accuracy"] > 2 / 97
    Path("new.txt").write_text(f"to be\n\n{LONG}\n")
    monkeypatch.setattr(sys, "argv", ["predict.py", "run", "new.txt", "--out", "answers.csv"])
    assert predict.main() == 0
    with Path("answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    # What stands behind a short line's end is not seen, and of a long line its end is.
    known = pride.load("run").predict(
        np.stack([encode("to be or not to be t"), encode(LONG[-20:])])
    )
    for row, answers, outputs, end in zip(rows, *known, (4, 19), strict=True):
        assert row["answer"] == answers[end]
        told = [float(row[character]) for character in CHARACTERS]
        np.testing.assert_allclose(told, outputs[end], rtol=1e-5)
