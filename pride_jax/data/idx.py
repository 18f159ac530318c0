"""The IDX format, and folders of IDX files laid out like MNIST's."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np

from pride_jax.data.examples import Absent, Examples, PublishedSet, published_images
from pride_jax.errors import DataError

IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
"""The four files of an MNIST-like set, as LeCun et al. (1998) named them."""

IDX_CLASSES = {
    "fashion_mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    )
}
"""The names of a set's classes, which no IDX file holds (Xiao, Rasul and Vollgraf, 2017)."""

_QMNIST_LABELS = "qmnist-train-labels-idx2-int"
_SPELLINGS = (("-idx", ""), (".idx", ""), ("-idx", ".gz"), (".idx", ".gz"))
_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
# The sets share their file names, so only what is inside tells one from another.
_FIRST_LABELS = {
    "mnist": (5, 0, 4, 1, 9, 2, 1, 3, 1, 4),
    "fashion_mnist": (9, 0, 0, 3, 0, 2, 7, 2, 5, 5),
}


def read_idx(path: Path) -> np.ndarray:
    """Read one IDX file, gzipped or not.

    Args:
        path: the file. Its first bytes say whether it is gzipped, not its name.

    Returns:
        The array it holds, in the machine's byte order.

    Raises:
        DataError: the file cannot be read, is not IDX, or is not as long as its header says.

    References:
        LeCun, Cortes and Burges, "The MNIST database of handwritten digits" (the format's page).
    """
    content = _read_bytes(path)
    zeros, code, rank = struct.unpack_from(">HBB", content) if len(content) >= 4 else (None, 0, 0)
    if zeros != 0 or code not in _TYPES:
        raise DataError(
            f"{path}: not an IDX file: it starts with {content[:4].hex(' ') or 'nothing'}, "
            f"expected 00 00, a type ({', '.join(f'{known:02x}' for known in _TYPES)}) and the "
            "number of dimensions; get the file anew"
        )
    header = 4 + 4 * rank
    if len(content) < header:
        raise DataError(f"{path}: cut short in its {header}-byte header; get the file anew")
    shape = struct.unpack_from(f">{rank}I", content, 4)
    dtype = np.dtype(_TYPES[code])
    expected = header + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise DataError(
            f"{path}: {len(content)} bytes (unpacked), but its header announces shape {shape}, "
            f"which takes {expected}; get the file anew"
        )
    values = np.frombuffer(content, dtype, offset=header).reshape(shape)
    return values.astype(dtype.newbyteorder("="), copy=False)


def _read_bytes(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: damaged gzip file ({error}); get the file anew") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); check the file") from error


def load_idx_folder(folder: Path, name: str) -> PublishedSet | Absent:
    """Load an MNIST-like set from its four IDX files.

    QMNIST's `qmnist-train-labels-idx2-int` beside them says who wrote each training digit
    (Yadav and Bottou, "Cold Case: The Lost MNIST Digits", 2019): its column 2 becomes the groups.

    Args:
        folder: where the files lie, or where a folder called `name` holds them; each file as
            `train-images-idx3-ubyte` or `train-images.idx3-ubyte`, gzipped (`.gz`) or not.
        name: `mnist` or `fashion_mnist`.

    Returns:
        The set, or that none of its files is there.

    Raises:
        DataError: `folder` is no folder, some files are missing, or one is not what it should be.
    """
    try:
        files = _find_files(folder, name)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error}); check its permissions") from error
    if not files:
        return Absent(f"IDX files: none of {', '.join(IDX_FILES)} in {folder} or {folder / name}")
    missing = [stem for stem in IDX_FILES if stem not in files]
    if missing:
        raise DataError(
            f"{folder}: {name} needs four IDX files, but {', '.join(missing)} (.gz or not) "
            f"{'is' if len(missing) == 1 else 'are'} missing beside {next(iter(files.values()))}"
        )
    return _load_files(files, name)


def _find_files(folder: Path, name: str) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; expected one that holds {name}'s IDX files")
    for place in (folder / name, folder):
        found = {stem: _find_file(place, stem) for stem in (*IDX_FILES, _QMNIST_LABELS)}
        if any(found[stem] for stem in IDX_FILES):
            return {stem: path for stem, path in found.items() if path}
    return {}


def _find_file(folder: Path, stem: str) -> Path | None:
    spellings = (folder / (stem.replace("-idx", mark) + end) for mark, end in _SPELLINGS)
    return next(filter(Path.is_file, spellings), None)


def _load_files(files: dict[str, Path], name: str) -> PublishedSet:
    train_images, train_labels, test_images, test_labels = (files[stem] for stem in IDX_FILES)
    train = read_idx_pair(train_images, train_labels)
    test = read_idx_pair(test_images, test_labels)
    first = tuple(train.targets[:10].tolist())
    for other, labels in _FIRST_LABELS.items():
        if other != name and first == labels:
            raise DataError(
                f"{train_labels}: {name} was asked for, but these are the labels of {other}; put "
                "each set in a folder of its own name"
            )
    if _QMNIST_LABELS in files:
        train = train._replace(groups=_writers(files[_QMNIST_LABELS], train.targets))
    return published_images(name, train, test, outputs=10)


def read_idx_pair(image_file: Path, label_file: Path) -> Examples:
    """Read images and their labels.

    Args:
        image_file: IDX file of uint8 `[n, 28, 28]`.
        label_file: IDX file of `[n]` labels.

    Returns:
        Images as uint8 `[n, 28, 28, 1]`, with their labels.

    Raises:
        DataError: a file is damaged, of another shape, or their counts disagree.
    """
    images, labels = read_idx(image_file), read_idx(label_file)
    if images.shape[1:] != (28, 28) or images.dtype != np.uint8:
        raise DataError(
            f"{image_file}: {images.dtype} of shape {images.shape}, expected uint8 [n, 28, 28]"
        )
    if labels.shape != images.shape[:1]:
        raise DataError(
            f"{label_file}: labels of shape {labels.shape} for the {len(images)} images in "
            f"{image_file.name}; expected one label per image: take both from the same release"
        )
    return Examples(images[..., None], labels)


def _writers(path: Path, labels: np.ndarray) -> np.ndarray:
    table = read_idx(path)
    if table.ndim != 2 or len(table) != len(labels) or table.shape[1] < 3:
        raise DataError(
            f"{path}: a table of shape {table.shape}, expected {len(labels)} rows (one per "
            "training image) of 8 columns; take QMNIST's own file, or remove it"
        )
    differing = np.flatnonzero(table[:, 0] != labels)
    if differing.size:
        raise DataError(
            f"{path}: {differing.size} of its labels differ from the training labels, the first "
            f"at index {differing[0]}; expected MNIST's own order: take QMNIST's own file, or "
            "remove it"
        )
    return table[:, 2]
