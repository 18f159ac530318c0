"""The end of a run of real parties: everyone receives the model."""

from collections.abc import Iterable
from pathlib import Path

from pride_jax.deploy.agreement import Record
from pride_jax.errors import ProtocolError
from pride_jax.files import read_json, write_atomically, write_json

FINISHED = "finished.json"
"""In a role's own folder, once its run has ended."""
RECEIVED = "received.json"
"""In the server's folder: the names of who has the model."""
MODEL, DESCRIBED = "model.safetensors", "model.json"
_SPARE_BYTES = 2**20
"""For names, shapes, and what a model takes and gives."""


def finish(workdir: Path, rounds: int, sent: bytes) -> Record:
    """What the server tells everyone at the end of a run.

    Args:
      workdir: the run's folder, which has the model.
      rounds: of the run.
      sent: what a party would train from next; parties make models of their own of it.
    """
    return {
        "round": rounds,
        "sent": sent,
        "model": (workdir / MODEL).read_bytes(),
        "described": (workdir / DESCRIBED).read_bytes(),
    }


def keep_received(folder: Path, names: Iterable[str]) -> None:
    """Writes down in the server's folder who has the model, beside those who had."""
    write_json(folder / RECEIVED, sorted({*_received(folder), *names}))


def lacking(folder: Path, everyone: Iterable[str]) -> list[str]:
    """Who of everyone does not have the model, by the server's folder."""
    received = _received(folder)
    return [name for name in everyone if name not in received]


def _received(folder: Path) -> list[str]:
    return read_json(folder / RECEIVED) if (folder / RECEIVED).exists() else []


def check_length(request: Record, parameters: int) -> None:
    """Refuses what is too long to be the model.

    Args:
      request: as `finish` made it.
      parameters: the most that the model has.

    Raises:
      ProtocolError: as above.
    """
    most = 4 * parameters + _SPARE_BYTES
    for name, content in {MODEL: request["model"], DESCRIBED: request["described"]}.items():
        if len(content) > most:
            raise ProtocolError(
                f"{name} of {len(content)} bytes: expected at most {most} for {parameters} numbers"
            )


def keep_model(folder: Path, request: Record) -> Record:
    """Leaves the model that the server gave in a role's own folder, where `load` reads it.

    Args:
      folder: the role's own.
      request: as `finish` made it.
    """
    for name, content in {MODEL: request["model"], DESCRIBED: request["described"]}.items():
        write_atomically(folder / name, content)
    # Last: whoever sees it finds the model.
    write_json(folder / FINISHED, {"rounds": request["round"]})
    return {"kept": True}
