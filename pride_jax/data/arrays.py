"""One's own arrays as a data set: what types mean; what may mean two things is refused."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pride_jax.data.examples import Examples, PublishedSet
from pride_jax.errors import DataError

_FEW_WITHOUT = 0.5
"""The largest share of all classes that may have no example before whole numbers look measured."""


class Own(NamedTuple):
    """Arrays as their owner gives them, of one split.

    Attributes:
        inputs: anything that NumPy makes an array of numbers from, `[n, *features]`.
        targets: texts, whole numbers or floats, `[n, …]`.
        groups: texts or whole numbers, `[n]`, who made each example; None where nobody knows.
    """

    inputs: Any
    targets: Any
    groups: Any = None


def published_arrays(
    name: str,
    train: Own,
    test: Own | None,
    *,
    class_names: Sequence[str] = (),
    quantity: bool = False,
    shift: Any = 0.0,
    scale: Any = None,
) -> PublishedSet:
    """A set of one's own arrays, in the types that `Dataset.from_arrays` names.

    Args:
        name: what the set is called, also in error messages.
        train: the training examples; all examples where test examples are to be drawn.
        test: the test examples, or None.
        class_names: of the classes, by their numbers; those of texts, in their order, if none.
        quantity: whether targets are quantities, of whatever type.
        shift: public, a number or one for each feature.
        scale: likewise; 1/255 for bytes and 1 for others if None.

    Raises:
        DataError: an array is of no type that has one meaning; the message says what to do.
    """
    splits = [train] if test is None else [train, test]
    where = [name] if test is None else [f"{name} (training)", f"{name} (test)"]
    targets = [
        _array(here, "targets", own.targets) for here, own in zip(where, splits, strict=True)
    ]
    inputs = [_inputs(here, own.inputs) for here, own in zip(where, splits, strict=True)]
    names = tuple(map(str, class_names))
    if len(set(names)) < len(names):
        raise DataError(f"{name}: class_names={names}, expected each once")
    if quantity:
        targets, outputs = [_quantities(name, each) for each in targets], 0
    else:
        targets, outputs, names = _answers(where, inputs, targets, names)
    if not outputs:
        outputs = 1 if targets[0].ndim == 1 else targets[0].shape[-1]
    inputs = [_arranged(here, each, targets[0]) for here, each in zip(where, inputs, strict=True)]
    groups, group_names = _codes(where, [own.groups for own in splits])
    examples = [Examples(*each) for each in zip(inputs, targets, groups, strict=True)]
    if scale is None:
        scale = 1 / 255 if inputs[0].dtype == np.uint8 else 1.0
    features = inputs[0].shape[1:]
    return PublishedSet(
        name=name,
        train=examples[0],
        test=None if test is None else examples[1],
        outputs=outputs,
        shift=_constant(name, "shift", shift, features),
        scale=_constant(name, "scale", scale, features),
        class_names=names,
        group_names=group_names,
    )


def _array(where: str, what: str, values: Any) -> np.ndarray:
    if isinstance(values, np.ma.MaskedArray) and values.mask.any():
        raise DataError(
            f"{where}: {values.mask.sum()} {what} are masked; expected none: fill or remove them"
        )
    try:
        array = np.asarray(values)
    except ValueError:
        raise DataError(
            f"{where}: {what} are rows of unlike lengths; expected one shape for every example"
        ) from None
    if array.dtype.kind == "O" and array.size and all(isinstance(x, str) for x in array.flat):
        array = array.astype(np.str_)
    if array.dtype.kind not in "biufU":
        raise DataError(
            f"{where}: {what} of type {array.dtype} ({type(values).__name__}); expected an array "
            f"of numbers{'' if what == 'inputs' else ' or of texts'}: convert them"
        )
    return array


def _inputs(where: str, values: Any) -> np.ndarray:
    inputs = _array(where, "inputs", values)
    if inputs.dtype.kind == "U":
        raise DataError(
            f"{where}: inputs are texts, such as {str(inputs.flat[0])!r}; expected numbers: give "
            "each value a column of 0 and 1, or each token a number (int32)"
        )
    if inputs.ndim < 2:
        raise DataError(
            f"{where}: inputs of shape {inputs.shape}, expected [examples, *features]: "
            "inputs.reshape(-1, 1) has one feature an example"
        )
    return inputs


def _arranged(where: str, inputs: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Images with channels, ids as int32, what is measured as float32."""
    if inputs.dtype == np.uint8:
        if inputs.ndim == 2:
            raise DataError(
                f"{where}: bytes of shape {inputs.shape}; expected images [n, height, width] or "
                "[n, height, width, channels]: reshape them, or .astype(np.float32) if they are "
                "measured"
            )
        return inputs[..., None] if inputs.ndim == 3 else inputs
    if inputs.dtype.kind not in "iu":
        return inputs.astype(np.float32, copy=False) if inputs.dtype.kind == "b" else inputs
    sequences = targets.dtype.kind in "iu" and targets.shape[1:] == inputs.shape[1:]
    if inputs.dtype == np.int32 or sequences:
        return inputs
    raise DataError(
        f"{where}: inputs of type {inputs.dtype} may be measured, pixels or ids; expected "
        ".astype(np.float32) for what is measured, np.uint8 for pixels from 0 to 255, or np.int32 "
        "for ids of tokens"
    )


def _answers(
    where: list[str], inputs: list[np.ndarray], targets: list[np.ndarray], names: tuple[str, ...]
) -> tuple[list[np.ndarray], int, tuple[str, ...]]:
    """Targets, how many classes or tokens there are (0 for quantities), and classes by name."""
    targets = [each[:, 0] if _is_column(each) else each for each in targets]
    kinds = {each.dtype.kind for each in targets}
    if kinds & set("Ub"):
        return _named_classes(where, [_texts(each) for each in targets], names)
    if "f" in kinds:
        for here, each in zip(where, targets, strict=True):
            _refuse_whole_floats(here, each)
        return targets, 0, ()
    sequences = targets[0].ndim > 1
    counted = [*targets, *(each for each in inputs if sequences and each.dtype.kind in "iu")]
    outputs = len(names) or 1 + max(int(each.max(initial=0)) for each in counted)
    if not sequences and not names:
        _refuse_measured(where[0], targets[0], outputs)
    return targets, outputs, names


def _is_column(targets: np.ndarray) -> bool:
    return targets.ndim == 2 and targets.shape[1] == 1 and targets.dtype.kind != "f"


def _texts(targets: np.ndarray) -> np.ndarray:
    return targets if targets.dtype.kind == "U" else targets.astype(np.str_)


def _named_classes(
    where: list[str], targets: list[np.ndarray], names: tuple[str, ...]
) -> tuple[list[np.ndarray], int, tuple[str, ...]]:
    if targets[0].ndim != 1:
        raise DataError(
            f"{where[0]}: targets are texts of shape {targets[0].shape}; expected one class an "
            f"example, shape {targets[0].shape[:1]}"
        )
    found = names or in_order(set(targets[0].tolist()))
    return [numbered(*each, found) for each in zip(where, targets, strict=True)], len(found), found


def numbered(where: str, targets: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """The number of each example's class.

    Raises:
        DataError: an example's class is not among the names.
    """
    numbers = {name: number for number, name in enumerate(names)}
    unknown = sorted(set(targets.tolist()) - numbers.keys())
    if unknown:
        raise DataError(
            f"{where}: classes {', '.join(unknown[:5])} are not among {', '.join(names)}; expected "
            "the same names: mend them, or name all classes"
        )
    return np.array([numbers[target] for target in targets.tolist()], np.int32)


def in_order(names: set[str]) -> tuple[str, ...]:
    """Names sorted: by their numbers where all are whole numbers."""
    numbers = all(name.isdecimal() for name in names)
    return tuple(sorted(names, key=(lambda name: (int(name), name)) if numbers else None))


def _quantities(name: str, targets: np.ndarray) -> np.ndarray:
    if targets.dtype.kind == "U":
        raise DataError(
            f"{name}: targets are texts, such as {str(targets.flat[0])!r}, expected numbers with "
            "quantity=True"
        )
    return targets.astype(np.float32)


def _refuse_whole_floats(where: str, targets: np.ndarray) -> None:
    whole = targets.size and np.isfinite(targets).all() and (targets == np.rint(targets)).all()
    if not whole:
        return
    if targets.ndim == 2 and set(np.unique(targets)) == {0, 1} and (targets.sum(axis=1) == 1).all():
        raise DataError(
            f"{where}: targets of shape {targets.shape} are 0 and a single 1 an example; expected "
            "targets.argmax(axis=1) for classes, or quantity=True for quantities"
        )
    if targets.ndim == 1:
        raise DataError(
            f"{where}: targets are whole numbers of type {targets.dtype}, such as {targets[0]:g}; "
            "expected targets.astype(int) for classes, or quantity=True for quantities"
        )


def _refuse_measured(where: str, targets: np.ndarray, outputs: int) -> None:
    if not len(targets) or targets.min() < 0:
        return
    found = len(np.unique(targets))
    if outputs - found > _FEW_WITHOUT * outputs:
        raise DataError(
            f"{where}: targets up to {outputs - 1} of which {found} occur look measured; expected "
            "quantity=True for quantities, or class_names for classes without an example"
        )


def _codes(where: list[str], groups: list[Any]) -> tuple[list[np.ndarray | None], tuple[str, ...]]:
    """Groups as numbers, the same in all splits, and what these stand for where they are texts."""
    arrays = [None if each is None else _array(where[0], "groups", each) for each in groups]
    given = [each for each in arrays if each is not None]
    if not any(each.dtype.kind == "U" for each in given):
        return arrays, ()
    names = in_order({text for each in given for text in _texts(each).ravel().tolist()})
    numbers = {name: number for number, name in enumerate(names)}
    count = np.vectorize(numbers.__getitem__, otypes=[np.int32])
    return [None if each is None else count(_texts(each)) for each in arrays], names


def _constant(name: str, what: str, value: Any, features: tuple[int, ...]) -> np.ndarray:
    constant = np.asarray(value)
    fits = constant.ndim == 0 or constant.shape == features
    if not fits or constant.dtype.kind not in "iuf" or not np.isfinite(constant).all():
        raise DataError(
            f"{name}: {what} of shape {constant.shape} and type {constant.dtype} for features "
            f"{list(features)}; expected a finite number, or one for each feature: a public "
            "constant that no example moves"
        )
    return constant.astype(np.float32)
