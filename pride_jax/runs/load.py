"""A run's trained model, from its folder: parameters, and answers to new examples."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped

from pride_jax.data.datasets import Dataset
from pride_jax.data.examples import NO_SHIFT
from pride_jax.data.features import with_scattering
from pride_jax.data.federated import normalize
from pride_jax.engine.personal import has_own_models
from pride_jax.errors import ConfigError, DataError, RunError
from pride_jax.models.parameters import named_arrays, read_like
from pride_jax.runs.checkpoints import checkpoints, named_leaves
from pride_jax.runs.client_states import client_states
from pride_jax.runs.models import BEST, INPUTS, MODEL, Seen, read_seen
from pride_jax.settings import learning
from pride_jax.settings.experiment import Experiment
from pride_jax.settings.files import continued
from pride_jax.types import Model, Params
from pride_jax.validated import expect

_BATCH = 500
_CLASSES = ("classification", "next_token")


class Predictions(NamedTuple):
    """What a model says of examples.

    Attributes:
      answers: the likeliest class of each example, by its name where classes have names, or of each
        position; of other tasks, the outputs.
      outputs: probabilities of classes or tokens; of other tasks, what the model gives, such as
        quantities.
    """

    answers: Shaped[np.ndarray, "examples ..."]
    outputs: Float[np.ndarray, "examples ... outputs"]


class Loaded(NamedTuple):
    """A trained model.

    Attributes:
      params: its parameters.
      predict: inputs ``[examples, *features]``, as the run's data set has them (uint8 images,
        float tables, int ids) -> `Predictions`; DataError for inputs of other shapes or types.
      seen: what the model takes and gives.
      config: the run's settings.
    """

    params: Params
    predict: Callable[[Shaped[np.ndarray, "examples ..."]], Predictions]
    seen: Seen
    config: Experiment


def load(
    folder: Path | str,
    *,
    which: Literal["last", "best"] = "last",
    client: int | None = None,
    trust_code: bool = False,
) -> Loaded:
    """Loads the model of a run that has ended.

    Nothing that came with the run is imported unless ``trust_code`` says so.

    Args:
      folder: the run's.
      which: its last model, or that of its best evaluation, which was chosen by the test examples.
      client: the id of a client whose own model is wanted, of methods whose clients have such; it
        is read from what clients keep, which only the run's owner can read.
      trust_code: whether own code in the run's folder, which came with its settings, may be run.

    Raises:
      PrideError: the folder holds no such model, the run has own code and it is not trusted, or
        its files are not what they were.
    """
    expect("folder", folder, (Path, str), "the path of a run's folder")
    folder = Path(folder)
    config = continued(folder, trust_code)
    if which not in ("last", "best"):
        raise ConfigError(f"which={which!r}: expected 'last' or 'best'")
    if not (folder / INPUTS).is_file():
        raise RunError(
            f"{folder} has no {INPUTS}: expected the folder of a run that has ended; continue it "
            "with --resume"
        )
    seen = read_seen(folder)
    model = learning.build_model(config, _shape(seen))
    if client is not None:
        if which == "best":
            raise ConfigError(f"client={client} with which='best': expected 'last'")
        params = _personal(folder, config, seen, client)
    else:
        path = folder / {"last": MODEL, "best": BEST}[which]
        params = read_like(path, jax.eval_shape(model.init, jax.random.key(0)))
    return Loaded(params, _predictor(model, params, seen, config), seen, config)


def export(path: Path, params: Params) -> None:
    """Writes parameters as plain NumPy arrays in an ``.npz`` file, e.g. ``layers.0.kernel``."""
    np.savez(path, **named_arrays(params))  # pyright: ignore[reportArgumentType]


def _shape(seen: Seen) -> learning.Shape:
    return learning.Shape(seen.features, seen.outputs)


def _predictor(
    model: Model, params: Params, seen: Seen, config: Experiment
) -> Callable[[Shaped[np.ndarray, "examples ..."]], Predictions]:
    @jax.jit
    def outputs_of(inputs: Shaped[Array, "batch ..."]) -> Float[Array, "batch ..."]:
        shown = normalize(inputs, jnp.asarray(seen.shift), jnp.asarray(seen.scale))
        given = model.apply(params, shown)
        return jax.nn.softmax(given) if config.task.name in _CLASSES else given

    names = np.array(seen.class_names) if seen.class_names else np.arange(seen.outputs)

    def predict(inputs: Shaped[np.ndarray, "examples ..."]) -> Predictions:
        inputs = _checked(_features_of(np.asarray(inputs), config), seen)
        batches = []
        for start in range(0, len(inputs), _BATCH):
            batch = inputs[start : start + _BATCH]
            padded = np.resize(batch, (min(_BATCH, len(inputs)), *batch.shape[1:]))
            batches.append(np.asarray(outputs_of(padded))[: len(batch)])
        outputs = np.concatenate(batches)
        if config.task.name not in _CLASSES:
            return Predictions(outputs, outputs)
        return Predictions(names[outputs.argmax(axis=-1)], outputs)

    return predict


def _features_of(inputs: np.ndarray, config: Experiment) -> np.ndarray:
    """Wavelet features of images, where the model takes these."""
    if config.data.features != "scattering":
        return inputs
    scale = np.asarray(1 / 255 if inputs.dtype == np.uint8 else 1.0, np.float32)
    none = np.zeros(len(inputs), np.int32)
    images = Dataset("the inputs", inputs, none, inputs[:1], none[:1], 2, NO_SHIFT, scale)
    return with_scattering(images).train_inputs


def _checked(inputs: np.ndarray, seen: Seen) -> np.ndarray:
    """Inputs in the type that the model takes.

    Raises:
      DataError: they are of other shapes or types, none, or not finite.
    """
    expected = f"expected {seen.dtype} {['examples', *seen.features]}, as the run was trained on"
    if inputs.shape[1:] != seen.features or not len(inputs):
        raise DataError(f"inputs have shape {list(inputs.shape)}: {expected}")
    kind = np.dtype(seen.dtype).kind
    if (inputs.dtype == np.uint8) != (seen.dtype == "uint8"):
        raise DataError(f"inputs are {inputs.dtype}: {expected}")
    if kind == "i" and inputs.dtype.kind not in "iu":
        raise DataError(f"inputs are {inputs.dtype}: {expected}")
    if kind == "f" and inputs.dtype.kind not in "fiub":
        raise DataError(f"inputs are {inputs.dtype}: {expected}")
    given = inputs.astype(seen.dtype, copy=False)
    if kind == "f" and not np.isfinite(given).all():
        raise DataError(f"inputs hold NaN or infinite values: {expected}, and finite")
    return given


def _personal(folder: Path, config: Experiment, seen: Seen, client: int) -> Params:
    """A client's own model, from the latest checkpoint.

    Raises:
      PrideError: its method's clients have none, there is no such client, or files are missing.
    """
    method = learning.build_method(config, _shape(seen), {})
    own = jax.eval_shape(method.init, jax.random.key(0))
    state = jax.eval_shape(lambda: method.client.state(method.send(_zeros(own))))
    kept, latest = client_states(folder / "clients"), checkpoints(folder / "checkpoints").latest()
    if not jax.tree.leaves(state) or latest is None or kept.latest() != latest:
        raise ConfigError(
            f"client={client} with method.name={config.method.name!r}: the run's clients keep no "
            "model of their own; leave client out for the shared model"
        )
    saved = checkpoints(folder / "checkpoints").read(latest)
    sent = method.send(_unflatten(own, saved, "own/"))
    arrays = kept.read(latest)
    clients = len(next(iter(arrays.values())))
    if not 0 <= client < clients:
        raise ConfigError(f"client={client}: expected an id from 0 to {clients - 1}")
    theirs = _unflatten(state, {name: each[client] for name, each in arrays.items()}, "")
    if not has_own_models(method, sent, jax.tree.map(lambda leaf: leaf[None], theirs)):
        raise ConfigError(
            f"client={client} with method.name={config.method.name!r}: what its clients keep is no "
            "model; leave client out for the shared model"
        )
    return method.personal(sent, theirs)


def _zeros(shapes: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def _unflatten(shapes: Any, arrays: dict[str, np.ndarray], prefix: str) -> Any:
    """A tree of saved arrays, each checked against its shape.

    Raises:
      RunError: they are of something else.
    """
    leaves = named_leaves(shapes)
    found = [arrays.get(f"{prefix}{name}".rstrip("/"), np.zeros(0)) for name in leaves]
    if [each.shape for each in found] != [leaf.shape for leaf in leaves.values()]:
        raise RunError("The run's checkpoint is of another model: restore the run's own files")
    return jax.tree.unflatten(jax.tree.structure(shapes), list(map(jnp.asarray, found)))
