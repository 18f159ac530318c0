from pathlib import Path

import numpy as np
import pytest

from pride_jax.data.datasets import load_dataset
from pride_jax.errors import DataError

pytestmark = pytest.mark.usefixtures("isolated")


def medmnist(channels: tuple[int, ...] = (), classes: int = 4) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    sizes = {"train": 20, "val": 6, "test": 8}
    images = {
        f"{split}_images": rng.integers(0, 256, (n, 28, 28, *channels), np.uint8)
        for split, n in sizes.items()
    }
    labels = {
        f"{split}_labels": (np.arange(n)[:, None] % classes).astype(np.uint8)
        for split, n in sizes.items()
    }
    return images | labels


@pytest.mark.parametrize("channels", [(), (3,), (28,)])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_file_is_loaded_as_it_is(tmp_path: Path, channels: tuple[int, ...], save):
    arrays = medmnist(channels)
    save(tmp_path / "pathmnist.npz", **arrays)
    dataset = load_dataset(str(tmp_path / "pathmnist.npz"))

    shape = (28, 28, 3) if channels == (3,) else (28, 28, *channels, 1)
    assert dataset.name == "pathmnist"
    assert dataset.outputs == 4
    assert dataset.train_inputs.shape == (20, *shape)
    for split in ("train", "test"):
        inputs, labels = getattr(dataset, f"{split}_inputs"), getattr(dataset, f"{split}_targets")
        np.testing.assert_array_equal(inputs.ravel(), arrays[f"{split}_images"].ravel())
        np.testing.assert_array_equal(labels, arrays[f"{split}_labels"][:, 0])
        assert (inputs.dtype, labels.dtype) == (np.uint8, np.int32)
    assert (dataset.shift, dataset.scale) == (0, np.float32(1 / 255))
    assert dataset.groups is None


def test_a_class_that_only_the_test_split_has_is_counted(tmp_path: Path):
    arrays = medmnist()
    arrays["test_labels"][0] = 7
    np.savez(tmp_path / "some.npz", **arrays)
    assert load_dataset(str(tmp_path / "some.npz")).outputs == 8


def without_test_labels(arrays):
    del arrays["test_labels"]


def with_many_labels(arrays):
    arrays["train_labels"] = np.zeros((20, 14), np.uint8)


def with_float_labels(arrays):
    arrays["train_labels"] = np.full(20, np.nan)


def with_flat_images(arrays):
    arrays["train_images"] = np.zeros((20, 784), np.uint8)


def with_fewer_labels(arrays):
    arrays["train_labels"] = arrays["train_labels"][:19]


def with_objects(arrays):
    arrays["train_labels"] = np.array([{}] * 20, object)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_test_labels, "no test_labels, only .*expected MedMNIST's layout"),
        (with_many_labels, r"labels of shape \(20, 14\).*several labels per example"),
        (with_float_labels, "type float64, expected whole numbers"),
        (with_flat_images, r"images of shape \(20, 784\), expected \[n, height, width"),
        (with_fewer_labels, r"20 examples, but targets of shape \(19,\)"),
        (with_objects, "no .npz file of arrays"),
    ],
)
def test_a_file_of_another_layout_is_refused(tmp_path: Path, spoil, message: str):
    arrays = medmnist()
    spoil(arrays)
    np.savez(tmp_path / "some.npz", **arrays)
    with pytest.raises(DataError, match=message):
        load_dataset(str(tmp_path / "some.npz"))


def test_a_file_cut_short_is_refused(tmp_path: Path):
    path = tmp_path / "some.npz"
    np.savez(path, **medmnist())
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"some\.npz: no \.npz file of arrays .*get it anew"):
        load_dataset(str(path))


def test_a_damaged_array_is_refused(tmp_path: Path):
    path = tmp_path / "some.npz"
    np.savez(path, **medmnist())
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"no \.npz file of arrays \(Bad CRC"):
        load_dataset(str(path))


def test_an_array_that_is_called_npz_is_refused(tmp_path: Path):
    path = tmp_path / "some.npz"
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(DataError, match="not a zip file"):
        load_dataset(str(path))


def test_a_missing_file_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match=r"absent\.npz: cannot be read .*check the path"):
        load_dataset(str(tmp_path / "absent.npz"))
