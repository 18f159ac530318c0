"""The models that a run leaves: its last, its best, and what whoever uses them must know."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pride_jax.data.datasets import Dataset
from pride_jax.files import read_json, write_json
from pride_jax.models.parameters import read_metadata, write_parameters
from pride_jax.types import Params

MODEL = "model.safetensors"
BEST = "best.safetensors"
INPUTS = "model.json"


class Seen(NamedTuple):
    """What a model takes and gives; all of it is public.

    Attributes:
      features: shape of an example's inputs, as the model takes them.
      dtype: of inputs: uint8, float32, or int32 of ids.
      outputs: numbers that the model gives for an example, or for each position.
      shift: the model sees ``(inputs - shift) * scale``, but for ids.
      scale: see ``shift``.
      class_names: of the classes, by their numbers; none where they have numbers alone.
      input_names: of a table's features, in their order.
    """

    features: tuple[int, ...]
    dtype: str
    outputs: int
    shift: np.ndarray
    scale: np.ndarray
    class_names: tuple[str, ...] = ()
    input_names: tuple[str, ...] = ()


def seen_in(dataset: Dataset) -> Seen:
    """What a model of a data set takes and gives."""
    inputs = dataset.train_inputs
    return Seen(
        features=inputs.shape[1:],
        dtype=str(inputs.dtype),
        outputs=dataset.outputs,
        shift=np.asarray(dataset.shift),
        scale=np.asarray(dataset.scale),
        class_names=dataset.class_names,
        input_names=dataset.input_names,
    )


def write_model(workdir: Path, params: Params, seen: Seen) -> None:
    """Leaves a run's last model in its folder, with what it takes and gives.

    Raises:
      RunError: it cannot be written.
    """
    plain = seen._asdict() | {"shift": seen.shift.tolist(), "scale": seen.scale.tolist()}
    write_json(workdir / INPUTS, plain)
    write_parameters(workdir / MODEL, params)


def read_seen(workdir: Path) -> Seen:
    """What `write_model` wrote.

    Raises:
      RunError: it cannot be read.
    """
    plain: dict[str, Any] = read_json(workdir / INPUTS)
    for name in ("shift", "scale"):
        plain[name] = np.asarray(plain[name], np.float32)
    for name in ("features", "class_names", "input_names"):
        plain[name] = tuple(plain[name])
    return Seen(**plain)


class Best(NamedTuple):
    """The best evaluation of a run so far.

    Attributes:
      round: after which it was.
      score: the larger the better.
    """

    round: int
    score: float


def read_best(workdir: Path, latest: int | None) -> Best | None:
    """The best evaluation whose parameters are kept, up to the latest round that is; or None.

    Raises:
      DataError: the file cannot be read.
    """
    path = workdir / BEST
    if latest is None or not path.is_file():
        return None
    best = Best(**json.loads(read_metadata(path)["best"]))
    return best if best.round <= latest else None


def keep_best(workdir: Path, best: Best | None, now: Best, params: Params) -> Best:
    """Keeps parameters as a run's best if they are; the first of equals stays.

    They were chosen by the test examples, and so their score there is a little too good.

    Raises:
      RunError: they cannot be written.
    """
    if best is not None and best.score >= now.score:
        return best
    write_parameters(workdir / BEST, params, {"best": json.dumps(now._asdict())})
    return now
