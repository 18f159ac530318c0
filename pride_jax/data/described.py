"""What was read, in sentences for whoever starts a run."""

import numpy as np

from pride_jax.data.dataset import Dataset
from pride_jax.data.examples import are_classes
from pride_jax.data.tables import some


def described(dataset: Dataset, num_clients: int, hides: bool) -> tuple[str, ...]:
    """Sentences on a data set: what was read, then what looks odd, then what was left out.

    Args:
        dataset: what was read; its training inputs may be others' and empty here.
        num_clients: among how many it is divided.
        hides: whether numbers of clients' examples are for the run's owner alone: those sentences
            that count them are left out.
    """
    training = "" if hides else f"{len(dataset.train_targets)} training and "
    read = (
        f"{dataset.name}: {training}{len(dataset.test_targets)} test examples of "
        f"{_inputs(dataset)}; {_targets(dataset)}; {num_clients} clients"
    )
    counted = () if hides else (*dataset.gaps(), *dataset.notes)
    return (read, *dataset.hints(), *counted)


def _inputs(dataset: Dataset) -> str:
    inputs = dataset.train_inputs
    features, dtype = list(inputs.shape[1:]), inputs.dtype
    if dtype.kind in "iu" and dtype != np.uint8:
        return f"ids {features} ({dtype})"
    plain = not np.any(dataset.shift)
    if plain and np.all(dataset.scale == 1):
        seen = "as they are, neither centred nor scaled"
    elif plain and dataset.scale.ndim == 0:
        seen = f"times {float(dataset.scale):.3g}"
    else:
        seen = "centred and scaled by public constants"
    return f"{features} ({dtype}), seen {seen}"


def _targets(dataset: Dataset) -> str:
    if dataset.train_targets.dtype.kind == "f":
        return f"{dataset.outputs} {'quantity' if dataset.outputs == 1 else 'quantities'} each"
    if not are_classes(dataset.train_targets):
        return f"tokens 0 to {dataset.outputs - 1}"
    if not dataset.class_names:
        return f"classes 0 to {dataset.outputs - 1}"
    return f"{dataset.outputs} classes: {some(dataset.class_names)}"
