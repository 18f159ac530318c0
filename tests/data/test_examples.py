import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pride_jax.data.examples import (
    Examples,
    PublishedSet,
    are_classes,
    check_published,
    hold_out,
    published_images,
)
from pride_jax.errors import DataError


def published(inputs, labels, outputs: int = 3, test: Examples | None = None) -> PublishedSet:
    examples = Examples(np.asarray(inputs), np.asarray(labels))
    return PublishedSet("toy", examples, test, outputs, np.zeros(()), np.ones(()))


labelled = st.lists(st.integers(0, 4), min_size=2, max_size=60)


@settings(deadline=None)
@given(labels=labelled, seed=st.integers(0, 2**32), data=st.data())
def test_holding_out_parts_the_examples_in_proportion(labels, seed: int, data: st.DataObject):
    total = len(labels)
    count = data.draw(st.integers(1, total - 1))
    rows = np.arange(total)
    examples = Examples(rows[:, None], np.asarray(labels), groups=rows)
    kept, drawn = hold_out(examples, count, seed, "count")

    assert len(drawn.targets) == count
    assert sorted([*kept.groups, *drawn.groups]) == list(rows)
    for part in (kept, drawn):
        np.testing.assert_array_equal(part.inputs[:, 0], part.groups)
        np.testing.assert_array_equal(part.targets, np.asarray(labels)[part.groups])
        assert np.all(np.diff(part.groups) > 0)
    share = np.bincount(labels, minlength=5) * count / total
    assert np.all(np.abs(np.bincount(drawn.targets, minlength=5) - share) < 1)


def test_the_seed_decides_who_is_held_out():
    examples = Examples(np.arange(100)[:, None], np.arange(100) % 4)
    draws = [hold_out(examples, 20, seed, "count")[1].inputs.ravel() for seed in (0, 0, 1)]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_everyone_has_an_equal_chance_to_be_held_out():
    examples = Examples(np.arange(12)[:, None], np.repeat([0, 1, 2], 4))
    drawn = [hold_out(examples, 3, seed, "count")[1].inputs.ravel() for seed in range(2000)]
    times = np.bincount(np.concatenate(drawn), minlength=12)
    assert np.all(np.abs(times - 500) < 5 * np.sqrt(2000 * 0.25 * 0.75))


@pytest.mark.parametrize("targets", [np.linspace(0, 1, 12), np.arange(24).reshape(12, 2)])
def test_quantities_and_sequences_are_held_out_at_random(targets: np.ndarray):
    examples = Examples(np.arange(12)[:, None], targets)
    drawn = [hold_out(examples, 3, seed, "count") for seed in range(2000)]
    for kept, held in drawn[:20]:
        assert sorted([*kept.inputs.ravel(), *held.inputs.ravel()]) == list(range(12))
        np.testing.assert_array_equal(held.targets, targets[held.inputs.ravel()])
    times = np.bincount(np.concatenate([held.inputs.ravel() for _, held in drawn]), minlength=12)
    assert np.all(np.abs(times - 500) < 5 * np.sqrt(2000 * 0.25 * 0.75))


@pytest.mark.parametrize("groups", [np.zeros(3, int), np.zeros((4, 1), int), np.zeros(4)])
def test_groups_are_a_whole_number_an_example(groups: np.ndarray):
    examples = Examples(np.zeros((4, 1)), np.zeros(4, int), groups)
    with pytest.raises(DataError, match="expected one whole number per example"):
        check_published(published(*examples[:2])._replace(train=examples))


def test_only_one_whole_number_an_example_is_a_class():
    assert are_classes(np.zeros(3, np.int32))
    assert not are_classes(np.zeros(3, np.float32))
    assert not are_classes(np.zeros((3, 4), np.int32))


def test_images_of_whole_numbers_are_measured_and_no_ids():
    images = Examples(np.full((2, 3, 3, 1), 700, np.uint16), np.array([0, 1]))
    checked = check_published(published_images("scan", images, None, 2))
    assert checked.train.inputs.dtype == np.float32
    assert (checked.shift, checked.scale) == (0, 1)


@pytest.mark.parametrize("count", [-1, 0, 10, 11])
def test_holding_out_nothing_or_everything_is_refused(count: int):
    examples = Examples(np.zeros((10, 1)), np.zeros(10, int))
    with pytest.raises(DataError, match=rf"test_examples={count}: expected 1 to 9"):
        hold_out(examples, count, 0, "test_examples")


def test_types_are_brought_to_float32_and_int32_and_bytes_are_kept():
    checked = check_published(published([[1.5], [2.5]], np.array([0, 2], np.uint64)))
    assert checked.train.inputs.dtype == np.float32
    assert checked.train.targets.dtype == np.int32
    stored = np.array([[1], [2]], np.uint8)
    assert check_published(published(stored, [0, 1])).train.inputs.dtype == np.uint8


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_numbers_that_are_not_finite_are_counted_and_the_first_is_shown(value: float):
    inputs = np.zeros((4, 3))
    inputs[2, 1] = inputs[3, 0] = value
    with pytest.raises(DataError, match=r"2 of 12 features.*first at index \(2, 1\)"):
        check_published(published(inputs, [0, 1, 2, 0]))


@pytest.mark.parametrize("label", [-1, 3, 255])
def test_classes_out_of_range_are_refused(label: int):
    with pytest.raises(DataError, match=f"1 targets out of range, the first {label} at index 2"):
        check_published(published(np.zeros((4, 1)), [0, 1, label, 2]))


@pytest.mark.parametrize("token", [-1, 3])
def test_tokens_out_of_range_are_refused(token: int):
    targets = np.zeros((4, 5), int)
    targets[2, 3] = token
    with pytest.raises(DataError, match=rf"1 targets out of range, the first {token} .*\(2, 3\)"):
        check_published(published(np.zeros((4, 5), int), targets))


def test_quantities_become_float32_of_any_width():
    for targets, outputs in ((np.array([0.5, -3.0]), 1), (np.zeros((2, 1)), 1), (np.eye(2), 2)):
        checked = check_published(published(np.zeros((2, 3)), targets, outputs)).train
        assert checked.targets.dtype == np.float32
        np.testing.assert_array_equal(checked.targets, targets)


def test_ids_stay_whole_numbers_and_tokens_have_their_shape():
    ids = np.arange(12, dtype=np.uint16).reshape(3, 4)
    checked = check_published(published(ids, ids[:, ::-1], 12)).train
    assert checked.inputs.dtype == checked.targets.dtype == np.int32
    np.testing.assert_array_equal(checked.inputs, ids)
    np.testing.assert_array_equal(checked.targets, ids[:, ::-1])


def test_a_class_for_each_position_of_measured_inputs():
    checked = check_published(published(np.zeros((2, 4, 4, 3)), np.ones((2, 4, 4), int)))
    assert checked.train.targets.shape == (2, 4, 4)
    assert checked.train.inputs.dtype == np.float32


@pytest.mark.parametrize(
    ("inputs", "labels", "message"),
    [
        (np.zeros((0, 4)), np.zeros(0, int), "no examples"),
        (np.zeros((3, 0)), np.zeros(3, int), "no examples"),
        (np.zeros(3), np.zeros(3, int), r"shape \(3,\), expected \[examples, \*features\]"),
        (np.zeros((3, 1)), np.zeros(2, int), r"3 examples, but targets of shape \(2,\)"),
        (np.zeros((3, 1)), np.zeros((3, 1), int), r"shape \(3, 1\); expected one class per"),
        (np.zeros((3, 4)), np.zeros((3, 4), int), r"shape \(3, 4\); expected one class per"),
        (np.zeros((3, 4), int), np.zeros((3, 5), int), r"shape \(3, 4\); expected one class per"),
        (np.zeros((3, 1)), np.zeros(3), r"float64 and shape \(3,\) for 3 outputs; expected quant"),
        (np.zeros((3, 1)), np.zeros((3, 2)), r"shape \(3, 2\) for 3 outputs; expected quantities"),
        (np.zeros((3, 1)), np.full((3, 3), np.nan), "9 of 9 quantities are NaN"),
        (np.zeros((3, 1)), np.zeros(3, bool), "targets of type bool, expected whole numbers"),
        (np.full((3, 1), -2), np.zeros(3, int), "3 ids out of range, the first -2 at index .0, 0."),
        (np.full((3, 1), 2**31), np.zeros(3, int), "3 ids out of range, the first 2147483648"),
        (np.array([["a"], ["b"]]), np.zeros(2, int), "expected real numbers"),
    ],
)
def test_what_cannot_be_learned_from_is_refused(inputs, labels, message: str):
    with pytest.raises(DataError, match=message):
        check_published(published(inputs, labels))


def test_the_test_split_is_checked_like_training():
    good = Examples(np.zeros((2, 3)), np.array([0, 1]))
    for test, message in [
        (Examples(np.full((2, 3), np.nan), good.targets), r"toy \(test\): 6 of 6 features are NaN"),
        (Examples(np.zeros((0, 3)), np.zeros(0, int)), r"toy \(test\): no examples"),
        (Examples(np.zeros((2, 4)), good.targets), r"inputs of test examples have shape \(4,\)"),
        (Examples(np.zeros((2, 3), int), good.targets), "inputs of test examples.*type int32"),
    ]:
        with pytest.raises(DataError, match=message):
            check_published(published(*good[:2], test=test))


def test_one_class_is_refused():
    with pytest.raises(DataError, match="1 class, expected at least 2"):
        check_published(published(np.zeros((2, 1)), [0, 0], outputs=1))
