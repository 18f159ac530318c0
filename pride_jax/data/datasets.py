"""`load_dataset`: a data set by its name, from the first source that has it, checked and split."""

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from pride_jax.data.bundled import BUNDLED, load_bundled
from pride_jax.data.cache import read_cache
from pride_jax.data.columns import Columns, load_table
from pride_jax.data.dataset import Dataset, split
from pride_jax.data.examples import Absent, PublishedSet
from pride_jax.data.idx import IDX_CLASSES, IDX_FILES, load_idx_folder
from pride_jax.data.images import ARCHIVES, load_images
from pride_jax.data.npz import load_npz
from pride_jax.data.tables import TABLES
from pride_jax.data.text import load_text
from pride_jax.errors import DataError
from pride_jax.validated import expect

_IDX_SETS = ("mnist", "fashion_mnist")
_IDX_SETS_VERSION = "3.0.1"
_FILE_SETS = {
    "cifar10_jpeg": "cifar10/cifar10-jpeg.tar.xz",
    "shakespeare": "shakespeare/tinyshakespeare.txt",
}
"""Sets that are one file, and where it lies in a folder of data; or it lies there directly."""


def load_dataset(
    name: str | Path,
    *,
    directory: Path | None = None,
    columns: Columns = Columns(),
    test_examples: int | float | None = None,
    validation_examples: int = 0,
    length: int = 80,
    seed: int = 0,
) -> Dataset:
    """Load a data set, whole and checked; never a stand-in for one that cannot be had.

    - `iris`, `wine`, `breast_cancer` and `digits` (classes) and `diabetes` (one quantity) come
      with scikit-learn, see `load_bundled`. They have no official split, so test examples are
      drawn.
    - `mnist` and `fashion_mnist` come from a folder of IDX files, else from the cache, else from
      tensorflow-datasets, which downloads them if need be. Images are uint8 `[28, 28, 1]`, scaled
      by 1/255. The official tensorflow-datasets copy has the same examples in another order.
    - `cifar10_jpeg` and `shakespeare` are one file each, `cifar10-jpeg.tar.xz` and
      `tinyshakespeare.txt`, in a folder of data or in its folder `cifar10` or `shakespeare`.
      CIFAR-10 is a copy in JPEG, which loses detail: its accuracies are not the original's.
    - A path that ends in `.csv` or `.parquet` is a table with a row for each example, see
      `load_table`; `columns` says what is what.
    - A path that ends in `.npz` holds arrays, laid out as MedMNIST's, whose validation split is
      left out, or one's own, see `load_npz`.
    - A path of a folder, written with a slash (`./flowers`), or of an archive (`.tar`, `.tar.xz`,
      `.tar.gz`, `.zip`) holds images in a folder for each class, see `load_images`.
    - A path that ends in `.txt` is a text by speaker, see `load_text`: a model learns to
      tell the next character.
    - Any other name is a classification set of tensorflow-datasets, read if it is prepared in
      `TFDS_DATA_DIR`; preparing one takes the extra `tfds`. Bytes are scaled by 1/255, other
      numbers not at all.

    Args:
        name: one of the above; a `Path` is a path.
        directory: the folder of data, where the IDX files or the one file of a set lie; by default
            the environment variable `PRIDE_DATA_DIR`. Other sets do not ask for it.
        columns: what is what in a table or in arrays of one's own.
        test_examples: how many test examples to draw, each class in proportion, from a set without
            a test split of its own: so many, or a share below 1; by default a fifth of it (rounded
            down).
        validation_examples: if positive, that many training examples, each class in proportion,
            leave training and take the test examples' place: to tune without touching those.
        length: tokens an example, of a text.
        seed: of both draws.

    Returns:
        The data set.

    Raises:
        DataError: the name is unknown, the set cannot be had (the message lists every source
            that was tried), it is not what it says it is, or a split is impossible.

    References:
        LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document
        recognition", 1998 (MNIST). Xiao, Rasul and Vollgraf, arXiv:1708.07747, 2017
        (Fashion-MNIST). Yadav and Bottou, "Cold Case: The Lost MNIST Digits", 2019 (writers). Yang
        et al., "MedMNIST v2", Scientific Data, 2023. Krizhevsky, "Learning multiple layers of
        features from tiny images", 2009 (CIFAR-10).
    """
    expect("name", name, (str, Path), "a data set's name or a path")
    expect("seed", seed, int, "a whole number")
    if test_examples is not None:
        expect("test_examples", test_examples, (int, float), "a number or a share of examples")
    if isinstance(name, Path):
        # A folder's name is told from a set's by its slash.
        name = str(name) if name.is_absolute() else f"./{name}"
    return split(_find(name, directory, length, columns), test_examples, validation_examples, seed)


def _find(name: str, directory: Path | None, length: int, columns: Columns) -> PublishedSet:
    if name in BUNDLED:
        return load_bundled(name)
    if name in _FILE_SETS:
        return load_path(_file_of(name, directory), length, columns)._replace(name=name)
    if is_path(name):
        return load_path(Path(name).expanduser(), length, columns)
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


def is_path(name: str) -> bool:
    """Whether a data set's name is the path of a file or folder."""
    return name.endswith((".npz", ".txt", *TABLES, *ARCHIVES)) or (
        "/" in name and Path(name).expanduser().is_dir()
    )


def load_path(path: Path, length: int, columns: Columns) -> PublishedSet:
    """The whole set in a file or folder of one's own, see `is_path`.

    Args:
        path: a table, arrays, a text by speaker, or class folders of images.
        length: tokens an example, of a text.
        columns: what is what in a table or in arrays.

    Raises:
        DataError: it cannot be read, or is not what it says it is.
    """
    if path.suffix in TABLES:
        return load_table(path, columns)
    if path.suffix == ".npz":
        return load_npz(path, columns)
    return load_text(path, length) if path.suffix == ".txt" else load_images(path)


def _file_of(name: str, directory: Path | None) -> Path:
    below = Path(_FILE_SETS[name])
    folder = directory or os.environ.get("PRIDE_DATA_DIR")
    if not folder:
        raise DataError(
            f"{name}: expected {below.name} in a folder that is named with directory or "
            "PRIDE_DATA_DIR, and neither is given"
        )
    places = [Path(folder).expanduser() / place for place in (below, below.name)]
    found = next(filter(Path.is_file, places), None)
    if found is None:
        raise DataError(f"{name}: neither {places[0]} nor {places[1]} is there; put it there")
    return found


def _idx_set_attempts(name: str, directory: Path | None) -> Iterator[PublishedSet | Absent]:
    for attempt in _idx_set_sources(name, directory):
        named = isinstance(attempt, PublishedSet) and name in IDX_CLASSES
        yield attempt._replace(class_names=IDX_CLASSES[name]) if named else attempt


def _idx_set_sources(name: str, directory: Path | None) -> Iterator[PublishedSet | Absent]:
    folder = directory or os.environ.get("PRIDE_DATA_DIR")
    if folder:
        yield load_idx_folder(Path(folder).expanduser(), name)
    else:
        yield Absent("IDX files: neither directory nor PRIDE_DATA_DIR names a folder")
    key = f"{name}-{_IDX_SETS_VERSION}"
    yield read_cache(key)
    # A slow import that the sources above do without.
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
    own_names = (*BUNDLED, *_IDX_SETS, *_FILE_SETS)
    official_name = name.split("/")[0].split(":")[0]
    if official_name in official_names:
        return
    alike = difflib.get_close_matches(official_name, {*own_names, *official_names})
    question = f"did you mean {' or '.join(alike)}? " if alike else ""
    raise DataError(
        f"{name!r} is no data set: {question}Expected {', '.join(own_names)}, the path of a table "
        f"({', '.join(TABLES)}), of arrays (.npz), of a text by speaker (.txt) or of class folders "
        f"of images (a folder, written with a slash, or {', '.join(ARCHIVES)}), or a "
        "classification set of tensorflow-datasets like cifar10"
    )
