"""Logs for TensorBoard and Weights & Biases: each row that anyone may read, exactly once."""

# pyright: reportMissingImports=false

import importlib.util
import json
import struct
from dataclasses import replace

import numpy as np
import pytest

from pride_jax.errors import ConfigError
from pride_jax.privacy.number_of_runs import NegativeBinomial
from pride_jax.privacy.tuning import PublicScore
from pride_jax.reporting import metrics
from pride_jax.runs.experiment import run
from pride_jax.settings import Client, Data, Experiment, Model, Partition, Privacy, Watch
from pride_jax.sweeps.family import Asked, family
from pride_jax.sweeps.sweep import one_after_another, sweep

WHOLE, LAST = 1, 4
"""Kinds of a record's part."""

PLAIN = Experiment(
    rounds=4,
    data=Data("iris"),
    partition=Partition("iid", clients=3),
    model=Model("logistic"),
    client=Client(learning_rate=0.1, batch_size=None),
)
PRIVATE = replace(
    PLAIN,
    privacy=Privacy(clipping_norm=1.0, mechanism="gaussian", noise_multiplier=2.0, delta=1e-2),
)


def of_tensorboard(folder):
    """What TensorBoard's own reader finds: step -> tag -> value, and the number of events."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    steps, count = {}, 0
    for tag in found.Tags()["scalars"]:
        for event in found.Scalars(tag):
            steps.setdefault(event.step, {})[tag] = event.value
            count += 1
    return steps, count


def of_wandb(folder):
    """The rows in Weights & Biases' own store, and everything in it as text."""
    from wandb.proto.wandb_internal_pb2 import Record

    (path,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    records = [Record.FromString(data) for data in records_of(path.read_bytes())]
    rows = [
        {
            item.key or item.nested_key[0]: json.loads(item.value_json)
            for item in record.history.item
        }
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]
    return rows, "\n".join(map(str, records))


def records_of(store):
    """The records of a file in LevelDB's format of logs: blocks of 32 KiB, records in parts."""
    place, parts = 7, b""
    while place < len(store):
        left = 2**15 - place % 2**15
        if left < 7:
            place += left
            continue
        _, length, kind = struct.unpack_from("<IHB", store, place)
        parts += store[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (WHOLE, LAST):
            yield parts
            parts = b""


def as_float32(row):
    return {name: float(np.float32(value)) for name, value in metrics.figures(row).items()}


def check(folder):
    """Both logs of a run have its public rows, all of them and each once."""
    rows = metrics.read(folder / "metrics.jsonl")
    expected = {row["round"]: as_float32(row) for row in rows}
    assert of_tensorboard(folder) == (expected, sum(map(len, expected.values())))
    found, text = of_wandb(folder)
    assert [row["_step"] for row in found] == [row["round"] for row in rows]
    for row, logged in zip(rows, found, strict=True):
        # What begins with _ is of Weights & Biases itself.
        own = {name: value for name, value in logged.items() if not name.startswith("_")}
        assert own == metrics.figures(row)
    return rows, text


@pytest.mark.watch
def test_a_log_has_every_row_once_also_of_a_run_that_goes_on(tmp_path):
    config = replace(PLAIN, watch=Watch(tensorboard=True, wandb=True))

    def stop(row):
        if row["round"] == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, tmp_path / "run", report=stop)
    rows, _ = check(tmp_path / "run")
    assert [row["round"] for row in rows] == [0, 1, 2]
    (first,) = (tmp_path / "run").glob("*tfevents*")
    # Round 2 is done again, and its row written anew.
    (tmp_path / "run" / "checkpoints" / "2.npz").unlink()
    run(config, tmp_path / "run", resume=True)
    rows, _ = check(tmp_path / "run")
    assert [row["round"] for row in rows] == [0, 1, 2, 3, 4]
    (second,) = (tmp_path / "run").glob("*tfevents*")
    assert first.name < second.name, "TensorBoard reads files in the order of their names"


@pytest.mark.watch
def test_a_log_tells_settings_and_nothing_of_person_or_machine(tmp_path, monkeypatch):
    import getpass
    import socket

    config = replace(PLAIN, watch=Watch(tensorboard=True, wandb=True))
    monkeypatch.setenv("WANDB_MODE", "online")
    run(config, tmp_path / "run")
    _, text = check(tmp_path / "run")
    assert "client.learning_rate" in text
    store = b"".join(
        file.read_bytes() for file in (tmp_path / "run").rglob("*.wandb") if file.is_file()
    )
    events = b"".join(file.read_bytes() for file in (tmp_path / "run").glob("*tfevents*"))
    assert b"client.learning_rate" in events
    for word in (socket.gethostname(), getpass.getuser(), str(tmp_path), "pytest"):
        if len(word) > 4:
            assert word.encode() not in store + events, word
    assert not list((tmp_path / "run").rglob("wandb-metadata.json"))
    assert not list((tmp_path / "run").rglob("requirements.txt"))


@pytest.mark.watch
def test_of_a_private_run_only_what_anyone_may_read_is_logged(tmp_path):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    config = replace(PRIVATE, watch=Watch(tensorboard=True, wandb=True))
    run(config, tmp_path / "run")
    rows, text = check(tmp_path / "run")
    own = metrics.read(tmp_path / "run" / "private" / "metrics.jsonl")
    hidden = own[-1].keys() - rows[-1].keys()
    assert {"clients", "bytes_per_client_round", "seconds_per_round", "train_loss"} <= hidden
    for name in hidden:
        assert f'"{name}"' not in text
    (path,) = (tmp_path / "run").glob("*tfevents*")
    times = {event.wall_time for event in EventFileLoader(str(path)).Load()}
    assert len(times) == 1, "when a round ended tells how long it took"
    logged, _ = of_wandb(tmp_path / "run")
    assert {row["_timestamp"] for row in logged} == times


@pytest.mark.parametrize("name", ["tensorboard", "wandb"])
def test_a_missing_extra_is_refused_in_one_line_before_anything_is_written(
    tmp_path, monkeypatch, name
):
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda each, *more: None if each == name else found(each, *more),
    )
    config = replace(PLAIN, watch=Watch(**{name: True}))
    with pytest.raises(ConfigError, match=rf"^watch.{name}=True needs {name}: pip install") as told:
        run(config, tmp_path / "run")
    assert "\n" not in str(told.value)
    with pytest.raises(ConfigError, match=f"needs {name}"):
        sweep(config, [("seed", ["0"])], tmp_path / "sweep", one_after_another(print), print)
    assert not list(tmp_path.iterdir())


def test_a_private_sweep_is_not_looked_on():
    config = replace(PRIVATE, watch=Watch(tensorboard=True))
    asked = Asked(config, [("client.epochs", ["1"])], NegativeBinomial(2.0), PublicScore(), 1)
    with pytest.raises(ConfigError, match=r"^watch.tensorboard=True in a private sweep"):
        family(asked)
