"""Runs that go on: from their folder alone, longer, from another's parameters, or in its place."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import pytest

from pride_jax.errors import ConfigError, DataError, RunError
from pride_jax.files import claimed
from pride_jax.reporting import metrics
from pride_jax.runs import budget, experiment
from pride_jax.runs.environment import environment
from pride_jax.runs.experiment import run
from pride_jax.runs.folders import default_folder
from pride_jax.settings.experiment import (
    Client,
    Cohort,
    Data,
    Engine,
    Evaluation,
    Experiment,
    Model,
    Partition,
    Privacy,
)
from pride_jax.settings.files import continued

pytestmark = pytest.mark.usefixtures("blank_pictures")

SMALL = Experiment(
    rounds=20,
    data=Data("iris", test_examples=90),
    model=Model("logistic"),
    evaluation=Evaluation(every=5),
)
PRIVATE = dataclasses.replace(
    SMALL,
    rounds=4,
    partition=Partition("iid", clients=12),
    cohort=Cohort("truncated_poisson", size=6),
    privacy=Privacy(clipping_norm=0.5, mechanism="gaussian", noise_multiplier=2.0, delta=1e-2),
    evaluation=Evaluation(every=2),
)


def replaced(config, **changes):
    return dataclasses.replace(config, **changes)


def read(path: Path):
    return json.loads(path.read_text())


def model_of(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


class Killed(BaseException):
    """In the place of a signal that no process survives."""


def killed_at(round_: int):
    def report(row):
        if row["round"] == round_:
            raise Killed

    return report


@pytest.fixture(scope="module")
def twenty(tmp_path_factory):
    """The folder of a finished run of ``SMALL``; not to be changed."""
    folder = tmp_path_factory.mktemp("twenty") / "run"
    run(SMALL, folder)
    return folder


@pytest.fixture(scope="module")
def private(tmp_path_factory):
    folder = tmp_path_factory.mktemp("private") / "run"
    with pytest.MonkeyPatch.context() as patch:
        clean = environment() | {"git_commit": "abc", "git_changes": False}
        patch.setattr(budget, "environment", lambda: clean)
        run(PRIVATE, folder)
    return folder


@pytest.fixture
def private_copy(private, tmp_path, monkeypatch):
    clean = environment() | {"git_commit": "abc", "git_changes": False}
    monkeypatch.setattr(budget, "environment", lambda: clean)
    return shutil.copytree(private, tmp_path / "private")


def test_killed_resumed_by_its_folder_lengthened_and_started_from(twenty, tmp_path):
    folder = tmp_path / "run"
    with pytest.raises(Killed):
        run(SMALL, folder, report=killed_at(10))
    run(continued(folder, trusted=False), folder, resume=True)
    assert model_of(folder) == model_of(twenty)

    thirty = replaced(continued(folder, trusted=False), rounds=30)
    with pytest.raises(Killed):
        run(thirty, folder, resume=True, report=killed_at(25))
    assert not (folder / "summary.json").exists()
    run(continued(folder, trusted=False), folder, resume=True)
    run(replaced(SMALL, rounds=30), tmp_path / "at once")
    assert model_of(folder) == model_of(tmp_path / "at once")
    assert [row["round"] for row in metrics.read(folder / "metrics.jsonl")] == [*range(0, 31, 5)]

    other = replaced(SMALL, rounds=5, seed=1)
    run(other, tmp_path / "other", start_from=folder)
    first, *_ = metrics.read(tmp_path / "other" / "metrics.jsonl")
    run(replaced(other, rounds=1), tmp_path / "new")
    assert first["test_loss"] < metrics.read(tmp_path / "new" / "metrics.jsonl")[0]["test_loss"]
    assert read(tmp_path / "other" / "summary.json")["start"]["run"] == "run"


def test_a_run_that_started_from_another_and_was_killed_needs_the_other_no_more(twenty, tmp_path):
    source = shutil.copytree(twenty, tmp_path / "source")
    other = replaced(SMALL, rounds=10, seed=1)
    run(other, tmp_path / "undisturbed", start_from=source)
    with pytest.raises(Killed):
        run(other, tmp_path / "run", start_from=source, report=killed_at(5))
    shutil.rmtree(source)
    run(continued(tmp_path / "run", trusted=False), tmp_path / "run", resume=True)
    assert model_of(tmp_path / "run") == model_of(tmp_path / "undisturbed")


@pytest.mark.parametrize(
    "change",
    [
        {"engine": Engine(chunk=1)},
        {"engine": Engine(devices=1)},
        {"data": Data("iris", test_examples=90, dir=Path("elsewhere"))},
        {"evaluation": Evaluation(every=10)},
        {"aggregation": dataclasses.replace(SMALL.aggregation, workers=1)},
    ],
)
def test_what_changes_no_result_may_change(twenty, tmp_path, change):
    folder = shutil.copytree(twenty, tmp_path / "run")
    run(replaced(SMALL, rounds=21, **change), folder, resume=True)
    assert read(folder / "summary.json")["rounds"] == 21


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"rounds": 10}, "rounds: 20 -> 10"),
        ({"seed": 1}, "seed: 0 -> 1"),
        ({"client": Client(learning_rate=0.5)}, "client.learning_rate: 0.1 -> 0.5"),
        ({"engine": Engine(per_client=False), "model": Model("mlp")}, "model.name"),
    ],
)
def test_what_changes_results_may_not(twenty, changes, told):
    with pytest.raises(RunError, match=told):
        run(replaced(SMALL, **changes), twenty, resume=True)


def test_a_run_that_stops_at_its_target_is_evaluated_as_it_was(tmp_path):
    there = Evaluation(every=5, target_accuracy=0.99, stop_at_target=True)
    run(replaced(SMALL, rounds=5, evaluation=there), tmp_path / "run")
    other = replaced(SMALL, rounds=5, evaluation=dataclasses.replace(there, every=1))
    with pytest.raises(RunError, match=r"evaluation\.every: 5 -> 1"):
        run(other, tmp_path / "run", resume=True)


def test_what_a_cosine_schedule_makes_of_more_rounds_is_told(tmp_path):
    cosine = replaced(SMALL, rounds=5, client=Client(schedule="cosine"))
    notes = []
    # Optax's own schedule is not of strict types.
    with jax.numpy_dtype_promotion("standard"):
        run(cosine, tmp_path / "run")
        run(replaced(cosine, rounds=6), tmp_path / "run", resume=True, note=notes.append)
    assert any("client.schedule='cosine' now falls to zero at round 6" in note for note in notes)


def test_a_private_run_is_made_longer_by_the_same_mechanism_and_tells_all_of_its_cost(
    private_copy, tmp_path
):
    notes = []
    longer = replaced(PRIVATE, rounds=6)
    run(longer, private_copy, resume=True, note=notes.append)
    summary = read(private_copy / "summary.json")
    run(longer, tmp_path / "at once")
    at_once = read(tmp_path / "at once" / "summary.json")
    assert (summary["releases"], summary["epsilon"]) == (6, at_once["epsilon"])
    assert any(f"{summary['epsilon']:.4g}" in note for note in notes)
    assert f"{summary['epsilon']:.4g}" in read(private_copy / "disclosure.json")["guarantee"]


@pytest.mark.parametrize(
    ("privacy", "told"),
    [
        ({"epsilon": 8.0, "noise_multiplier": None}, r"privacy\.epsilon=8\.0"),
        ({"mechanism": "banded", "band": 2, "noise": "floats"}, "correlated over rounds"),
        ({"mechanism": "blt", "noise": "floats"}, "correlated over rounds"),
    ],
)
def test_a_private_run_whose_promise_depends_on_its_rounds_is_not_made_longer(
    private_copy, privacy, told
):
    config = replaced(PRIVATE, privacy=dataclasses.replace(PRIVATE.privacy, **privacy))
    (private_copy / "config.json").write_text(json.dumps(experiment.to_dict(config)))
    with pytest.raises(ConfigError, match=told):
        run(replaced(config, rounds=6), private_copy, resume=True)
    assert (private_copy / "summary.json").exists()


@pytest.mark.parametrize(("chunk", "releases"), [(None, 4), (3, 6)])
def test_a_changed_chunk_makes_an_announced_round_another_attempt(private_copy, chunk, releases):
    (private_copy / "summary.json").unlink()
    (private_copy / "checkpoints" / "4.npz").unlink()
    run(replaced(PRIVATE, engine=Engine(chunk=chunk)), private_copy, resume=True)
    assert read(private_copy / "summary.json")["releases"] == releases


def test_two_private_runs_of_the_same_clients_tell_the_cost_of_both(private, tmp_path):
    run(replaced(PRIVATE, rounds=2), tmp_path / "run", start_from=private)
    summary, before = read(tmp_path / "run" / "summary.json"), read(private / "summary.json")
    start = summary["start"]
    assert (start["epsilon"], start["delta"]) == (before["epsilon"], before["delta"])
    assert start["epsilon_of_all"] == pytest.approx(before["epsilon"] + summary["epsilon"])
    assert start["delta_of_all"] == pytest.approx(2e-2)
    guarantee = read(tmp_path / "run" / "disclosure.json")["guarantee"]
    assert f"at most {start['epsilon_of_all']:.4g}" in guarantee

    run(replaced(PRIVATE, rounds=2), tmp_path / "third", start_from=tmp_path / "run")
    third = read(tmp_path / "third" / "summary.json")
    assert third["start"]["epsilon"] == pytest.approx(start["epsilon_of_all"])


def test_what_epsilon_leaves_out_is_told(private, twenty, tmp_path):
    unbounded = replaced(PRIVATE, rounds=1)
    run(unbounded, tmp_path / "unbounded", start_from=twenty)
    start = read(tmp_path / "unbounded" / "summary.json")["start"]
    assert start["epsilon_of_all"] is None
    assert "nothing bounds that" in start["left_out"]
    assert start["left_out"] in read(tmp_path / "unbounded" / "disclosure.json")["guarantee"]

    run(replaced(PRIVATE, rounds=1, seed=1), tmp_path / "others", start_from=private)
    assert "are others" in read(tmp_path / "others" / "summary.json")["start"]["left_out"]


@pytest.mark.parametrize(
    ("start", "error", "told"),
    [
        ("nothing", RunError, "no model.safetensors: expected the folder of a run that has ended"),
        ("itself", RunError, "cannot start from itself"),
        ("other model", DataError, "does not hold the parameters of this model"),
    ],
)
def test_an_impossible_start_leaves_nothing(twenty, tmp_path, start, error, told):
    (tmp_path / "nothing").mkdir()
    folder = twenty if start == "itself" else tmp_path / "run"
    source = tmp_path / "nothing" if start == "nothing" else twenty
    config = replaced(SMALL, model=Model("mlp")) if start == "other model" else SMALL
    with pytest.raises(error, match=told):
        run(config, folder, start_from=source)
    assert not (tmp_path / "run").exists()


def killed(*arguments):
    raise Killed


@pytest.mark.parametrize("at", ["copyfile", "config.json"])
def test_a_death_before_the_settings_are_written_leaves_a_folder_to_start_in(
    twenty, tmp_path, monkeypatch, at
):
    folder, other = tmp_path / "run", replaced(SMALL, rounds=1, seed=1)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        if at == "copyfile":
            patch.setattr(shutil, "copyfile", killed)
        else:
            patch.setattr(experiment, "run_in", killed)
        run(other, folder, start_from=twenty)
    (left,) = folder.iterdir()
    assert left.name == ("start.tmp" if at == "copyfile" else "start")

    resumed = shutil.copytree(folder, tmp_path / "resumed")
    if at == "copyfile":
        with pytest.raises(RunError, match="not copied as a whole: start again with --start-from"):
            run(other, resumed, resume=True)
    else:
        run(other, resumed, resume=True)
        assert read(resumed / "summary.json")["start"]["run"] == "run"
    # Started in again, it is the run of a new folder: from the other's parameters, or from none.
    again = shutil.copytree(folder, tmp_path / "again")
    run(other, again)
    assert "start" not in read(again / "summary.json")
    run(other, folder, start_from=twenty, overwrite=True)
    assert read(folder / "summary.json")["start"]["run"] == "run"
    assert model_of(folder) != model_of(again)
    assert not {path.name for path in folder.iterdir()} & {"start.tmp"}


# Folders


def test_each_variation_of_a_config_has_a_folder_of_its_own():
    def of(**changes):
        return str(default_folder(Path("configs/iris.py"), SMALL, replaced(SMALL, **changes)))

    assert of() == "runs/iris"
    assert of(client=Client(learning_rate=0.2)) == "runs/iris-client.learning_rate=0.2"
    assert of(rounds=3, seed=1) == "runs/iris-rounds=3-seed=1"
    assert of(engine=Engine(chunk=4)) == "runs/iris"
    assert of(data=Data("../../a.npz", test_examples=90)) == "runs/iris-data.name=..%2F..%2Fa.npz"
    assert str(default_folder(Path("iris.py"), SMALL, SMALL, "seeds")) == "runs/iris-seeds"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data": Data("irris")}, "'irris' is no data set"),
        ({"data": Data("iris", test_examples=150)}, "test_examples=150"),
        ({"cohort": Cohort("fixed_size", size=3)}, "cohort.size=3"),
        ({"engine": Engine(devices=999)}, "engine.devices=999"),
    ],
)
def test_the_real_mistake_is_told_before_a_folder_in_use(twenty, changes, told):
    with pytest.raises((ConfigError, DataError), match=told):
        run(replaced(SMALL, **changes), twenty)
    with pytest.raises(RunError, match="is not empty"):
        run(replaced(SMALL, seed=1), twenty)


@pytest.mark.parametrize("missing", ["disclosure", "environment", "row_of"])
def test_a_start_that_fails_leaves_nothing(tmp_path, monkeypatch, missing):
    def fails(*arguments):
        raise ImportError("No module named 'an extra'")

    monkeypatch.setattr(experiment, missing, fails)
    with pytest.raises(ImportError):
        run(SMALL, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_package_that_is_not_installed_has_no_version(monkeypatch):
    def missing(name):
        raise experiment_environment.importlib.metadata.PackageNotFoundError(name)

    from pride_jax.runs import environment as experiment_environment

    monkeypatch.setattr(experiment_environment.importlib.metadata, "version", missing)
    assert environment()["versions"]["pride-jax"] is None


def test_a_run_in_the_place_of_another(twenty, tmp_path):
    folder = shutil.copytree(twenty, tmp_path / "run")
    with pytest.raises(DataError):
        run(replaced(SMALL, data=Data("irris")), folder, overwrite=True)
    assert model_of(folder) == model_of(twenty)
    run(replaced(SMALL, rounds=5), folder, overwrite=True)
    assert [row["round"] for row in metrics.read(folder / "metrics.jsonl")] == [0, 5]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_what_an_overwritten_private_run_released_is_told_and_stays(private_copy, tmp_path):
    kept = [(private_copy / name).read_bytes() for name in ("ledger.jsonl", "plan.json")]
    once, plain = replaced(PRIVATE, rounds=1), replaced(SMALL, rounds=1)
    for new, releases, aside in ((once, 4, "overwritten"), (plain, 1, "overwritten-2")):
        epsilon = read(private_copy / "summary.json")["epsilon"]
        notes, there = [], set(tmp_path.rglob("*"))

        def note(text, there=there, notes=notes):
            notes.append(text)
            if "--overwrite" in text:
                assert set(tmp_path.rglob("*")) == there

        run(new, private_copy, overwrite=True, note=note)
        (told,) = [text for text in notes if "--overwrite" in text]
        assert f"{releases} private releases, at an ε of {epsilon:.4g} at δ = 0.01" in told
        assert f"{private_copy}.{aside}," in told
        left = {path.name for path in (tmp_path / f"private.{aside}").iterdir()}
        assert left == {"config.json", "plan.json", "ledger.jsonl", "disclosure.json"}
    first = tmp_path / "private.overwritten"
    assert [(first / name).read_bytes() for name in ("ledger.jsonl", "plan.json")] == kept


def test_private_runs_of_a_sweep_and_before_a_start_are_kept_account_of_too(private, tmp_path):
    run(replaced(PRIVATE, rounds=1), tmp_path / "sweep" / "one", start_from=private)
    (tmp_path / "sweep" / "sweep.json").write_text("{}")
    notes = []
    run(replaced(SMALL, rounds=1), tmp_path / "sweep", overwrite=True, note=notes.append)
    assert "sweep released models of its clients at a cost of ε" in notes[0]
    kept = {
        str(path.relative_to(tmp_path / "sweep.overwritten"))
        for path in (tmp_path / "sweep.overwritten").rglob("*.json*")
    }
    account = {"config.json", "plan.json", "ledger.jsonl"}
    assert kept == {
        *(f"one/{name}" for name in (*account, "disclosure.json")),
        *(f"one/start/{name}" for name in (*account, "from.json")),
    }


def test_a_refused_overwriting_of_a_private_run_leaves_it_whole(private_copy):
    before = {path: path.read_bytes() for path in private_copy.rglob("*") if path.is_file()}
    with pytest.raises(DataError):
        run(replaced(SMALL, data=Data("irris")), private_copy, overwrite=True)
    with claimed(private_copy), pytest.raises(RunError, match="in use by another process"):
        run(SMALL, private_copy, overwrite=True)
    with pytest.raises(RunError, match="cannot start from itself"):
        run(SMALL, private_copy, overwrite=True, start_from=private_copy / "start")
    there = {path: path.read_bytes() for path in private_copy.parent.rglob("*") if path.is_file()}
    assert there == before


def test_files_that_are_no_run_are_not_overwritten(tmp_path):
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(RunError, match="neither a run nor a sweep"):
        run(SMALL, tmp_path, overwrite=True)
    assert (tmp_path / "thesis.tex").read_text() == "years"
