import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
from idx_files import write_idx, write_idx_set

from pride_jax.data.datasets import Dataset, load_dataset
from pride_jax.errors import DataError

pytestmark = pytest.mark.usefixtures("isolated")

BUNDLED = ["iris", "wine", "breast_cancer", "digits"]


def rows(inputs: np.ndarray, labels: np.ndarray) -> list[bytes]:
    """Examples as a sorted multiset."""
    return sorted(
        example.tobytes() + bytes([label]) for example, label in zip(inputs, labels, strict=True)
    )


def all_rows(dataset: Dataset) -> list[bytes]:
    return sorted(
        rows(dataset.train_inputs, dataset.train_targets)
        + rows(dataset.test_inputs, dataset.test_targets)
    )


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_set_is_whole_and_a_fifth_is_held_out(name: str):
    published = getattr(sklearn.datasets, f"load_{name}")()
    inputs = published.data.astype(np.float32)
    if name == "digits":
        inputs = published.images.astype(np.uint8)[..., None]
    dataset = load_dataset(name)
    assert all_rows(dataset) == rows(inputs, published.target)
    assert len(dataset.test_targets) == len(inputs) // 5
    assert dataset.outputs == len(published.target_names)
    assert dataset.train_targets.dtype == dataset.test_targets.dtype == np.int32
    assert dataset.groups is None


@pytest.mark.parametrize("name", [*BUNDLED, "diabetes"])
def test_a_bundled_set_is_read_again_without_scikit_learn(name: str, monkeypatch):
    first = load_dataset(name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    again = load_dataset(name)
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, other)
    assert again.train_inputs.dtype == first.train_inputs.dtype


TABLES = ["iris", "wine", "breast_cancer", "diabetes"]


@pytest.mark.parametrize("name", TABLES)
def test_the_model_sees_tables_near_zero_and_about_as_far_apart(name: str):
    dataset = load_dataset(name)
    features = dataset.train_inputs.shape[1:]
    assert dataset.shift.shape == dataset.scale.shape == features
    assert dataset.shift.dtype == dataset.scale.dtype == np.float32
    whole = np.concatenate([dataset.train_inputs, dataset.test_inputs]).astype(np.float64)
    seen = (whole - dataset.shift) * dataset.scale
    assert np.abs(seen.mean(axis=0)).max() < 0.7
    # Iris keeps its one unit, centimetres.
    assert seen.std(axis=0).min() > (0.4 if name == "iris" else 0.6)
    assert seen.std(axis=0).max() < 1.8


def others_taken_away(mean: np.ndarray, whole: np.ndarray, who: int) -> np.ndarray:
    """What is left of a "mean" of all examples for an adversary who has all but one."""
    return mean.astype(np.float64) * len(whole) - np.delete(whole, who, axis=0).sum(axis=0)


@pytest.mark.parametrize("name", TABLES)
def test_who_has_all_other_examples_learns_nothing_of_one_from_public_constants(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """One person's measurements are either hers or another's; the adversary says which."""
    load, who = getattr(sklearn.datasets, f"load_{name}"), 7
    options = {"scaled": False} if name == "diabetes" else {}
    hers = load(**options).data.astype(np.float64)
    theirs = hers.copy()
    theirs[who] += 0.5 * hers.std(axis=0)
    left = {}
    for world, whole in {"hers": hers, "theirs": theirs}.items():
        monkeypatch.setenv("PRIDE_CACHE_DIR", str(tmp_path / world))
        published = load(**options)
        published.data = whole
        monkeypatch.setattr(sklearn.datasets, f"load_{name}", lambda it=published, **_: it)
        left[world] = load_dataset(name).shift
        found = others_taken_away(whole.mean(axis=0).astype(np.float32), whole, who)
        assert (np.abs(found - whole[who]) < 0.01 * hers.std(axis=0)).all()
    np.testing.assert_array_equal(left["hers"], left["theirs"])
    if name == "iris":
        flowers = [others_taken_away(left["hers"], hers, flower) for flower in range(len(hers))]
        assert np.abs(flowers - hers).min() > 8
        means = hers.mean(axis=0).astype(np.float32)
        flowers = [others_taken_away(means, hers, flower) for flower in range(len(hers))]
        assert np.abs(flowers - hers).max() < 2e-5


def test_patients_are_not_told_by_what_they_add_up_to():
    """As scikit-learn would scale them, each is minus the sum of all others."""
    scaled = sklearn.datasets.load_diabetes().data
    np.testing.assert_allclose(-scaled[1:].sum(axis=0), scaled[0], atol=1e-12)
    dataset = load_dataset("diabetes")
    whole = np.concatenate([dataset.train_inputs, dataset.test_inputs]).astype(np.float64)
    assert np.abs(((whole - dataset.shift) * dataset.scale).sum(axis=0)).min() > 5


def test_the_model_sees_digits_between_zero_and_one():
    dataset = load_dataset("digits")
    assert dataset.train_inputs.shape[1:] == (8, 8, 1)
    assert dataset.train_inputs.dtype == np.uint8
    assert ((dataset.train_inputs - dataset.shift) * dataset.scale).max() == 1


def test_diabetes_is_whole_and_in_round_units():
    features, progression = sklearn.datasets.load_diabetes(return_X_y=True, scaled=False)
    assert (progression.min(), progression.max()) == (25, 346)
    dataset = load_dataset("diabetes")
    assert (len(dataset.train_targets), len(dataset.test_targets)) == (354, 88)
    assert dataset.outputs == 1
    assert dataset.train_targets.dtype == dataset.test_targets.dtype == np.float32
    inputs = np.concatenate([dataset.train_inputs, dataset.test_inputs])
    targets = np.concatenate([dataset.train_targets, dataset.test_targets])
    published = {
        row.tobytes(): value
        for row, value in zip(features.astype(np.float32), progression, strict=True)
    }
    found = [published.pop(row.tobytes()) for row in inputs]
    np.testing.assert_allclose(targets * 100 + 150, found, atol=1e-4)
    assert not published


def test_a_set_by_hand_needs_no_more_than_its_arrays():
    inputs, targets = np.zeros((2, 3), np.float32), np.array([0, 1], np.int32)
    dataset = Dataset("mine", inputs, targets, inputs, targets, 2)
    np.testing.assert_array_equal((inputs - dataset.shift) * dataset.scale, inputs)
    assert dataset.shift.dtype == dataset.scale.dtype == np.float32
    assert dataset.groups is dataset.test_groups is None


@pytest.mark.parametrize("name", ["cifar10_jpeg", "shakespeare"])
def test_a_set_that_is_one_file_says_where_it_was_looked_for(tmp_path: Path, name: str):
    with pytest.raises(DataError, match=f"{name}: expected .* PRIDE_DATA_DIR, and neither is"):
        load_dataset(name)
    with pytest.raises(DataError, match=f"{name}: neither {tmp_path}/.* nor {tmp_path}/.* is"):
        load_dataset(name, directory=tmp_path)


@pytest.mark.parametrize("place", ["", "shakespeare"])
def test_a_set_that_is_one_file_lies_in_the_folder_of_data(tmp_path: Path, place: str):
    (tmp_path / place).mkdir(exist_ok=True)
    (tmp_path / place / "tinyshakespeare.txt").write_text("A:\n" + "to be or not " * 9)
    dataset = load_dataset("shakespeare", directory=tmp_path, length=10)
    assert dataset.name == "shakespeare"
    assert dataset.train_inputs.shape == (8, 10)


def test_iris_with_sixty_training_points_has_twenty_of_each_species():
    dataset = load_dataset("iris", test_examples=90)
    np.testing.assert_array_equal(np.bincount(dataset.train_targets), [20, 20, 20])
    np.testing.assert_array_equal(np.bincount(dataset.test_targets), [30, 30, 30])


@pytest.mark.parametrize("name", BUNDLED)
def test_validation_examples_leave_training_and_no_test_example_is_touched(name: str):
    final = load_dataset(name, test_examples=40, seed=3)
    tuning = load_dataset(name, test_examples=40, validation_examples=25, seed=3)
    assert len(tuning.test_targets) == 25
    assert all_rows(tuning) == rows(final.train_inputs, final.train_targets)


def test_the_seed_decides_the_split():
    first, again, other = (load_dataset("wine", seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.test_inputs, again.test_inputs)
    assert not np.array_equal(first.test_inputs, other.test_inputs)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"test_examples": 150}, "test_examples=150: expected 1 to 149"),
        ({"test_examples": 0}, "test_examples=0: expected 1 to 149"),
        ({"validation_examples": 120}, "validation_examples=120: expected 1 to 119"),
        ({"validation_examples": -1}, "validation_examples=-1, seed=0: expected neither below 0"),
        ({"seed": -1}, "seed=-1: expected neither below 0"),
    ],
)
def test_impossible_splits_are_refused(settings: dict[str, int], message: str):
    with pytest.raises(DataError, match=message):
        load_dataset("iris", **settings)


SPELLINGS = [("-idx", ""), (".idx", ""), ("-idx", ".gz"), (".idx", ".gz")]


@pytest.mark.parametrize("subfolder", ["", "mnist"])
@pytest.mark.parametrize(("mark", "end"), SPELLINGS)
def test_idx_files_are_loaded_as_they_are(tmp_path: Path, subfolder: str, mark: str, end: str):
    arrays = write_idx_set(tmp_path / subfolder, mark=mark, end=end)
    dataset = load_dataset("mnist", directory=tmp_path)
    train_images, train_labels, test_images, test_labels = arrays.values()
    np.testing.assert_array_equal(dataset.train_inputs, train_images[..., None])
    np.testing.assert_array_equal(dataset.train_targets, train_labels)
    np.testing.assert_array_equal(dataset.test_inputs, test_images[..., None])
    np.testing.assert_array_equal(dataset.test_targets, test_labels)
    assert dataset.train_inputs.dtype == np.uint8
    assert dataset.train_targets.dtype == np.int32
    assert (dataset.outputs, dataset.shift, dataset.scale) == (10, 0, np.float32(1 / 255))
    assert dataset.groups is None


def test_the_folder_of_the_sets_own_name_comes_first(tmp_path: Path):
    write_idx_set(tmp_path, train=30)
    write_idx_set(tmp_path / "fashion_mnist", train=40)
    assert len(load_dataset("mnist", directory=tmp_path).train_targets) == 30
    assert len(load_dataset("fashion_mnist", directory=tmp_path).train_targets) == 40


def test_the_environment_names_the_folder_unless_an_argument_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_idx_set(tmp_path / "a", train=30)
    write_idx_set(tmp_path / "b", train=40)
    monkeypatch.setenv("PRIDE_DATA_DIR", str(tmp_path / "a"))
    assert len(load_dataset("mnist").train_targets) == 30
    assert len(load_dataset("mnist", directory=tmp_path / "b").train_targets) == 40


def test_changed_idx_files_are_read_anew(tmp_path: Path):
    write_idx_set(tmp_path, train=30)
    load_dataset("mnist", directory=tmp_path)
    write_idx_set(tmp_path, train=31)
    assert len(load_dataset("mnist", directory=tmp_path).train_targets) == 31


def writers_of(labels: np.ndarray) -> np.ndarray:
    table = np.zeros((len(labels), 8), np.int32)
    table[:, 0] = labels
    table[:, 1] = 4
    table[:, 2] = 2000 + np.arange(len(labels)) // 3
    return table


@pytest.mark.parametrize(
    "file", ["qmnist-train-labels-idx2-int", "qmnist-train-labels.idx2-int.gz"]
)
def test_qmnist_labels_tell_the_writers(tmp_path: Path, file: str):
    labels = write_idx_set(tmp_path)["train-labels-idx1-ubyte"]
    write_idx(tmp_path / file, writers_of(labels))
    groups = load_dataset("mnist", directory=tmp_path).groups
    assert groups is not None
    assert groups.dtype == np.int32
    np.testing.assert_array_equal(groups, 2000 + np.arange(30) // 3)


def test_writers_stay_with_their_digits_when_some_are_held_out(tmp_path: Path):
    labels = write_idx_set(tmp_path)["train-labels-idx1-ubyte"]
    write_idx(tmp_path / "qmnist-train-labels-idx2-int", writers_of(labels))
    whole = load_dataset("mnist", directory=tmp_path)
    tuning = load_dataset("mnist", directory=tmp_path, validation_examples=10)
    assert whole.groups is not None
    assert tuning.groups is not None
    by_image = {
        image.tobytes(): g for image, g in zip(whole.train_inputs, whole.groups, strict=True)
    }
    for image, group in (
        *zip(tuning.train_inputs, tuning.groups, strict=True),
        *zip(tuning.test_inputs, tuning.test_groups, strict=True),
    ):
        assert by_image[image.tobytes()] == group


def test_qmnist_labels_of_other_digits_are_refused(tmp_path: Path):
    labels = write_idx_set(tmp_path)["train-labels-idx1-ubyte"]
    table = writers_of(labels)
    table[[4, 9], 0] += 1
    write_idx(tmp_path / "qmnist-train-labels-idx2-int", table)
    with pytest.raises(DataError, match=r"2 of its labels differ.*first at index 4"):
        load_dataset("mnist", directory=tmp_path)
    write_idx(tmp_path / "qmnist-train-labels-idx2-int", table[:-1])
    with pytest.raises(DataError, match=r"shape \(29, 8\), expected 30 rows"):
        load_dataset("mnist", directory=tmp_path)


@pytest.mark.parametrize(
    ("file", "array", "message"),
    [
        (
            "t10k-labels-idx1-ubyte.gz",
            np.zeros(9, np.uint8),
            "labels of shape .9,. for the 10 images",
        ),
        (
            "train-labels-idx1-ubyte.gz",
            np.full(30, 10, np.uint8),
            "30 targets out of range, the first",
        ),
        (
            "train-images-idx3-ubyte.gz",
            np.zeros((30, 5, 5), np.uint8),
            r"expected uint8 \[n, 28, 28\]",
        ),
        ("train-images-idx3-ubyte.gz", np.zeros((30, 28, 28), np.int16), "int16 of shape"),
    ],
)
def test_idx_files_that_do_not_fit_are_refused(
    tmp_path: Path, file: str, array: np.ndarray, message: str
):
    write_idx_set(tmp_path)
    write_idx(tmp_path / file, array)
    with pytest.raises(DataError, match=message):
        load_dataset("mnist", directory=tmp_path)


def test_idx_files_without_examples_are_refused(tmp_path: Path):
    write_idx_set(tmp_path, test=0)
    with pytest.raises(DataError, match=r"mnist \(test\): no examples"):
        load_dataset("mnist", directory=tmp_path)


def test_a_lacking_idx_file_is_named(tmp_path: Path):
    write_idx_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(
        DataError, match=r"four IDX files, but t10k-labels-idx1-ubyte .* is missing"
    ):
        load_dataset("mnist", directory=tmp_path)


def test_mnist_is_not_taken_for_fashion_mnist(tmp_path: Path):
    write_idx_set(tmp_path, train=10)
    digits = np.array([5, 0, 4, 1, 9, 2, 1, 3, 1, 4], np.uint8)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", digits)
    assert load_dataset("mnist", directory=tmp_path).train_targets[0] == 5
    with pytest.raises(DataError, match=r"fashion_mnist was asked for, but .* labels of mnist"):
        load_dataset("fashion_mnist", directory=tmp_path)


def test_a_missing_directory_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="absent: no such folder"):
        load_dataset("mnist", directory=tmp_path / "absent")


def test_a_test_split_of_its_own_is_kept(tmp_path: Path):
    write_idx_set(tmp_path)
    with pytest.raises(
        DataError, match="test_examples=5: mnist has a test split of its own, of 10"
    ):
        load_dataset("mnist", directory=tmp_path, test_examples=5)


def test_a_set_that_cannot_be_had_names_every_source_and_what_to_do(tmp_path: Path):
    with pytest.raises(DataError) as refusal:
        load_dataset("fashion_mnist", directory=tmp_path)
    lines = str(refusal.value).splitlines()
    expected = [
        "fashion_mnist cannot be had. Tried:",
        f"  - IDX files: none of train-images-idx3-ubyte, .* in {tmp_path}",
        f"  - cache: no {tmp_path}/cache/fashion_mnist",
        f"  - tensorflow-datasets: fashion_mnist is not prepared in {tmp_path}/tfds",
        f"  - tensorflow-datasets: idx_images/fashion_mnist is not prepared in {tmp_path}/tfds",
        "  - download: http://127.0.0.1:9/.*cannot be reached .*refused",
        "To do: put its four IDX files .* PRIDE_DATA_DIR",
    ]
    assert len(lines) == len(expected)
    for line, pattern in zip(lines, expected, strict=True):
        assert re.match(pattern, line)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", "'mnits' is no data set: did you mean .*mnist.*Expected iris, wine"),
        ("Iris", "did you mean iris"),
        ("breastcancer", "did you mean breast_cancer"),
        ("no such set", "'no such set' is no data set: Expected iris"),
        ("", "'' is no data set"),
        ("huggingface:mnist", "is no data set"),
    ],
)
def test_an_unknown_name_is_refused_with_those_that_look_like_it(name: str, message: str):
    with pytest.raises(DataError, match=message):
        load_dataset(name)


def test_slow_libraries_are_imported_only_where_they_are_used(tmp_path: Path):
    write_idx_set(tmp_path)
    program = (
        "import sys, pathlib; from pride_jax.data.datasets import load_dataset;"
        f"load_dataset('mnist', directory=pathlib.Path({str(tmp_path)!r}));"
        "assert not {'tensorflow_datasets', 'sklearn', 'tensorflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.data
def test_the_real_mnist_and_its_writers():
    dataset = load_dataset("mnist", directory=Path(os.environ["PRIDE_DATA_DIR"]))
    header = bytes.fromhex("00000803 0000ea60 0000001c 0000001c")
    unpacked = hashlib.md5(header + dataset.train_inputs.tobytes()).hexdigest()
    assert unpacked == "6bbc9ace898e44ae57da46a324031adb"
    assert dataset.test_inputs.shape == (10000, 28, 28, 1)
    assert dataset.train_targets[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(dataset.train_targets).tolist() == [
        *(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
    ]
    assert dataset.groups is not None
    digits_of_a_writer = np.unique(dataset.groups, return_counts=True)[1]
    assert len(digits_of_a_writer) == 539
    assert (digits_of_a_writer.min(), digits_of_a_writer.max()) == (19, 131)
