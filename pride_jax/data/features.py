"""Fixed features in the place of pixels, computed once and kept."""

import hashlib
import tempfile
import warnings
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Shaped

from pride_jax.data.cache import cache_folder
from pride_jax.data.datasets import Dataset
from pride_jax.data.whitening import whitened_scattering
from pride_jax.errors import DataError
from pride_jax.progress import Tell, silent

_VERSION = 1
"""Of the features; files of another are not read."""


def with_scattering(dataset: Dataset, tell: Tell = silent) -> Dataset:
    """The data set with whitened scattering features of its images, 500 numbers each.

    Each depends on its own image alone, and on nothing that was learnt from data, so that training
    on them is as private as training on pixels. They are kept in the cache folder.

    Args:
      dataset: of images.
      tell: told of progress where they are not kept there yet.

    Raises:
      DataError: the inputs are not square images of one channel.
    """
    shape = dataset.train_inputs.shape[1:]
    if len(shape) != 3 or shape[0] != shape[1] or shape[2] != 1:
        raise DataError(
            f"{dataset.name} has inputs of shape {list(shape)}, expected square images of one "
            "channel for scattering features: leave data.features at 'pixels'"
        )
    constant = np.zeros((), np.float32)
    return dataset._replace(
        train_inputs=_features(dataset, dataset.train_inputs, tell),
        test_inputs=_features(dataset, dataset.test_inputs, tell),
        shift=constant,
        scale=np.ones_like(constant),
    )


def _features(
    dataset: Dataset, inputs: Shaped[np.ndarray, "images height width 1"], tell: Tell
) -> Float32[np.ndarray, "images features"]:
    images = (inputs[..., 0].astype(np.float32) - dataset.shift) * dataset.scale
    digest = hashlib.sha256(f"{_VERSION} {images.shape}".encode())
    digest.update(images.tobytes())
    path = cache_folder() / "scattering" / f"{digest.hexdigest()[:32]}.npy"
    if path.exists():
        return np.load(path, allow_pickle=False)
    features = whitened_scattering(images, tell=tell)
    _keep(path, features)
    return features


def _keep(path: Path, features: Float32[np.ndarray, "images features"]) -> None:
    """Keeps features, whole or not at all; where that is impossible a warning says so."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
            unfinished = Path(scratch) / "features.npy"
            np.save(unfinished, features, allow_pickle=False)
            unfinished.replace(path)
    except OSError as error:
        warnings.warn(
            f"Features could not be kept as {path} ({error}), so they will be computed anew next "
            "time; set PRIDE_CACHE_DIR to a folder that can be written",
            RuntimeWarning,
            stacklevel=2,
        )
