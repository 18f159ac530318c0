"""A run's figures in TensorBoard's own files, while the run goes on (extra ``tensorboard``)."""

# pyright: reportMissingImports=false
# TensorBoard is an extra.

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pride_jax.files import explained
from pride_jax.reporting.metrics import Row, figures
from pride_jax.reporting.watched import Log, Watched

FILES = "events.out.tfevents.*"
"""TensorBoard's files in a run's folder; TensorBoard itself looks for the middle of the name."""


@contextlib.contextmanager
def tensorboard_log(run: Watched, rows: Sequence[Row]) -> Iterator[Log]:
    """Writes rows for TensorBoard, each as soon as it is there.

    A start writes a file of its own with all rows that the run keeps, and removes the file of the
    start before: a TensorBoard that is looking on forgets rounds that will be done again. Each
    figure of a row is a scalar of the same name, in 32 bits as TensorBoard has scalars; the
    settings are what it calls hyperparameters. TensorFlow is not needed.

    Args:
      run: what the log tells of the run beside its rows.
      rows: those that the run keeps.

    Raises:
      RunError: a file cannot be written.
    """
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.summary.writer.record_writer import RecordWriter

    earlier = sorted(run.folder.glob(FILES))
    path = run.folder / FILES.replace("*", f"{run.start:06d}")
    with explained("write", path), path.open("wb") as file:
        records = RecordWriter(file)

        def write(*events: Any) -> None:
            for event in events:
                records.write(event.SerializeToString())
            records.flush()

        def log(row: Row) -> None:
            write(_event_of(run, row))

        write(
            Event(wall_time=run.began, file_version="brain.Event:2"),
            Event(wall_time=run.began, session_log=SessionLog(status=SessionLog.START)),
            Event(wall_time=run.began, summary=_settings_of(run)),
            *(_event_of(run, row) for row in rows),
        )
        _remove(earlier)
        yield log


def _event_of(run: Watched, row: Row) -> Any:
    """What TensorBoard is told of an evaluation."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    values = [Summary.Value(tag=name, simple_value=each) for name, each in figures(row).items()]
    return Event(wall_time=run.time_of(row), step=row["round"], summary=Summary(value=values))


def _settings_of(run: Watched) -> Any:
    """What TensorBoard's page of hyperparameters asks for; its own function needs TensorFlow."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import metadata
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionStartInfo

    kinds = {bool: "bool_value", int: "number_value", float: "number_value", str: "string_value"}
    told = SessionStartInfo(start_time_secs=run.began)
    for name, value in run.settings.items():
        setattr(told.hparams[name], kinds[type(value)], value)
    content = HParamsPluginData(session_start_info=told)
    about = metadata.create_summary_metadata(content)
    value = Summary.Value(
        tag=metadata.SESSION_START_INFO_TAG, metadata=about, tensor=metadata.NULL_TENSOR
    )
    return Summary(value=[value])


def _remove(earlier: Sequence[Path]) -> None:
    for path in earlier:
        path.unlink()
