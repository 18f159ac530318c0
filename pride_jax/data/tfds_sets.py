"""Sets kept by tensorflow-datasets: read without TensorFlow, and prepared if they are not yet."""

import contextlib
import hashlib
import http.client
import importlib.util
import io
import os
import struct
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource
from tensorflow_datasets.core import read_only_builder

from pride_jax.data.cache import read_cache, write_cache
from pride_jax.data.examples import Absent, Examples, PublishedSet, published_images
from pride_jax.data.idx import IDX_FILES
from pride_jax.data.tfds_builder import MIRRORS, IdxImages
from pride_jax.errors import DataError

_PROBE_SECONDS = 3


def tfds_folder() -> Path:
    """Where tensorflow-datasets keeps its sets: `TFDS_DATA_DIR`, or `~/tensorflow_datasets`."""
    return Path(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def known_names() -> list[str]:
    """The names of the sets that tensorflow-datasets can prepare."""
    return tfds.list_builders(with_community_datasets=False)


def find_prepared(name: str) -> tfds.core.DatasetBuilder | Absent:
    """The prepared set of that name, found by its files: its builder's code is not needed."""
    try:
        with _quiet():
            return read_only_builder.builder_from_files(name, data_dir=tfds_folder())
    except tfds.core.DatasetNotFoundError:
        return Absent(f"tensorflow-datasets: {name} is not prepared in {tfds_folder()}")
    except Exception as error:  # tensorflow-datasets does not say what it raises
        return Absent(f"tensorflow-datasets: {name} in {tfds_folder()} cannot be opened ({error})")


def load_prepared(
    builder: tfds.core.DatasetBuilder | Absent, key: str | None = None
) -> PublishedSet | Absent:
    """Read a prepared classification set whole: its `train` split, and `test` if it has one.

    Args:
        builder: of a set stored as array_record or tfrecord, or why there is none.
        key: of the cache, where the set is kept once it has been read; by default its name and
            version and a sum over where and when it was prepared.

    Returns:
        The set, inputs and labels being the builder's `supervised_keys`, or why there is none.

    Raises:
        DataError: the set is no classification set of inputs of one size, its format cannot be
            read, or its files hold more or fewer examples than it says.
    """
    if isinstance(builder, Absent):
        return builder
    key = key or _fingerprint(builder)
    cached = read_cache(key)
    if isinstance(cached, PublishedSet):
        return cached
    published = _read(builder)
    write_cache(key, published)
    return published


def _fingerprint(builder: tfds.core.DatasetBuilder) -> str:
    described = Path(builder.data_path) / "dataset_info.json"
    stat = described.stat()
    # "named": earlier versions kept sets without the names of their classes.
    content = f"{described} {stat.st_size} {stat.st_mtime_ns} named"
    source = hashlib.sha256(content.encode()).hexdigest()
    return f"{builder.info.full_name.replace('/', '-')}-{source[:12]}"


def _read(builder: tfds.core.DatasetBuilder) -> PublishedSet:
    info: Any = builder.info
    if "train" not in info.splits:
        raise DataError(f"{info.full_name}: no split called train, only {', '.join(info.splits)}")
    keys = _supervised_keys(info)
    train = _read_split(info, "train", keys)
    test = _read_split(info, "test", keys) if "test" in info.splits else None
    label = info.features[keys[1]]
    published = published_images(info.full_name, train, test, label.num_classes)
    # Where classes have no names, tensorflow-datasets names them by their numbers.
    unnamed = label.names == [str(class_) for class_ in range(label.num_classes)]
    return published._replace(class_names=() if unnamed else tuple(label.names))


def _supervised_keys(info: Any) -> tuple[str, str]:
    name, keys, features = info.full_name, info.supervised_keys, info.features
    if keys is None or len(keys) != 2 or not all(isinstance(key, str) for key in keys):
        raise DataError(
            f"{name}: supervised_keys={keys}, expected the names of one input and one label; only "
            "classification sets can be loaded"
        )
    inputs, label = (features[key] for key in keys)
    fixed = isinstance(inputs.shape, tuple) and None not in inputs.shape
    if not fixed or np.dtype(inputs.np_dtype).kind not in "biuf":
        raise DataError(
            f"{name}: its {keys[0]} is {inputs}, expected numbers of one fixed shape; bring all "
            "examples to one size and store them as .npz"
        )
    if not isinstance(label, tfds.features.ClassLabel):
        raise DataError(
            f"{name}: its {keys[1]} is {label}, expected a ClassLabel: one of n classes"
        )
    return keys


def _read_split(info: Any, split: str, keys: tuple[str, str]) -> Examples:
    try:
        return _read_examples(info, split, keys)
    except Exception as error:  # whatever array_record, protobuf or an image decoder raises
        raise DataError(
            f"{info.full_name} ({split}) cannot be read: {error}; remove {info.data_dir} and "
            "prepare the set anew"
        ) from error


def _read_examples(info: Any, split: str, keys: tuple[str, str]) -> Examples:
    paths = [Path(path) for path in info.splits[split].filepaths]
    records = _read_records(paths, info.file_format)
    announced = info.splits[split].num_examples
    if len(records) != announced:
        raise DataError(f"its files hold {len(records)} examples, but {announced} are announced")
    feature = info.features[keys[0]]
    inputs = np.empty((announced, *feature.shape), feature.np_dtype)
    labels = np.empty(announced, np.int64)
    for row, record in enumerate(records):
        example = info.features.deserialize_example_np(record)
        inputs[row], labels[row] = (example[key] for key in keys)
    return Examples(inputs, labels)


def _read_records(paths: list[Path], file_format: tfds.core.FileFormat) -> list[bytes]:
    match file_format:
        case tfds.core.FileFormat.ARRAY_RECORD:
            source = ArrayRecordDataSource([str(path) for path in paths])
            return list(source.__getitems__(range(len(source))))
        case tfds.core.FileFormat.TFRECORD:
            return [record for path in paths for record in _tfrecords(path)]
    raise DataError(
        f"stored as {file_format.value}, expected array_record or tfrecord: read as parquet, "
        "tensorflow-datasets may drop most rows in silence"
    )


def _tfrecords(path: Path) -> Iterator[bytes]:
    """Records framed as length (8 bytes), its checksum (4), content, its checksum (4)."""
    content = path.read_bytes()
    start = 0
    while start < len(content):
        (length,) = struct.unpack_from("<Q", content, start)
        start += 12 + length + 4
        if start > len(content):
            raise DataError(f"{path.name} is cut short or no tfrecord file")
        yield content[start - 4 - length : start - 4]


def prepare_idx_images(name: str) -> tfds.core.DatasetBuilder | Absent:
    """Download `mnist` or `fashion_mnist` and prepare it without TensorFlow.

    Returns:
        The builder of the set, or what stood in the way.
    """
    unreachable = _unreachable(name)
    if unreachable:
        return unreachable
    return _prepare(
        lambda: IdxImages(config=name, data_dir=tfds_folder(), file_format="array_record"),
        tfds.download.DownloadConfig(try_download_gcs=False),
    )


def prepare_official(name: str) -> tfds.core.DatasetBuilder | Absent:
    """Download and prepare any other set; its builder needs TensorFlow (extra `tfds`).

    Returns:
        The builder of the set, or what stood in the way.
    """
    if importlib.util.find_spec("tensorflow") is None:
        return Absent(
            f"tensorflow-datasets: preparing {name} takes TensorFlow, which is not installed: "
            "pip install 'pride-jax[tfds]'"
        )
    # Sets lie on many hosts; this one tells whether there is a network at all.
    unreachable = _unreachable("mnist")
    if unreachable:
        return unreachable
    return _prepare(
        lambda: tfds.builder(name, data_dir=tfds_folder()), tfds.download.DownloadConfig()
    )


def _unreachable(name: str) -> Absent | None:
    """Ask before a download: without a network tensorflow-datasets tries for minutes."""
    request = urllib.request.Request(f"{MIRRORS[name]}{IDX_FILES[-1]}.gz", method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=_PROBE_SECONDS):
            return None
    except (OSError, http.client.HTTPException) as error:
        return Absent(f"download: {request.full_url} cannot be reached ({error})")


def _prepare(
    construct: Callable[[], tfds.core.DatasetBuilder], config: tfds.download.DownloadConfig
) -> tfds.core.DatasetBuilder | Absent:
    try:
        with _quiet():
            builder = construct()
            builder.download_and_prepare(download_config=config)
            return builder
    except Exception as error:  # what the network, the disk and the builder raise
        return Absent(f"tensorflow-datasets: preparing it failed ({error})")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep tensorflow-datasets' bars and banners off the terminal."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
