"""Whoever reads what a private run lets everybody read must not learn how many were called.

The adversary has every file that others than the owner can reach, and the terminal; she is told
which of the figures she finds lies nearest to the truth, and still fails. Once the run hides
nothing, as one with a public seed does, the same adversary succeeds.
"""

import json
import re
import shutil
import stat
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pride_jax.engine.rounds import RoundInfo
from pride_jax.errors import ProtocolError, RunError
from pride_jax.files import read_json
from pride_jax.privacy.randomness import secret_key
from pride_jax.reporting import metrics
from pride_jax.reporting.live import progress
from pride_jax.reporting.redraw import redraw
from pride_jax.reporting.terminal import show_disclosure, show_result, show_summary
from pride_jax.runs.experiment import run
from pride_jax.runs.figures import OWN, figures, told
from pride_jax.runs.prepared import prepare
from pride_jax.runs.summary import row_of
from pride_jax.settings.experiment import (
    Aggregation,
    Client,
    Cohort,
    Data,
    Experiment,
    Model,
    Partition,
    Privacy,
)
from pride_jax.sweeps.sweep import one_after_another, sweep

ROUNDS = 8
FLOATS = Experiment(
    rounds=ROUNDS,
    data=Data("digits"),
    partition=Partition("iid", clients=30),
    model=Model("logistic"),
    client=Client(learning_rate=1.0, batch_size=None),
    cohort=Cohort("truncated_poisson", size=12),
    privacy=Privacy(clipping_norm=0.5, mechanism="gaussian", noise_multiplier=1.0, delta=1e-2),
)
SHARES = replace(
    FLOATS,
    privacy=replace(FLOATS.privacy, mechanism="skellam"),
    aggregation=Aggregation("masking", bits=12),
)
RUNS = {"floats": FLOATS, "shares": SHARES}
HIDDEN = (
    *("clients", "train_loss", "bytes", "seconds", "empty", "nonfinite", "clipped", "fitted"),
    *("unopened", "lost", "alone", "central", "held_out", "train_", "accuracy_over_clients"),
)


@pytest.fixture(scope="module", params=RUNS)
def runs(request, tmp_path_factory):
    """A run that hides, and the same with a public seed, which does not: settings and folders."""
    folder, config = tmp_path_factory.mktemp(request.param), RUNS[request.param]
    study = replace(config, privacy=replace(config.privacy, seed=5))
    return {"own": (config, folder / "seed=0"), "study": (study, folder / "study")}


def printed(config, folder, capsys):
    with progress(config) as shown:
        summary = run(config, folder, report=shown.report, tell=shown.tell)
    show_summary(summary)
    show_disclosure(read_json(folder / "disclosure.json"))
    show_result(summary, folder)
    return capsys.readouterr().out


def reachable(folder):
    """Files that others than the owner can open."""
    for path in sorted(folder.iterdir()):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir() and mode & 0o005:
            yield from reachable(path)
        elif path.is_file() and mode & 0o044:
            yield path


def series(folder):
    """Every figure of which a file that others can open has one a round, by file and name."""
    found = {}
    for path in reachable(folder):
        if path.suffix == ".jsonl":
            rows = [row for row in metrics.read(path) if row.get("round", 1)]
            for name in rows[0]:
                values = [row.get(name) for row in rows]
                if len(rows) == ROUNDS and all(isinstance(each, int | float) for each in values):
                    found[path.name, name] = np.array(values, float)
    return found


def guessed(folder, truth):
    """How many rounds' cohorts are told by the best of all figures, or by their differences."""
    best = 0
    for values in series(folder).values():
        for tried in (values, np.diff(values, prepend=0.0)):
            best = max(best, int(np.sum(np.rint(tried) == truth)))
    return best


def called(folder, hides):
    rows = metrics.read((folder / OWN if hides else folder) / "metrics.jsonl")
    return np.array([row["clients"] for row in rows[1:]])


def test_a_reader_of_what_is_public_cannot_tell_how_many_were_called(runs, capsys):
    config, folder = runs["own"]
    said = printed(config, folder, capsys)
    truth = called(folder, hides=True)
    assert len(set(truth)) > 2
    # One of three figures may be a cohort's size by chance now and then.
    assert guessed(folder, truth) <= 2
    assert not [word for word in ("s/round", " s each,", "bytes", "hold no") if word in said]
    measured = {"metrics.jsonl", "summary.json", "ledger.jsonl"}
    for path in (each for each in reachable(folder) if each.name in measured):
        names = {part.rpartition('"')[2] for part in path.read_text().split('":')}
        assert not [name for name in names if name.startswith(HIDDEN)]
        measured = measured - {path.name}
    assert not measured

    config, folder = runs["study"]
    said = printed(config, folder, capsys)
    truth = called(folder, hides=False)
    assert guessed(folder, truth) == ROUNDS
    assert "s/round" in said and "s each" in said


def test_only_the_owner_has_the_rest_and_has_all_of_it(runs):
    config, folder = runs["own"]
    run(config, folder, resume=folder.exists())
    own = folder / OWN
    assert stat.S_IMODE(own.stat().st_mode) == 0o700
    for name in ("metrics.jsonl", "summary.json"):
        assert stat.S_IMODE((own / name).stat().st_mode) == 0o600
    rows = metrics.read(own / "metrics.jsonl")
    assert all(row["train_loss"] > 0 and row["seconds_per_round"] for row in rows[1:])
    assert metrics.read(folder / "metrics.jsonl") == [told(row) for row in rows]
    assert read_json(folder / "summary.json") == told(read_json(own / "summary.json"))
    assert (own / "plots" / "client_labels.png").exists()
    pictures = {path.name for path in (folder / "plots").iterdir()}
    assert pictures == {"learning_curve.png", "confusion_matrix.png", "trade_off.png"}
    drawn, left = redraw(folder)
    owners = {path for path in drawn if path.is_relative_to(own)}
    assert {path.name for path in drawn if path not in owners} == pictures | {"report.html"}
    assert {own / "report.html", own / "plots" / "client_labels.png"} <= owners
    assert "its owner's to know" in left[folder / "plots" / "client_labels.png"]


def test_the_page_for_everybody_has_nothing_of_what_is_the_owners(runs):
    config, folder = runs["own"]
    run(config, folder, resume=folder.exists())
    pages = [(each / "report.html").read_text() for each in (folder, folder / OWN)]
    public, own = (re.sub(r"data:image/png;base64,[^\"]*", "", page) for page in pages)
    everything = read_json(folder / OWN / "summary.json")
    hidden = {name: value for name, value in everything.items() if name not in told(everything)}
    figures_ = {
        figure
        for value in hidden.values()
        for figure in re.findall(r"-?\d+\.\d{4,}", json.dumps(value))
    } - set(re.findall(r"-?\d+\.\d{4,}", json.dumps(told(everything))))
    assert [figure for figure in figures_ if figure in own]
    assert not [figure for figure in figures_ if figure in public]
    assert not [name for name in hidden if f">{name}<" in public]
    assert "<h2>Costs</h2>" in own and "<h2>Clients</h2>" in own
    assert "<h2>Costs</h2>" not in public and "<h2>Clients</h2>" not in public
    assert "private/report.html" in public and "private/report.html" not in own


def test_a_sweep_tells_no_more(runs):
    config, folder = runs["own"]
    run(config, folder, resume=folder.exists())
    result = sweep(config, [("seed", ["0"])], folder.parent, one_after_another(print), print)
    (row,) = result["runs"]
    assert "error" not in row
    assert not [name for name in row if name.startswith(HIDDEN)]
    assert list(result["over_runs"]) == ["test_accuracy", "test_loss", "test_auc"]


@pytest.mark.parametrize("runs", ["floats"], indirect=True)
def test_what_was_hidden_before_a_crash_is_there_after_it(runs, tmp_path):
    config, finished = runs["own"]
    run(config, finished, resume=finished.exists())
    folder = shutil.copytree(finished, tmp_path / "run")
    before = metrics.read(folder / OWN / "metrics.jsonl")
    (folder / "summary.json").unlink()
    (folder / "checkpoints" / "8.npz").unlink()
    # It died between one file and the other.
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "metrics.jsonl").write_text("".join(lines[:-2]))
    run(config, folder, resume=True)
    after = metrics.read(folder / OWN / "metrics.jsonl")
    assert after[:ROUNDS] == before[:ROUNDS] and len(after) == ROUNDS + 1
    assert metrics.read(folder / "metrics.jsonl") == [told(row) for row in after]


def test_an_owners_folder_that_others_can_enter_is_refused(tmp_path):
    (tmp_path / OWN).mkdir(mode=0o755)
    with pytest.raises(ProtocolError, match="has mode 0755"):
        figures(tmp_path, hides=True).keep_until(-1)


def test_updates_that_are_all_broken_stop_no_private_run(tmp_path):
    """A run that stopped would tell of the cohort; one that goes on is a release like others."""
    prepared = prepare(FLOATS, tmp_path)
    state = prepared.algorithm.init(jax.random.key(0), secret_key())
    none, five = jnp.zeros((), jnp.int32), jnp.int32(5)
    info = RoundInfo(five, none, none, none, five, none, none, None, none, none, None, None)
    assert row_of(prepared, state, info)["nonfinite_updates"] == 5
    study = replace(FLOATS, privacy=replace(FLOATS.privacy, seed=1))
    with pytest.raises(RunError, match="5 updates were NaN"):
        row_of(prepared._replace(config=study), state, info)


def test_what_is_told_is_listed_and_all_else_is_not():
    row = {"round": 3, "test_loss": 0.5, "epsilon": 1.0, "releases": 3, "clients": 7, "new": 1}
    assert told(row) == {"round": 3, "test_loss": 0.5, "epsilon": 1.0, "releases": 3}
    json.dumps(told(row))
