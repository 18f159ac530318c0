"""From a table's columns to a data set: what is learned, what a model sees, whose each row is."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pride_jax.data.arrays import Own, in_order, numbered, published_arrays
from pride_jax.data.examples import PublishedSet
from pride_jax.data.tables import Table, is_number, no_column, read_table, some
from pride_jax.errors import DataError

_SHOWN = 8
"""The most values of a column that a message repeats."""


class Columns(NamedTuple):
    """What is what in a table, or in a file of arrays; all of it is public.

    Attributes:
        target: the column to learn; of an `.npz`, the array.
        inputs: of an `.npz`, the array that a model sees.
        group: the column of who made each example, or "" if there is none.
        quantity: whether the target is a quantity, and no class.
        leave_out: columns that a model does not see, such as a patient's number.
        test: the file of test examples, with the same columns; test examples are drawn if None.
        ranges: `(column, low, high)`: the model sees a column from -1 to 1 in its range.
        categories: `(column, value)`, one for each value of a column of texts: the model sees one
            number for each, 1 where the row has it. Of the target: the classes, in their order.
    """

    target: str = ""
    inputs: str = ""
    group: str = ""
    quantity: bool = False
    leave_out: tuple[str, ...] = ()
    test: Path | None = None
    ranges: tuple[tuple[str, float, float], ...] = ()
    categories: tuple[tuple[str, str], ...] = ()


def load_table(path: Path, columns: Columns) -> PublishedSet:
    """Load a table of measurements, a row for each example.

    A model sees every column but the target, the group and those left out. Nothing is estimated
    from rows: columns are seen as they are, or scaled by a public range; columns of texts are
    refused unless their categories are listed. Classes and groups are numbered in the order of
    their names.

    Args:
        path: `.csv` or `.parquet`, see `read_table`.
        columns: what is what.

    Returns:
        The set, named after the file: inputs float32 `[n, features]`.

    Raises:
        DataError: a file cannot be read, a named column is not there, or a value is none of its
            column's kind; the message has the column and the row.
    """
    table = read_table(path, columns.leave_out)
    _check_columns(table, columns)
    test = None
    if columns.test is not None:
        test = read_table(columns.test, columns.leave_out)
        if test.columns.keys() != table.columns.keys():
            odd = sorted(test.columns.keys() ^ table.columns.keys())
            raise DataError(
                f"{columns.test}: columns {some(odd)} are not in both this table and "
                f"{path}; expected the same columns"
            )
    names, shift, scale = _features(table, columns)
    classes = () if columns.quantity else _classes(table, columns)
    published = published_arrays(
        path.stem,
        _own(table, columns, classes),
        None if test is None else _own(test, columns, classes),
        class_names=classes,
        quantity=columns.quantity,
        shift=shift,
        scale=scale,
    )
    return published._replace(input_names=names, notes=_notes(columns))


def table_inputs(table: Table, columns: Columns) -> np.ndarray:
    """What a model sees of a table, before shift and scale.

    Args:
        table: with the columns that a model sees; others are not looked at.
        columns: what is what.

    Returns:
        float32 `[n, features]`, in the order of the training table's columns.

    Raises:
        DataError: a value is none of its column's kind.
    """
    seen = []
    for name in _seen(table, columns):
        if values := _categories(name, columns):
            texts = _texts(table.columns[name])
            unknown = ~np.isin(texts, values)
            if unknown.any():
                index = int(unknown.argmax())
                raise DataError(
                    f"{table.where(name, index)}: {str(texts[index])!r} is none of its categories "
                    f"{', '.join(values)}; expected one of them: mend the row, or list it, too"
                )
            seen += [texts == value for value in values]
        else:
            seen.append(_numbers(table, name))
    return np.stack(seen, axis=1).astype(np.float32)


def read_inputs(path: Path, columns: Columns, names: tuple[str, ...]) -> np.ndarray:
    """What a trained model sees of a table, before shift and scale.

    Args:
        path: `.csv` or `.parquet`. Target and group need not be there; columns may have moved.
        columns: what was what in the table that the model was trained on.
        names: `Dataset.input_names` of that table.

    Returns:
        float32 `[n, features]`, in the order of `names`.

    Raises:
        DataError: the file cannot be read, it lacks a column or has one more, or a value is none of
            its column's kind.
    """
    table = read_table(path, columns.leave_out)
    split = {f"{name}={value}": name for name, value in columns.categories}
    wanted = list(dict.fromkeys(split.get(name, name) for name in names))
    if sorted(_seen(table, columns)) != sorted(wanted):
        odd = sorted(set(_seen(table, columns)) ^ set(wanted))
        raise DataError(
            f"{path}: columns {some(odd)} are not in both this table and the one that the model "
            "was trained on; expected the same columns, target and group aside"
        )
    return table_inputs(table._replace(columns={n: table.columns[n] for n in wanted}), columns)


def _check_columns(table: Table, columns: Columns) -> None:
    if not columns.target:
        raise DataError(
            f"{table.path}: no target is named; expected the column to learn, one of "
            f"{some(table.columns)}: --data.target COLUMN"
        )
    named = {
        "target": [columns.target],
        "group": [columns.group] if columns.group else [],
        "ranges": [name for name, _, _ in columns.ranges],
        "categories": [name for name, _ in columns.categories],
    }
    for setting, names in named.items():
        for name in names:
            if name not in table.columns:
                raise no_column(table.path, setting, name, table.columns)
    for name, low, high in columns.ranges:
        if not low < high:
            raise DataError(
                f"data.ranges: {name} from {low:g} to {high:g}, expected low below high"
            )
        if named["ranges"].count(name) > 1 or _categories(name, columns):
            raise DataError(f"data.ranges: {name} has another range or categories; expected one")
    if len(set(columns.categories)) < len(columns.categories):
        raise DataError("data.categories: a value is listed twice; expected each once")
    if columns.target == columns.group:
        raise DataError(f"data.group={columns.group!r} is the target, too; expected another column")
    if not _seen(table, columns):
        raise DataError(
            f"{table.path}: a model would see no column; expected one beside the target"
        )


def _seen(table: Table, columns: Columns) -> list[str]:
    return [name for name in table.columns if name not in (columns.target, columns.group)]


def _categories(name: str, columns: Columns) -> list[str]:
    return [value for column, value in columns.categories if column == name]


def _features(table: Table, columns: Columns) -> tuple[tuple[str, ...], np.ndarray, np.ndarray]:
    """The features' names, their shift and their scale."""
    ranges = {name: (low, high) for name, low, high in columns.ranges}
    names, shift, scale = [], [], []
    for name in _seen(table, columns):
        values = _categories(name, columns)
        names += [f"{name}={value}" for value in values] or [name]
        low, high = ranges.get(name, (-1.0, 1.0))
        shift += [0.0] * len(values) or [(low + high) / 2]
        scale += [1.0] * len(values) or [2 / (high - low)]
    return tuple(names), np.array(shift), np.array(scale)


def _own(table: Table, columns: Columns, classes: tuple[str, ...]) -> Own:
    groups = _texts(table.columns[columns.group]) if columns.group else None
    if columns.quantity:
        targets = _scaled_target(_numbers(table, columns.target), columns)
    else:
        where = f"{table.path}: column {columns.target}"
        targets = numbered(where, _texts(table.columns[columns.target]), classes)
    return Own(table_inputs(table, columns), targets, groups)


def _scaled_target(values: np.ndarray, columns: Columns) -> np.ndarray:
    for name, low, high in columns.ranges:
        if name == columns.target:
            return (values - (low + high) / 2) * 2 / (high - low)
    return values


def _classes(table: Table, columns: Columns) -> tuple[str, ...]:
    """The classes' names: those listed, or those found."""
    if columns.target in {name for name, _, _ in columns.ranges}:
        raise DataError(
            f"data.ranges: {columns.target} is a class; expected data.quantity, or no range of it"
        )
    if listed := _categories(columns.target, columns):
        return tuple(listed)
    texts = _texts(table.columns[columns.target])
    found = in_order(set(texts.tolist()))
    decimal = [text for text in found if is_number(text) and not text.lstrip("+-").isdecimal()]
    if decimal or len(found) > max(2, len(texts) // 2):
        raise DataError(
            f"{table.path}: column {columns.target} has {len(found)} values in {len(texts)} rows, "
            f"such as {(decimal or found)[0]}, and is to be a class; expected --data.quantity for "
            "a quantity, or a column of few values"
        )
    return found


def _texts(values: np.ndarray) -> np.ndarray:
    return values if values.dtype.kind == "U" else values.astype(np.str_)


def _numbers(table: Table, name: str) -> np.ndarray:
    """A column's numbers.

    Raises:
        DataError: it holds texts, all of them or one.
    """
    values = table.columns[name]
    try:
        return values.astype(np.float64)
    except ValueError:
        pass
    broken = np.array([not is_number(text) for text in values.tolist()])
    index = int(broken.argmax())
    if not broken.all():
        raise DataError(
            f"{table.where(name, index)}: {str(values[index])!r} is no number, as others of the "
            "column are; expected numbers with a decimal point: mend it"
        )
    found = in_order(set(values.tolist()))
    listed = " ".join(f"{_quoted(name)} {_quoted(value)}" for value in found[:_SHOWN])
    remedy = (
        f"list its values, which so become public (--data.categories {listed})"
        if len(found) <= _SHOWN
        else f"it has {len(found)} values"
    )
    raise DataError(
        f"{table.path}: column {name} holds texts, such as {str(values[0])!r}, and a model takes "
        f"numbers; expected numbers: {remedy}, or leave it out (--data.leave_out {_quoted(name)})"
    )


def _quoted(text: str) -> str:
    return f"'{text}'" if set(text) & set(" ;&|<>()$") else text


def _notes(columns: Columns) -> tuple[str, ...]:
    for name, low, high in columns.ranges:
        if name == columns.target:
            middle, half = (low + high) / 2, (high - low) / 2
            return (f"{name} is learned as ({name} - {middle:g}) / {half:g}",)
    return ()
