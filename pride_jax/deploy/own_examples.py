"""A role's own file of examples, read as the shared settings have it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pride_jax.data.dataset import Dataset
from pride_jax.data.datasets import is_path, load_path
from pride_jax.data.examples import (
    NO_SHIFT,
    Examples,
    PublishedSet,
    are_classes,
    check_published,
)
from pride_jax.data.partition import Partition, hold_out_of_each
from pride_jax.data.tables import TABLES, some
from pride_jax.errors import ConfigError
from pride_jax.settings.experiment import Experiment


class Outline(NamedTuple):
    """What is public of examples: nothing in it depends on whose they are.

    Attributes:
      inputs: shape of an example's inputs.
      dtype: of inputs.
      targets: ``classes``, ``quantities`` or ``tokens``.
      input_names: of a table's features, in their order; none for others.
      class_names: of the classes, by their numbers; none where they have numbers alone.
      shift: of a table: a model sees ``(inputs - shift) * scale``; none for others.
      scale: likewise.
      outputs: classes, quantities or tokens that there are to tell apart, as far as they are seen.
    """

    inputs: tuple[int, ...]
    dtype: str
    targets: str
    input_names: tuple[str, ...]
    class_names: tuple[str, ...]
    shift: tuple[float, ...]
    scale: tuple[float, ...]
    outputs: int


_SAID = {
    "inputs": "examples of shape",
    "dtype": "examples of type",
    "targets": "targets that are",
    "input_names": "columns",
    "class_names": "classes",
    "shift": "the middles of ranges",
    "scale": "the scales of ranges",
}


def read_examples(path: Path, config: Experiment) -> PublishedSet:
    """All examples in a file of one's own, as a set without test examples.

    Args:
      path: what ``data.name`` may be: a table, arrays, a text by speaker, a folder of images.
      config: the shared settings; of ``data``, what is what in a table or in arrays.

    Raises:
      DataError: the file cannot be read, or is not what the settings say.
      ConfigError: the settings do not say enough for all roles to read theirs alike.
    """
    data = config.data
    name = f"./{path}" if path.is_dir() and not path.is_absolute() else str(path)
    if not is_path(name):
        raise ConfigError(
            f"{path}: expected a table (.csv, .parquet), arrays (.npz), a text by speaker (.txt) "
            "or a folder of images"
        )
    if data.features != "pixels":
        raise ConfigError(
            f"data.features={data.features!r} with a file of one's own: expected 'pixels'"
        )
    published = load_path(path, data.length, data.columns._replace(test=None))
    if path.suffix in TABLES and not data.quantity:
        _check_classes(config, published)
    if published.test is not None:
        raise ConfigError(
            f"{path} has test examples, too: expected those to train on alone, or to test on alone"
        )
    return check_published(published)


def _check_classes(config: Experiment, published: PublishedSet) -> None:
    """Refuses a table whose classes the settings do not list.

    Raises:
      ConfigError: as above.
    """
    target = config.data.target
    if target not in {column for column, _ in config.data.categories}:
        listed = " ".join(f"{target} {name}" for name in published.class_names[:8])
        raise ConfigError(
            f"data.categories lists no value of {target}: expected all classes, by name and in one "
            "order, in the config that everyone has, since a table shows only those of its own "
            f"rows, such as --data.categories {listed}"
        )


def outline_of(known: Dataset | PublishedSet) -> Outline:
    """What is public of a set's examples."""
    if isinstance(known, Dataset):
        inputs, targets = known.train_inputs, known.train_targets
    else:
        inputs, targets, _ = known.train
    if targets.dtype.kind == "f":
        kind = "quantities"
    else:
        kind = "classes" if are_classes(targets) else "tokens"
    is_table = bool(known.input_names)
    return Outline(
        inputs=inputs.shape[1:],
        dtype=str(inputs.dtype),
        targets=kind,
        input_names=tuple(known.input_names),
        class_names=tuple(known.class_names),
        shift=tuple(known.shift.tolist()) if is_table else (),
        scale=tuple(known.scale.tolist()) if is_table else (),
        outputs=known.outputs,
    )


def with_held_out(own: PublishedSet, config: Experiment) -> PublishedSet:
    """A party's set with the share of its examples that it holds out, unless that is chosen."""
    if own.test is not None:
        return own
    count = len(own.train.targets)
    whole = Partition(np.arange(count, dtype=np.int32), np.array([count], np.int32))
    rng = np.random.default_rng(config.seed)
    stay, held = hold_out_of_each(rng, whole, config.partition.held_out)
    inputs, targets, _ = own.train
    train, test = (Examples(inputs[each.index], targets[each.index]) for each in (stay, held))
    return own._replace(train=train, test=test)


def held_out_of(own: PublishedSet) -> Examples:
    """The examples that a role's set has to test on, of which there may be none."""
    inputs, targets, _ = own.train
    return own.test or Examples(inputs[:0], targets[:0])


def no_examples(
    count: int, inputs: Sequence[int], dtype: str, targets: str, outputs: int
) -> Examples:
    """Zeros in the place of examples of which only the kind is known.

    Args:
      count: of examples.
      inputs: shape of an example's inputs.
      dtype: of inputs.
      targets: ``classes``, ``quantities`` or ``tokens``.
      outputs: how many there are of these.
    """
    shapes = {"classes": (), "quantities": (outputs,), "tokens": tuple(inputs)[:1]}
    kind = np.float32 if targets == "quantities" else np.int32
    return Examples(np.zeros((count, *inputs), dtype), np.zeros((count, *shapes[targets]), kind))


def without_examples(outlines: Sequence[Outline]) -> PublishedSet:
    """A set of the kind that parties have told of, without an example.

    Args:
      outlines: theirs; of the most classes that any has seen.
    """
    first, outputs = outlines[0], max(each.outputs for each in outlines)
    examples = no_examples(0, first.inputs, first.dtype, first.targets, outputs)
    bytes_ = np.float32(1 / 255 if first.dtype == "uint8" else 1.0)
    return PublishedSet(
        "parties' own",
        examples,
        None,
        outputs,
        np.array(first.shift, np.float32) if first.shift else NO_SHIFT,
        np.array(first.scale, np.float32) if first.scale else np.array(bytes_),
        class_names=first.class_names,
        input_names=first.input_names,
    )


def outline_from(content: Any) -> Outline:
    """An outline from what JSON has of it.

    Raises:
      KeyError, TypeError, ValueError: it is none.
    """
    lists = ("inputs", "input_names", "class_names", "shift", "scale")
    return Outline(**{**content, **{name: tuple(content[name]) for name in lists}})


def check_alike(whose: str, found: Outline, expected: Outline) -> None:
    """Refuses examples of another kind; names are compared where both have them.

    Args:
      whose: examples these are, as the message begins.
      found: theirs.
      expected: what others have.

    Raises:
      ConfigError: they differ.
    """
    for name, said in _SAID.items():
        mine, others = getattr(found, name), getattr(expected, name)
        are_there = bool(mine) and bool(others)
        if mine != others and (are_there or name in ("inputs", "dtype", "targets")):
            raise ConfigError(
                f"{whose} has {said} {_text(mine)}, expected {_text(others)}, as the others': "
                "everyone reads its own file with the same config"
            )


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return f"[{some(map(str, value))}]"


def check_classes(targets: np.ndarray, outputs: int) -> None:
    """Refuses classes or tokens that the roster does not have.

    Raises:
      ConfigError: as above.
    """
    if targets.dtype.kind in "iu" and (targets.min() < 0 or targets.max() >= outputs):
        raise ConfigError(
            f"targets from {targets.min()} to {targets.max()} with {outputs} classes in the "
            f"roster: expected 0 to {outputs - 1}; everyone numbers classes alike"
        )


def to_test_on(found: PublishedSet) -> Dataset:
    """The data set of a server that has examples to test on, and none to train on."""
    inputs, targets, groups = found.train
    return Dataset(
        name=found.name,
        train_inputs=inputs[:0],
        train_targets=targets[:0],
        test_inputs=inputs,
        test_targets=targets,
        outputs=found.outputs,
        shift=found.shift,
        scale=found.scale,
        test_groups=groups,
        notes=found.notes,
        class_names=found.class_names,
        input_names=found.input_names,
        group_names=found.group_names,
    )
