"""The sets that come with scikit-learn, and what a model sees of each."""

from importlib import metadata

import numpy as np

from pride_jax.data.cache import read_cache, write_cache
from pride_jax.data.examples import NO_SHIFT, Examples, PublishedSet

BUNDLED = ("iris", "wine", "breast_cancer", "digits", "diabetes")

_VERSION = 4
"""Of what is made of the sets; files of another are not read."""

_MIDDLES = {
    "iris": (6, 3, 4, 1),
    "wine": (13, 2, 2.4, 20, 100, 2, 2, 0.4, 1.5, 5, 1, 2.5, 700),
    "breast_cancer": (
        *(14, 20, 90, 600, 0.1, 0.1, 0.1, 0.05, 0.2, 0.06),
        *(0.4, 1, 3, 40, 0.007, 0.03, 0.03, 0.01, 0.02, 0.004),
        *(16, 25, 100, 900, 0.13, 0.25, 0.3, 0.1, 0.3, 0.08),
    ),
    "diabetes": (50, 1.5, 25, 95, 190, 115, 50, 4, 4.6, 90),
}
"""By feature, near the middle of what such a measurement may be: chosen, of one or two digits."""
_SPREADS = {
    "iris": (1, 1, 1, 1),
    "wine": (1, 1, 0.3, 3, 15, 0.6, 1, 0.1, 0.6, 2, 0.2, 0.7, 300),
    "breast_cancer": (
        *(4, 4, 20, 400, 0.01, 0.05, 0.1, 0.04, 0.03, 0.007),
        *(0.3, 0.6, 2, 50, 0.003, 0.02, 0.03, 0.006, 0.008, 0.003),
        *(5, 6, 30, 600, 0.02, 0.15, 0.2, 0.07, 0.06, 0.02),
    ),
    "diabetes": (13, 0.5, 4, 14, 35, 30, 13, 1, 0.5, 11),
}
"""By feature, about how far apart two people, wines or flowers are; iris keeps its centimetres."""


def load_bundled(name: str) -> PublishedSet:
    """Load one of the `BUNDLED` sets, from the cache once it has been read.

    - `iris`, `wine`, `breast_cancer` and `diabetes` are tables of measurements as they were made. A
      model sees each less a round number near its middle, over one near its spread: both are
      written down here, and no example moves them. The mean of all examples would not do: who has
      the others subtracts them, and is left with one person's.
    - `digits` are uint8 images `[8, 8, 1]`, scaled by 1/16, their largest value.
    - `diabetes` is a regression. The target, a measure of the disease's progression from 25 to
      346, is given as (progression − 150) / 100: both constants are chosen, too. An error of 0.5
      is one of 50 on the published scale.

    References:
        Fisher, "The use of multiple measurements in taxonomic problems", 1936 (iris). Efron,
        Hastie, Johnstone and Tibshirani, "Least angle regression", Annals of Statistics, 2004
        (diabetes).
    """
    key = f"{name}-{_VERSION}-scikit-learn-{metadata.version('scikit-learn')}"
    cached = read_cache(key)
    if isinstance(cached, PublishedSet):
        return cached
    published = _read_bundled(name)
    write_cache(key, published)
    return published


def _read_bundled(name: str) -> PublishedSet:
    # A slow import that a second start does without.
    from sklearn import datasets

    # Scaled by scikit-learn, columns add up to zero: each patient is minus all others.
    options = {"scaled": False} if name == "diabetes" else {}
    bundled = getattr(datasets, f"load_{name}")(**options)
    if name == "digits":
        images = bundled.images.astype(np.uint8)[..., None]
        scale = np.array(1 / 16, np.float32)
        return PublishedSet(name, Examples(images, bundled.target), None, 10, NO_SHIFT, scale)
    shift = np.array(_MIDDLES[name], np.float32)
    scale = (1 / np.array(_SPREADS[name])).astype(np.float32)
    if name == "diabetes":
        examples = Examples(bundled.data, (bundled.target - 150) / 100)
        return PublishedSet(name, examples, None, 1, shift, scale)
    return PublishedSet(
        name=name,
        train=Examples(bundled.data, bundled.target),
        test=None,
        outputs=len(bundled.target_names),
        shift=shift,
        scale=scale,
        class_names=tuple(map(str, bundled.target_names)),
        input_names=tuple(map(str, bundled.feature_names)),
    )
