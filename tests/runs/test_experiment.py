"""A run, in this process: what it leaves, how it resumes, what it refuses, what it survives."""

import contextlib
import dataclasses
import itertools
import json
import resource
import shutil
import stat
import statistics
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest

from pride_jax.aggregation.paillier_keys import load_secret
from pride_jax.errors import ConfigError, DataError, PrideError, RunError
from pride_jax.reporting import metrics
from pride_jax.runs.experiment import run
from pride_jax.settings.experiment import (
    Aggregation,
    Client,
    Cohort,
    Data,
    Engine,
    Evaluation,
    Experiment,
    Model,
    Partition,
)
from pride_jax.settings.files import load_config, to_dict

SMALL = Experiment(
    rounds=6,
    data=Data("iris", test_examples=90),
    model=Model("logistic"),
    evaluation=Evaluation(every=2),
)
# One client holds no example, and five examples are nobody's.
UNEVEN = dataclasses.replace(SMALL, partition=Partition("sizes", sizes=(30, 0, 25)))
PROTOCOLS = {
    "none": Aggregation("none"),
    "plain": Aggregation("plain"),
    "paillier": Aggregation("paillier", key_bits=1024, workers=1),
}


def with_protocol(config, protocol):
    return dataclasses.replace(config, aggregation=PROTOCOLS[protocol])


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    """Protocol -> the folder of a finished run of ``UNEVEN``; not to be changed."""
    folders = {}
    for protocol in PROTOCOLS:
        folders[protocol] = tmp_path_factory.mktemp("uneven") / protocol
        run(with_protocol(UNEVEN, protocol), folders[protocol])
    return folders


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The folder of a finished run of ``SMALL``; not to be changed."""
    folder = tmp_path_factory.mktemp("small") / "run"
    run(SMALL, folder)
    return folder


@pytest.fixture
def copy(small, tmp_path):
    """A copy of that folder."""
    return shutil.copytree(small, tmp_path / "copy")


def read(path: Path):
    return json.loads(path.read_text())


def without_times(figures):
    return {name: value for name, value in figures.items() if not name.startswith("seconds")}


def parameters(folder: Path) -> dict[str, bytes]:
    """The arrays of the last checkpoint."""
    last = max((folder / "checkpoints").glob("*.npz"), key=lambda path: int(path.stem))
    with np.load(last) as saved:
        return {name: saved[name].tobytes() for name in saved}


def outcome(folder: Path):
    """Everything a run gave, timings aside."""
    rows = [without_times(row) for row in metrics.read(folder / "metrics.jsonl")]
    return rows, without_times(read(folder / "summary.json")), parameters(folder)


def snapshot(folder: Path):
    """Everything below a folder, with its content and time of change."""
    return {
        path: (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path in [folder, *folder.rglob("*")]
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
class TestAFinishedRun:
    def test_leaves_its_settings(self, uneven, protocol):
        saved = read(uneven[protocol] / "config.json")
        assert saved == to_dict(with_protocol(UNEVEN, protocol))

    def test_leaves_what_it_ran_on(self, uneven, protocol):
        (start,) = read(uneven[protocol] / "env.json")
        assert {"started", "versions", "git_commit", "device"} <= start.keys()

    def test_leaves_a_row_for_every_evaluation(self, uneven, protocol):
        rows = metrics.read(uneven[protocol] / "metrics.jsonl")
        assert [row["round"] for row in rows] == [0, 2, 4, 6]
        assert all(0 <= row["test_accuracy"] <= 1 for row in rows)
        assert [row["clients"] for row in rows[1:]] == [6, 6, 6]
        assert [row["empty_clients"] for row in rows[1:]] == [2, 2, 2]
        assert rows[1]["train_loss"] > rows[3]["train_loss"] > 0

    def test_leaves_a_summary(self, uneven, protocol):
        folder = uneven[protocol]
        summary = read(folder / "summary.json")
        last = metrics.read(folder / "metrics.jsonl")[-1]
        for name in ("test_accuracy", "test_loss", "bytes_per_client_round"):
            assert summary[name] == last[name]
        assert summary["rounds"] == 6
        assert summary["seconds_total"] > summary["seconds_per_round"] > 0
        assert (summary["epsilon"], summary["delta"]) == (None, None)
        assert (summary["clients"], summary["empty_clients"]) == (3, 1)
        counts = ("parameters", "train_examples", "unused_examples", "test_examples")
        assert [summary[name] for name in counts] == [15, 60, 5, 90]
        assert np.sum(summary["confusion"]) == 90
        assert np.trace(summary["confusion"]) / 90 == summary["test_accuracy"]

    def test_tells_the_median_seconds_a_round_of_each_stage(self, uneven, protocol):
        rows = metrics.read(uneven[protocol] / "metrics.jsonl")
        lengths = [later["round"] - row["round"] for row, later in itertools.pairwise(rows)]
        stages = read(uneven[protocol] / "summary.json")["seconds_by_stage"]
        assert set(stages) == {
            name.removeprefix("seconds_")
            for name in rows[-1]
            if name.startswith("seconds_") and name not in ("seconds_per_round", "seconds_elapsed")
        }
        for stage, seconds in stages.items():
            each = [row[f"seconds_{stage}"] for row in rows[1:]]
            a_round = [sum_ / length for sum_, length in zip(each, lengths, strict=True)]
            assert seconds == pytest.approx(statistics.median(a_round))

    def test_leaves_its_two_latest_checkpoints(self, uneven, protocol):
        folder = uneven[protocol] / "checkpoints"
        assert sorted(path.name for path in folder.iterdir()) == ["4.npz", "6.npz"]

    def test_leaves_pictures(self, uneven, protocol):
        pictures = sorted((uneven[protocol] / "plots").iterdir())
        names = [
            f"{name}.png"
            for name in ("client_labels", "clients", "confusion_matrix", "learning_curve")
        ]
        assert [path.name for path in pictures] == names
        assert all(path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n") for path in pictures)

    def test_has_no_secrets_where_its_protocol_has_none(self, uneven, protocol):
        assert (uneven[protocol] / "secrets").exists() == (protocol == "paillier")


def test_an_encrypted_run_ends_with_the_bits_of_a_plain_one(uneven):
    assert parameters(uneven["paillier"]) == parameters(uneven["plain"])


def test_a_summary_has_no_comparisons_where_none_is_asked_for(small):
    summary = read(small / "summary.json")
    assert (summary["central"], summary["alone"]) == (None, None)
    assert (summary["confusion_central"], summary["confusions_alone"]) == (None, None)
    assert summary["rounds_to_target"] is None


def test_nothing_is_kept_of_clients_that_keep_nothing(small):
    assert not (small / "clients").exists()


def test_a_summary_tells_what_federating_was_worth_and_when_the_target_was_reached(tmp_path):
    asked = Evaluation(every=2, target_accuracy=0.65, comparison=True)
    summary = run(dataclasses.replace(UNEVEN, evaluation=asked), tmp_path / "run")
    rows = metrics.read(tmp_path / "run" / "metrics.jsonl")
    assert summary["rounds_to_target"] == metrics.rounds_to(rows, 0.65) > 0
    models = [summary["central"], *summary["alone"]]
    confusions = [summary["confusion_central"], *summary["confusions_alone"]]
    assert len(models) == len(confusions) == 3
    for accuracy, confusion in zip(models, confusions, strict=True):
        assert np.sum(confusion) == 90
        assert accuracy == np.trace(confusion) / 90 > 0


def test_each_row_is_reported_as_it_is_written(tmp_path):
    reported = []
    run(dataclasses.replace(SMALL, rounds=3), tmp_path / "run", report=reported.append)
    assert reported == metrics.read(tmp_path / "run" / "metrics.jsonl")
    assert [row["round"] for row in reported] == [0, 2, 3]


def test_notes_on_the_data_are_told_before_training(tmp_path):
    (tmp_path / "noted.py").write_text(
        "from pride_jax.data.datasets import load_dataset\n"
        "def noted(): return load_dataset('iris')._replace(notes=('petals', 'sepals'))\n"
    )
    (tmp_path / "study.py").write_text(
        "from pride_jax.settings import *\n"
        "config = Experiment(rounds=1, data=Data('noted.py:noted'), model=Model('logistic'))\n"
    )
    told = []
    config = load_config(tmp_path / "study.py")
    summary = run(config, tmp_path / "run", report=told.append, note=told.append)
    assert told[0] == (
        "iris: 120 training and 30 test examples of [4] (float32), seen centred and scaled by "
        "public constants; 3 classes: setosa, versicolor, virginica; 2 clients"
    )
    assert told[1:3] == summary["data_notes"] == ["petals", "sepals"]
    assert [row["round"] for row in told[3:]] == [0, 1]


def spellings(number: int) -> list[bytes]:
    """The ways in which a number may be written into a file."""
    size = (number.bit_length() + 7) // 8
    return [
        str(number).encode(),
        f"{number:x}".encode(),
        f"{number:X}".encode(),
        number.to_bytes(size, "big"),
        number.to_bytes(size, "little"),
    ]


def test_the_key_is_in_the_folder_of_secrets_which_only_its_owner_can_enter(uneven):
    folder = uneven["paillier"]
    (file,) = (folder / "secrets").iterdir()
    assert stat.S_IMODE((folder / "secrets").stat().st_mode) == 0o700
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    key = load_secret(folder / "secrets").key
    secrets = [spelling for prime in (key.p, key.q) for spelling in spellings(prime)]
    assert any(secret in file.read_bytes() for secret in secrets)
    others = [path for path in folder.rglob("*") if path.is_file() and path != file]
    assert len(others) >= 9
    for path in others:
        assert not any(secret in path.read_bytes() for secret in secrets), path


# Resuming


def unfinish(folder: Path) -> None:
    """As it was between the row of round 6 and its checkpoint."""
    (folder / "summary.json").unlink()
    shutil.rmtree(folder / "plots")
    (folder / "checkpoints" / "6.npz").unlink()


def cut_last_row(folder: Path) -> None:
    unfinish(folder)
    content = (folder / "metrics.jsonl").read_bytes()
    (folder / "metrics.jsonl").write_bytes(content[:-40])


def leave_half_written_files(folder: Path) -> None:
    unfinish(folder)
    for name in ("tmpconf.tmp", "checkpoints/tmpsix.tmp"):
        (folder / name).write_bytes(b"PK\x03\x04 half")
    (folder / "plots").mkdir()
    (folder / "plots" / "learning_curve.png").write_bytes(b"\x89PNG half")


def lose_every_checkpoint(folder: Path) -> None:
    unfinish(folder)
    (folder / "env.json").unlink()
    shutil.rmtree(folder / "checkpoints")


def stop_before_the_summary(folder: Path) -> None:
    (folder / "summary.json").unlink()


def stop_before_the_settings(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "tmpconf.tmp").write_text('{"seed')


@pytest.mark.parametrize(
    ("crash", "starts"),
    [
        (unfinish, 2),
        (cut_last_row, 2),
        (leave_half_written_files, 2),
        (lose_every_checkpoint, 1),
        (stop_before_the_summary, 2),
        (stop_before_the_settings, 1),
    ],
)
def test_a_run_that_died_ends_with_the_same_bits_and_every_start_is_recorded(
    small, copy, crash, starts
):
    crash(copy)
    run(SMALL, copy, resume=True)
    assert outcome(copy) == outcome(small)
    assert len(read(copy / "env.json")) == starts
    elapsed = [row["seconds_elapsed"] for row in metrics.read(copy / "metrics.jsonl")]
    assert elapsed == sorted(elapsed)


def test_an_encrypted_run_that_died_ends_with_the_same_bits_under_the_same_key(uneven, tmp_path):
    folder = shutil.copytree(uneven["paillier"], tmp_path / "copy")
    (file,) = (folder / "secrets").iterdir()
    key = file.read_bytes()
    unfinish(folder)
    run(with_protocol(UNEVEN, "paillier"), folder, resume=True)
    assert outcome(folder) == outcome(uneven["paillier"])
    assert file.read_bytes() == key


def test_a_finished_run_is_left_as_it_is(copy):
    before = snapshot(copy)
    assert run(SMALL, copy, resume=True) == read(copy / "summary.json")
    assert snapshot(copy) == before


# Refusals


def test_a_folder_that_is_not_empty_is_refused(copy):
    before = snapshot(copy)
    with pytest.raises(RunError, match="copy is not empty: continue its run with --resume"):
        run(SMALL, copy)
    assert snapshot(copy) == before


def test_other_settings_are_refused_by_name(copy):
    before = snapshot(copy)
    other = dataclasses.replace(SMALL, rounds=4, client=Client(learning_rate=0.5))
    changed = r"client\.learning_rate: 0\.1 -> 0\.5; rounds: 6 -> 4 \(saved -> now\)"
    with pytest.raises(RunError, match=changed):
        run(other, copy, resume=True)
    assert snapshot(copy) == before


def test_nothing_cannot_be_resumed(tmp_path):
    with pytest.raises(RunError, match=r"nothing to resume in .*run: start without --resume"):
        run(SMALL, tmp_path / "run", resume=True)
    assert not (tmp_path / "run").exists()


def test_a_folder_of_other_files_is_no_run(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(RunError, match=r"no run to resume in .*: it has files, but no config\.js"):
        run(SMALL, tmp_path, resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: (folder / "metrics.jsonl").write_text(""), "lacks the row of round 4"),
        (lambda folder: (folder / "config.json").write_text(""), "config.json is not JSON"),
        (lambda folder: (folder / "checkpoints/4.npz").write_text("x"), "4.npz is damaged"),
    ],
)
def test_a_run_that_was_tampered_with_is_not_resumed(copy, damage, message):
    unfinish(copy)
    damage(copy)
    with pytest.raises(RunError, match=message):
        run(SMALL, copy, resume=True)


def test_a_key_that_is_damaged_is_not_replaced(uneven, tmp_path):
    folder = shutil.copytree(uneven["paillier"], tmp_path / "copy")
    unfinish(folder)
    (file,) = (folder / "secrets").iterdir()
    file.write_text("{}")
    before = snapshot(folder)
    with pytest.raises(PrideError, match="does not hold a Paillier key"):
        run(with_protocol(UNEVEN, "paillier"), folder, resume=True)
    assert snapshot(folder) == before


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"data": Data("irris")}, DataError, "'irris' is no data set: did you mean iris"),
        ({"data": Data("nowhere.npz")}, DataError, "nowhere.npz"),
        ({"data": Data("iris", test_examples=150)}, DataError, "test_examples=150"),
        ({"model": Model("cnn")}, ConfigError, r"images .* got inputs of shape \(4,\)"),
        ({"partition": Partition("groups")}, ConfigError, "nobody knows who made the examples"),
        ({"partition": Partition("sizes", sizes=(40, 30))}, ConfigError, "add up to 70"),
        ({"partition": Partition("sizes", sizes=(0, 0))}, DataError, "None of the 2 clients holds"),
        ({"partition": Partition("shards", clients=31)}, ConfigError, "62 shards were asked of 60"),
        (
            {"cohort": Cohort("fixed_size", size=3)},
            ConfigError,
            "cohort.size=3: expected at most the 2",
        ),
        ({"engine": Engine(devices=99)}, ConfigError, "engine.devices=99: .* ask for fewer"),
        ({"aggregation": Aggregation("paillier", key_bits=1000)}, ConfigError, "key_bits=1000"),
    ],
)
def test_what_contradicts_is_refused_before_anything_is_written(tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        run(dataclasses.replace(SMALL, **changes), tmp_path / "run")
    assert not list(tmp_path.iterdir())


def medmnist(path: Path, **changes: np.ndarray) -> Data:
    """A small set in MedMNIST's layout, as settings."""
    rng = np.random.default_rng(0)
    arrays = {
        "train_images": rng.random((40, 4, 4), np.float32),
        "train_labels": np.arange(40)[:, None] % 2,
        "test_images": rng.random((20, 4, 4), np.float32),
        "test_labels": np.arange(20)[:, None] % 2,
    }
    np.savez(path, **(arrays | changes))
    return Data(str(path))


def images_with(value: float) -> np.ndarray:
    images = np.random.default_rng(0).random((40, 4, 4), np.float32)
    images[7, 1, 2] = value
    return images


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train_images": images_with(np.nan)},
            r"1 of 640 features are NaN or infinite in float32, the first at index \(7, 1, 2",
        ),
        (
            {"test_labels": np.array([0, 1, -1, *[0] * 17])},
            "1 targets out of range, the first -1 at index 2; expected 0 to 1",
        ),
        ({"train_labels": np.zeros(39, int)}, "40 examples, but targets of shape"),
        ({"train_images": np.zeros((0, 4, 4)), "train_labels": np.zeros(0, int)}, "no examples"),
    ],
)
def test_broken_examples_are_refused_before_anything_is_written(tmp_path, changes, message):
    data = medmnist(tmp_path / "set.npz", **changes)
    with pytest.raises(DataError, match=message):
        run(dataclasses.replace(SMALL, data=data), tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["set.npz"]


def test_an_idx_file_that_was_cut_short_is_refused_before_anything_is_written(tmp_path):
    header = b"\x00\x00\x08\x03" + b"".join(size.to_bytes(4, "big") for size in (10, 28, 28))
    for split in ("train", "t10k"):
        (tmp_path / f"{split}-images-idx3-ubyte").write_bytes(header + bytes(10 * 28 * 28 - 1))
        (tmp_path / f"{split}-labels-idx1-ubyte").write_bytes(b"\x00\x00\x08\x01" + bytes(14))
    before = snapshot(tmp_path)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte: .* its header announces"):
        run(dataclasses.replace(SMALL, data=Data("mnist", dir=tmp_path)), tmp_path / "run")
    assert snapshot(tmp_path) == before


# What the system refuses


@pytest.mark.parametrize("protocol", ["none", "paillier"])
def test_a_folder_that_cannot_be_made_is_named(tmp_path, protocol):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "run", Path("/proc/nowhere/run")):
        with pytest.raises(RunError, match=f"Cannot write to {folder}: .*permissions"):
            run(with_protocol(SMALL, protocol), folder)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("something")
    with pytest.raises(RunError, match=r"Cannot write to .*file: Not a directory"):
        run(SMALL, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "something"


@contextlib.contextmanager
def no_file_longer_than(length: int) -> Iterator[None]:
    """Makes writing fail as a full disk does."""
    before, shortest = resource.getrlimit(resource.RLIMIT_FSIZE), _SHORTEST_COMPILATION_KEPT
    kept = getattr(jax.config, shortest)
    # Else JAX would try to keep what it compiles meanwhile.
    jax.config.update(shortest, 1e9)
    resource.setrlimit(resource.RLIMIT_FSIZE, (length, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        jax.config.update(shortest, kept)


_SHORTEST_COMPILATION_KEPT = "jax_persistent_cache_min_compile_time_secs"


@pytest.mark.parametrize(
    ("changes", "length", "file"),
    [
        ({}, 200, "config.json"),
        ({"rounds": 12, "evaluation": Evaluation(every=1)}, 2700, "metrics.jsonl"),
        ({"model": Model("mlp", {"hidden": (100,)})}, 2700, "checkpoints/0.npz"),
        ({}, 5000, "plots/learning_curve.png"),
    ],
)
def test_a_run_resumes_when_there_is_space_again(tmp_path, changes, length, file):
    config = dataclasses.replace(SMALL, **changes)
    with (
        no_file_longer_than(length),
        pytest.raises(RunError, match=f"Cannot write .*run/{file}: File too large.*space left"),
    ):
        run(config, tmp_path / "run")
    assert not list(tmp_path.rglob("*.tmp"))
    reported = []
    run(config, tmp_path / "run", resume=True, report=reported.append)
    rows = metrics.read(tmp_path / "run" / "metrics.jsonl")
    assert [row["round"] for row in rows] == [*range(0, config.rounds + 1, config.evaluation.every)]
    assert rows[len(rows) - len(reported) :] == reported
    assert (tmp_path / "run" / "summary.json").exists()


# Divergence


def test_a_run_that_diverges_stops_and_keeps_what_it_has(tmp_path):
    config = dataclasses.replace(SMALL, client=Client(learning_rate=1e30))
    for resume in (False, True):
        with pytest.raises(RunError, match=r"diverged: by round 2 .* Lower client\.learning_rate"):
            run(config, tmp_path / "run", resume=resume)
        assert [row["round"] for row in metrics.read(tmp_path / "run" / "metrics.jsonl")] == [0]
        with np.load(tmp_path / "run" / "checkpoints" / "0.npz") as saved:
            # The norm of a run that clips nothing is infinite.
            assert all(np.all(np.isfinite(saved[name])) for name in saved if name != "norm")
        assert not (tmp_path / "run" / "summary.json").exists()


def test_a_client_that_diverges_alone_is_counted_and_left_out(tmp_path):
    # Two images alike of different classes: the client of the one that is taken for the other
    # makes a step so large that its second epoch overflows.
    images = images_with(3e38)
    images[8] = images[7]
    data = medmnist(tmp_path / "set.npz", train_images=images)
    config = dataclasses.replace(SMALL, data=data, client=Client(epochs=2))
    summary = run(config, tmp_path / "run")
    assert summary["nonfinite_updates"] == 6
    assert np.isfinite(summary["test_loss"])
    rows = metrics.read(tmp_path / "run" / "metrics.jsonl")
    assert [row["nonfinite_updates"] for row in rows[1:]] == [2, 2, 2]
    assert [row["train_loss"] for row in rows[1:]] == [None, None, None]


def test_a_run_that_is_to_stop_at_its_target_ends_at_the_first_evaluation_there(tmp_path):
    stopping = Evaluation(every=2, target_accuracy=0.5, stop_at_target=True)
    config = Experiment(rounds=500, data=Data("iris"), evaluation=stopping)
    summary = run(config, tmp_path / "run")
    rows = metrics.read(tmp_path / "run" / "metrics.jsonl")
    assert summary["rounds"] == rows[-1]["round"] < 500
    assert [row["test_accuracy"] >= 0.5 for row in rows[1:]] == [False] * (len(rows) - 2) + [True]
    assert run(config, tmp_path / "run", resume=True) == summary


def test_stopping_needs_a_target():
    with pytest.raises(ConfigError, match="stop_at_target=True: expected False without a target"):
        Evaluation(stop_at_target=True)
