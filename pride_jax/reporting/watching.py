"""Logs of a run for TensorBoard and Weights & Biases, as the settings ask for them."""

import contextlib
import datetime
import importlib.util
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from pride_jax.errors import ConfigError
from pride_jax.files import read_json
from pride_jax.reporting.metrics import Row, flat, read
from pride_jax.reporting.tensorboard_log import tensorboard_log
from pride_jax.reporting.wandb_log import wandb_log
from pride_jax.reporting.watched import Log, Watched
from pride_jax.settings.experiment import Experiment, Watch
from pride_jax.settings.files import to_dict

_LOGS: dict[str, Callable[[Watched, Sequence[Row]], contextlib.AbstractContextManager[Log]]] = {
    "tensorboard": tensorboard_log,
    "wandb": wandb_log,
}
"""Name of a setting, which is that of its extra and of what it imports -> its log."""


def logs_of(watch: Watch) -> list[str]:
    """The logs that the settings ask for."""
    return [name for name in _LOGS if getattr(watch, name)]


def need_extras(watch: Watch) -> None:
    """Refuses logs whose extras are not installed.

    Raises:
      ConfigError: as above.
    """
    for name in logs_of(watch):
        if importlib.util.find_spec(name) is None:
            raise ConfigError(
                f"watch.{name}=True needs {name}: pip install 'pride-jax[{name}]', or leave it out"
            )


@contextlib.contextmanager
def watching(config: Experiment, run: Path, rows: Path) -> Iterator[Log]:
    """Opens the logs that a run asks for, with the rows that it keeps, until the block ends.

    Args:
      config: the run's settings.
      run: its folder, whose ``env.json`` has this start.
      rows: file of those that the run keeps; of a private run, with what anyone may read.

    Raises:
      RunError: a log cannot be written.
    """
    asked = logs_of(config.watch)
    if not asked:
        yield lambda row: None
        return
    starts = read_json(run / "env.json")
    began = datetime.datetime.fromisoformat(starts[0]["started"]).timestamp()
    settings = {
        name: value if isinstance(value, bool | int | float) else str(value)
        for name, value in flat(to_dict(config))
        if value is not None
    }
    watched = Watched(run, settings, len(starts), began)
    with contextlib.ExitStack() as stack:
        kept = read(rows)
        logs = [stack.enter_context(_LOGS[name](watched, kept)) for name in asked]

        def log(row: Row) -> None:
            for each in logs:
                each(row)

        yield log
