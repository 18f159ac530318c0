"""What looks as if a data set were stored otherwise than meant: told, and left as it is."""

from collections.abc import Sequence

import numpy as np

_CHANNELS = (1, 3, 4)
_FAR = 20.0
"""How far from 0 what a model sees may reach; tables in their own units reach farther."""


class DataHint(UserWarning):
    """Something that a data set's owner may have meant otherwise."""


def hints(
    inputs: np.ndarray, shift: np.ndarray, scale: np.ndarray, names: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """Sentences on inputs that look as if they were stored otherwise than meant.

    A sentence holds no figure of the examples, and no example's own.

    Args:
        inputs: uint8, float32 or ids, `[n, *features]`.
        shift: the model sees `(inputs - shift) * scale`.
        scale: see `shift`.
        names: of the features of a table; their numbers are told if none.
    """
    if not len(inputs) or (inputs.dtype.kind != "f" and inputs.dtype != np.uint8):
        return ()
    found = []
    features = inputs.shape[1:]
    if len(features) == 3 and features[0] in _CHANNELS and features[-1] not in _CHANNELS:
        found.append(
            f"inputs of shape {list(features)} look like channels first; a model takes [height, "
            "width, channels]: np.moveaxis(inputs, 1, -1)"
        )
    if inputs.dtype == np.uint8:
        return tuple(found)
    if _are_bytes(inputs) and np.all(scale == 1):
        found.append(
            "inputs look like bytes from 0 to 255 stored as floats, and the model sees them so; "
            ".astype(np.uint8), or scale=1/255, shows it 0 to 1"
        )
    elif len(features) == 1:
        seen = np.abs((inputs - shift) * scale).max(axis=0, initial=0.0)
        far = [str(names[place] if names else place) for place in np.flatnonzero(seen > _FAR)]
        if far:
            found.append(
                f"features {_first(far)} reach beyond {_FAR:g} and the model sees them so, which "
                "trains badly; give public ranges (a table), or shift and scale (arrays)"
            )
    return tuple(found)


def _are_bytes(inputs: np.ndarray) -> bool:
    """Whether floats look like bytes of images, laid out as such or flat."""
    values = inputs.reshape(len(inputs), -1)
    if values.shape[1] < 16 or values.min() < 0 or not 16 <= values.max() <= 255:
        return False
    return inputs.ndim > 2 or bool((values == np.rint(values)).all())


def gaps(targets: np.ndarray, outputs: int, names: tuple[str, ...] = ()) -> tuple[str, ...]:
    """A sentence on classes without a training example; none where all have some.

    Args:
        targets: `[n]`, from 0 to `outputs - 1`.
        outputs: classes.
        names: of the classes, if they have any.
    """
    missing = np.flatnonzero(np.bincount(targets, minlength=outputs) == 0)
    if not len(missing):
        return ()
    told = [str(names[class_] if names else class_) for class_ in missing]
    return (
        f"no training example has class {_first(told)} of {outputs}; number classes from 0 without "
        "a gap if that is not meant",
    )


def all_drawn(groups: tuple[str, ...]) -> tuple[str, ...]:
    """A sentence on groups that are no clients, since their examples were all drawn for testing."""
    if not groups:
        return ()
    return (
        f"the examples of {_first(groups)} were all drawn for testing, so that nobody trains on "
        f"any: {len(groups)} of the groups are no clients; ask for fewer test_examples, or give "
        "test examples of their own, if that is not meant",
    )


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
