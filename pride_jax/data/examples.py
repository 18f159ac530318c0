"""A set as its source publishes it: the checks that every source passes, and holding out."""

from typing import NamedTuple

import numpy as np

from pride_jax.errors import DataError

NO_SHIFT = np.zeros((), np.float32)
"""With `NO_SCALE`: the model sees inputs as they are."""
NO_SCALE = np.ones((), np.float32)
NO_SHIFT.setflags(write=False)
NO_SCALE.setflags(write=False)


class Examples(NamedTuple):
    """Examples with what is to be learnt of each.

    Attributes:
        inputs: uint8 or float32, `[n, *features]`; or int32, ids such as tokens: see `normalize`.
        targets: int32 `[n]`, classes; float32 `[n]` or `[n, quantities]`; or int32
            `[n, *positions]`, a class or token for each position of an input.
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
        outputs: how many classes, quantities or tokens there are to tell apart.
        shift: float32, `[]` or `[*features]`: the model sees `(inputs - shift) * scale`.
        scale: float32, `[]` or `[*features]`.
        notes: what of the source is not in the set, a sentence each.
        class_names: of the classes, by their numbers; none where they have numbers alone.
        input_names: of the features of a table, in their order; none for others.
        group_names: of who made examples, by the numbers of `Examples.groups`.
    """

    name: str
    train: Examples
    test: Examples | None
    outputs: int
    shift: np.ndarray
    scale: np.ndarray
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    input_names: tuple[str, ...] = ()
    group_names: tuple[str, ...] = ()


class Absent(NamedTuple):
    """Why a source does not hold a set, so that the next source is asked."""

    reason: str


def are_classes(targets: np.ndarray) -> bool:
    """Whether targets are one class an example, and neither quantities nor sequences."""
    return targets.ndim == 1 and targets.dtype.kind in "iu"


def published_images(
    name: str, train: Examples, test: Examples | None, outputs: int, notes: tuple[str, ...] = ()
) -> PublishedSet:
    """A set that the model sees from 0 to 1 if it is stored as bytes, and as it is otherwise.

    Whole numbers that are no bytes become float32: they are measured, and no ids.
    """
    scale = 1 / 255 if train.inputs.dtype == np.uint8 else 1.0
    train = train._replace(inputs=_measured(train.inputs))
    test = test and test._replace(inputs=_measured(test.inputs))
    return PublishedSet(name, train, test, outputs, NO_SHIFT, np.array(scale, np.float32), notes)


def _measured(inputs: np.ndarray) -> np.ndarray:
    return inputs.astype(np.float32) if _are_ids(inputs) else inputs


def _are_ids(inputs: np.ndarray) -> bool:
    return inputs.dtype.kind in "iu" and inputs.dtype != np.uint8


def check_published(published: PublishedSet) -> PublishedSet:
    """Check that a set is fit to learn from, wherever it came from.

    Args:
        published: the set, with inputs and targets in any types of real or whole numbers.

    Returns:
        The same set: inputs uint8, float32 or (other whole numbers are ids) int32; targets int32 or
        float32; groups int32.

    Raises:
        DataError: no examples; counts that disagree; features or quantities that are not finite;
            negative ids; classes or tokens that are not whole numbers from 0 to `outputs - 1`;
            quantities that are not `outputs` an example; more or fewer names than classes; or
            splits of unlike shapes or types.
    """
    name, outputs = published.name, published.outputs
    if published.class_names and len(published.class_names) != outputs:
        raise DataError(
            f"{name}: {len(published.class_names)} class names for {outputs} classes; expected one "
            "for each"
        )
    train = check_examples(f"{name} (training)", published.train, outputs)
    if published.test is None:
        return published._replace(train=train)
    test = check_examples(f"{name} (test)", published.test, outputs)
    for what in ("inputs", "targets"):
        here, there = getattr(test, what), getattr(train, what)
        if (here.shape[1:], here.dtype) != (there.shape[1:], there.dtype):
            raise DataError(
                f"{name}: {what} of test examples have shape {here.shape[1:]} and type "
                f"{here.dtype}, those of training examples {there.shape[1:]} and {there.dtype}; "
                "expected the same: take both from one release of the set"
            )
    return published._replace(train=train, test=test)


def check_examples(where: str, examples: Examples, outputs: int) -> Examples:
    """Check one split, as `check_published` does.

    Args:
        where: what the split is called in an error message.
        examples: its examples.
        outputs: how many classes, quantities or tokens there are.

    Returns:
        The same examples, in the types that `check_published` names.

    Raises:
        DataError: as in `check_published`.
    """
    inputs, targets, groups = examples
    if inputs.ndim < 2:
        raise DataError(
            f"{where}: inputs have shape {inputs.shape}, expected [examples, *features]"
        )
    if 0 in inputs.shape:
        raise DataError(f"{where}: no examples, inputs have shape {inputs.shape}; get the set anew")
    if targets.shape[:1] != inputs.shape[:1]:
        raise DataError(
            f"{where}: {len(inputs)} examples, but targets of shape {targets.shape}; expected one "
            "target per example: inputs and targets must come from the same release of the set"
        )
    if groups is not None:
        groups = _check_groups(where, groups, len(inputs))
    return Examples(_check_inputs(where, inputs), _check_targets(where, examples, outputs), groups)


def _check_groups(where: str, groups: np.ndarray, count: int) -> np.ndarray:
    if groups.shape != (count,) or groups.dtype.kind not in "iu":
        raise DataError(
            f"{where}: groups of shape {groups.shape} and type {groups.dtype} for {count} "
            "examples; expected one whole number per example, the same for those of one maker"
        )
    return _int32(where, "groups", groups)


def _check_inputs(where: str, inputs: np.ndarray) -> np.ndarray:
    if inputs.dtype == np.uint8:
        return inputs
    if _are_ids(inputs):
        return _int32(where, "ids", inputs)
    if inputs.dtype.kind not in "bf":
        raise DataError(f"{where}: inputs of type {inputs.dtype}, expected real numbers")
    return _finite(where, "features", inputs)


def _check_targets(where: str, examples: Examples, outputs: int) -> np.ndarray:
    inputs, targets, _ = examples
    if targets.dtype.kind == "f":
        return _check_quantities(where, targets, outputs)
    if targets.dtype.kind not in "iu":
        raise DataError(
            f"{where}: targets of type {targets.dtype}, expected whole numbers (classes or "
            "tokens) or floats (quantities)"
        )
    positions = inputs.shape if _are_ids(inputs) else inputs.shape[:-1]
    if targets.shape != positions[: targets.ndim]:
        raise DataError(
            f"{where}: targets of type {targets.dtype} and shape {targets.shape} for inputs of "
            f"type {inputs.dtype} and shape {inputs.shape}; expected one class per example, shape "
            f"{inputs.shape[:1]}, or one for each position of ids (integers that are no bytes) "
            "[n, length] or of features [n, length, features]"
        )
    broken = (targets < 0) | (targets >= outputs)
    if broken.any():
        first = _first(broken)
        raise DataError(
            f"{where}: {broken.sum()} targets out of range, the first {targets[first]} at index "
            f"{_shown(first)}; expected 0 to {outputs - 1}: mend or remove those examples"
        )
    if outputs < 2:
        raise DataError(f"{where}: {outputs} class, expected at least 2 to tell apart")
    return targets.astype(np.int32, copy=False)


def _check_quantities(where: str, targets: np.ndarray, outputs: int) -> np.ndarray:
    if targets.shape[1:] not in ((outputs,), *([()] if outputs == 1 else [])):
        raise DataError(
            f"{where}: targets of type {targets.dtype} and shape {targets.shape} for {outputs} "
            f"outputs; expected quantities [n, {outputs}], or [n] with one output; classes and "
            "tokens are whole numbers"
        )
    return _finite(where, "quantities", targets)


def _finite(where: str, what: str, values: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes Inf and is counted below
        values = values.astype(np.float32, copy=False)
    broken = ~np.isfinite(values)
    if broken.any():
        raise DataError(
            f"{where}: {broken.sum()} of {broken.size} {what} are NaN or infinite in float32, "
            f"the first at index {_shown(_first(broken))}; expected finite numbers: mend or remove "
            "those examples"
        )
    return values


def _int32(where: str, what: str, values: np.ndarray) -> np.ndarray:
    broken = (values < 0) | (values > np.iinfo(np.int32).max)
    if broken.any():
        first = _first(broken)
        raise DataError(
            f"{where}: {broken.sum()} {what} out of range, the first {values[first]} at index "
            f"{_shown(first)}; expected 0 to 2147483647; features that are measured are floats"
        )
    return values.astype(np.int32, copy=False)


def _first(broken: np.ndarray) -> tuple[int, ...]:
    return tuple(int(i) for i in np.argwhere(broken)[0])


def _shown(index: tuple[int, ...]) -> str:
    return str(index[0]) if len(index) == 1 else str(index)


def hold_out(examples: Examples, count: int, seed: int, setting: str) -> tuple[Examples, Examples]:
    """Draw examples at random and leave the others.

    Each class is drawn from in proportion; quantities and sequences are drawn from as a whole.

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
    # Of what are no classes, all examples are of one.
    classes = examples.targets if are_classes(examples.targets) else np.zeros(total, np.int32)
    for class_, quota in enumerate(_quotas(np.bincount(classes), count)):
        drawn[rng.choice(np.flatnonzero(classes == class_), quota, replace=False)] = True
    return _select(examples, ~drawn), _select(examples, drawn)


def _quotas(class_sizes: np.ndarray, count: int) -> np.ndarray:
    """Largest remainders: `count` shared among classes in proportion to their sizes."""
    shares = class_sizes * count
    quotas, remainders = np.divmod(shares, class_sizes.sum())
    largest = np.argsort(-remainders, kind="stable")[: count - quotas.sum()]
    quotas[largest] += 1
    return quotas


def _select(examples: Examples, chosen: np.ndarray) -> Examples:
    inputs, targets, groups = examples
    return Examples(inputs[chosen], targets[chosen], None if groups is None else groups[chosen])
