"""Class folders of images: the same set from a folder and every archive, or one clear error."""

import io
import os
import tarfile
import time
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pride_jax.data import images
from pride_jax.data.datasets import load_dataset
from pride_jax.data.images import load_images
from pride_jax.errors import DataError

CIFAR10 = Path(os.environ.get("PRIDE_DATA_DIR", ""), "cifar10/cifar10-jpeg.tar.xz")
pytestmark = pytest.mark.usefixtures("isolated")


def pixels(seed: int, shape: tuple[int, ...] = (5, 4, 3)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def encoded(array: np.ndarray, form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(array).save(file, form)
    return file.getvalue()


def split_set() -> dict[str, bytes]:
    names = [
        *(f"train/{class_}/{number}.png" for class_ in ("dog", "cat") for number in range(3)),
        *(f"test/{class_}/{number}.png" for class_ in ("dog", "cat") for number in range(2)),
    ]
    return {name: encoded(pixels(seed)) for seed, name in enumerate(names)}


def in_folder(place: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        file = place / "pets" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return place / "pets"


def in_tar(place: Path, files: dict[str, bytes], end: str, mode: str) -> Path:
    with tarfile.open(place / f"pets{end}", mode) as archive:
        for name, content in reversed(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return place / f"pets{end}"


def in_zip(place: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(place / "pets.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return place / "pets.zip"


SOURCES = {
    "folder": in_folder,
    "tar": lambda place, files: in_tar(place, files, ".tar", "w"),
    "tar.xz": lambda place, files: in_tar(place, files, ".tar.xz", "w:xz"),
    "tar.gz": lambda place, files: in_tar(place, files, ".tar.gz", "w:gz"),
    "zip": in_zip,
}


@pytest.mark.parametrize("around", ["", "some/pets/"])
@pytest.mark.parametrize("kind", SOURCES)
def test_every_source_gives_the_same_set_in_order_of_names(tmp_path, kind: str, around: str):
    files = split_set()
    source = SOURCES[kind](tmp_path, {around + name: content for name, content in files.items()})
    dataset = load_dataset(str(source))
    assert dataset.name == "pets"
    assert dataset.outputs == 2
    np.testing.assert_array_equal(dataset.train_targets, [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(dataset.test_targets, [0, 0, 1, 1])
    np.testing.assert_array_equal(dataset.train_inputs, [pixels(i) for i in (3, 4, 5, 0, 1, 2)])
    np.testing.assert_array_equal(dataset.test_inputs, [pixels(i) for i in (8, 9, 6, 7)])
    assert dataset.train_inputs.dtype == np.uint8
    assert dataset.scale == np.float32(1 / 255)
    assert dataset.notes == ()


@pytest.mark.parametrize("top", ["", "train/"])
def test_without_a_test_split_a_fifth_of_each_class_is_drawn(tmp_path, top: str):
    files = {
        f"{top}{class_}/{number}.png": encoded(pixels(number))
        for class_ in "ab"
        for number in range(10)
    }
    dataset = load_dataset(str(in_folder(tmp_path, files)))
    np.testing.assert_array_equal(np.bincount(dataset.train_targets), [8, 8])
    np.testing.assert_array_equal(np.bincount(dataset.test_targets), [2, 2])


def test_classes_that_are_numbers_are_ordered_as_numbers(tmp_path):
    files = {f"{number}/x.png": encoded(pixels(number)) for number in (0, 2, 10)}
    train = load_images(in_folder(tmp_path, files)).train
    by_class = train.inputs[np.argsort(train.targets)]
    np.testing.assert_array_equal(by_class, [pixels(number) for number in (0, 2, 10)])


@pytest.mark.parametrize(
    ("shape", "channels"),
    [((5, 4), 1), ((5, 4, 3), 3), ((5, 4, 4), 4)],
    ids=["grey", "rgb", "rgba"],
)
def test_images_have_a_channel_axis(tmp_path, shape, channels: int):
    files = {f"{class_}/x.png": encoded(pixels(0, shape)) for class_ in "ab"}
    inputs = load_images(in_folder(tmp_path, files)).train.inputs
    assert inputs.shape == (2, 5, 4, channels)
    np.testing.assert_array_equal(inputs[0].reshape(shape), pixels(0, shape))


def test_jpegs_are_read(tmp_path):
    files = {f"{class_}/x.JPG": encoded(np.full((8, 8), 77, np.uint8), "JPEG") for class_ in "ab"}
    np.testing.assert_array_equal(load_images(in_folder(tmp_path, files)).train.inputs, 77)


@pytest.mark.parametrize("kind", SOURCES)
def test_what_is_no_image_is_left_out_and_counted(tmp_path, kind: str):
    others = {"README.md": b"words", "train/cat/._0.png": b"litter", "__MACOSX/x.png": b"litter"}
    dataset = load_dataset(str(SOURCES[kind](tmp_path, split_set() | others)))
    assert len(dataset.train_targets) == 6
    assert len(dataset.notes) == 1
    assert dataset.notes[0].startswith("3 files, such as ")


def test_the_second_start_reads_the_cache_and_a_changed_source_is_read_anew(tmp_path, monkeypatch):
    others = {"README.md": b"words"}
    source = in_folder(tmp_path, split_set() | others)
    first = load_images(source)
    with monkeypatch.context() as patch:
        patch.setattr(images, "_decode_all", None)
        again = load_images(source)
    np.testing.assert_array_equal(again.train.inputs, first.train.inputs)
    assert again.notes == first.notes != ()
    (source / "train/cat/0.png").write_bytes(encoded(pixels(99)))
    os.utime(source / "train/cat/0.png", ns=(0, time.time_ns() + 10**9))
    np.testing.assert_array_equal(load_images(source).train.inputs[0], pixels(99))


def bomb(width: int, height: int) -> bytes:
    """A PNG that announces more pixels than it holds."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + check

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    data = chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


PALETTE = io.BytesIO()
Image.fromarray(pixels(0)).quantize(4).save(PALETTE, "PNG")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train/dog/1.png": encoded(pixels(0, (4, 5, 3)))},
            r"train/dog/1.png is 5 x 4 pixels of mode RGB, but .* is 4 x 5 pixels of mode RGB",
        ),
        (
            {"train/dog/1.png": encoded(pixels(0, (5, 4)))},
            r"train/dog/1.png is 4 x 5 pixels of mode L, but .* of mode RGB; expected one size",
        ),
        ({"train/dog/1.png": PALETTE.getvalue()}, r"1.png is .* of mode P, expected mode L, RGB"),
        ({"train/dog/1.png": b"words"}, r"train/dog/1.png cannot be read as PNG or JPEG"),
        ({"train/dog/1.png": b""}, r"train/dog/1.png cannot be read as PNG or JPEG"),
        ({"train/dog/1.png": encoded(pixels(1))[:60]}, r"train/dog/1.png cannot be read as PNG"),
        ({"train/dog/1.png": b"GIF89a" + bytes(20)}, r"train/dog/1.png cannot be read as PNG"),
        ({"train/dog/1.png": bomb(5000, 5000)}, r"1.png is 5000 x 5000 .*expected 2\^24 pixels"),
        ({"train/dog/1.png": bomb(11000, 11000)}, r"1.png is 11000 x 11000 .*expected 2\^24"),
        ({"train/dog/1.png": bomb(60000, 60000)}, r"train/dog/1.png cannot be read"),
        ({"train/dog/more/1.png": encoded(pixels(1))}, r"more/1.png lies elsewhere; expected"),
        ({"valid/dog/1.png": encoded(pixels(1))}, r"folders .*valid.*; expected <class>/<image>"),
        ({"test/cow/1.png": encoded(pixels(1))}, r"test classes cow are not among .* cat, dog"),
    ],
)
@pytest.mark.parametrize("kind", ["folder", "tar.gz", "zip"])
def test_an_odd_image_is_named(tmp_path, kind: str, changes, message: str):
    source = SOURCES[kind](tmp_path, split_set() | changes)
    with pytest.raises(DataError, match=message):
        load_dataset(str(source))


def test_no_images_and_one_class_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"no images ending in \.png"):
        load_images(in_folder(tmp_path, {"cat/notes.txt": b"words"}))
    with pytest.raises(DataError, match="1 class, expected at least 2"):
        load_dataset(str(in_folder(tmp_path, {"cat/1.png": encoded(pixels(0))})))


def test_a_folder_deeper_than_any_layout_is_refused(tmp_path):
    with pytest.raises(DataError, match="a folder too deep"):
        load_images(in_folder(tmp_path, {"a/b/c/d/e/f/g/1.png": encoded(pixels(0))}))


def test_more_than_memory_should_hold_is_refused(tmp_path, monkeypatch):
    source = in_folder(tmp_path, split_set())
    monkeypatch.setattr(images, "_MOST_BYTES", 200)
    with pytest.raises(DataError, match="take more than 16 GiB"):
        load_images(source)
    monkeypatch.setattr(images, "_MOST_FILE_BYTES", 20)
    with pytest.raises(DataError, match="bytes, expected 64 MiB at most"):
        load_images(source)


def test_nothing_of_an_archive_is_written_outside_the_cache(tmp_path):
    place = tmp_path / "deep" / "place"
    place.mkdir(parents=True)
    climbing = {name: encoded(pixels(0)) for name in ("../../a/1.png", "train/../../cat/9.png")}
    published = load_images(in_tar(place, split_set() | climbing, ".tar", "w"))
    assert len(published.train.inputs) == 6
    assert published.notes[0].startswith("2 files, such as ")
    written = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()}
    assert {name for name in written if not name.startswith("cache/")} == {"deep/place/pets.tar"}


def test_links_in_an_archive_are_refused(tmp_path):
    with tarfile.open(tmp_path / "pets.tar", "w") as archive:
        link = tarfile.TarInfo("train/cat/1.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    with pytest.raises(DataError, match=r"train/cat/1\.png is a link or a device"):
        load_images(tmp_path / "pets.tar")


def test_an_image_that_is_there_twice_is_refused(tmp_path):
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(tmp_path / "a.zip", "w") as zip_:
        for _ in range(2):
            zip_.writestr("cat/1.png", encoded(pixels(0)))
    with pytest.raises(DataError, match=r"cat/1\.png is there twice"):
        load_images(tmp_path / "a.zip")


@pytest.mark.parametrize("name", ["pets.tar", "pets.tar.xz", "pets.tar.gz", "pets.zip"])
def test_damaged_and_missing_archives_are_refused(tmp_path, name: str):
    with pytest.raises(DataError, match=r"cannot be read .*No such file"):
        load_dataset(str(tmp_path / name))
    whole = SOURCES[name.removeprefix("pets.")](tmp_path, split_set()).read_bytes()
    # What follows the last image, zeros and a checksum, may be missing.
    length = len(whole.rstrip(b"\0")) * 9 // 10
    cuts = [whole[:end] for end in range(0, length, length // 40)]
    for content in (b"words" * 300, *cuts):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=r"damaged archive|cannot be read"):
            load_dataset(str(tmp_path / name))


@pytest.mark.data
@pytest.mark.skipif(not CIFAR10.is_file(), reason=f"no {CIFAR10}")
def test_the_real_cifar10_in_jpeg():
    dataset = load_dataset("cifar10_jpeg")
    assert dataset.name == "cifar10_jpeg"
    assert dataset.train_inputs.shape == (50000, 32, 32, 3)
    assert dataset.test_inputs.shape == (10000, 32, 32, 3)
    np.testing.assert_array_equal(np.bincount(dataset.train_targets), np.full(10, 5000))
    np.testing.assert_array_equal(np.bincount(dataset.test_targets), np.full(10, 1000))
    # Published means of the original; JPEG moves them by less than this.
    means = dataset.train_inputs.mean((0, 1, 2)) / 255
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=2e-3)
