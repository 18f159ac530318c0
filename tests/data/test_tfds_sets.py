import functools
import http.server
import io
import json
import os
import shutil
import struct
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource
from idx_files import write_idx_set
from PIL import Image

from pride_jax.data import tfds_builder
from pride_jax.data.datasets import load_dataset
from pride_jax.data.described import described
from pride_jax.errors import DataError

pytestmark = pytest.mark.usefixtures("isolated")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable]:
    """Serves a folder on this machine as the mirror of every IDX set."""
    servers = []

    def serve(folder: Path) -> Callable[[], None]:
        handler = functools.partial(QuietHandler, directory=folder)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        for name in tfds_builder.MIRRORS:
            url = f"http://127.0.0.1:{server.server_port}/"
            monkeypatch.setitem(tfds_builder.MIRRORS, name, url)
        return functools.partial(stop, server)

    def stop(server: http.server.HTTPServer) -> None:
        server.shutdown()
        server.server_close()
        servers.remove(server)

    yield serve
    for server in list(servers):
        stop(server)


def assert_same(dataset, arrays: dict[str, np.ndarray]) -> None:
    assert ("Ankle boot" in dataset.class_names) == (dataset.name == "fashion_mnist")
    train_images, train_labels, test_images, test_labels = arrays.values()
    np.testing.assert_array_equal(dataset.train_inputs, train_images[..., None])
    np.testing.assert_array_equal(dataset.train_targets, train_labels)
    np.testing.assert_array_equal(dataset.test_inputs, test_images[..., None])
    np.testing.assert_array_equal(dataset.test_targets, test_labels)
    assert dataset.train_inputs.dtype == np.uint8
    assert (dataset.outputs, dataset.scale) == (10, np.float32(1 / 255))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_a_set_is_downloaded_once_prepared_once_and_then_read_from_the_cache(
    name: str, tmp_path: Path, mirror: Callable, capfd: pytest.CaptureFixture
):
    arrays = write_idx_set(tmp_path / "served")
    stop_server = mirror(tmp_path / "served")
    downloaded = load_dataset(name)
    assert downloaded.name == name
    assert_same(downloaded, arrays)

    stop_server()
    shutil.rmtree(tmp_path / "cache")
    assert_same(load_dataset(name), arrays)  # from what was prepared

    shutil.rmtree(tmp_path / "tfds")
    assert_same(load_dataset(name), arrays)  # from the cache

    shutil.rmtree(tmp_path / "cache")
    with pytest.raises(DataError, match=f"{name} cannot be had"):
        load_dataset(name)
    assert capfd.readouterr() == ("", "")


def test_a_damaged_download_is_told_and_leaves_nothing_prepared(tmp_path: Path, mirror: Callable):
    write_idx_set(tmp_path / "served")
    (tmp_path / "served" / "train-images-idx3-ubyte.gz").write_bytes(b"not what was meant")
    mirror(tmp_path / "served")
    with pytest.raises(DataError, match=r"preparing it failed \(.*not an IDX file"):
        load_dataset("mnist")
    assert not (tmp_path / "tfds" / "idx_images" / "mnist" / "3.0.1").exists()


def test_a_mirror_without_the_files_is_told(tmp_path: Path, mirror: Callable):
    mirror(tmp_path)
    with pytest.raises(DataError, match=r"labels-idx1-ubyte.gz cannot be reached .*404"):
        load_dataset("mnist")


@pytest.mark.data
def test_the_real_mnist_survives_download_preparation_and_reading(
    mirror: Callable, monkeypatch: pytest.MonkeyPatch
):
    folder = Path(os.environ["PRIDE_DATA_DIR"])
    from_files = load_dataset("mnist", directory=folder)
    mirror(folder / "mnist" if (folder / "mnist").is_dir() else folder)
    monkeypatch.delenv("PRIDE_DATA_DIR")
    prepared = load_dataset("mnist")
    for field in ("train_inputs", "train_targets", "test_inputs", "test_targets"):
        np.testing.assert_array_equal(getattr(prepared, field), getattr(from_files, field))


RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (12, 4, 5, 3), np.uint8)
POINTS = RNG.normal(size=(12, 3)).astype(np.float32)
LABELS = np.arange(12) % 3

IMAGE = tfds.features.Image(shape=(4, 5, 3))
POINT = tfds.features.Tensor(shape=(3,), dtype=np.float32)
CLASS = tfds.features.ClassLabel(num_classes=3)


def png(pixels: np.ndarray) -> io.BytesIO:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "png")
    content.seek(0)
    return content


def prepare(
    folder: Path,
    inputs: Sequence | np.ndarray,
    feature: tfds.features.FeatureConnector,
    *,
    label: tfds.features.FeatureConnector = CLASS,
    keys: tuple[str, ...] | None = ("x", "y"),
    splits: Sequence[str] = ("train", "test"),
) -> Path:
    """Prepare `toy_set` as array_record, its first 9 examples and its last 3 in a split each."""

    with tfds.core.registered.skip_registration():

        class ToySet(tfds.core.GeneratorBasedBuilder):
            """Something small."""

            VERSION = tfds.core.Version("1.2.3")

            def _info(self):
                features = tfds.features.FeaturesDict({"x": feature, "y": label, "id": np.int64})
                return tfds.core.DatasetInfo(
                    builder=self, features=features, supervised_keys=keys, disable_shuffling=True
                )

            def _split_generators(self, dl_manager):
                parts = (range(9), range(9, 12))
                return {s: self._generate_examples(p) for s, p in zip(splits, parts, strict=False)}

            def _generate_examples(self, part):
                for i in part:
                    yield i, {"x": inputs[i], "y": int(LABELS[i]), "id": i}

    with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
        builder = ToySet(data_dir=folder, file_format="array_record")
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )
    return Path(builder.data_path)


def records(path: Path) -> list[bytes]:
    source = ArrayRecordDataSource([str(path)])
    return list(source.__getitems__(range(len(source))))


def announce(folder: Path, file_format: str) -> None:
    described = folder / "dataset_info.json"
    info = json.loads(described.read_text())
    described.write_text(json.dumps(info | {"fileFormat": file_format}))


def store_as_tfrecord(folder: Path) -> None:
    for path in sorted(folder.glob("*.array_record-*")):
        framed = b"".join(
            struct.pack("<QI", len(record), 0) + record + struct.pack("<I", 0)
            for record in records(path)
        )
        (folder / path.name.replace("array_record", "tfrecord")).write_bytes(framed)
        path.unlink()
    announce(folder, "tfrecord")


def leave(folder: Path) -> None:
    pass


@pytest.mark.parametrize("store", [leave, store_as_tfrecord])
def test_a_prepared_set_of_images_is_read(tmp_path: Path, store: Callable, capfd):
    store(prepare(tmp_path / "tfds", [png(pixels) for pixels in PIXELS], IMAGE))
    for _ in ("from its files", "from the cache"):
        dataset = load_dataset("toy_set")
        assert (dataset.name, dataset.outputs, dataset.class_names) == ("toy_set", 3, ())
        np.testing.assert_array_equal(dataset.train_inputs, PIXELS[:9])
        np.testing.assert_array_equal(dataset.train_targets, LABELS[:9])
        np.testing.assert_array_equal(dataset.test_inputs, PIXELS[9:])
        np.testing.assert_array_equal(dataset.test_targets, LABELS[9:])
        assert dataset.train_inputs.dtype == np.uint8
        assert dataset.scale == np.float32(1 / 255)
    assert capfd.readouterr() == ("", "")


def test_numbers_are_left_as_they_are_and_a_fifth_is_held_out_of_a_set_without_test_split(
    tmp_path: Path,
):
    prepare(tmp_path / "tfds", POINTS, POINT, splits=["train"])
    for _ in ("from its files", "from the cache"):
        dataset = load_dataset("toy_set")
        assert (dataset.shift, dataset.scale) == (0, 1)
        assert dataset.test_inputs.shape == (1, 3)
        both = np.concatenate([dataset.train_inputs, dataset.test_inputs])
        np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(POINTS[:9], axis=0))
    assert len(load_dataset("toy_set", test_examples=4).test_targets) == 4


def test_classes_have_the_names_that_the_set_gives_them(tmp_path: Path):
    label = tfds.features.ClassLabel(names=["rock", "paper", "scissors"])
    prepare(tmp_path / "tfds", POINTS, POINT, label=label)
    for _ in ("from its files", "from the cache"):
        dataset = load_dataset("toy_set")
        assert dataset.class_names == ("rock", "paper", "scissors")
        assert "3 classes: rock, paper, scissors" in described(dataset, 2, hides=True)[0]


def test_a_set_prepared_anew_is_read_anew(tmp_path: Path):
    folder = prepare(tmp_path / "tfds", POINTS, POINT)
    load_dataset("toy_set")
    shutil.rmtree(folder)
    prepare(tmp_path / "tfds", POINTS + 1, POINT)
    np.testing.assert_array_equal(load_dataset("toy_set").train_inputs, POINTS[:9] + 1)


@pytest.mark.parametrize("store", [leave, store_as_tfrecord])
@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("train", "test", "its files hold 9 examples, but 3 are announced"),
        ("test", "train", "its files hold 3 examples, but 9 are announced"),
    ],
)
def test_files_with_more_or_fewer_rows_than_announced_are_refused(
    tmp_path: Path, store: Callable, source: str, target: str, message: str
):
    folder = prepare(tmp_path / "tfds", POINTS, POINT)
    store(folder)
    shutil.copy(next(folder.glob(f"*{source}.*")), next(folder.glob(f"*{target}.*")))
    with pytest.raises(DataError, match=message):
        load_dataset("toy_set")


@pytest.mark.parametrize("store", [leave, store_as_tfrecord])
def test_files_cut_short_are_refused(tmp_path: Path, store: Callable):
    folder = prepare(tmp_path / "tfds", POINTS, POINT)
    store(folder)
    path = next(folder.glob("*train.*"))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(
        DataError, match=r"toy_set/1.2.3 \(train\) cannot be read: .*prepare the set anew"
    ):
        load_dataset("toy_set")


def test_parquet_is_refused(tmp_path: Path):
    announce(prepare(tmp_path / "tfds", POINTS, POINT), "parquet")
    with pytest.raises(DataError, match=r"stored as parquet.*may drop most rows in silence"):
        load_dataset("toy_set")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"keys": None}, "supervised_keys=None, expected the names of one input and one label"),
        ({"keys": ("x", "id")}, "its id is .*, expected a ClassLabel"),
        ({"splits": ["test"]}, "no split called train, only test"),
        (
            {"feature": tfds.features.Tensor(shape=(None,), dtype=np.float32)},
            "its x is .*expected numbers of one fixed shape",
        ),
    ],
)
def test_a_set_that_is_not_for_classification_is_refused(
    tmp_path: Path, settings: dict, message: str
):
    prepare(tmp_path / "tfds", **({"inputs": POINTS, "feature": POINT} | settings))
    with pytest.raises(DataError, match=message):
        load_dataset("toy_set")


def test_numbers_that_are_not_finite_are_refused_from_here_too(tmp_path: Path):
    points = POINTS.copy()
    points[5, 2] = np.nan
    prepare(tmp_path / "tfds", points, POINT)
    with pytest.raises(DataError, match=r"1 of 27 features are NaN .* at index \(5, 2\)"):
        load_dataset("toy_set")


def test_preparing_an_official_set_takes_tensorflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # as where the extra is not installed
    with pytest.raises(DataError, match=r"(?s)cifar10 is not prepared in .*pip install 'pride-jax"):
        load_dataset("cifar10")


def test_a_cache_that_cannot_be_written_is_told_and_nothing_else_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    prepare(tmp_path / "tfds", POINTS, POINT)
    (tmp_path / "file").touch()
    monkeypatch.setenv("PRIDE_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with pytest.warns(RuntimeWarning, match=r"could not be kept in .*set PRIDE_CACHE_DIR"):
        dataset = load_dataset("toy_set")
    np.testing.assert_array_equal(dataset.train_inputs, POINTS[:9])


def test_a_damaged_cache_is_made_anew(tmp_path: Path):
    prepare(tmp_path / "tfds", POINTS, POINT)
    load_dataset("toy_set")
    (kept,) = (tmp_path / "cache").iterdir()
    whole = kept.read_bytes()
    for damaged in (b"", whole[:-50], b"not what was meant"):
        kept.write_bytes(damaged)
        np.testing.assert_array_equal(load_dataset("toy_set").train_inputs, POINTS[:9])
        with np.load(kept) as stored:
            np.testing.assert_array_equal(stored["train_inputs"], POINTS[:9])
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [kept.name]
