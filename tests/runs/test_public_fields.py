"""Everything that a private run lets everybody read is argued for, field by field.

Two runs differ in the data of one client: in its values, and in how many examples it has. What
both let others read must be the same, but for what follows from the released models, which is
computed anew here from these models and public test examples, and for what is keyed by a secret.
A new file, or a new field of one, fails here until its place in these lists is argued for.
"""

import stat
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from pride_jax.engine.breakdown import by_class
from pride_jax.engine.evaluation import group_spread
from pride_jax.files import read_json
from pride_jax.models.parameters import read_like, read_metadata
from pride_jax.privacy.accounting import epsilon, epsilon_known_cohort
from pride_jax.privacy.plan import Plan
from pride_jax.reporting import metrics
from pride_jax.reporting.redraw import redraw
from pride_jax.runs import figures
from pride_jax.runs.experiment import run
from pride_jax.runs.prepared import prepare, simulated_of
from pride_jax.settings.experiment import (
    Client,
    Cohort,
    Data,
    Evaluation,
    Experiment,
    Model,
    Partition,
    Privacy,
)

ROUNDS = 4
CLIENTS = 8

FILES = {
    # Settings, and what follows from them.
    *("config.json", "plan.json", "model.json", "disclosure.json", "plots/trade_off.png"),
    # The released models: ε is of every model, and so of the best of them.
    *("model.safetensors", "best.safetensors"),
    # Figures, by the lists below.
    *("metrics.jsonl", "summary.json", "ledger.jsonl", "env.json"),
    # Made from the files above alone.
    *("report.html", "plots/learning_curve.png", "plots/confusion_matrix.png"),
}
CLOSED = {"private", "secrets", "checkpoints"}
"""Folders that nobody but the owner can enter."""

OF_SETTINGS = {
    *("round", "rounds", "parameters", "test_examples"),
    *("releases", "epsilon", "epsilon_known_cohort", "delta", "distance", "noise_multiplier"),
    *("trade_off", "holders_of_example", "epsilon_of_example"),
}
"""Figures that settings, and the public number of clients, determine."""
OF_MODELS = {
    *("test_accuracy", "test_loss", "test_auc", "confusion", "by_class", "accuracy_over_groups"),
    *("parameters_sha256", "rounds_to_target"),
}
"""Figures of released models on public test examples."""
OF_ANOTHER_RUN = {"start"}
"""What was released before, see `started_from`: of settings and ledgers."""
OF_MACHINES = {
    *("started", "python", "platform", "machine", "processor", "xla_flags", "device"),
    *("platform_of_device", "num_devices", "cores", "num_processes", "versions"),
    *("git_commit", "git_changes"),
}
IN_LEDGER = {"first", "until", "attempt"}
KEYED = {"environment", "seed"}
"""Digests under the run's secret seed, see `ledger.fingerprint`."""


def write_examples(path: Path, *, changed: bool) -> None:
    """Training examples of eight clients, of which the fourth has others, and more, if changed."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(CLIENTS), 12)
    inputs = rng.normal(size=(len(who), 4)).astype(np.float32)
    targets = np.arange(len(who)) % 3
    if changed:
        inputs[who == 3] *= -3
        targets[who == 3] = 2
        again = np.flatnonzero(who == 3)
        inputs, targets, who = (
            np.concatenate([each, each[again]]) for each in (inputs, targets, who)
        )
    np.savez(path, inputs=inputs, targets=targets, who=who)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Experiment, Path, Path]:
    """The settings, and the folders of a run with and without a change of one client's data."""
    place = tmp_path_factory.mktemp("neighbours")
    rng = np.random.default_rng(1)
    test = {"inputs": rng.normal(size=(30, 4)).astype(np.float32), "targets": np.arange(30) % 3}
    np.savez(place / "test.npz", **test, who=np.arange(30) % 2)
    config = Experiment(
        rounds=ROUNDS,
        data=Data(str(place / "train.npz"), group="who", test=place / "test.npz"),
        partition=Partition("groups", held_out=0.2),
        model=Model("logistic"),
        client=Client(batch_size=None),
        cohort=Cohort("truncated_poisson", size=4),
        privacy=Privacy(clipping_norm=0.5, mechanism="gaussian", noise_multiplier=1.0, delta=1e-2),
        evaluation=Evaluation(comparison=True, target_accuracy=0.4),
    )
    for changed in (False, True):
        write_examples(place / "train.npz", changed=changed)
        run(config, place / f"changed={changed}")
    return config, place / "changed=False", place / "changed=True"


def readable(folder: Path, below: str = "") -> Iterator[str]:
    """Files that others than the owner can open."""
    for path in folder.iterdir():
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir() and mode & 0o055:
            yield from readable(path, f"{below}{path.name}/")
        elif path.is_file() and mode & 0o044:
            yield below + path.name


def only(names: set[str], row: dict) -> dict:
    return {name: value for name, value in row.items() if name in names}


def test_the_files_and_fields_that_others_can_read_are_these(runs):
    for folder in runs[1:]:
        assert set(readable(folder)) == FILES
        closed = {path.name for path in folder.iterdir() if path.is_dir()} - {"plots"}
        assert closed == CLOSED
        rows, summary = metrics.read(folder / "metrics.jsonl"), read_json(folder / "summary.json")
        assert {name for row in (*rows, summary) for name in row} == OF_SETTINGS | OF_MODELS
        (here,) = read_json(folder / "env.json")
        assert here.keys() == OF_MACHINES
        assert metrics.read(folder / "ledger.jsonl")[0].keys() == IN_LEDGER | KEYED
    tested = {name for name in OF_SETTINGS | OF_MODELS if name.startswith("test_")}
    argued = (OF_SETTINGS | OF_MODELS | OF_ANOTHER_RUN) - tested - {"accuracy_over_groups"}
    assert argued == figures._TOLD


def test_what_follows_from_settings_is_the_same_whatever_a_client_holds(runs):
    _, one, other = runs
    for name in ("config.json", "plan.json", "model.json", "disclosure.json"):
        assert (one / name).read_bytes() == (other / name).read_bytes()
    assert (one / "plots/trade_off.png").read_bytes() == (
        other / "plots/trade_off.png"
    ).read_bytes()
    for name in ("metrics.jsonl", "ledger.jsonl"):
        rows = [metrics.read(folder / name) for folder in (one, other)]
        kept = OF_SETTINGS | IN_LEDGER
        assert [only(kept, row) for row in rows[0]] == [only(kept, row) for row in rows[1]]
    summaries = [read_json(folder / "summary.json") for folder in (one, other)]
    assert only(OF_SETTINGS, summaries[0]) == only(OF_SETTINGS, summaries[1])
    assert summaries[0].keys() == summaries[1].keys()
    plan = Plan.from_dict(read_json(one / "plan.json"))
    for row in metrics.read(one / "metrics.jsonl"):
        assert row["releases"] == row["round"]
        assert row["epsilon"] == epsilon(plan, row["releases"])
        assert row["epsilon_known_cohort"] == epsilon_known_cohort(plan, row["releases"])
    # When it is, and whether somebody edits the checkout meanwhile, is nobody's data.
    same = OF_MACHINES - {"started", "git_commit", "git_changes"}
    environments = [read_json(folder / "env.json")[0] for folder in (one, other)]
    assert only(same, environments[0]) == only(same, environments[1])
    # The owner's figures tell the change: the runs were of other data.
    own = [read_json(folder / "private" / "summary.json") for folder in (one, other)]
    assert own[0]["train_examples"] + 12 == own[1]["train_examples"]


def test_what_follows_from_released_models_does_from_these_alone(runs, tmp_path):
    config, folder, _ = runs
    prepared = prepare(config, tmp_path)
    shapes = jax.eval_shape(prepared.task.init, jax.random.key(0))
    rows, summary = metrics.read(folder / "metrics.jsonl"), read_json(folder / "summary.json")

    def tested(file: str) -> tuple:
        measured = prepared.evaluate(read_like(folder / file, shapes), 0)
        return measured, {f"test_{name}": value for name, value in measured.means.items()}

    measured, scores = tested("model.safetensors")
    groups = simulated_of(prepared).dataset.test_groups
    assert scores == only(OF_MODELS, rows[-1]) == only(set(scores), summary)
    assert summary["confusion"] == measured.confusion.tolist()
    assert summary["by_class"] == by_class(measured.confusion, prepared.seen.class_names)
    assert (
        summary["accuracy_over_groups"]
        == group_spread(measured.scores, np.asarray(groups))._asdict()
    )
    assert summary["rounds_to_target"] == metrics.rounds_to(rows, 0.4)
    best = read_metadata(folder / "best.safetensors")["best"]
    (row,) = [row for row in rows if f'"round": {row["round"]},' in best]
    assert tested("best.safetensors")[1] == only(OF_MODELS, row)


def test_page_and_pictures_are_made_of_public_files_alone(runs, tmp_path):
    _, folder, _ = runs
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    drawn = {path for path in FILES if path.startswith(("plots", "report"))}
    for name in drawn:
        (tmp_path / name).unlink()
    redraw(tmp_path)
    for name in drawn:
        made = (tmp_path / name).read_bytes().replace(bytes(tmp_path.name, "utf8"), b"NAME")
        assert made == (folder / name).read_bytes().replace(bytes(folder.name, "utf8"), b"NAME")
