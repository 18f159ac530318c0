"""The sets that come with scikit-learn, and what a model sees of each."""

from importlib import metadata

import numpy as np

from pride_jax.data.cache import read_cache, write_cache
from pride_jax.data.examples import NO_SHIFT, Examples, PublishedSet

BUNDLED = ("iris", "wine", "breast_cancer", "digits", "diabetes")

_VERSION = 2
"""Of what is made of the sets; files of another are not read."""


def load_bundled(name: str) -> PublishedSet:
    """Load one of the `BUNDLED` sets, from the cache once it has been read.

    - `iris`, `wine` and `breast_cancer` are tables, shifted by the mean of the complete published
      set and, but for iris, all of whose features are centimetres, scaled by its standard
      deviation: public summaries that scikit-learn's description of each set prints.
    - `digits` are uint8 images `[8, 8, 1]`, scaled by 1/16, their largest value.
    - `diabetes` is a regression: ten features that scikit-learn ships centred and scaled to a sum
      of squares of one over the 442 patients, here scaled by √442 to a variance of one. The target,
      a measure of the disease's progression from 25 to 346, is given as (progression − 150) / 100:
      both constants are chosen, round and near the middle and the spread of the published range. An
      error of 0.5 is one of 50 on the published scale.

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
    # Two seconds of import that a second start does without.
    from sklearn import datasets

    bundled = getattr(datasets, f"load_{name}")()
    match name:
        case "digits":
            images = bundled.images.astype(np.uint8)[..., None]
            scale = np.array(1 / 16, np.float32)
            return PublishedSet(name, Examples(images, bundled.target), None, 10, NO_SHIFT, scale)
        case "diabetes":
            examples = Examples(bundled.data, (bundled.target - 150) / 100)
            scale = np.array(np.sqrt(442), np.float32)
            return PublishedSet(name, examples, None, 1, NO_SHIFT, scale)
    shift = bundled.data.mean(axis=0).astype(np.float32)
    # Iris's features share one unit, centimetres; the others' differ by orders of magnitude.
    spread = np.ones(4) if name == "iris" else bundled.data.std(axis=0)
    scale = (1 / spread).astype(np.float32)
    examples = Examples(bundled.data, bundled.target)
    return PublishedSet(name, examples, None, len(bundled.target_names), shift, scale)
