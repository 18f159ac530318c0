"""A set as its source publishes it: the checks that every source passes, and holding out."""

from typing import NamedTuple

import numpy as np

from pride_jax.errors import DataError


class Examples(NamedTuple):
    """Labelled examples.

    Attributes:
        inputs: uint8 or float32, `[n, *features]`.
        targets: int32, `[n]`.
        groups: int32, `[n]`, who made each example; None where nobody knows.
    """

    inputs: np.ndarray
    targets: np.ndarray
    groups: np.ndarray | None = None


class PublishedSet(NamedTuple):
    """A whole data set as its source gives it.

    Attributes:
        name: what it is called.
        train: the training examples; all examples where no test split is published.
        test: the published test split, or None.
        outputs: labels run from 0 to `outputs - 1`.
        shift: float32, `[]` or `[*features]`: the model sees `(inputs - shift) * scale`.
        scale: float32, `[]` or `[*features]`.
    """

    name: str
    train: Examples
    test: Examples | None
    outputs: int
    shift: np.ndarray
    scale: np.ndarray


class Absent(NamedTuple):
    """Why a source does not hold a set, so that the next source is asked."""

    reason: str


def published_images(
    name: str, train: Examples, test: Examples | None, outputs: int
) -> PublishedSet:
    """A set that the model sees from 0 to 1 if it is stored as bytes, and as it is otherwise."""
    scale = 1 / 255 if train.inputs.dtype == np.uint8 else 1.0
    shift, scale = np.array(0, np.float32), np.array(scale, np.float32)
    return PublishedSet(name, train, test, outputs, shift, scale)


def check_published(published: PublishedSet) -> PublishedSet:
    """Check that a set is fit to learn from, wherever it came from.

    Args:
        published: the set, with inputs and labels in any real and integer types.

    Returns:
        The same set: inputs uint8 or float32, labels and groups int32.

    Raises:
        DataError: no examples, counts that disagree, features that are not finite numbers, labels
            that are not whole numbers from 0 to `outputs - 1`, or splits of unlike shapes.
    """
    name, outputs = published.name, published.outputs
    if outputs < 2:
        raise DataError(f"{name}: {outputs} class, expected at least 2 to tell apart")
    train = _check_examples(f"{name} (training)", published.train, outputs)
    if published.test is None:
        return published._replace(train=train)
    test = _check_examples(f"{name} (test)", published.test, outputs)
    if test.inputs.shape[1:] != train.inputs.shape[1:]:
        raise DataError(
            f"{name}: test examples have shape {test.inputs.shape[1:]}, training examples "
            f"{train.inputs.shape[1:]}; expected the same: take both from one release of the set"
        )
    return published._replace(train=train, test=test)


def _check_examples(where: str, examples: Examples, outputs: int) -> Examples:
    inputs, labels, groups = examples
    if inputs.ndim < 2:
        raise DataError(
            f"{where}: inputs have shape {inputs.shape}, expected [examples, *features]"
        )
    if 0 in inputs.shape:
        raise DataError(f"{where}: no examples, inputs have shape {inputs.shape}; get the set anew")
    if labels.shape != inputs.shape[:1]:
        raise DataError(
            f"{where}: {len(inputs)} examples, but labels of shape {labels.shape}; expected one "
            "label per example: inputs and labels must come from the same release of the set"
        )
    if groups is not None:
        groups = groups.astype(np.int32)
    return Examples(_check_inputs(where, inputs), _check_labels(where, labels, outputs), groups)


def _check_inputs(where: str, inputs: np.ndarray) -> np.ndarray:
    if inputs.dtype == np.uint8:
        return inputs
    if inputs.dtype.kind not in "biuf":
        raise DataError(f"{where}: inputs of type {inputs.dtype}, expected real numbers")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes Inf and is counted below
        inputs = inputs.astype(np.float32)
    broken = ~np.isfinite(inputs)
    if broken.any():
        first = tuple(int(i) for i in np.argwhere(broken)[0])
        raise DataError(
            f"{where}: {broken.sum()} of {broken.size} features are NaN or infinite in float32, "
            f"the first at index {first}; expected finite numbers: mend or remove those examples"
        )
    return inputs


def _check_labels(where: str, labels: np.ndarray, outputs: int) -> np.ndarray:
    if labels.dtype.kind not in "iu":
        raise DataError(f"{where}: labels of type {labels.dtype}, expected whole numbers")
    broken = (labels < 0) | (labels >= outputs)
    if broken.any():
        first = int(np.argmax(broken))
        raise DataError(
            f"{where}: {broken.sum()} labels out of range, the first {labels[first]} at index "
            f"{first}; expected 0 to {outputs - 1}: mend or remove those examples"
        )
    return labels.astype(np.int32)


def hold_out(examples: Examples, count: int, seed: int, setting: str) -> tuple[Examples, Examples]:
    """Draw examples at random, each class in proportion, and leave the others.

    Args:
        examples: what to draw from.
        count: how many to draw, at least 1 and fewer than there are.
        seed: of the draw.
        setting: what `count` is called where the user sets it, for the error message.

    Returns:
        The examples that stay and those drawn, both in their original order.

    Raises:
        DataError: a count that leaves either side empty.
    """
    total = len(examples.targets)
    if not 1 <= count < total:
        raise DataError(
            f"{setting}={count}: expected 1 to {total - 1}, so that some of the {total} training "
            "examples are drawn and some stay"
        )
    rng = np.random.default_rng(seed)
    drawn = np.zeros(total, bool)
    for label, quota in enumerate(_quotas(np.bincount(examples.targets), count)):
        drawn[rng.choice(np.flatnonzero(examples.targets == label), quota, replace=False)] = True
    return _select(examples, ~drawn), _select(examples, drawn)


def _quotas(class_sizes: np.ndarray, count: int) -> np.ndarray:
    """Largest remainders: `count` shared among classes in proportion to their sizes."""
    shares = class_sizes * count
    quotas, remainders = np.divmod(shares, class_sizes.sum())
    largest = np.argsort(-remainders, kind="stable")[: count - quotas.sum()]
    quotas[largest] += 1
    return quotas


def _select(examples: Examples, chosen: np.ndarray) -> Examples:
    inputs, labels, groups = examples
    return Examples(inputs[chosen], labels[chosen], None if groups is None else groups[chosen])
