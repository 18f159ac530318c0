"""MedMNIST's `.npz` layout."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pride_jax.data.examples import Examples, PublishedSet, published_images
from pride_jax.errors import DataError

KEYS = ("train_images", "train_labels", "test_images", "test_labels")
"""The arrays that are read."""


def medmnist(path: Path, arrays: Mapping[str, np.ndarray]) -> PublishedSet:
    """The training and test split of a file laid out as MedMNIST's; validation is left out.

    Args:
        path: the file.
        arrays: what it holds: `train_images` `[n, height, width]` or `[n, height, width, 3]`,
            `train_labels` `[n, 1]` or `[n]`, and the same for `test`.

    Returns:
        The set, named after the file; grey images get a channel axis.

    Raises:
        DataError: an array is missing, or gives several labels an example.

    References:
        Yang et al., "MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D biomedical
        image classification", Scientific Data, 2023.
    """
    missing = [key for key in KEYS if key not in arrays]
    if missing:
        raise DataError(
            f"{path}: no {', '.join(missing)}, only {', '.join(arrays)}; expected MedMNIST's "
            f"layout: {', '.join(KEYS)}"
        )
    train = Examples(_images(path, arrays["train_images"]), _labels(path, arrays["train_labels"]))
    test = Examples(_images(path, arrays["test_images"]), _labels(path, arrays["test_labels"]))
    highest = max(split.targets.max(initial=0) for split in (train, test))
    return published_images(path.stem, train, test, outputs=int(highest) + 1)


def _images(path: Path, images: np.ndarray) -> np.ndarray:
    if images.ndim < 3:
        raise DataError(f"{path}: images of shape {images.shape}, expected [n, height, width, ...]")
    return images if images.shape[-1] in (1, 3) else images[..., None]


def _labels(path: Path, labels: np.ndarray) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise DataError(
            f"{path}: labels of shape {labels.shape} and type {labels.dtype}, expected whole "
            "numbers [n] or [n, 1]: sets with several labels per example cannot be loaded"
        )
    return labels
