"""`load_dataset`: a data set by its name, from the first source that has it, checked and split."""

import difflib
import os
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pride_jax.data.cache import read_cache, write_cache
from pride_jax.data.examples import (
    Absent,
    Examples,
    PublishedSet,
    check_published,
    hold_out,
)
from pride_jax.data.idx import IDX_FILES, load_idx_folder
from pride_jax.data.medmnist import load_medmnist
from pride_jax.errors import DataError

_BUNDLED = ("iris", "wine", "breast_cancer", "digits")
_IDX_SETS = ("mnist", "fashion_mnist")
_IDX_SETS_VERSION = "3.0.1"


class Dataset(NamedTuple):
    """A data set for classification, in memory.

    The model sees `(inputs - shift) * scale`. Nothing in either is estimated from the clients'
    shares: they are constants that are published with the set.

    Attributes:
        name: what the set is called.
        train_inputs: uint8 or float32, `[n, *features]`; images are `[n, height, width, channels]`.
        train_targets: int32, `[n]`, from 0 to `outputs - 1`.
        test_inputs: as `train_inputs`, `[m, *features]`; the validation examples if some were
            asked for.
        test_targets: int32, `[m]`.
        outputs: how many classes the set has.
        shift: float32, `[]` for images and `[*features]` for tables.
        scale: float32, as `shift`.
        groups: int32, `[n]`, who made each training example (QMNIST's writers); None where nobody
            knows.
        test_groups: int32, `[m]`, likewise of each test example.
    """

    name: str
    train_inputs: np.ndarray
    train_targets: np.ndarray
    test_inputs: np.ndarray
    test_targets: np.ndarray
    outputs: int
    shift: np.ndarray
    scale: np.ndarray
    groups: np.ndarray | None
    test_groups: np.ndarray | None = None


def load_dataset(
    name: str,
    *,
    directory: Path | None = None,
    test_examples: int | None = None,
    validation_examples: int = 0,
    seed: int = 0,
) -> Dataset:
    """Load a data set, whole and checked; never a stand-in for one that cannot be had.

    - `iris`, `wine`, `breast_cancer` and `digits` come with scikit-learn, and are kept in the cache
      once read. They have no official split, so test examples are drawn. Tables are shifted by the
      mean of the complete published set and, but for iris, all of whose features are centimetres,
      scaled by its standard deviation: public summaries that its description prints. Digits
      (`[8, 8, 1]`) are scaled by 1/16, their largest value.
    - `mnist` and `fashion_mnist` come from a folder of IDX files, else from the cache, else from
      tensorflow-datasets, which downloads them if need be. Images are uint8 `[28, 28, 1]`, scaled
      by 1/255. The official tensorflow-datasets copy has the same examples in another order.
    - A path that ends in `.npz` is a file laid out as MedMNIST's. Its validation split is left out.
    - Any other name is a classification set of tensorflow-datasets, read if it is prepared in
      `TFDS_DATA_DIR`; preparing one takes the extra `tfds`. Bytes are scaled by 1/255, other
      numbers not at all.

    Args:
        name: one of the above.
        directory: where the IDX files lie, directly or in a folder called `name`; by default the
            environment variable `PRIDE_DATA_DIR`. Other sets do not ask for it.
        test_examples: how many test examples to draw, each class in proportion, from a set without
            an official test split; by default a fifth of it (rounded down).
        validation_examples: if positive, that many training examples, each class in proportion,
            leave training and take the test examples' place: to tune without touching those.
        seed: of both draws.

    Returns:
        The data set.

    Raises:
        DataError: the name is unknown, the set cannot be had (the message lists every source
            that was tried), it is not what it says it is, or a split is impossible.

    References:
        Fisher, "The use of multiple measurements in taxonomic problems", 1936 (iris). LeCun,
        Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998
        (MNIST). Xiao, Rasul and Vollgraf, arXiv:1708.07747, 2017 (Fashion-MNIST). Yadav and
        Bottou, "Cold Case: The Lost MNIST Digits", 2019 (writers). Yang et al., "MedMNIST v2",
        Scientific Data, 2023.
    """
    if validation_examples < 0 or seed < 0:
        raise DataError(
            f"validation_examples={validation_examples}, seed={seed}: expected neither below 0"
        )
    published = check_published(_find(name, directory))
    train, test = published.train, published.test
    if test is None:
        count = len(train.targets) // 5 if test_examples is None else test_examples
        train, test = hold_out(train, count, seed, "test_examples")
    elif test_examples is not None:
        raise DataError(
            f"test_examples={test_examples}: {name} has an official test split of "
            f"{len(test.targets)}; leave test_examples out, or ask for validation_examples"
        )
    if validation_examples:
        train, test = hold_out(train, validation_examples, seed, "validation_examples")
    return Dataset(
        name=published.name,
        train_inputs=train.inputs,
        train_targets=train.targets,
        test_inputs=test.inputs,
        test_targets=test.targets,
        outputs=published.outputs,
        shift=published.shift,
        scale=published.scale,
        groups=train.groups,
        test_groups=test.groups,
    )


def _find(name: str, directory: Path | None) -> PublishedSet:
    if name in _BUNDLED:
        return _load_bundled(name)
    if name.endswith(".npz"):
        return load_medmnist(Path(name))
    attempts = _idx_set_attempts(name, directory) if name in _IDX_SETS else _other_attempts(name)
    tried = []
    for attempt in attempts:
        if isinstance(attempt, PublishedSet):
            return attempt._replace(name=name)
        tried.append(attempt.reason)
    remedy = (
        f"put its four IDX files ({', '.join(IDX_FILES)}) in a folder and name it with directory "
        "or PRIDE_DATA_DIR, or load it once with a network"
        if name in _IDX_SETS
        else "prepare it on a machine with TensorFlow and a network, and copy it to TFDS_DATA_DIR"
    )
    sources = "".join(f"\n  - {reason}" for reason in tried)
    raise DataError(f"{name} cannot be had. Tried:{sources}\nTo do: {remedy}.")


def _load_bundled(name: str) -> PublishedSet:
    key = f"{name}-scikit-learn-{metadata.version('scikit-learn')}"
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
    if name == "digits":
        examples = Examples(bundled.images.astype(np.uint8)[..., None], bundled.target)
        shift, scale = np.array(0, np.float32), np.array(1 / 16, np.float32)
    else:
        examples = Examples(bundled.data, bundled.target)
        shift = bundled.data.mean(axis=0).astype(np.float32)
        # Iris's features share one unit, centimetres; the others' differ by orders of magnitude.
        spread = np.ones(4) if name == "iris" else bundled.data.std(axis=0)
        scale = (1 / spread).astype(np.float32)
    return PublishedSet(name, examples, None, len(bundled.target_names), shift, scale)


def _idx_set_attempts(name: str, directory: Path | None) -> Iterator[PublishedSet | Absent]:
    folder = directory or os.environ.get("PRIDE_DATA_DIR")
    if folder:
        yield load_idx_folder(Path(folder).expanduser(), name)
    else:
        yield Absent("IDX files: neither directory nor PRIDE_DATA_DIR names a folder")
    key = f"{name}-{_IDX_SETS_VERSION}"
    yield read_cache(key)
    # Half a second of import that the sources above do without.
    from pride_jax.data import tfds_sets

    yield tfds_sets.load_prepared(tfds_sets.find_prepared(name), key)
    yield tfds_sets.load_prepared(tfds_sets.find_prepared(f"idx_images/{name}"), key)
    yield tfds_sets.load_prepared(tfds_sets.prepare_idx_images(name), key)


def _other_attempts(name: str) -> Iterator[PublishedSet | Absent]:
    from pride_jax.data import tfds_sets

    prepared = tfds_sets.find_prepared(name)
    if isinstance(prepared, Absent):
        _refuse_unknown(name, tfds_sets.known_names())
    yield tfds_sets.load_prepared(prepared)
    yield tfds_sets.load_prepared(tfds_sets.prepare_official(name))


def _refuse_unknown(name: str, official_names: list[str]) -> None:
    own_names = (*_BUNDLED, *_IDX_SETS)
    official_name = name.split("/")[0].split(":")[0]
    if official_name in official_names:
        return
    alike = difflib.get_close_matches(official_name, {*own_names, *official_names})
    question = f"did you mean {' or '.join(alike)}? " if alike else ""
    raise DataError(
        f"{name!r} is no data set: {question}Expected {', '.join(own_names)}, the path of a "
        "MedMNIST file ending in .npz, or a classification set of tensorflow-datasets like cifar10"
    )
