"""A data set from one's own arrays: what their types mean, and what is refused."""

import warnings

import numpy as np
import pytest

import pride_jax as pride
from pride_jax.data.described import described
from pride_jax.data.hints import DataHint
from pride_jax.errors import DataError

RNG = np.random.default_rng(0)
FLOATS = RNG.normal(size=(20, 3))
LABELS = np.arange(20) % 2
WORDS = np.array(["cat", "dog"])[LABELS]
of = pride.Dataset.from_arrays


def all_rows(dataset):
    rows = np.concatenate([dataset.train_inputs, dataset.test_inputs])
    return sorted(map(tuple, rows.reshape(len(rows), -1).tolist()))


def test_floats_and_whole_numbers_are_measured_features_and_classes():
    dataset = of(FLOATS, LABELS)
    assert (dataset.train_inputs.dtype, dataset.train_targets.dtype) == (np.float32, np.int32)
    assert (dataset.outputs, dataset.class_names, dataset.groups) == (2, (), None)
    assert (len(dataset.train_targets), len(dataset.test_targets)) == (16, 4)
    assert all_rows(dataset) == sorted(map(tuple, FLOATS.astype(np.float32).tolist()))
    np.testing.assert_array_equal(np.bincount(dataset.test_targets), [2, 2])


@pytest.mark.parametrize("targets", [WORDS, WORDS.tolist(), WORDS.astype(object), WORDS[:, None]])
def test_texts_are_classes_by_their_names(targets):
    dataset = of(FLOATS, targets)
    assert dataset.class_names == ("cat", "dog")
    other = of(FLOATS, LABELS)
    np.testing.assert_array_equal(dataset.train_targets, other.train_targets)


def test_names_that_are_numbers_are_in_their_order():
    assert of(FLOATS[:12], [str(n % 6 + 5) for n in range(12)]).class_names == (
        *("5", "6", "7", "8", "9", "10"),
    )


def test_class_names_tell_of_classes_without_an_example():
    names = ("dog", "cat", "owl")
    with pytest.warns(DataHint, match="no training example has class owl of 3"):
        dataset = of(FLOATS, WORDS, class_names=names)
    assert (dataset.outputs, dataset.class_names) == (3, names)
    with pytest.warns(DataHint, match="class owl of 3"):
        numbered = of(FLOATS, 1 - LABELS, class_names=names)
    np.testing.assert_array_equal(dataset.train_targets, numbered.train_targets)


def test_bytes_are_images_seen_from_0_to_1_with_an_axis_of_channels():
    images = RNG.integers(0, 256, (20, 8, 6), np.uint8)
    dataset = of(images, LABELS)
    assert dataset.train_inputs.shape == (16, 8, 6, 1)
    assert dataset.train_inputs.dtype == np.uint8
    assert dataset.scale == np.float32(1 / 255)
    assert of(images[..., None], LABELS).train_inputs.shape == (16, 8, 6, 1)


def test_whole_numbers_are_ids_where_the_targets_are_a_sequence_as_long():
    tokens = RNG.integers(0, 9, (20, 5))
    dataset = of(tokens, np.roll(tokens, -1, axis=1))
    assert dataset.train_inputs.dtype == dataset.train_targets.dtype == np.int32
    assert dataset.outputs == 9
    classified = of(tokens.astype(np.int32), LABELS)
    assert (classified.train_inputs.dtype, classified.outputs) == (np.int32, 2)


@pytest.mark.parametrize("targets", [FLOATS[:, 0], FLOATS[:, :1], FLOATS])
def test_floats_are_quantities(targets):
    dataset = of(FLOATS, targets)
    assert dataset.outputs == (targets.shape[1] if targets.ndim == 2 else 1)
    assert dataset.train_targets.dtype == np.float32


@pytest.mark.parametrize("dtype", [int, float])
def test_whole_numbers_are_quantities_if_they_are_said_to_be(dtype):
    targets = np.arange(20).astype(dtype)
    dataset = of(FLOATS, targets, quantity=True)
    assert dataset.outputs == 1
    assert sorted(np.concatenate([dataset.train_targets, dataset.test_targets])) == list(range(20))


def test_yes_and_no_are_two_classes():
    dataset = of(FLOATS > 0, LABELS == 1)
    assert dataset.class_names == ("False", "True")
    assert dataset.train_inputs.dtype == np.float32


def test_groups_by_name_become_clients():
    hospitals = np.array(["Oslo", "Bergen", "Oslo", "Narvik"])[np.arange(20) % 4]
    dataset = of(FLOATS, LABELS, groups=hospitals, test_examples=0.3)
    assert dataset.group_names == ("Bergen", "Narvik", "Oslo")
    assert len(dataset.test_targets) == 6
    assert dataset.groups is not None
    partition = pride.by_group(dataset.groups)
    for client, name in enumerate(dataset.group_names):
        start = partition.sizes[:client].sum()
        rows = partition.index[start : start + partition.sizes[client]]
        held = dataset.train_inputs[rows]
        own = FLOATS[hospitals == name].astype(np.float32)
        assert set(map(tuple, held.tolist())) <= set(map(tuple, own.tolist()))


def test_test_arrays_are_the_test_examples():
    dataset = of(FLOATS, WORDS, test_inputs=FLOATS[:4] + 1, test_targets=WORDS[:4])
    assert (len(dataset.train_targets), len(dataset.test_targets)) == (20, 4)
    np.testing.assert_array_equal(dataset.test_targets, LABELS[:4])


def test_the_seed_draws_the_test_examples():
    one, same, other = (of(FLOATS, LABELS, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.test_inputs, same.test_inputs)
    assert not np.array_equal(one.test_inputs, other.test_inputs)


WHOLE = LABELS.astype(float)
MASKED = np.ma.masked_less(FLOATS, 0)
REFUSED = {
    "one feature without its axis": ((FLOATS[:, 0], LABELS), r"reshape\(-1, 1\)"),
    "texts as inputs": ((WORDS[:, None], LABELS), "inputs are texts, such as 'cat'"),
    "rows of unlike lengths": (([[1.0], [1.0, 2.0]], [0, 1]), "rows of unlike lengths"),
    "objects": ((np.array([[{}], [None]]), [0, 1]), "inputs of type object"),
    "complex": ((FLOATS + 1j, LABELS), "inputs of type complex128"),
    "dates": ((FLOATS, np.zeros(20, "M8[D]")), "targets of type datetime64"),
    "masked": ((MASKED, LABELS), r"inputs are masked; expected none"),
    "NaN": ((np.full((20, 3), np.nan), LABELS), "60 of 60 features are NaN or infinite"),
    "whole numbers": ((np.ones((20, 3), int), LABELS), r"may be measured, pixels or ids"),
    "flat bytes": ((np.ones((20, 3), np.uint8), LABELS), r"bytes of shape \(20, 3\)"),
    "whole floats": ((FLOATS, WHOLE), r"targets.astype\(int\) for classes, or quantity=True"),
    "one-hot": ((FLOATS, np.eye(2)[LABELS]), r"argmax\(axis=1\) for classes"),
    "label -1": ((FLOATS, LABELS - 1), "10 targets out of range, the first -1"),
    "years as classes": ((FLOATS, 2000 + LABELS), "of which 2 occur look measured"),
    "one class": ((FLOATS, ["cat"] * 20), "1 class, expected at least 2"),
    "too few targets": ((FLOATS, LABELS[:-1]), r"20 examples, but targets of shape \(19,\)"),
    "no examples": ((FLOATS[:0], LABELS[:0]), "."),
    "texts as quantities": ((FLOATS, WORDS, {"quantity": True}), "with quantity=True"),
    "unknown name": ((FLOATS, WORDS, {"class_names": ["cat"]}), "classes dog are not among cat"),
    "more labels than names": ((FLOATS, LABELS, {"class_names": ["cat"]}), "targets out of range"),
    "names twice": ((FLOATS, WORDS, {"class_names": ["cat", "cat"]}), "expected each once"),
    "half a test": ((FLOATS, LABELS, {"test_inputs": FLOATS}), "expected both"),
    "groups of others": ((FLOATS, LABELS, {"groups": [1, 2]}), r"groups of shape \(2,\)"),
    "float groups": ((FLOATS, LABELS, {"groups": FLOATS[:, 0]}), "groups of shape"),
    "share of 1": ((FLOATS, LABELS, {"test_examples": 1.0}), "test_examples=1.0: expected"),
    "all for testing": ((FLOATS, LABELS, {"test_examples": 20}), "test_examples=20: expected 1"),
    "another shift": ((FLOATS, LABELS, {"shift": np.ones(4)}), r"shift of shape \(4,\)"),
    "no scale": ((FLOATS, LABELS, {"scale": np.nan}), "scale of shape"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_single_meaning_is_refused_in_one_sentence(what):
    (inputs, targets, *options), message = REFUSED[what]
    with warnings.catch_warnings(), pytest.raises(DataError, match=message) as refused:
        warnings.simplefilter("ignore", DataHint)
        of(inputs, targets, **(options[0] if options else {}))
    assert "\n" not in str(refused.value)


IMAGES = RNG.uniform(0, 255, (20, 3, 8, 8))
HINTS = {
    "channels first": ((IMAGES / 255, LABELS), r"look like channels first; .*moveaxis"),
    "bytes channels first": ((IMAGES.astype(np.uint8), LABELS), "look like channels first"),
    "bytes as floats": ((np.moveaxis(IMAGES, 1, -1), LABELS), "look like bytes from 0 to 255"),
    "flat bytes as floats": ((IMAGES.round().reshape(20, -1), LABELS), "look like bytes"),
    "far away": ((FLOATS * [1, 1, 900], LABELS), "features 2 reach beyond 20"),
    "a gap": ((FLOATS, LABELS * 2), "no training example has class 1 of 3"),
    "labels from 1": ((FLOATS, LABELS + 1), "no training example has class 0 of 3"),
}


@pytest.mark.parametrize("what", HINTS)
def test_what_looks_otherwise_than_meant_is_told_and_left(what):
    arrays, message = HINTS[what]
    with pytest.warns(DataHint, match=message):
        dataset = of(*arrays)
    assert len(dataset.hints() + dataset.gaps()) == 1


@pytest.mark.parametrize("scale", [1 / 255, np.full((8, 8, 3), 1 / 255)])
def test_bytes_as_floats_with_a_scale_are_as_meant(scale):
    assert of(np.moveaxis(IMAGES, 1, -1), LABELS, scale=scale).hints() == ()


def test_a_run_is_told_what_was_read_and_a_private_one_without_counts():
    dataset = of(FLOATS, WORDS, name="pets")._replace(notes=("2 rows",))
    read = "16 training and 4 test examples of [3] (float32), seen as they are, neither centred"
    open_, *counts = described(dataset, 5, hides=False)
    assert open_ == f"pets: {read} nor scaled; 2 classes: cat, dog; 5 clients"
    assert counts == ["2 rows"]
    assert described(dataset, 5, hides=True) == (open_.replace("16 training and ", ""),)
