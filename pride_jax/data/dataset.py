"""A data set in memory: from one's own arrays, or as its source publishes it."""

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pride_jax.data.arrays import Own, published_arrays
from pride_jax.data.examples import (
    NO_SCALE,
    NO_SHIFT,
    PublishedSet,
    are_classes,
    check_published,
    hold_out,
)
from pride_jax.data.hints import DataHint, all_drawn, gaps, hints
from pride_jax.errors import DataError


class Dataset(NamedTuple):
    """A data set in memory.

    Targets are classes (one whole number an example), quantities (floats, one or several an
    example), or sequences (a class or token for each position of an input). Bytes and floats among
    the inputs are seen by the model as `(inputs - shift) * scale`; ids stay as they are. Nothing in
    `shift` and `scale` is estimated from the clients' shares: both are public constants.

    Attributes:
        name: what the set is called.
        train_inputs: uint8 or float32, `[n, *features]`, images `[n, height, width, channels]`; or
            int32 ids, `[n, length]`.
        train_targets: int32 `[n]`, from 0 to `outputs - 1`; float32 `[n]` or `[n, outputs]`; or
            int32 `[n, length]`, from 0 to `outputs - 1`.
        test_inputs: as `train_inputs`, `[m, ...]`; the validation examples if some were asked for.
        test_targets: as `train_targets`, `[m, ...]`.
        outputs: how many numbers a model gives for an example, or for each position of it: classes,
            quantities or tokens.
        shift: float32, `[]` for images and `[*features]` for tables.
        scale: float32, as `shift`.
        groups: int32, `[n]`, who made each training example (QMNIST's writers, a text's speakers);
            None where nobody knows.
        test_groups: int32, `[m]`, likewise of each test example.
        notes: what of the source is not in the set, a sentence each.
        class_names: of the classes, by their numbers; none where they have numbers alone.
        input_names: of the features of a table, in their order; none for others.
        group_names: of the groups, by their numbers; none where they have numbers alone.
        drawn_groups: whose examples were all drawn for testing, by name or number; `by_group` has
            no client for them.
    """

    name: str
    train_inputs: np.ndarray
    train_targets: np.ndarray
    test_inputs: np.ndarray
    test_targets: np.ndarray
    outputs: int
    shift: np.ndarray = NO_SHIFT
    scale: np.ndarray = NO_SCALE
    groups: np.ndarray | None = None
    test_groups: np.ndarray | None = None
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    input_names: tuple[str, ...] = ()
    group_names: tuple[str, ...] = ()
    drawn_groups: tuple[str, ...] = ()

    @staticmethod
    def from_arrays(
        inputs: Any,
        targets: Any,
        *,
        test_inputs: Any = None,
        test_targets: Any = None,
        test_examples: int | float | None = None,
        groups: Any = None,
        test_groups: Any = None,
        class_names: Sequence[str] = (),
        quantity: bool = False,
        shift: Any = 0.0,
        scale: Any = None,
        name: str = "own",
        seed: int = 0,
    ) -> "Dataset":
        """A data set of one's own arrays, whole and checked.

        The types decide what arrays mean, and what may mean two things is refused:

        - Inputs: floats and booleans are measured, float32. Bytes (uint8) are images `[n, height,
          width]` or `[n, height, width, channels]`, which the model sees from 0 to 1. int32 are ids
          of tokens, as are other whole numbers if the targets are sequences of the same shape.
        - Targets: texts and booleans are classes by their names, in order; whole numbers are
          classes or, for each position of ids, tokens, from 0. Floats are quantities.

        What looks as if it were stored otherwise than meant is told by a `DataHint`, see `hints`.

        Args:
            inputs: `[n, *features]`, an array or what NumPy makes one of.
            targets: `[n]`, or as `Dataset` has them.
            test_inputs: the test examples, if they are others.
            test_targets: of the test examples.
            test_examples: without those, how many to draw, each class in proportion: so many, or a
                share below 1; by default a fifth (rounded down).
            groups: `[n]`, texts or whole numbers, who made each example; for `by_group`.
            test_groups: likewise of the test examples.
            class_names: of the classes, by their numbers; with texts, all that there are.
            quantity: whether targets are quantities, of whatever type.
            shift: the model sees `(inputs - shift) * scale`. Public: a number, or one for each
                feature, that is not estimated from clients' examples.
            scale: likewise; 1/255 for bytes and 1 for others if not given.
            name: what the set is called.
            seed: of the draw of test examples.

        Raises:
            DataError: an array is of no type that has one meaning, or the set is not as
                `check_published` wants it; the message says what to do.
        """
        if (test_inputs is None) != (test_targets is None):
            raise DataError(
                f"{name}: test_inputs without test_targets or the reverse; expected both"
            )
        if test_inputs is None and test_groups is not None:
            raise DataError(f"{name}: test_groups without test_inputs; expected none")
        test = None if test_inputs is None else Own(test_inputs, test_targets, test_groups)
        published = published_arrays(
            name,
            Own(inputs, targets, groups),
            test,
            class_names=class_names,
            quantity=quantity,
            shift=shift,
            scale=scale,
        )
        dataset = split(published, test_examples, 0, seed)
        for hint in (*dataset.hints(), *dataset.gaps()):
            warnings.warn(f"{name}: {hint}", DataHint, stacklevel=2)
        return dataset

    def hints(self) -> tuple[str, ...]:
        """What looks as if inputs were stored otherwise than meant, see `hints.hints`."""
        return hints(self.train_inputs, self.shift, self.scale, self.input_names)

    def gaps(self) -> tuple[str, ...]:
        """Classes and groups without a training example, a sentence each; none if all have some."""
        classes = are_classes(self.train_targets)
        return (
            *(gaps(self.train_targets, self.outputs, self.class_names) if classes else ()),
            *all_drawn(self.drawn_groups),
        )


def split(
    published: PublishedSet, test_examples: int | float | None, validation_examples: int, seed: int
) -> Dataset:
    """Check a set, and draw test examples where it has none of its own.

    Args:
        published: the set.
        test_examples: as in `load_dataset`.
        validation_examples: likewise.
        seed: likewise.

    Raises:
        DataError: as `load_dataset`.
    """
    name, names = published.name, published.group_names
    if validation_examples < 0 or seed < 0:
        raise DataError(
            f"validation_examples={validation_examples}, seed={seed}: expected neither below 0"
        )
    published = check_published(published)
    train, test = published.train, published.test
    if test is None:
        drawn = _count(0.2 if test_examples is None else test_examples, len(train.targets))
        train, test = hold_out(train, drawn, seed, "test_examples")
    elif test_examples is not None:
        raise DataError(
            f"test_examples={test_examples}: {name} has a test split of its own, of "
            f"{len(test.targets)} examples; leave test_examples out, or ask for validation_examples"
        )
    if validation_examples:
        train, test = hold_out(train, validation_examples, seed, "validation_examples")
    return Dataset(
        name=name,
        train_inputs=train.inputs,
        train_targets=train.targets,
        test_inputs=test.inputs,
        test_targets=test.targets,
        outputs=published.outputs,
        shift=published.shift,
        scale=published.scale,
        groups=train.groups,
        test_groups=test.groups,
        notes=published.notes,
        class_names=published.class_names,
        input_names=published.input_names,
        group_names=names,
        drawn_groups=_all_drawn(published.train.groups, train.groups, names),
    )


def _all_drawn(
    before: np.ndarray | None, after: np.ndarray | None, names: tuple[str, ...]
) -> tuple[str, ...]:
    """The groups, by their names if they have any, of which no example stayed."""
    if before is None or after is None:
        return ()
    return tuple(str(names[each] if names else each) for each in np.setdiff1d(before, after))


def _count(test_examples: int | float, total: int) -> int:
    """How many test examples are asked for, of so many."""
    if isinstance(test_examples, float):
        if not 0 < test_examples < 1:
            raise DataError(
                f"test_examples={test_examples}: expected a whole number, or a share above 0 and "
                "below 1"
            )
        return int(test_examples * total + 1e-9)
    return test_examples
